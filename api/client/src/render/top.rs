//! One screen: health on top, then members, jobs, backups and alerts.

use super::{clean, cut, jobs, table::Table, time, units};
use crate::top::{Backup, Condition, Member, Part, Top};
use lucid_schemas::http::{AlertView, JobView};
use std::collections::BTreeMap;

const PROBLEMS_MAX: usize = 5;
const NOTE_CHARACTERS: usize = 60;

/// All of it; for a terminal of so many columns and lines, cut to these.
pub fn top(top: &Top, size: Option<(usize, usize)>) -> String {
    let at = chrono::DateTime::from_timestamp_millis(top.at_ms);
    let at = at.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default();
    let mut text = part("health", &top.health, |condition| health(condition, &at));
    text += &part("members", &top.members, members);
    text += &part("jobs", &top.jobs, |jobs| open(jobs));
    text += &part("backups", &top.backups, |backups| newest(backups, top.at_ms));
    text += &part("alerts", &top.alerts, |alerts| of_alerts(alerts));
    match size {
        Some((columns, lines)) => fitted(&text, columns, lines),
        None => text,
    }
}

/// Columns and lines of the terminal that standard output is.
pub fn terminal() -> (usize, usize) {
    let (lines, columns) = console::Term::stdout().size();
    (columns.into(), lines.into())
}

/// Each line cut to the width, and lines that don't fit counted in the last one.
fn fitted(text: &str, columns: usize, lines: usize) -> String {
    let all: Vec<String> = text.lines().map(|line| cut(line, columns)).collect();
    // The cursor stands in the line below.
    let room = lines.saturating_sub(1);
    if all.len() <= room {
        return all.into_iter().map(|line| line + "\n").collect();
    }
    let shown = room.saturating_sub(1);
    let more = cut(&format!("... {} more lines: see them with --once", all.len() - shown), columns);
    all.into_iter().take(shown).chain([more]).map(|line| line + "\n").collect()
}

fn part<T>(name: &str, part: &Part<T>, shown: impl FnOnce(&T) -> String) -> String {
    match part {
        Part::Known(known) => shown(known),
        Part::Unknown { problem } => clean(&format!("{name}: not known: {problem}")) + "\n\n",
    }
}

fn health(Condition { status, evaluated_at, problems }: &Condition, at: &str) -> String {
    let evaluated = evaluated_at.as_deref().map_or_else(|| "never".into(), time::second);
    let mut text = clean(&format!("{status}  at {at} UTC, evaluated {evaluated}")) + "\n";
    text.extend(problems.iter().take(PROBLEMS_MAX).map(|problem| format!("  {}\n", clean(problem))));
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    text + &if more > 0 { format!("  and {more} more\n\n") } else { "\n".into() }
}

fn members(members: &BTreeMap<String, Member>) -> String {
    let mut table = Table::new(&["MEMBER", "STATE", ">LAG", "NOTE"]);
    for (address, member) in members {
        let state = member.set.as_ref().and_then(|set| set.state);
        table.row(&[
            address.clone(),
            if member.up { state_name(state).into() } else { "doesn't answer".into() },
            member.lag_seconds.filter(|_| member.up).map(|lag| format!("{lag:.0} s")).unwrap_or_default(),
            member.problem.clone().unwrap_or_default(),
        ]);
    }
    table.text() + "\n"
}

const fn state_name(state: Option<i64>) -> &'static str {
    match state {
        Some(0) => "starting",
        Some(1) => "primary",
        Some(2) => "secondary",
        Some(3) => "recovering",
        Some(5) => "copies all data",
        Some(7) => "arbiter",
        Some(9) => "rolls back",
        Some(10) => "removed",
        Some(_) | None => "up",
    }
}

fn open(jobs: &[JobView]) -> String {
    if jobs.is_empty() {
        return "no open jobs\n\n".into();
    }
    let mut table = Table::new(&["JOB", "STATE", "SUBJECT", "PROGRESS"]);
    for job in jobs {
        let note = cut(&jobs::note(job), NOTE_CHARACTERS);
        table.row(&[job.job_id.clone(), job.state.clone(), jobs::subject(job), note]);
    }
    table.text() + "\n"
}

fn newest(backups: &BTreeMap<String, Backup>, now_ms: i64) -> String {
    if backups.is_empty() {
        return "no backups\n\n".into();
    }
    let mut table = Table::new(&["DATABASE", "LAST GOOD BACKUP (UTC)", ">AGE", "JOB"]);
    for (database, backup) in backups {
        #[allow(clippy::cast_possible_truncation)] // Of these millennia.
        let read_ms = backup.read_at.map(|seconds| (seconds * 1_000.0) as i64);
        let read = read_ms.and_then(chrono::DateTime::from_timestamp_millis);
        table.row(&[
            database.clone(),
            read.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default(),
            read_ms.map(|at_ms| units::duration(now_ms.saturating_sub(at_ms).max(0))).unwrap_or_default(),
            backup.job.clone(),
        ]);
    }
    table.text() + "\n"
}

