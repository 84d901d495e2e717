//! Schedules: the list, and one of them.

use super::{
    brief, clean,
    table::{Table, pairs},
    time,
};
use lucid_schemas::http::{OutcomeView, ScheduleList, ScheduleView};

/// All schedules, in order of their names.
pub fn schedules(list: &ScheduleList) -> String {
    let mut text = if list.schedules.is_empty() { "no schedules\n".into() } else { table(&list.schedules) };
    let of_each = list.schedules.iter().flat_map(|schedule| schedule.problem.iter().chain(&schedule.note));
    let problems: Vec<_> = of_each.chain(&list.problems).map(|problem| clean(problem)).collect();
    if !problems.is_empty() {
        text += "\nto look at\n  ";
        text += &problems.join("\n  ");
        text += "\n";
    }
    text
}

fn table(schedules: &[ScheduleView]) -> String {
    let mut table = Table::new(&["SCHEDULE", "WHEN", "CLOCK", "WHAT", "NEXT", "LAST", "ENDED"]);
    for schedule in schedules {
        table.row(&[
            schedule.name.clone(),
            schedule.cron.clone(),
            schedule.timezone.clone(),
            subject(schedule),
            next(schedule),
            schedule.last.as_ref().map(planned).unwrap_or_default(),
            schedule.last.as_ref().map(ended).unwrap_or_default(),
        ]);
    }
    table.text()
}

/// One schedule, in full.
pub fn schedule(schedule: &ScheduleView) -> String {
    let mut lines = vec![
        ("schedule".to_owned(), schedule.name.clone()),
        ("when".into(), format!("{} ({})", schedule.cron, schedule.timezone)),
        ("what".into(), subject(schedule)),
    ];
    let spec = schedule.spec.as_object().into_iter().flatten();
    lines.extend(spec.map(|(name, value)| (format!("  {name}"), brief(name, value))));
    let limit = if schedule.missed == "all" { format!(", {} at most", schedule.missed_limit) } else { String::new() };
    lines.push(("missed".into(), format!("{}{limit}", schedule.missed)));
    lines.push(("overlap".into(), schedule.overlap.clone()));
    lines.push(("version".into(), schedule.version.to_string()));
    lines.push(("dealt with".into(), format!("until {}", time::second(&schedule.high_water))));
    if let Some(last) = &schedule.last {
        let became = last.job.clone().or_else(|| last.skipped.clone()).unwrap_or_default();
        lines.push(("last".into(), format!("{}, {}: {became}", planned(last), ended(last))));
        lines.extend(last.message.clone().map(|message| ("  because".into(), message)));
    }
    if schedule.next.is_empty() {
        lines.push(("next".into(), next(schedule)));
    }
    lines.extend(times(schedule).map(|at| ("next".into(), at)));
    lines.push(("made".into(), format!("{} by {}", time::second(&schedule.created_at), schedule.created_by)));
    lines.push(("edited".into(), format!("{} by {}", time::second(&schedule.updated_at), schedule.updated_by)));
    lines.extend(schedule.problem.clone().map(|problem| ("problem".into(), problem)));
    lines.extend(schedule.note.clone().map(|note| ("note".into(), note)));
    pairs(&lines)
}

/// When it comes next, by its own clock.
fn next(schedule: &ScheduleView) -> String {
    match times(schedule).next() {
        Some(at) => at,
        None if schedule.paused => "paused".into(),
        None => "never".into(),
    }
}

/// Its next times by its own clock; an API of before tells them in UTC.
fn times(schedule: &ScheduleView) -> impl Iterator<Item = String> {
    let local = (!schedule.next_local.is_empty()).then(|| schedule.next_local.clone());
    local.unwrap_or_else(|| schedule.next.iter().map(|at| utc(at)).collect()).into_iter()
}

fn planned(last: &OutcomeView) -> String {
    last.planned_local.clone().unwrap_or_else(|| utc(&last.planned_at))
}

fn utc(at: &str) -> String {
    time::second(at) + " UTC"
}

