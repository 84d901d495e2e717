//! The word for each way in which alerts and those who look may stand.

use super::*;
use crate::alert::{
    Command,
    kit::{NOW, fence, lawful, raised},
};
use lucid_schemas::{Head, JobId, Kind, MonitorSpec, Progress, alert::Token};

fn ago(ms: i64) -> DateTime {
    DateTime::from_millis(NOW.timestamp_millis() - ms)
}

/// A monitor job whose last round was so long ago.
fn monitor(state: State, evaluated_ms_ago: Option<i64>) -> Job {
    let id = JobId::compose(Kind::Monitor, NOW, 1);
    let head = Head { state, worker: Some("pi-1/7-abc".into()), ..Head::born(Stamp::At(ago(3_600_000))) };
    let progress = evaluated_ms_ago.map(|ms| Progress { updated_at: Some(ago(ms)), ..Progress::default() });
    let request = MonitorSpec::every(30).request(id, "monitor:pi-1");
    Job { request, head, lease: None, progress, events: Vec::new(), fate: None }
}

fn judge(monitors: &[Job], open: &[Alert]) -> (Status, String) {
    let Condition { status, problems, .. } = condition(&Looked { now: NOW, monitors, paused: None, open });
    (status, problems.join(" | "))
}

fn severe(severity: Severity) -> Alert {
    let mut alert = raised();
    alert.head.severity = severity;
    alert
}

#[test]
fn alerts_say_how_it_is_where_somebody_looks() {
    let watched = [monitor(State::Running, Some(90_000))];
    assert_eq!(judge(&watched, &[]), (Status::Healthy, String::new()));
    let (warning, critical) = (severe(Severity::Warning), severe(Severity::Critical));
    let summary = warning.seen.summary.clone();
    assert_eq!(judge(&watched, std::slice::from_ref(&warning)), (Status::Degraded, summary));
    assert_eq!(judge(&watched, &[warning, critical]).0, Status::Critical);
}

#[test]
fn where_nobody_looks_nobody_knows() {
    let mut cases = vec![
        (vec![], "no monitor has ever run"),
        (vec![monitor(State::Queued, None)], "no monitor has said anything yet"),
        (vec![monitor(State::Running, Some(91_000))], "(pi-1/7-abc) has said nothing for 91 s"),
        (vec![monitor(State::Canceled, Some(1_000))], "monitoring was ended by"),
    ];
    for (monitors, said) in cases.drain(..) {
        for open in [vec![], vec![severe(Severity::Critical)]] {
            let (status, problems) = judge(&monitors, &open);
            assert!(status == Status::Unknown && problems.contains(said), "{status:?} {problems}");
        }
    }
    let monitors = [monitor(State::Running, Some(0))];
    let paused = Some(("token:local@pi-1", Some(ago(5_000))));
    let Condition { status, problems, .. } = condition(&Looked { now: NOW, monitors: &monitors, paused, open: &[] });
    assert!(status == Status::Unknown && problems[0].contains("paused by token:local@pi-1 since 20"), "{problems:?}");
}

#[test]
fn a_successor_that_has_just_begun_is_vouched_for_by_its_predecessor() {
    let chain = [monitor(State::Queued, None), monitor(State::Succeeded, Some(2_000))];
    assert_eq!(judge(&chain, &[]).0, Status::Healthy);
}

#[test]
fn what_is_not_seen_any_more_is_told_and_after_a_week_not_believed() {
    let watched = [monitor(State::Running, Some(0))];
    let missed =
        lawful(&severe(Severity::Warning), &Command::MissData { fence: fence(Token { generation: 1, epoch: 1 }) });
    let mut missed = missed.expect("lawful");
    missed.seen.silent_since = Some(Stamp::At(ago(60_000)));
    let (status, problems) = judge(&watched, std::slice::from_ref(&missed));
    assert!(status == Status::Degraded && problems.contains("nothing to see for 60 s"), "{problems}");
    missed.seen.silent_since = Some(Stamp::At(ago(STALE_MS)));
    assert_eq!(judge(&watched, &[missed]).0, Status::Unknown);
}
