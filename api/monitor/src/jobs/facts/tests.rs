//! What becomes of the rules' facts, for what the store has.

use super::*;
use crate::jobs::tests::{NOW_S, backup, job};
use lucid_schemas::{
    Failure, Fate, FateState,
    schedule::{Missed, Overlap, Terms},
};

fn verification(of: &Job, level: VerifyLevel, chance: u64, state: State, ago_s: i64) -> Job {
    let mut job = job(Spec::Verify(VerifySpec::whole(of.id().clone(), None, level)), chance, state, ago_s);
    if state == State::Failed {
        let message = format!("damaged, says {chance}");
        job.head.error = Some(Failure { code: "backup_damaged".into(), message, retryable: false });
    }
    job
}

fn look(schedules: Vec<Schedule>) -> Look {
    Look { now: DateTime::from_millis(NOW_S * 1_000), schedules, unreadable: Vec::new() }
}

fn shown(look: &Look, backups: &[Job], verifications: &[Job]) -> Facts {
    let (able, repositories) = (BTreeMap::new(), BTreeMap::new());
    facts(&Shown {
        look,
        plans: &Plans::default(),
        open: &[],
        backups,
        verifications,
        able: &able,
        workers: &[],
        repositories: &repositories,
    })
}

#[test]
fn what_backups_were_like_and_when_one_was_tried_is_kept() {
    let sized = |chance: u64, ago_s: i64, bytes: i64| {
        let mut job = backup("lucid", chance, State::Succeeded, ago_s);
        job.head.result = Some(bson::doc! { "raw_bytes": bytes });
        job
    };
    let backups: Vec<Job> =
        (1..=20).map(|chance: u32| sized(chance.into(), i64::from(chance) * 1_000, chance.into())).collect();
    let tried = verification(&backups[3], VerifyLevel::Drill, 31, State::Succeeded, 500);
    let before = verification(&backups[4], VerifyLevel::Drill, 32, State::Succeeded, 900);
    let read = verification(&backups[0], VerifyLevel::Data, 33, State::Succeeded, 100);
    let failed = verification(&backups[0], VerifyLevel::Drill, 34, State::Failed, 50);
    let facts = shown(&look(vec![]), &backups, &[failed, read, tried.clone(), before]);
    let known = &facts.backups["lucid"];
    assert_eq!(known.bytes, (1..=11).collect::<Vec<i64>>());
    assert_eq!(known.took_ms, vec![60_000; 11]);
    assert_eq!(known.oldest, backups[19].head.finished_at.and_then(Stamp::stored));
    assert_eq!(known.drilled, tried.head.finished_at.and_then(Stamp::stored), "the newest that succeeded");
}

#[test]
fn a_repository_that_refused_the_newest_job_is_told_and_so_are_lost_leases() {
    let at = |chance: u64, state: State, ago_s: i64, code: &str| {
        let mut job = backup("lucid", chance, state, ago_s);
        job.request.requires.repository = Some(lucid_schemas::RepositoryName { name: "main".into(), id: "r1".into() });
        let message = "wrong key".to_owned();
        job.head.error = (state == State::Failed).then(|| Failure { code: code.into(), message, retryable: false });
        job
    };
    let refused = at(1, State::Failed, 100, "wrong_key");
    let good = at(2, State::Succeeded, 200, "");
    let full = at(3, State::Failed, 50, "no_space");
    let told = |jobs: &[Job]| shown(&look(vec![]), jobs, &[]).keys_refused;
    assert_eq!(told(&[refused.clone(), good.clone()]), [("main".to_owned(), "wrong key".to_owned())].into());
    assert_eq!(told(&[full, refused.clone(), good.clone()]).len(), 0, "the newest one got in");

    let claimed = |takeover, ago_s: i64| lucid_schemas::Event {
        seq: 1,
        at: Stamp::At(DateTime::from_millis((NOW_S - ago_s) * 1_000)),
        by: "worker".into(),
        write: "w".into(),
        body: EventBody::Claimed { epoch: 1, attempt: 1, takeover, slots: Vec::new() },
    };
    let mut lossy = good;
    lossy.events = vec![claimed(false, 100), claimed(true, 100), claimed(true, 3_599), claimed(true, 3_601)];
    assert_eq!(shown(&look(vec![]), &[lossy], &[]).leases_lost, Some(2));
}

#[test]
fn workers_and_spaces_are_told_as_they_are() {
    let card = |name: &str, kinds: &[Kind]| WorkerCard {
        name: name.into(),
        version: "1".into(),
        capacity: 1,
        running: 0,
        reach: lucid_ports::Reach { kinds: kinds.to_vec(), ..lucid_ports::Reach::default() },
        clock_skew_ms: Some(7),
        counts: BTreeMap::new(),
        problems: vec!["away".into()],
        seen_at: None,
    };
    let mut workers =
        [card("pi-1/7-a", &[Kind::Backup]), card("pi-2/8-b", &[Kind::Monitor]), card("pi-2/9-c", &[Kind::Monitor])];
    workers[1].reach.labels = vec!["channel:pager".into(), "channel-definition:pager:0123".into()];
    let repositories = [
        ("main".to_owned(), Ok(Space { free_bytes: 5.0, total_bytes: 9.0 })),
        ("far".to_owned(), Err("gone".to_owned())),
    ]
    .into();
    let (look, able) = (look(vec![]), BTreeMap::new());
    let shown = Shown {
        look: &look,
        plans: &Plans::default(),
        open: &[],
        backups: &[],
        verifications: &[],
        able: &able,
        workers: &workers,
        repositories: &repositories,
    };
    let facts = facts(&shown);
    let torn = facts.channels["pager"].as_ref().expect("torn");
    assert!(torn.contains("'pager'") && torn.contains("pi-2/9-c has none") && !torn.contains("pi-1"), "{torn}");
    assert_eq!(facts.monitors, ["pi-2".to_owned()].into());
    assert_eq!((facts.workers.len(), facts.workers[0].clock_skew_ms, facts.workers[0].problems.len()), (3, Some(7), 1));
    assert_eq!(facts.repositories["far"], None);
    assert_eq!(facts.repositories["main"], Some(rules::Space { free_bytes: 5, total_bytes: 9 }));
}