fn of_alerts(alerts: &[AlertView]) -> String {
    if alerts.is_empty() {
        return "no open alerts\n".into();
    }
    let mut table = Table::new(&["ALERT", "STATE", "SINCE (UTC)", "WHAT"]);
    for alert in alerts {
        let what = format!("{}: {}", alert.rule, alert.summary);
        table.row(&[alert.severity.clone(), alert.state.clone(), time::second(&alert.starts_at), what]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{render::samples, top::Own};
    use lucid_schemas::http::ProgressView;
    use serde_json::json;

    fn seen() -> Top {
        let member = |up, state, lag_seconds, problem: Option<&str>| Member {
            up,
            problem: problem.map(str::to_owned),
            lag_seconds,
            set: Some(Own { state: Some(state) }),
        };
        let progress = ProgressView { phase: "copy".into(), documents: 7, bytes: 50, total_bytes: 200 };
        let running =
            JobView { state: "running".into(), waiting_for: None, progress: Some(progress), ..samples::queued() };
        let alert = json!({
            "state": "raised", "severity": "critical", "rule": "backup_failed", "labels": {}, "fingerprint": "f", "occurrences": 1,
            "summary": "the backup of 'x\u{1b}[2Jy' failed", "starts_at": "2025-01-09T02:00:00.000Z",
        });
        Top {
            at_ms: 1_736_400_000_000,
            health: Part::Known(Condition {
                status: "critical".into(),
                evaluated_at: Some("2025-01-09T05:19:59.000Z".into()),
                problems: (0..7).map(|number| format!("wrong {number}\r\u{1b}[1A")).collect(),
            }),
            members: Part::Known(
                [
                    ("a:1".to_owned(), member(true, 1, Some(0.0), None)),
                    ("b:1".to_owned(), member(false, 2, None, Some("no answer within 2 s"))),
                    ("c:1".to_owned(), member(true, 2, Some(12.4), None)),
                ]
                .into(),
            ),
            jobs: Part::Known(vec![running]),
            backups: Part::Known(
                [("lu\u{9b}cid".to_owned(), Backup { job: "backup_x".into(), read_at: Some(1_736_388_000.0) })].into(),
            ),
            alerts: Part::Known(vec![serde_json::from_value(alert).expect("an alert")]),
        }
    }

    #[test]
    fn all_of_it_stands_in_plain_text() {
        assert_eq!(
            top(&seen(), None),
            "\
critical  at 2025-01-09 05:20:00 UTC, evaluated 2025-01-09 05:19:59
  wrong 0\u{fffd}\u{fffd}[1A
  wrong 1\u{fffd}\u{fffd}[1A
  wrong 2\u{fffd}\u{fffd}[1A
  wrong 3\u{fffd}\u{fffd}[1A
  wrong 4\u{fffd}\u{fffd}[1A
  and 2 more

MEMBER  STATE            LAG  NOTE
a:1     primary          0 s
b:1     doesn't answer        no answer within 2 s
c:1     secondary       12 s

JOB                                STATE    SUBJECT  PROGRESS
backup_20250109_020000_7k3fq2m8ab  running  lucid    copy 25 %

DATABASE  LAST GOOD BACKUP (UTC)         AGE  JOB
lu\u{fffd}cid    2025-01-09 02:00:00     3 h 20 min  backup_x

ALERT     STATE   SINCE (UTC)          WHAT
critical  raised  2025-01-09 02:00:00  backup_failed: the backup of 'x\u{fffd}[2Jy' failed
"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_no_line_that_is_longer_and_learns_what_is_missing() {
        for (columns, lines) in [(20, 10), (40, 24), (80, 24), (7, 3)] {
            let shown = top(&seen(), Some((columns, lines)));
            assert!(shown.lines().all(|line| line.chars().count() <= columns), "{shown}");
            assert!(shown.lines().count() < lines, "the cursor would push the first line out: {shown}");
            assert!(!shown.contains(['\u{1b}', '\u{9b}', '\r']), "{shown:?}");
        }
        let shown = top(&seen(), Some((60, 10)));
        assert!(
            shown.starts_with("critical ") && shown.ends_with("... 13 more lines: see them with --once\n"),
            "{shown}"
        );
        assert_eq!(top(&seen(), Some((500, 100))), top(&seen(), None));
    }

    #[test]
    fn a_part_that_is_not_known_says_why() {
        let unknown = || "the API\u{1b} isn't there".to_owned();
        let seen = Top { jobs: Part::Unknown { problem: unknown() }, ..seen() };
        assert!(top(&seen, None).contains("\njobs: not known: the API\u{fffd} isn't there\n"));
        assert!(!seen.is_blind());
    }
}