/// How the newest occurrence ended.
fn ended(last: &OutcomeView) -> String {
    match (&last.state, &last.job) {
        (Some(state), _) => state.clone(),
        (None, Some(_)) => "forgotten".into(),
        (None, None) => "left out".into(),
    }
}

/// What its jobs do to what.
fn subject(schedule: &ScheduleView) -> String {
    let word = |name: &str| schedule.spec.get(name).map(|value| brief(name, value));
    let subject = word("database").or_else(|| word("backup")).unwrap_or_default();
    format!("{} {subject}", schedule.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nightly() -> ScheduleView {
        ScheduleView {
            name: "nightly".into(),
            version: 2,
            kind: "backup".into(),
            cron: "0 2 * * *".into(),
            timezone: "Europe/Berlin".into(),
            spec: json!({ "database": "lucid\u{1b}[31m", "compression": true }),
            paused: false,
            missed: "all".into(),
            missed_limit: 24,
            overlap: "skip".into(),
            high_water: "2026-11-24T01:00:00.000Z".into(),
            last: Some(OutcomeView {
                planned_at: "2026-11-24T01:00:00.000Z".into(),
                planned_local: Some("2026-11-24 02:00 +01:00".into()),
                job: Some("backup_20261124_010000_7k3fq2m8ab".into()),
                state: Some("failed".into()),
                message: Some("the disk is full".into()),
                skipped: None,
            }),
            next: vec!["2026-11-25T01:00:00.000Z".into(), "2026-11-26T01:00:00.000Z".into()],
            next_local: vec!["2026-11-25 02:00 +01:00".into(), "2026-11-26 02:00 +01:00".into()],
            problem: None,
            note: None,
            created_by: "api:pi-1".into(),
            created_at: "2026-11-01T10:00:00.000Z".into(),
            updated_by: "api:pi-2".into(),
            updated_at: "2026-11-02T10:00:00.000Z".into(),
        }
    }

    #[test]
    fn a_list_says_what_comes_next_and_what_to_look_at() {
        let paused = ScheduleView {
            name: "rests".into(),
            paused: true,
            next: Vec::new(),
            next_local: Vec::new(),
            last: Some(OutcomeView {
                planned_at: "2026-11-24T01:00:00.000Z".into(),
                skipped: Some("it was missed".into()),
                ..OutcomeView::default()
            }),
            problem: Some("the schedule 'rests' does nothing".into()),
            ..nightly()
        };
        let list = ScheduleList { schedules: vec![nightly(), paused], problems: vec!["one more".into()] };
        assert_eq!(
            schedules(&list),
            "\
SCHEDULE  WHEN       CLOCK          WHAT               NEXT                     LAST                     ENDED
nightly   0 2 * * *  Europe/Berlin  backup lucid\u{fffd}[31m  2026-11-25 02:00 +01:00  2026-11-24 02:00 +01:00  failed
rests     0 2 * * *  Europe/Berlin  backup lucid\u{fffd}[31m  paused                   2026-11-24 01:00:00 UTC  left out

to look at
  the schedule 'rests' does nothing
  one more
"
        );
        assert_eq!(schedules(&ScheduleList { schedules: vec![], problems: vec![] }), "no schedules\n");
    }

    #[test]
    fn one_schedule_is_shown_in_full() {
        assert_eq!(
            schedule(&nightly()),
            "\
schedule       nightly
when           0 2 * * * (Europe/Berlin)
what           backup lucid\u{fffd}[31m
  compression  true
  database     lucid\u{fffd}[31m
missed         all, 24 at most
overlap        skip
version        2
dealt with     until 2026-11-24 01:00:00
last           2026-11-24 02:00 +01:00, failed: backup_20261124_010000_7k3fq2m8ab
  because      the disk is full
next           2026-11-25 02:00 +01:00
next           2026-11-26 02:00 +01:00
made           2026-11-01 10:00:00 by api:pi-1
edited         2026-11-02 10:00:00 by api:pi-2
"
        );
    }
}
