//! The transition table as data: source of the state picture and of the exhaustive tests.
//!
//! It doesn't decide anything; the tests at the foot prove that it says the same as [`crate::decide()`] and
//! [`crate::evolve()`] for every state and every command.

use lucid_schemas::State;
use std::fmt::Write;

/// One legal move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    /// Where the job stands before.
    pub from: State,
    /// The command.
    pub command: &'static str,
    /// The event that it leads to.
    pub event: &'static str,
    /// Where the job stands after.
    pub to: State,
}

const fn row(from: State, command: &'static str, event: &'static str, to: State) -> Move {
    Move { from, command, event, to }
}

/// Every legal move.
pub const MOVES: [Move; 36] = {
    use State::{Blocked, Canceled, Canceling, Committing, Failed, Queued, Running, Succeeded, Waiting};
    [
        row(Waiting, "settle", "dependency_met", Queued),
        row(Waiting, "settle", "dependency_failed", Canceled),
        row(Waiting, "request_cancel", "canceled", Canceled),
        row(Queued, "reserve", "slots_reserved", Queued),
        row(Queued, "return_slots", "slots_returned", Queued),
        row(Queued, "claim", "claimed", Running),
        row(Queued, "request_cancel", "canceled", Canceled),
        row(Running, "claim", "claimed", Running),
        row(Running, "record", "snapshot_taken", Running),
        row(Running, "release", "released", Queued),
        row(Running, "fail", "attempt_failed", Queued),
        row(Running, "fail", "failed", Failed),
        row(Running, "expire", "failed", Failed),
        row(Running, "succeed", "succeeded", Succeeded),
        row(Running, "request_cancel", "cancel_requested", Canceling),
        row(Running, "commit", "commit_started", Committing),
        row(Running, "commit", "swap_started", Committing),
        row(Canceling, "claim", "claimed", Canceling),
        row(Canceling, "release", "released", Canceling),
        row(Canceling, "confirm_cancel", "canceled", Canceled),
        row(Canceling, "fail", "canceled", Canceled),
        row(Canceling, "expire", "canceled", Canceled),
        // The same of what was given up.
        row(Canceling, "fail", "attempt_failed", Canceling),
        row(Canceling, "fail", "failed", Failed),
        row(Canceling, "expire", "failed", Failed),
        // Let go on, it takes again what it gave back when it was blocked.
        row(Committing, "reserve", "slots_reserved", Committing),
        row(Committing, "return_slots", "slots_returned", Committing),
        row(Committing, "claim", "claimed", Committing),
        row(Committing, "release", "released", Committing),
        row(Committing, "fail", "attempt_failed", Committing),
        row(Committing, "fail", "blocked", Blocked),
        row(Committing, "expire", "blocked", Blocked),
        row(Committing, "succeed", "succeeded", Succeeded),
        row(Blocked, "resume", "resumed", Committing),
        row(Blocked, "give_up", "given_up", Canceling),
        // Backups only: see `request_cancel`.
        row(Blocked, "request_cancel", "canceled", Canceled),
    ]
};

/// The state picture, as a Mermaid diagram. Each arrow names the event that moves the job on.
pub fn picture() -> String {
    let mut arrows: Vec<(State, State, Vec<&str>)> = Vec::new();
    for entry in MOVES.iter().filter(|entry| entry.from != entry.to) {
        match arrows.iter_mut().find(|(from, to, _)| (*from, *to) == (entry.from, entry.to)) {
            Some((_, _, events)) if events.contains(&entry.event) => {}
            Some((_, _, events)) => events.push(entry.event),
            None => arrows.push((entry.from, entry.to, vec![entry.event])),
        }
    }
    let mut text = String::from("stateDiagram-v2\n    [*] --> queued: enqueued\n    [*] --> waiting: enqueued\n");
    for (from, to, events) in arrows {
        let _ = writeln!(text, "    {from} --> {to}: {}", events.join(" / "));
    }
    for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
        let _ = writeln!(text, "    {state} --> [*]");
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
