//! Alerts and commands for the tests of the law.

use super::{Command, Fence, Finding, Refusal, Sighting, Wanted, raise, transition};
use bson::DateTime;
use lucid_schemas::{
    Stamp,
    alert::{Alert, AlertEvent, AlertHead, AlertId, Due, ResolvedBy, Seen, Severity, Token, What},
};

pub(crate) const NOW: DateTime = DateTime::from_millis(1_736_388_000_000);
pub(crate) const CHANNELS: [&str; 2] = ["mail", "hook"];

pub(crate) fn fence(token: Token) -> Fence {
    Fence { token, deadline: NOW }
}

pub(crate) fn sighting(value: f64) -> Sighting {
    Sighting { value: Some(value), summary: format!("it is {value}"), rules_version: 1, times: 1, flapping: false }
}

pub(crate) fn wanted() -> Vec<Wanted> {
    CHANNELS.map(|channel| Wanted { channel: channel.into(), in_ms: 30_000 }).to_vec()
}

pub(crate) fn finding(number: u64) -> Finding {
    Finding {
        id: AlertId::compose(NOW, number),
        rule: "replication_lag".into(),
        labels: [("member".to_owned(), "pi-2:27017".to_owned())].into(),
        severity: Severity::Warning,
        starts_at: NOW,
        starts_at_uncertain: false,
        incident: None,
        previous: None,
        sighting: sighting(12.5),
        notify: wanted(),
    }
}

/// An alert that has just been raised.
pub(crate) fn raised() -> Alert {
    at(raise(&finding(1), fence(Token { generation: 1, epoch: 1 }), "monitor:a", "birth").alert, NOW)
}

/// The alert as a store would keep it that writes at this time.
pub(crate) fn at(alert: Alert, now: DateTime) -> Alert {
    let resolved = |at: Stamp| Stamp::At(at.resolve(now));
    let perhaps = |at: Option<Stamp>| at.map(resolved);
    let Alert { head, seen, .. } = alert;
    Alert {
        head: AlertHead {
            severity_changed_at: perhaps(head.severity_changed_at),
            acknowledged_until: perhaps(head.acknowledged_until),
            created_at: resolved(head.created_at),
            resolved_at: perhaps(head.resolved_at),
            ..head
        },
        seen: Seen { last_seen_at: resolved(seen.last_seen_at), silent_since: perhaps(seen.silent_since), ..seen },
        notify: alert.notify.into_iter().map(|due| Due { due_at: resolved(due.due_at), ..due }).collect(),
        events: alert.events.into_iter().map(|event| AlertEvent { at: resolved(event.at), ..event }).collect(),
        ..alert
    }
}

/// The alert after the command, where the law allows it and all guards hold.
pub(crate) fn lawful(alert: &Alert, command: &Command) -> Result<Alert, Refusal> {
    transition(alert, command, "monitor:a", "write").map(|next| at(next.after, NOW))
}

/// Every command there is, with the values that matter.
pub(crate) fn commands(token: Token, channels: &[&str]) -> Vec<Command> {
    let fence = fence(token);
    let mut all = vec![
        Command::SeeAgain { fence, sighting: sighting(13.0) },
        Command::MissData { fence },
        Command::EndAcknowledgement { fence, notify: wanted() },
        Command::Acknowledge { for_ms: Some(60_000), comment: "I know".into() },
        Command::Acknowledge { for_ms: None, comment: String::new() },
        Command::ResolveByHand { comment: "mended".into() },
    ];
    all.extend(Severity::ALL.map(|to| Command::ChangeSeverity { fence, to, notify: wanted() }));
    let ends = [ResolvedBy::Condition, ResolvedBy::Operator, ResolvedBy::Gone, ResolvedBy::Continued];
    all.extend(ends.map(|how| Command::Resolve { fence, how, ended_at: None }));
    for channel in channels.iter().map(|channel| (*channel).to_owned()) {
        for what in [What::Firing, What::Repeat, What::Resolved] {
            all.push(Command::BeginNotice { channel: channel.clone(), what });
            all.push(Command::TakeNotice { channel: channel.clone(), what, repeat_in_ms: Some(14_400_000) });
            all.push(Command::TakeNotice { channel: channel.clone(), what, repeat_in_ms: None });
        }
    }
    all
}
