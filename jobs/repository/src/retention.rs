//! Which backups are kept, and why: a pure rule over what is there.
//!
//! Backups of the same cluster, database and selection of collections are a series: only they stand in for each other.
//!
//! Invariant: nothing is measured by this machine's clock. Ages count from the newest backup of the same series, which is always
//! kept, and never alone: so many of the newest stay, however old they are. What claims to be of the future counts for nothing and stays.
//! Nobody loses most of a series at once who didn't say so. So neither a clock that jumps nor backups that stopped long ago cost the last
//! ones. What another cluster made stays.

use std::collections::{BTreeMap, BTreeSet};

use bson::DateTime;
use chrono::{Datelike, NaiveDateTime, Timelike};
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Clocks that are right may differ by so much.
const AHEAD_MS: i64 = 60 * 60 * 1000;
/// So many of a series may go at once whatever part of it they are.
const FEW: usize = 5;
/// So many of the newest stay where days alone are asked for.
pub const LAST_BESIDE_DAYS: u32 = 7;

/// How many backups are kept of each series. Times are UTC; weeks begin on Monday. What several rules keep is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionPolicy {
    /// So many of the newest; [`LAST_BESIDE_DAYS`] where it is 0 and `days` isn't.
    pub last: u32,
    /// The newest of each of so many hours that have one.
    pub hourly: u32,
    /// The newest of each of so many days that have one.
    pub daily: u32,
    /// The newest of each of so many weeks that have one.
    pub weekly: u32,
    /// The newest of each of so many months that have one.
    pub monthly: u32,
    /// The newest of each of so many years that have one.
    pub yearly: u32,
    /// All that are at most so many days older than the newest.
    pub days: u32,
}

impl RetentionPolicy {
    /// Whether it asks for nothing, so that only the newest backup of each series would stay.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many of the newest stay: a count of days alone would be at the mercy of clocks.
    const fn newest(&self) -> u32 {
        if self.last == 0 && self.days > 0 { LAST_BESIDE_DAYS } else { self.last }
    }
}

/// Whose backups are judged, and what bounds the judgement. Those of all others stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The cluster that made them.
    pub cluster: String,
    /// Whether those are judged, too, of which nobody knows who made them: backups of the cluster stand in for them, but not the reverse.
    pub unknown: bool,
    /// What the storage's own clock shows.
    pub now: DateTime,
    /// Whether more than half of a series may go at once.
    pub forget_many: bool,
}

/// A backup to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Key of its manifest.
    pub key: String,
    /// The job that made it.
    pub job: String,
    /// The cluster whose job that was; none where nobody knows.
    pub cluster: Option<String>,
    /// Its database.
    pub database: String,
    /// The collections that were asked for; none: all. Backups of different ones don't stand in for each other.
    pub selected: Option<Vec<String>>,
    /// Whether it was copied from another repository: its job says nothing of this copy.
    pub copied: bool,
    /// When it was read.
    pub at: DateTime,
    /// Orders those that were read in the same second.
    pub increment: u32,
    /// Why it is kept whatever the policy says: it is pinned, or a job that is open needs it.
    pub held: Option<String>,
    /// Why it is no backup that anybody counts on, such as that its job failed; it goes unless it is held.
    pub orphaned: Option<String>,
}

/// What becomes of a backup, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Key of its manifest.
    pub key: String,
    /// The job that made it.
    pub job: String,
    /// The cluster whose job that was; none where nobody knows.
    pub cluster: Option<String>,
    /// Its database.
    pub database: String,
    /// Its collections; none: all.
    pub selected: Option<Vec<String>>,
    /// When it was read.
    pub at: DateTime,
    /// Whether it is kept.
    pub keep: bool,
    /// Why: at least one reason.
    pub reasons: Vec<String>,
}

/// What becomes of all backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Sorted by database, newest first.
    pub verdicts: Vec<Verdict>,
    /// Series that stay whole because most of them would go at once.
    pub spared: Vec<Spared>,
    /// How many backups claim to be of a time that the storage's clock hasn't reached. They stay.
    pub ahead: u64,
}

/// A series of which too many would go at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spared {
    /// Its database.
    pub database: String,
    /// Its collections; none: all.
    pub selected: Option<Vec<String>>,
    /// How many backups it has.
    pub backups: u64,
    /// How many of them would go.
    pub would_go: u64,
}

