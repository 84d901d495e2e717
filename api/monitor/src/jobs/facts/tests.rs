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
    facts(&Shown { look, open: &[], backups, verifications, able: &BTreeMap::new() })
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
