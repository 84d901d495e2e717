//! Which backups are kept, and why: a pure rule over what is there.
//!
//! Backups of the same cluster, database and selection of collections are a series: only they stand in for each other.
//!
//! Invariant: nothing is measured by this machine's clock. Ages count from the newest backup of the same series, which is always
//! kept; so neither a clock that jumps nor backups that stopped long ago cost the last ones. What another cluster made stays.

use std::collections::{BTreeMap, BTreeSet};

use bson::DateTime;
use chrono::{Datelike, NaiveDateTime, Timelike};
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How many backups are kept of each series. Times are UTC; weeks begin on Monday. What several rules keep is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionPolicy {
    /// So many of the newest.
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
}

/// Whose backups are judged; those of all others stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The cluster that made them.
    pub cluster: String,
    /// Whether those are judged, too, of which nobody knows who made them: backups of the cluster stand in for them, but not the reverse.
    pub unknown: bool,
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
    /// When it was read.
    pub at: DateTime,
    /// Whether it is kept.
    pub keep: bool,
    /// Why: at least one reason.
    pub reasons: Vec<String>,
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

/// Judges backups. The verdicts are sorted by database, newest first.
pub fn judge(policy: &RetentionPolicy, scope: &Scope, candidates: &[Candidate]) -> Vec<Verdict> {
    let mut groups: BTreeMap<(&str, Option<BTreeSet<&str>>), Vec<&Candidate>> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for candidate in candidates {
        if let Some(why) = scope.leaves_out(candidate) {
            verdicts.push(verdict(candidate, vec![why]));
            continue;
        }
        let selected = candidate.selected.as_ref().map(|names| names.iter().map(String::as_str).collect());
        groups.entry((&candidate.database, selected)).or_default().push(candidate);
    }
    for (_, mut group) in groups {
        group.sort_by(|a, b| (b.at, b.increment, &b.key).cmp(&(a.at, a.increment, &a.key)));
        let ours: Vec<_> = group.iter().copied().filter(|candidate| candidate.cluster.is_some()).collect();
        verdicts.extend(judge_series(policy, &ours));
        if ours.len() < group.len() {
            let all = judge_series(policy, &group);
            verdicts.extend(all.into_iter().filter(|verdict| verdict.cluster.is_none()));
        }
    }
    verdicts.sort_by(|a, b| (&a.database, b.at, &b.job).cmp(&(&b.database, a.at, &a.job)));
    verdicts
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
}