/// A stretch of time: its name, the number of its kind that are kept, and which one a time falls in.
type Rule = (&'static str, fn(&RetentionPolicy) -> u32, fn(&NaiveDateTime) -> String);

const RULES: [Rule; 5] = [
    ("hour", |policy| policy.hourly, |at| format!("{} {:02}h", at.date(), at.hour())),
    ("day", |policy| policy.daily, |at| at.date().to_string()),
    (
        "week",
        |policy| policy.weekly,
        |at| {
            let week = at.iso_week();
            format!("{}-W{:02}", week.year(), week.week())
        },
    ),
    ("month", |policy| policy.monthly, |at| format!("{}-{:02}", at.year(), at.month())),
    ("year", |policy| policy.yearly, |at| at.year().to_string()),
];

/// Judges backups.
pub fn judge(policy: &RetentionPolicy, scope: &Scope, candidates: &[Candidate]) -> Judgement {
    let mut judgement = Judgement::default();
    let mut groups: BTreeMap<(&str, Option<BTreeSet<&str>>), Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        if let Some(why) = scope.leaves_out(candidate) {
            judgement.verdicts.push(verdict(candidate, vec![why]));
        } else if scope.is_ahead(candidate) {
            let why = "its time is ahead of the storage's clock, so nothing counts from it".to_owned();
            judgement.verdicts.push(verdict(candidate, vec![why]));
            judgement.ahead += 1;
        } else {
            let selected = candidate.selected.as_ref().map(|names| names.iter().map(String::as_str).collect());
            groups.entry((&candidate.database, selected)).or_default().push(candidate);
        }
    }
    for (_, mut group) in groups {
        group.sort_by(|a, b| (b.at, b.increment, &b.key).cmp(&(a.at, a.increment, &a.key)));
        let (ours, unknown): (Vec<_>, Vec<_>) =
            group.iter().copied().partition(|candidate| candidate.cluster.is_some());
        judgement.add(scope, &ours, judge_series(policy, &ours));
        let all = if unknown.is_empty() { Vec::new() } else { judge_series(policy, &group) };
        judgement.add(scope, &unknown, all.into_iter().filter(|verdict| verdict.cluster.is_none()).collect());
    }
    judgement.verdicts.sort_by(|a, b| (&a.database, b.at, &b.job).cmp(&(&b.database, a.at, &a.job)));
    judgement
}

impl Scope {
    /// Why a backup isn't judged, if it isn't.
    fn leaves_out(&self, candidate: &Candidate) -> Option<String> {
        match &candidate.cluster {
            Some(cluster) if *cluster == self.cluster => None,
            Some(cluster) => Some(format!("another cluster's: {cluster}")),
            None if self.unknown => None,
            None => Some("nobody knows which cluster made it".into()),
        }
    }

    /// Whether a backup that counts claims to be of the future.
    fn is_ahead(&self, candidate: &Candidate) -> bool {
        let ahead_ms = candidate.at.timestamp_millis().saturating_sub(self.now.timestamp_millis());
        ahead_ms > AHEAD_MS && candidate.orphaned.is_none()
    }
}

impl Judgement {
    /// Adds what becomes of a series, unless too much of it would go.
    fn add(&mut self, scope: &Scope, series: &[&Candidate], mut verdicts: Vec<Verdict>) {
        let counted: Vec<bool> = series.iter().map(|candidate| candidate.orphaned.is_none()).collect();
        let backups = counted.iter().filter(|counts| **counts).count();
        let going = verdicts.iter().zip(&counted).filter(|(verdict, counts)| **counts && !verdict.keep).count();
        if let Some(first) = series.first()
            && !scope.forget_many
            && going > FEW
            && going * 2 > backups
        {
            let why = format!("{going} of the {backups} of its series would go at once, so none does");
            for (verdict, _) in verdicts.iter_mut().zip(&counted).filter(|(verdict, counts)| **counts && !verdict.keep)
            {
                (verdict.keep, verdict.reasons) = (true, vec![why.clone()]);
            }
            self.spared.push(Spared {
                database: first.database.clone(),
                selected: first.selected.clone(),
                backups: backups as u64,
                would_go: going as u64,
            });
        }
        self.verdicts.extend(verdicts);
    }
}

/// Backups that stand in for each other, newest first.
fn judge_series(policy: &RetentionPolicy, group: &[&Candidate]) -> Vec<Verdict> {
    let counted: Vec<usize> = (0..group.len()).filter(|place| group[*place].orphaned.is_none()).collect();
    let mut reasons = vec![Vec::new(); group.len()];
    for (rank, place) in counted.iter().enumerate() {
        if rank == 0 {
            reasons[*place].push("the newest".to_owned());
        } else if u32::try_from(rank).is_ok_and(|rank| rank < policy.newest()) {
            reasons[*place].push(format!("one of the last {}", policy.newest()));
        }
        let age_ms = group[counted[0]].at.timestamp_millis().saturating_sub(group[*place].at.timestamp_millis());
        if policy.days > 0 && age_ms <= i64::from(policy.days) * DAY_MS {
            reasons[*place].push(format!("within {} days of the newest", policy.days));
        }
    }
    for (name, count, stretch) in RULES {
        let mut seen = BTreeSet::new();
        for place in &counted {
            let stretch = stretch(&group[*place].at.to_chrono().naive_utc());
            if seen.len() < count(policy) as usize && seen.insert(stretch.clone()) {
                reasons[*place].push(format!("the newest of {name} {stretch}"));
            }
        }
    }
    group.iter().zip(reasons).map(|(candidate, reasons)| verdict(candidate, reasons)).collect()
}

fn verdict(candidate: &Candidate, mut reasons: Vec<String>) -> Verdict {
    reasons.extend(candidate.held.clone());
    let keep = !reasons.is_empty();
    if !keep {
        reasons.push(candidate.orphaned.clone().unwrap_or_else(|| "no rule keeps it".into()));
    }
    Verdict {
        key: candidate.key.clone(),
        job: candidate.job.clone(),
        cluster: candidate.cluster.clone(),
        database: candidate.database.clone(),
        selected: candidate.selected.clone(),
        at: candidate.at,
        keep,
        reasons,
    }
}

#[cfg(test)]
mod tests;
