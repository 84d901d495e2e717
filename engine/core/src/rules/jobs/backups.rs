//! What backups are like, beside what they were.

use super::{BACKUP_SHRUNK, BACKUP_SLOW, DRILL_OVERDUE, Parameters, count, wrong};
use crate::rules::{
    Rule, Verdict,
    facts::{Backups, Facts},
};
use lucid_schemas::alert::Severity;

/// So many are compared with the newest one, at most.
const COMPARED_MAX: usize = 10;
/// So few tell nothing of what is usual.
const COMPARED_MIN: usize = 3;
/// What is over so soon isn't slow, whatever is usual.
const SLOW_FROM_MS: i64 = 600_000;
const DAY_SECONDS: f64 = 86_400.0;

/// What the rules say of the backups of one database.
pub(super) fn read(
    database: &str,
    backups: &Backups,
    facts: &Facts,
    parameters: &Parameters,
) -> [(&'static Rule, Verdict); 3] {
    [
        (&BACKUP_SHRUNK, shrunk(database, backups, parameters)),
        (&BACKUP_SLOW, slow(database, backups, parameters)),
        (&DRILL_OVERDUE, drill(database, backups, facts.now_ms, parameters)),
    ]
}

fn shrunk(database: &str, backups: &Backups, parameters: &Parameters) -> Verdict {
    let Some(percent) = beside_usual(&backups.bytes) else { return Verdict::Right };
    parameters.limits(&BACKUP_SHRUNK).judge(percent, || {
        format!("the newest backup of '{database}' holds {percent:.0} % of what is usual: was something deleted?")
    })
}

fn slow(database: &str, backups: &Backups, parameters: &Parameters) -> Verdict {
    let is_soon = backups.took_ms.first().is_none_or(|took_ms| *took_ms <= SLOW_FROM_MS);
    let Some(percent) = beside_usual(&backups.took_ms).filter(|_| !is_soon) else { return Verdict::Right };
    parameters.limits(&BACKUP_SLOW).judge(percent, || {
        format!("the newest backup of '{database}' took {:.1} times as long as usual", percent / 100.0)
    })
}

/// The newest one in percents of the median of those before; none where too few are known.
fn beside_usual(newest_first: &[i64]) -> Option<f64> {
    let (newest, before) = newest_first.split_first()?;
    let mut before = before.iter().copied().take(COMPARED_MAX).collect::<Vec<_>>();
    if before.len() < COMPARED_MIN {
        return None;
    }
    before.sort_unstable();
    let median = before[before.len() / 2];
    (median > 0).then(|| 100.0 * count(*newest) / count(median))
}

/// Since the last one, or without one since the first backup that could have been tried.
fn drill(database: &str, backups: &Backups, now_ms: i64, parameters: &Parameters) -> Verdict {
    let Some(since) = backups.drilled.max(backups.drilled.is_none().then_some(backups.oldest).flatten()) else {
        return Verdict::Right;
    };
    let seconds = count(now_ms.saturating_sub(since.timestamp_millis()) / 1_000);
    if seconds < parameters.limit(&DRILL_OVERDUE, Severity::Warning) {
        return Verdict::Right;
    }
    let days = seconds / DAY_SECONDS;
    let how = if backups.drilled.is_some() { "for" } else { "in all the" };
    let summary = format!("no backup of '{database}' was restored to try it {how} {days:.0} days");
    wrong(Severity::Warning, Some(seconds), summary)
}