/// Backups that stand in for each other, newest first.
fn judge_series(policy: &RetentionPolicy, group: &[&Candidate]) -> Vec<Verdict> {
    let counted: Vec<usize> = (0..group.len()).filter(|place| group[*place].orphaned.is_none()).collect();
    let mut reasons = vec![Vec::new(); group.len()];
    for (rank, place) in counted.iter().enumerate() {
        if rank == 0 {
            reasons[*place].push("the newest".to_owned());
        } else if u32::try_from(rank).is_ok_and(|rank| rank < policy.last) {
            reasons[*place].push(format!("one of the last {}", policy.last));
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
        at: candidate.at,
        keep,
        reasons,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backup each night, the newest 2025-03-10 (a Monday), numbered by age.
    fn nights(count: i64) -> Vec<Candidate> {
        let newest = DateTime::parse_rfc3339_str("2025-03-10T02:00:00Z").expect("a time").timestamp_millis();
        let night = |age: i64| Candidate {
            key: format!("k{age}"),
            job: format!("backup_{age}"),
            cluster: Some("ours".into()),
            database: "lucid".into(),
            selected: None,
            copied: false,
            at: DateTime::from_millis(newest - age * DAY_MS),
            increment: 0,
            held: None,
            orphaned: None,
        };
        (0..count).map(night).collect()
    }

    fn ours() -> Scope {
        Scope { cluster: "ours".into(), unknown: true }
    }

    fn kept(policy: RetentionPolicy, candidates: &[Candidate]) -> Vec<i64> {
        let verdicts = judge(&policy, &ours(), candidates);
        assert!(verdicts.iter().all(|verdict| !verdict.reasons.is_empty()));
        verdicts.iter().filter(|verdict| verdict.keep).map(|verdict| verdict.key[1..].parse().expect("age")).collect()
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_stretches() {
        let none = RetentionPolicy::default();
        let all = nights(400);
        assert_eq!(kept(none, &all), [0], "the newest stays whatever is asked");
        assert_eq!(kept(RetentionPolicy { last: 3, ..none }, &all), [0, 1, 2]);
        assert_eq!(kept(RetentionPolicy { daily: 2, ..none }, &all), [0, 1]);
        assert_eq!(kept(RetentionPolicy { weekly: 3, ..none }, &all), [0, 1, 8], "Monday, then two Sundays");
        assert_eq!(kept(RetentionPolicy { monthly: 3, ..none }, &all), [0, 10, 38]);
        assert_eq!(kept(RetentionPolicy { yearly: 9, ..none }, &all), [0, 69], "years that have one");
        assert_eq!(kept(RetentionPolicy { days: 30, ..none }, &all).len(), 31);
        let mixed = RetentionPolicy { last: 2, weekly: 2, ..none };
        let verdicts = judge(&mixed, &ours(), &all);
        assert_eq!(verdicts[0].reasons, ["the newest", "the newest of week 2025-W11"]);
        assert_eq!(verdicts[1].reasons, ["one of the last 2", "the newest of week 2025-W10"]);
        assert_eq!(verdicts[2].reasons, ["no rule keeps it"]);
    }

    #[test]
    fn within_a_second_the_increment_tells() {
        let mut all = nights(2);
        all[1] = Candidate { at: all[0].at, increment: 1, ..all[1].clone() };
        assert_eq!(kept(RetentionPolicy::default(), &all), [1]);
    }

    #[test]
    fn several_in_an_hour_count_once() {
        let mut all = nights(2);
        let at = all[0].at.timestamp_millis() + 60_000;
        all.push(Candidate { key: "k9".into(), at: DateTime::from_millis(at), ..all[0].clone() });
        assert_eq!(kept(RetentionPolicy { hourly: 1, ..RetentionPolicy::default() }, &all), [9]);
        assert_eq!(kept(RetentionPolicy { hourly: 2, ..RetentionPolicy::default() }, &all), [9, 1]);
    }

    #[test]
    fn what_is_held_stays_and_orphans_neither_stay_nor_count() {
        let mut all = nights(5);
        all[0].orphaned = Some("its job failed".into());
        all[3].held = Some("pinned: before the upgrade".into());
        let policy = RetentionPolicy { last: 1, ..RetentionPolicy::default() };
        assert_eq!(kept(policy, &all), [1, 3]);
        let verdicts = judge(&policy, &ours(), &all);
        assert_eq!(verdicts[0].reasons, ["its job failed"]);
        assert_eq!(verdicts[3].reasons, ["pinned: before the upgrade"]);
    }

    #[test]
    fn other_databases_and_other_selections_do_not_stand_in() {
        let mut all = nights(3);
        all[0].selected = Some(vec!["b".into(), "a".into()]);
        all[1].selected = Some(vec!["a".into(), "b".into()]);
        all.push(Candidate { key: "k7".into(), database: "shop".into(), ..all[2].clone() });
        assert_eq!(kept(RetentionPolicy::default(), &all), [0, 2, 7]);
    }

    #[test]
    fn another_clusters_backups_stay_and_stand_in_for_none_of_ours() {
        let mut all = nights(4);
        // Theirs are the newer ones, as where they run later in the night.
        for theirs in &mut all[..2] {
            theirs.cluster = Some("theirs".into());
        }
        let policy = RetentionPolicy { last: 1, ..RetentionPolicy::default() };
        let verdicts = judge(&policy, &ours(), &all);
        let kept: Vec<_> = verdicts.iter().map(|verdict| verdict.keep).collect();
        assert_eq!(kept, [true, true, true, false]);
        assert_eq!(verdicts[0].reasons, ["another cluster's: theirs"]);
        assert_eq!(verdicts[2].reasons, ["the newest"]);
        // Who owns the repository can be asked to judge theirs; then ours stay.
        let theirs = Scope { cluster: "theirs".into(), unknown: false };
        let kept: Vec<_> = judge(&policy, &theirs, &all).iter().map(|verdict| verdict.keep).collect();
        assert_eq!(kept, [true, false, true, true]);
    }

    #[test]
    fn backups_of_nobody_knows_whom_go_in_time_and_displace_none_of_ours() {
        let mut all = nights(6);
        for place in [0, 2, 4] {
            all[place].cluster = None;
        }
        let policy = RetentionPolicy { last: 2, ..RetentionPolicy::default() };
        assert_eq!(
            kept(policy, &all),
            [0, 1, 3],
            "1 and 3 are ours; of the others only one is among the newest two of all"
        );
        let others = Scope { unknown: false, ..ours() };
        let verdicts = judge(&policy, &others, &all);
        assert_eq!(verdicts[4].reasons, ["nobody knows which cluster made it"]);
        assert_eq!(verdicts.iter().filter(|verdict| !verdict.keep).count(), 1, "5 is ours");
    }
}
