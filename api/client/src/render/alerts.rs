//! Alerts and silences: the lists, and one of each.

use super::{
    clean, cut,
    events::events,
    table::{Table, pairs},
    time, units,
};
use lucid_schemas::http::{AlertList, AlertView, EventList, SilenceList, SilenceView, Told};

const SUMMARY_CHARACTERS: usize = 80;

/// Alerts, newest first.
pub fn alerts(list: &AlertList) -> String {
    let mut text = if list.alerts.is_empty() { "no alerts\n".into() } else { table(&list.alerts) };
    if list.next.is_some() {
        text += "There are more: see them with --all.\n";
    }
    text + &told(&list.told)
}

fn table(alerts: &[AlertView]) -> String {
    let mut table = Table::new(&["ALERT", "SEVERITY", "SINCE (UTC)", "WHAT", "WHERE", "STATE"]);
    for alert in alerts {
        table.row(&[
            alert.alert_id.clone().unwrap_or_else(|| "(not written yet)".into()),
            alert.severity.clone(),
            since(alert),
            format!("{}: {}", alert.rule, cut(&alert.summary, SUMMARY_CHARACTERS)),
            subject(alert),
            state(alert),
        ]);
    }
    table.text()
}

/// One alert and what happened to it.
pub fn alert(alert: &AlertView) -> String {
    let second = |at: &Option<String>| at.as_deref().map(time::second);
    let lines = [
        ("alert", alert.alert_id.clone()),
        ("what", Some(alert.summary.clone())),
        ("rule", Some(alert.rule.clone())),
        ("severity", Some(alert.severity.clone())),
        ("where", Some(subject(alert)).filter(|subject| !subject.is_empty())),
        ("state", Some(state(alert))),
        ("value", alert.value.map(|value| value.to_string())),
        ("since", Some(since(alert))),
        ("seen last", second(&alert.last_seen_at)),
        ("found", Some(times(alert.occurrences))),
        ("no data", second(&alert.silent_since).map(|at| format!("since {at}: it may be so, or not"))),
        ("told", Some(alert.notified.join(", ")).filter(|told| !told.is_empty())),
        ("to be told", due(alert)),
        ("silenced", alert.silenced_by.as_ref().map(|by| format!("by {}: {}", by.by, by.comment))),
        ("before", alert.previous.clone()),
    ];
    let lines: Vec<_> = lines.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let list = EventList { job_id: String::new(), events: alert.events.clone() };
    let told = alert.told.as_ref().map(told).unwrap_or_default();
    format!("{}\n{}{told}", pairs(&lines), events(&list))
}

/// The silences that aren't over.
pub fn silences(list: &SilenceList) -> String {
    let mut text = String::from("no silences\n");
    if !list.silences.is_empty() {
        let mut table = Table::new(&["SILENCE", "NOW", "UNTIL (UTC)", "WHAT", "WHEN", "BY", "WHY"]);
        for silence in &list.silences {
            table.row(&[
                silence.silence_id.clone(),
                if silence.active { "holds" } else { "rests" }.into(),
                time::second(&silence.until),
                matchers(silence),
                when(silence),
                silence.by.clone(),
                silence.comment.clone(),
            ]);
        }
        text = table.text();
    }
    text.extend(list.problems.iter().map(|problem| format!("{}\n", clean(problem))));
    text + &told(&list.told)
}

/// One silence in a line.
pub fn silence(silence: &SilenceView) -> String {
    let end = match &silence.ended_at {
        Some(at) => format!("was ended at {}", time::second(at)),
        None => format!("until {}", time::second(&silence.until)),
    };
    clean(&format!("{}: {} {end} ({})", silence.silence_id, matchers(silence), when(silence))) + "\n"
}

