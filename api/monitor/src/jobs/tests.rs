//! What is told of jobs, and of which.

use super::{backups::median, *};
use bson::{DateTime, Timestamp, doc};
use lucid_schemas::{
    BackupSpec, Event, EventBody, Fate, FateState, Head, JobId, Request, Spec, VerifyLevel, VerifySpec,
};

pub(super) const NOW_S: i64 = 1_800_000_000;

fn stamp(ago_s: i64) -> Stamp {
    Stamp::At(DateTime::from_millis((NOW_S - ago_s) * 1_000))
}

/// A job that was begun at `ago_s` and took a minute.
pub(super) fn job(spec: Spec, chance: u64, state: State, ago_s: i64) -> Job {
    let id = JobId::compose(spec.kind(), DateTime::from_millis((NOW_S - ago_s) * 1_000), chance);
    let ended = state.is_terminal().then(|| stamp(ago_s - 60));
    let head = Head { state, started_at: Some(stamp(ago_s)), finished_at: ended, ..Head::born(stamp(ago_s)) };
    Job {
        request: Request::new(id, spec, "api:test", None),
        head,
        lease: None,
        progress: None,
        events: Vec::new(),
        fate: None,
    }
}

pub(super) fn backup(database: &str, chance: u64, state: State, ago_s: i64) -> Job {
    job(of(database, None), chance, state, ago_s)
}

fn of(database: &str, collections: Option<Vec<String>>) -> Spec {
    let database = database.to_owned();
    Spec::Backup(BackupSpec { database, collections, compression: true, encryption: true, require_consistent: false })
}

#[test]
fn the_newest_whole_backup_counts_that_is_still_there() {
    let mut shown = backup("lucid", 4, State::Succeeded, 400);
    shown.events.push(Event {
        seq: 3,
        at: stamp(390),
        by: "worker".into(),
        write: "w".into(),
        body: EventBody::SnapshotTaken { cluster_time: Timestamp { time: 1_799_999_605, increment: 1 } },
    });
    shown.head.result = Some(doc! { "raw_bytes": 7_000_i64, "stored_bytes": 900_i64 });
    let mut forgotten = backup("lucid", 3, State::Succeeded, 300);
    forgotten.fate =
        Some(Fate { state: FateState::Forgotten, at: DateTime::now(), by: "prune".into(), reason: "no rule".into() });
    let partial = job(of("lucid", Some(vec!["users".into()])), 2, State::Succeeded, 200);
    let failed = backup("lucid", 1, State::Failed, 100);
    let other = backup("other", 5, State::Succeeded, 500);
    let all = [failed, partial, forgotten, shown.clone(), other, backup("lucid", 6, State::Succeeded, 600)];
    let newest = newest_whole(&all);
    assert_eq!(newest.keys().collect::<Vec<_>>(), ["lucid", "other"]);
    let wanted = Backup {
        job: shown.id().to_string(),
        read_at: Some(1_799_999_605.0),
        took_seconds: Some(60.0),
        raw_bytes: Some(7_000),
        stored_bytes: Some(900),
    };
    assert_eq!(newest["lucid"], wanted);
    assert_eq!(newest["other"].read_at, Some(1_799_999_560.0), "without the instant, its end");
    let attempts = newest_attempts(&all);
    assert_eq!(attempts["lucid"], (1_799_999_960.0, false), "the newest of all that is there failed");
    assert_eq!(attempts["other"], (1_799_999_560.0, true));
}

#[test]
fn the_newest_verification_of_each_database_and_level_counts() {
    let (one, two) = (backup("lucid", 1, State::Succeeded, 900), backup("lucid", 2, State::Succeeded, 800));
    let verify = |backup: &Job, level, chance, state, ago_s| {
        job(Spec::Verify(VerifySpec::whole(backup.id().clone(), None, level)), chance, state, ago_s)
    };
    let unknown = backup("gone", 9, State::Succeeded, 9_000);
    let all = [
        verify(&unknown, VerifyLevel::Data, 1, State::Failed, 50),
        verify(&one, VerifyLevel::Data, 2, State::Failed, 100),
        verify(&two, VerifyLevel::Data, 3, State::Succeeded, 200),
        verify(&two, VerifyLevel::Drill, 4, State::Succeeded, 300),
    ];
    let newest = newest_verifications(&all, &databases(&[one, two]));
    let told: Vec<_> = newest
        .iter()
        .map(|((database, level), last)| (database.as_str(), *level, last.ended_at, last.is_success))
        .collect();
    let wanted = [("lucid", "data", 1_799_999_960.0, false), ("lucid", "drill", 1_799_999_760.0, true)];
    assert_eq!(told, wanted, "what isn't known to be of a database is left out");
}

#[test]
fn open_jobs_are_counted_and_only_due_ones_have_an_age() {
    let later = |mut job: Job, in_s: i64| {
        job.head.run_at = stamp(-in_s);
        job
    };
    let open = [
        backup("a", 1, State::Queued, 50),
        backup("a", 2, State::Queued, 90),
        later(backup("a", 3, State::Queued, 999), 60),
        backup("b", 4, State::Running, 5_000),
    ];
    let counted: Vec<_> = by_kind_and_state(&open).into_iter().collect();
    assert_eq!(counted, [((Kind::Backup, State::Queued), 3), ((Kind::Backup, State::Running), 1)]);
    assert_eq!(due(&open, NOW_S * 1_000).into_iter().collect::<Vec<_>>(), [(Kind::Backup, 90.0)]);
    let tomorrow = [later(backup("a", 3, State::Queued, 999), 60)];
    assert!(due(&tomorrow, NOW_S * 1_000).is_empty());
}

#[test]
fn the_usual_is_the_median_of_the_newest_ten_that_succeeded() {
    let sized = |chance, ago_s, bytes: i64| {
        let mut backup = backup("lucid", chance, State::Succeeded, ago_s);
        backup.head.result = Some(doc! { "raw_bytes": bytes });
        backup
    };
    let mut all: Vec<Job> =
        (1..=10).map(|number| sized(number, 100, 1_000 * i64::try_from(number).expect("few"))).collect();
    all.push(sized(11, 5_000, 1));
    all.push(backup("lucid", 12, State::Failed, 50));
    assert_eq!(usual(&all)["lucid"], Usual { raw_bytes: Some(5_500.0), took_seconds: Some(60.0) });
    assert_eq!(usual(&all[..3])["lucid"].raw_bytes, Some(2_000.0));
    assert_eq!(median([].into_iter()), None);
}
