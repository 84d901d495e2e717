//! The transition table of alerts as data: source of the picture and of the exhaustive tests.
//!
//! It doesn't decide anything; the tests at the foot prove that it says the same as [`super::decide()`] and
//! [`super::evolve()`] for every state and every command.

use lucid_schemas::alert::AlertState;
use std::fmt::Write;

/// One legal move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    /// Where the alert stands before.
    pub from: AlertState,
    /// The command.
    pub command: &'static str,
    /// The event that it leads to; `None` where no event tells of the write.
    pub event: Option<&'static str>,
    /// Where the alert stands after.
    pub to: AlertState,
}

const fn row(from: AlertState, command: &'static str, event: &'static str, to: AlertState) -> Move {
    Move { from, command, event: Some(event), to }
}

const fn untold(state: AlertState, command: &'static str) -> Move {
    Move { from: state, command, event: None, to: state }
}

/// Every legal move.
pub const MOVES: [Move; 23] = {
    use AlertState::{Acknowledged, Raised, Resolved};
    [
        untold(Raised, "see_again"),
        untold(Raised, "miss_data"),
        row(Raised, "change_severity", "severity_changed", Raised),
        row(Raised, "acknowledge", "acknowledged", Acknowledged),
        row(Raised, "resolve", "resolved", Resolved),
        row(Raised, "resolve_by_hand", "resolved", Resolved),
        untold(Raised, "begin_notice"),
        row(Raised, "take_notice", "notified", Raised),
        // That it is still so.
        untold(Raised, "take_notice"),
        untold(Acknowledged, "see_again"),
        untold(Acknowledged, "miss_data"),
        // It matters less; more than what somebody knows of is news.
        row(Acknowledged, "change_severity", "severity_changed", Acknowledged),
        row(Acknowledged, "change_severity", "severity_changed", Raised),
        row(Acknowledged, "end_acknowledgement", "acknowledgement_ended", Raised),
        row(Acknowledged, "acknowledge", "acknowledged", Acknowledged),
        row(Acknowledged, "resolve", "resolved", Resolved),
        row(Acknowledged, "resolve_by_hand", "resolved", Resolved),
        // What was on its way when somebody acknowledged it.
        untold(Acknowledged, "begin_notice"),
        row(Acknowledged, "take_notice", "notified", Acknowledged),
        untold(Acknowledged, "take_notice"),
        untold(Resolved, "begin_notice"),
        row(Resolved, "take_notice", "notified", Resolved),
        untold(Resolved, "take_notice"),
    ]
};

/// The state picture, as a Mermaid diagram. Each arrow names the event that moves the alert on.
pub fn picture() -> String {
    let mut arrows: Vec<(AlertState, AlertState, Vec<&str>)> = Vec::new();
    for entry in MOVES.iter().filter(|entry| entry.from != entry.to) {
        let Some(event) = entry.event else { continue };
        match arrows.iter_mut().find(|(from, to, _)| (*from, *to) == (entry.from, entry.to)) {
            Some((_, _, events)) if events.contains(&event) => {}
            Some((_, _, events)) => events.push(event),
            None => arrows.push((entry.from, entry.to, vec![event])),
        }
    }
    let mut text = String::from("stateDiagram-v2\n    [*] --> raised: raised\n");
    for (from, to, events) in arrows {
        let _ = writeln!(text, "    {from} --> {to}: {}", events.join(" / "));
    }
    text.push_str("    resolved --> [*]\n");
    text
}

#[cfg(test)]
mod tests;