fn matchers(silence: &SilenceView) -> String {
    let texts: Vec<_> = silence.matchers.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn when(silence: &SilenceView) -> String {
    match &silence.window {
        None => "all the time".into(),
        Some(window) => {
            let length = units::duration(window.duration_seconds.saturating_mul(1_000));
            format!("{} ({}) for {length}", window.cron, window.timezone)
        }
    }
}

fn since(alert: &AlertView) -> String {
    let about = if alert.starts_at_uncertain { "about " } else { "" };
    format!("{about}{}", time::second(&alert.starts_at))
}

/// What it is about.
fn subject(alert: &AlertView) -> String {
    let labels: Vec<_> = alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.join(" ")
}

/// Where it stands, and who knows.
fn state(alert: &AlertView) -> String {
    let mut state = match (&alert.acknowledged_by, &alert.resolved_at) {
        (_, Some(at)) => {
            format!("resolved {} ({})", time::second(at), alert.resolved_by.as_deref().unwrap_or("unknown"))
        }
        (Some(by), None) => match &alert.acknowledged_until {
            Some(until) => format!("acknowledged by {by} until {}", time::second(until)),
            None => format!("acknowledged by {by}"),
        },
        (None, None) => alert.state.clone(),
    };
    if alert.flapping {
        state += ", comes and goes";
    }
    if alert.silent_since.is_some() {
        state += ", no data";
    }
    if let Some(silence) = &alert.silenced_by {
        state += ", silenced until ";
        state += &time::second(&silence.until);
    }
    state
}

fn due(alert: &AlertView) -> Option<String> {
    let due: Vec<_> = alert.notify.iter().map(|due| format!("{} ({})", due.channel, due.what)).collect();
    (!due.is_empty()).then(|| due.join(", "))
}

/// Says so where the store isn't there.
fn told(told: &Told) -> String {
    let Some(problem) = &told.problem else { return String::new() };
    let age = told.age_seconds.map_or_else(|| "of unknown age".into(), |seconds| format!("{seconds:.0} s old"));
    clean(&format!("from memory, {age}: {problem}")) + "\n"
}

fn times(occurrences: i64) -> String {
    if occurrences == 1 { "once".to_owned() } else { format!("{} times", units::count(occurrences)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::http::{EventView, NoticeView, SilencedBy};
    use serde_json::json;

    fn overdue() -> AlertView {
        AlertView {
            alert_id: Some("alert_20261130_020000_7k3fq2m8ab".into()),
            state: "raised".into(),
            severity: "critical".into(),
            rule: "backup_overdue".into(),
            summary: "no backup for 26 h".into(),
            labels: [("database".to_owned(), "shop\u{1b}[31m".to_owned())].into(),
            fingerprint: "dcf6e9a642ba241ecfc1a3ede05ad6e7".into(),
            value: Some(93_600.0),
            starts_at: "2026-11-30T02:00:00.000Z".into(),
            starts_at_uncertain: false,
            created_at: Some("2026-11-30T02:00:01.000Z".into()),
            last_seen_at: Some("2026-11-30T03:00:00.000Z".into()),
            occurrences: 61,
            silent_since: None,
            flapping: false,
            acknowledged_by: None,
            acknowledged_until: None,
            resolved_at: None,
            resolved_by: None,
            notified: vec!["mail".into()],
            notify: vec![NoticeView {
                channel: "mail".into(),
                what: "repeat".into(),
                due_at: "2026-11-30T06:00:00.000Z".into(),
            }],
            silenced_by: None,
            previous: None,
            events: Vec::new(),
            told: None,
        }
    }

    #[test]
    fn a_list_says_what_where_since_when_and_who_knows() {
        let known = AlertView {
            acknowledged_by: Some("token:local@pi-1".into()),
            acknowledged_until: Some("2026-11-30T04:00:00.000Z".into()),
            ..overdue()
        };
        let quiet = AlertView {
            alert_id: None,
            severity: "warning".into(),
            starts_at_uncertain: true,
            silenced_by: Some(SilencedBy {
                silence_id: "silence_x".into(),
                until: "2026-11-30T05:00:00.000Z".into(),
                by: "token:local@pi-1".into(),
                comment: "disks".into(),
            }),
            ..overdue()
        };
        let told =
            Told { from: "memory".into(), age_seconds: Some(12.4), problem: Some("the store didn't answer".into()) };
        let list = AlertList { alerts: vec![overdue(), known, quiet], next: Some("x".into()), told };
        assert_eq!(
            alerts(&list),
            "\
ALERT                             SEVERITY  SINCE (UTC)                WHAT                                WHERE               STATE
alert_20261130_020000_7k3fq2m8ab  critical  2026-11-30 02:00:00        backup_overdue: no backup for 26 h  database=shop\u{fffd}[31m  raised
alert_20261130_020000_7k3fq2m8ab  critical  2026-11-30 02:00:00        backup_overdue: no backup for 26 h  database=shop\u{fffd}[31m  acknowledged by token:local@pi-1 until 2026-11-30 04:00:00
(not written yet)                 warning   about 2026-11-30 02:00:00  backup_overdue: no backup for 26 h  database=shop\u{fffd}[31m  raised, silenced until 2026-11-30 05:00:00
There are more: see them with --all.
from memory, 12 s old: the store didn't answer
"
        );
        let none = AlertList { alerts: vec![], next: None, told: Told { from: "store".into(), ..Told::default() } };
        assert_eq!(alerts(&none), "no alerts\n");
    }

    #[test]
    fn one_alert_is_shown_with_its_story() {
        let event = |seq, at: &str, kind: &str, data| EventView {
            seq,
            at: at.into(),
            kind: kind.into(),
            by: "monitor:pi-1".into(),
            data,
        };
        let over = AlertView {
            state: "resolved".into(),
            resolved_at: Some("2026-11-30T03:30:00.000Z".into()),
            resolved_by: Some("condition".into()),
            notify: Vec::new(),
            events: vec![
                event(1, "2026-11-30T02:00:01.000Z", "raised", json!({ "severity": "critical" })),
                event(2, "2026-11-30T03:30:00.000Z", "resolved", json!({ "how": "condition" })),
            ],
            ..overdue()
        };
        assert_eq!(
            alert(&over),
            "\
alert      alert_20261130_020000_7k3fq2m8ab
what       no backup for 26 h
rule       backup_overdue
severity   critical
where      database=shop\u{fffd}[31m
state      resolved 2026-11-30 03:30:00 (condition)
value      93600
since      2026-11-30 02:00:00
seen last  2026-11-30 03:00:00
found      61 times
told       mail

SEQ  TIME (UTC)                     AFTER  EVENT     BY            DATA
  1  2026-11-30 02:00:01.000        +0 ms  raised    monitor:pi-1  severity=critical
  2  2026-11-30 03:30:00.000  +1 h 29 min  resolved  monitor:pi-1  how=condition
"
        );
    }

    #[test]
    fn silences_say_what_they_silence_and_why() {
        let plain = SilenceView {
            silence_id: "silence_20261130_020000_7k3fq2m8ab".into(),
            matchers: vec![
                "rule=backup_overdue".parse().expect("a matcher"),
                "severity!=critical".parse().expect("one"),
            ],
            from: "2026-11-30T02:00:00.000Z".into(),
            until: "2026-11-30T05:00:00.000Z".into(),
            window: None,
            active: true,
            by: "token:local@pi-1".into(),
            comment: "disks\u{7}".into(),
            created_at: "2026-11-30T02:00:00.000Z".into(),
            ended_at: None,
            ended_by: None,
        };
        let window = lucid_schemas::silence::Window {
            cron: "0 2 * * 0".into(),
            timezone: "Europe/Berlin".into(),
            duration_seconds: 7_200,
        };
        let nightly = SilenceView { window: Some(window), active: false, ..plain.clone() };
        let list = SilenceList {
            silences: vec![plain.clone(), nightly],
            problems: vec!["one can't be read".into()],
            told: Told::default(),
        };
        assert_eq!(
            silences(&list),
            "\
SILENCE                             NOW    UNTIL (UTC)          WHAT                                     WHEN                                     BY                WHY
silence_20261130_020000_7k3fq2m8ab  holds  2026-11-30 05:00:00  rule=backup_overdue, severity!=critical  all the time                             token:local@pi-1  disks\u{fffd}
silence_20261130_020000_7k3fq2m8ab  rests  2026-11-30 05:00:00  rule=backup_overdue, severity!=critical  0 2 * * 0 (Europe/Berlin) for 2 h 0 min  token:local@pi-1  disks\u{fffd}
one can't be read
"
        );
        let ended = SilenceView { ended_at: Some("2026-11-30T03:00:00.000Z".into()), ..plain };
        assert!(silence(&ended).contains("was ended at 2026-11-30 03:00:00"), "{}", silence(&ended));
    }
}