#[test]
fn failures_count_since_the_last_success_and_say_why() {
    let mut failed = backup("lucid", 1, State::Failed, 100);
    failed.head.error = Some(Failure { code: "no_space".into(), message: "the disk is full".into(), retryable: true });
    let older = backup("lucid", 2, State::Failed, 200);
    let good = backup("lucid", 3, State::Succeeded, 300);
    let oldest = backup("lucid", 4, State::Failed, 400);
    let facts = shown(&look(vec![]), &[failed, older, good.clone(), oldest], &[]);
    let known = &facts.backups["lucid"];
    assert_eq!((known.failed, known.reason.as_deref()), (2, Some("the disk is full (no_space)")));
    assert_eq!(known.newest, good.head.finished_at.and_then(Stamp::stored));
    assert_eq!(facts.now_ms, NOW_S * 1_000);
}

#[test]
fn a_backup_that_is_no_more_protects_nothing() {
    let mut gone = backup("lucid", 1, State::Succeeded, 100);
    gone.fate =
        Some(Fate { state: FateState::Missing, at: DateTime::now(), by: "prune".into(), reason: "deleted".into() });
    let facts = shown(&look(vec![]), &[gone], &[]);
    assert_eq!((facts.backups["lucid"].newest, facts.backups["lucid"].failed), (None, 0));
}

#[test]
fn a_verification_that_found_damage_counts_until_one_as_deep_succeeds() {
    let of = backup("lucid", 1, State::Succeeded, 900);
    let failure = |verifications: &[Job]| {
        let facts = shown(&look(vec![]), std::slice::from_ref(&of), verifications);
        facts.verified.get("lucid").map(|verified| verified.failure.clone())
    };
    let at = |level, chance, state| verification(&of, level, chance, state, 500);
    let damaged = at(VerifyLevel::Data, 1, State::Failed);
    let shallow = at(VerifyLevel::Structure, 2, State::Succeeded);
    assert_eq!(failure(&[]), None);
    let said = Some(Some("damaged, says 1".to_owned()));
    assert_eq!(failure(&[shallow.clone(), damaged.clone()]), said);
    assert_eq!(failure(&[at(VerifyLevel::Data, 3, State::Succeeded), shallow.clone(), damaged.clone()]), Some(None));
    assert_eq!(failure(&[at(VerifyLevel::Drill, 4, State::Succeeded), damaged.clone()]), Some(None));
    let mut forgotten = of.clone();
    forgotten.fate =
        Some(Fate { state: FateState::Forgotten, at: DateTime::now(), by: "prune".into(), reason: "old".into() });
    assert!(shown(&look(vec![]), &[forgotten], &[damaged]).verified.is_empty(), "nobody can restore it any more");
}

fn schedule(spec: Spec, last: Option<Outcome>) -> Schedule {
    let at = DateTime::from_millis(1_000);
    Schedule {
        name: "nightly".into(),
        version: 1,
        terms: Terms {
            cron: "0 2 * * *".into(),
            timezone: "UTC".into(),
            spec,
            repository: "main".into(),
            max_attempts: 5,
            paused: true,
            missed: Missed::Once,
            missed_limit: 24,
            overlap: Overlap::Skip,
        },
        high_water: at,
        last,
        created_by: "api:pi-1".into(),
        created_at: at,
        updated_by: "api:pi-1".into(),
        updated_at: DateTime::from_millis(2_000),
        write: "w".into(),
    }
}

#[test]
fn schedules_promise_what_they_back_up_whole_and_tell_why_they_did_not() {
    let whole = backup("shop", 1, State::Failed, 100).request.spec;
    let skipped =
        |reason: &str| Outcome { planned_at: DateTime::from_millis(0), job: None, skipped: Some(reason.to_owned()) };
    let facts =
        shown(&look(vec![schedule(whole.clone(), Some(skipped("no worker has made 'main' known yet")))]), &[], &[]);
    let plan = &facts.plans[0];
    assert_eq!(
        (plan.backs_up.as_deref(), plan.is_paused, plan.since),
        (Some("shop"), true, DateTime::from_millis(2_000))
    );
    assert_eq!(plan.refused.as_deref(), Some("no worker has made 'main' known yet"));
    assert!(facts.backups.contains_key("shop"), "it was never backed up, and should be");
    let busy = skipped("the job backup_20260101_000000_aaaaaaaaaa was still open");
    assert_eq!(shown(&look(vec![schedule(whole, Some(busy))]), &[], &[]).plans[0].refused, None);
}
