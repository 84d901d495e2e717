//! Which occurrences of a schedule are to be dealt with, and how.
//!
//! Those planned after the high-water mark, until now. In ordinary times that is the one that has just come due; after
//! an outage it may be many, and the schedule says what becomes of them.

use bson::DateTime;
use lucid_schemas::{
    cron::Calendar,
    schedule::{Missed, Terms},
};

/// What to do about an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Make its job.
    Run,
    /// Leave it out: it was missed.
    LeaveOut,
}

/// An occurrence to be dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// When it was planned.
    pub planned_at: DateTime,
    /// What to do about it.
    pub verdict: Verdict,
    /// Whether earlier ones since the high-water mark, or since the occurrence before, are passed over with it.
    pub passes_over: bool,
}

/// The occurrences in (`high_water`, `now`] that are to be dealt with, in order. Those that aren't among them are passed
/// over: dealing with a later one raises the mark over them. Under [`Missed::Skip`] one that is late by more than
/// `grace_ms` counts as missed. No more than the limit of the terms is looked at, however old the mark is.
pub fn due(calendar: &Calendar, terms: &Terms, high_water: DateTime, now: DateTime, grace_ms: i64) -> Vec<Occurrence> {
    if terms.paused {
        return Vec::new();
    }
    let earlier = |planned_at: &DateTime| calendar.last_until(plus_ms(*planned_at, -1));
    let mut newest_first = std::iter::successors(calendar.last_until(now), earlier)
        .take_while(|planned_at| *planned_at > high_water)
        .peekable();
    let limit = match terms.missed {
        Missed::Skip | Missed::Once => 1,
        Missed::All => usize::try_from(terms.missed_limit).unwrap_or(0).max(1),
    };
    let mut found: Vec<_> = newest_first.by_ref().take(limit).collect();
    let passes_over = newest_first.peek().is_some();
    found.reverse();
    let verdict = |planned_at| match terms.missed {
        Missed::Skip if plus_ms(planned_at, grace_ms) < now => Verdict::LeaveOut,
        Missed::Skip | Missed::Once | Missed::All => Verdict::Run,
    };
    let occurrence = |(place, planned_at)| Occurrence {
        planned_at,
        verdict: verdict(planned_at),
        passes_over: passes_over && place == 0,
    };
    found.into_iter().enumerate().map(occurrence).collect()
}

/// When the schedule is due next after `now`; `None` while it is paused, and where it never is.
pub fn next_due(calendar: &Calendar, terms: &Terms, high_water: DateTime, now: DateTime) -> Option<DateTime> {
    if terms.paused { None } else { calendar.next_after(high_water.max(now)) }
}

fn plus_ms(at: DateTime, ms: i64) -> DateTime {
    DateTime::from_millis(at.timestamp_millis().saturating_add(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::{BackupSpec, Spec, schedule::Overlap};

    const GRACE_MS: i64 = 60_000;

    fn terms(missed: Missed, missed_limit: i32) -> Terms {
        Terms {
            cron: "*/10 * * * *".into(),
            timezone: "UTC".into(),
            spec: Spec::Backup(BackupSpec {
                database: "lucid".into(),
                collections: None,
                compression: true,
                encryption: true,
                require_consistent: false,
            }),
            repository: "main".into(),
            max_attempts: 5,
            paused: false,
            missed,
            missed_limit,
            overlap: Overlap::Skip,
        }
    }

    fn at(time: &str) -> DateTime {
        DateTime::parse_rfc3339_str(format!("2026-11-24T{time}Z")).expect("a time")
    }

    /// What is due, as words: the time, `-` before one that is left out, `+` after one that passes over others.
    fn due_words(terms: &Terms, high_water: &str, now: &str) -> String {
        let calendar = terms.calendar().expect("a calendar");
        let words = due(&calendar, terms, at(high_water), at(now), GRACE_MS).into_iter().map(|occurrence| {
            let time = occurrence.planned_at.try_to_rfc3339_string().expect("a time")[11..16].to_owned();
            let left_out = if occurrence.verdict == Verdict::LeaveOut { "-" } else { "" };
            format!("{left_out}{time}{}", if occurrence.passes_over { "+" } else { "" })
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_has_just_come_due_runs_under_every_policy() {
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            let terms = terms(missed, 24);
            assert_eq!(due_words(&terms, "10:00:00", "10:09:59"), "", "{missed}: not yet");
            assert_eq!(due_words(&terms, "10:00:00", "10:10:00"), "10:10", "{missed}: on the second");
            assert_eq!(due_words(&terms, "10:00:00", "10:11:00"), "10:10", "{missed}: a minute late");
            assert_eq!(due_words(&terms, "10:10:00", "10:11:00"), "", "{missed}: dealt with");
            assert_eq!(due_words(&terms, "10:03:21", "10:11:00"), "10:10", "{missed}: a mark between occurrences");
        }
    }

    #[test]
    fn after_hours_the_policy_decides() {
        let (high_water, now) = ("06:00:00", "10:05:00");
        assert_eq!(due_words(&terms(Missed::Skip, 24), high_water, now), "-10:00+");
        assert_eq!(due_words(&terms(Missed::Once, 24), high_water, now), "10:00+");
        assert_eq!(due_words(&terms(Missed::All, 3), high_water, now), "09:40+ 09:50 10:00");
        assert_eq!(
            due_words(&terms(Missed::All, 24), high_water, now).split(' ').count(),
            24,
            "24 of 24: none passed over"
        );
        assert!(!due_words(&terms(Missed::All, 24), high_water, now).contains('+'));
        assert_eq!(due_words(&terms(Missed::All, 0), high_water, now), "10:00+", "a limit below one is one");
        assert_eq!(due_words(&terms(Missed::Skip, 24), high_water, "10:00:59"), "10:00+", "the newest is fresh");
    }

    #[test]
    fn a_mark_of_ages_ago_costs_no_more_than_the_limit() {
        let terms = terms(Missed::All, 5);
        let calendar = terms.calendar().expect("a calendar");
        let found = due(&calendar, &terms, DateTime::from_millis(0), at("10:00:00"), GRACE_MS);
        assert_eq!(found.len(), 5);
        assert!(found[0].passes_over && !found[1].passes_over);
    }

    #[test]
    fn nothing_is_due_while_paused_or_before_a_mark_in_the_future() {
        let mut terms = terms(Missed::All, 24);
        assert_eq!(due_words(&terms, "12:00:00", "10:10:00"), "");
        let calendar = terms.calendar().expect("a calendar");
        let next = |terms: &Terms, mark| next_due(&calendar, terms, at(mark), at("10:05:00"));
        assert_eq!(next(&terms, "10:00:00"), Some(at("10:10:00")));
        assert_eq!(next(&terms, "12:00:00"), Some(at("12:10:00")));
        terms.paused = true;
        assert_eq!(due_words(&terms, "06:00:00", "10:10:00"), "");
        assert_eq!(next(&terms, "10:00:00"), None);
    }
}
