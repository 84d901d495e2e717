//! Schedules: made once, edited by version, marked by compare-and-set.

use super::kit::{Bench, LONG_MS, id, name, request};
use crate::schedules::{Advance, Edit, Edited, Mark, NewSchedule};
use bson::DateTime;
use futures::future::join_all;
use lucid_schemas::{
    Kind, Spec, VerifySpec,
    schedule::{Missed, Outcome, Overlap, Schedule, Terms},
};

const MANY: usize = 8;

fn at(ms: i64) -> DateTime {
    DateTime::from_millis(1_736_388_000_000 + ms)
}

/// Terms with nothing of the defaults, and with values that MongoDB must not take for expressions.
fn hostile_terms() -> Terms {
    let Spec::Verify(spec) = request(Kind::Verify).spec else { panic!("a verification was asked for") };
    let mut manifest = spec.manifest;
    manifest.as_mut().expect("named").key = "$$NOW".into();
    Terms {
        cron: "$cron".into(),
        timezone: "$$ROOT".into(),
        spec: Spec::Verify(VerifySpec { manifest, ..spec }),
        repository: "$repository".into(),
        max_attempts: 9,
        paused: true,
        missed: Missed::All,
        missed_limit: 77,
        overlap: Overlap::Allow,
    }
}

fn terms() -> Terms {
    Terms {
        cron: "0 2 * * *".into(),
        timezone: "Europe/Berlin".into(),
        spec: request(Kind::Backup).spec,
        repository: "main".into(),
        max_attempts: 5,
        paused: false,
        missed: Missed::Once,
        missed_limit: 24,
        overlap: Overlap::Skip,
    }
}

fn new(name: &str) -> NewSchedule {
    NewSchedule {
        name: name.into(),
        terms: terms(),
        high_water: Some(at(0)),
        by: "api:pi-1".into(),
        write: super::kit::name("make"),
    }
}

fn edit(of: &Schedule, mark: Mark) -> Edit {
    Edit {
        name: of.name.clone(),
        version: of.version,
        terms: of.terms.clone(),
        mark,
        by: "$by".into(),
        write: name("edit"),
    }
}

fn advance(of: &Schedule, planned_at: DateTime) -> Advance {
    Advance {
        name: of.name.clone(),
        created_at: of.created_at,
        version: of.version,
        from: of.high_water,
        outcome: Outcome { planned_at, job: Some(id(Kind::Backup)), skipped: None },
    }
}

async fn made(bench: &Bench, new: &NewSchedule) -> Schedule {
    bench.schedules.create_schedule(new).await.expect("asked").expect("made")
}

async fn stored(bench: &Bench, name: &str) -> Schedule {
    bench.schedules.schedule(name).await.expect("asked").expect("the schedule is there")
}

async fn done(bench: &Bench, edit: &Edit) -> Schedule {
    match bench.schedules.edit_schedule(edit).await.expect("asked") {
        Edited::Done(schedule) => *schedule,
        Edited::Stale(now) => panic!("stale: {now:?}"),
    }
}

pub(super) async fn a_schedule_reads_back_as_it_was_made(bench: Bench) {
    for (name, terms) in [("nightly", terms()), ("$$NOW", hostile_terms())] {
        assert_eq!(bench.schedules.schedule(name).await.expect("asked"), None);
        let wanted = NewSchedule { terms: terms.clone(), by: "$api".into(), ..new(name) };
        let schedule = made(&bench, &wanted).await;
        assert_eq!(stored(&bench, name).await, schedule);
        let Schedule { created_at, .. } = schedule;
        let expected = Schedule {
            name: name.into(),
            version: 1,
            terms,
            high_water: at(0),
            last: None,
            created_by: "$api".into(),
            created_at,
            updated_by: "$api".into(),
            updated_at: created_at,
            write: wanted.write,
        };
        assert_eq!(schedule, expected);
    }
    let from_now = made(&bench, &NewSchedule { high_water: None, ..new("from-now") }).await;
    assert_eq!(from_now.high_water, from_now.created_at, "what was planned before it was made isn't wanted");
}

pub(super) async fn one_of_many_makes_the_schedule(bench: Bench) {
    let rivals = (0..MANY).map(|_| {
        let (schedules, new) = (bench.schedules.clone(), new("nightly"));
        tokio::spawn(async move { schedules.create_schedule(&new).await.expect("asked") })
    });
    let answers: Vec<_> = join_all(rivals).await.into_iter().map(|ended| ended.expect("no panic")).collect();
    let winners: Vec<_> = answers.into_iter().flatten().collect();
    let [winner] = &winners[..] else { panic!("one makes it: {winners:?}") };
    assert_eq!(stored(&bench, "nightly").await, *winner);
    let again = NewSchedule { write: winner.write.clone(), ..new("nightly") };
    assert_eq!(made(&bench, &again).await, *winner, "the same write once more changes nothing");
}

pub(super) async fn one_of_many_edits_of_a_version_wins(bench: Bench) {
    let first = made(&bench, &new("nightly")).await;
    let rivals = (1..=MANY).map(|hour| {
        let schedules = bench.schedules.clone();
        let terms = Terms { cron: format!("0 {hour} * * *"), ..hostile_terms() };
        let edit = Edit { terms, ..edit(&first, Mark::Keep) };
        tokio::spawn(async move { schedules.edit_schedule(&edit).await.expect("asked") })
    });
    let answers: Vec<_> = join_all(rivals).await.into_iter().map(|ended| ended.expect("no panic")).collect();
    let after = stored(&bench, "nightly").await;
    let done: Vec<_> = answers.iter().filter(|answer| matches!(answer, Edited::Done(_))).collect();
    assert_eq!(done, [&Edited::Done(Box::new(after.clone()))], "one wins");
    for answer in &answers {
        if let Edited::Stale(now) = answer {
            assert_eq!(now.as_deref(), Some(&after), "a loser learns how it is");
        }
    }
    assert_eq!((after.version, after.terms.repository.as_str()), (2, "$repository"));
    assert_eq!((after.created_by.as_str(), after.updated_by.as_str()), ("api:pi-1", "$by"));
    assert_eq!((after.created_at, after.high_water), (first.created_at, first.high_water));
    let nobody = Edit { name: "nobody".into(), ..edit(&first, Mark::Keep) };
    assert_eq!(bench.schedules.edit_schedule(&nobody).await.expect("asked"), Edited::Stale(None));
}

pub(super) async fn an_edit_says_what_becomes_of_the_mark(bench: Bench) {
    let first = made(&bench, &new("nightly")).await;
    let marked = bench.schedules.advance_schedule(&advance(&first, at(7))).await.expect("asked").expect("there");
    assert_eq!(stored(&bench, "nightly").await, marked, "it answers with what is there");
    let kept = done(&bench, &edit(&marked, Mark::Keep)).await;
    assert_eq!((kept.high_water, &kept.last), (at(7), &marked.last));
    let raised = done(&bench, &edit(&kept, Mark::Raise)).await;
    assert_eq!((raised.high_water, &raised.last), (raised.updated_at, &marked.last), "raised to now");
    let lowered = done(&bench, &edit(&raised, Mark::Set(at(1)))).await;
    assert_eq!(lowered.high_water, at(1), "lowered, since that was asked for");
    let future = DateTime::from_millis(raised.updated_at.timestamp_millis() + LONG_MS);
    let ahead = done(&bench, &edit(&lowered, Mark::Set(future))).await;
    let still = done(&bench, &edit(&ahead, Mark::Raise)).await;
    assert_eq!(still.high_water, future, "raising never lowers");
    assert_eq!(still.version, 6);
}

pub(super) async fn the_mark_is_raised_once_and_by_nobody_else_plan(bench: Bench) {
    let first = made(&bench, &new("nightly")).await;
    let rivals: Vec<_> = (1..=8).map(|minutes| advance(&first, at(minutes * 60_000))).collect();
    let racing = rivals.iter().cloned().map(|advance| {
        let schedules = bench.schedules.clone();
        tokio::spawn(async move { schedules.advance_schedule(&advance).await.expect("asked") })
    });
    join_all(racing).await;
    let after = stored(&bench, "nightly").await;
    let last = after.last.clone().expect("an outcome");
    assert!(rivals.iter().any(|rival| rival.outcome == last), "{last:?}");
    assert_eq!((after.high_water, after.version), (last.planned_at, 1), "marking is no edit");
    for stale in &rivals {
        let now = bench.schedules.advance_schedule(stale).await.expect("asked");
        assert_eq!(now.as_ref(), Some(&after), "a loser learns how it is");
    }
    let edited = done(&bench, &edit(&after, Mark::Keep)).await;
    bench.schedules.advance_schedule(&advance(&after, at(LONG_MS))).await.expect("asked");
    assert_eq!(stored(&bench, "nightly").await, edited, "a plan of before the edit marks nothing");
    // An outcome is replaced, never merged with the one before.
    let skipped = Outcome { planned_at: at(LONG_MS), job: None, skipped: Some("$$NOW".into()) };
    let next = Advance { outcome: skipped.clone(), ..advance(&edited, at(LONG_MS)) };
    bench.schedules.advance_schedule(&next).await.expect("asked");
    assert_eq!(stored(&bench, "nightly").await.last, Some(skipped));
}

pub(super) async fn a_schedule_of_the_same_name_is_another(bench: Bench) {
    let first = made(&bench, &new("nightly")).await;
    assert!(!bench.schedules.remove_schedule("nightly", Some(2)).await.expect("asked"), "another version");
    assert_eq!(stored(&bench, "nightly").await, first);
    assert!(bench.schedules.remove_schedule("nightly", Some(1)).await.expect("asked"));
    assert!(!bench.schedules.remove_schedule("nightly", None).await.expect("asked"), "it is gone");
    assert_eq!(bench.schedules.advance_schedule(&advance(&first, at(1))).await.expect("asked"), None);
    let again = loop {
        let again = made(&bench, &new("nightly")).await;
        if again.created_at != first.created_at {
            break again;
        }
        // Made within the same millisecond: no earlier one is forgotten so fast but here.
        assert!(bench.schedules.remove_schedule("nightly", None).await.expect("asked"));
        tokio::task::yield_now().await;
    };
    bench.schedules.advance_schedule(&advance(&first, at(1))).await.expect("asked");
    assert_eq!(stored(&bench, "nightly").await, again, "a plan of the first one marks nothing");
}

pub(super) async fn a_look_has_all_of_them_and_the_clock(bench: Bench) {
    let empty = bench.schedules.look().await.expect("a look");
    assert_eq!((empty.schedules, empty.unreadable), (vec![], Vec::<String>::new()));
    let mut all = Vec::new();
    for name in ["b", "$$NOW", "a"] {
        all.push(made(&bench, &new(name)).await);
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    let look = bench.schedules.look().await.expect("a look");
    assert_eq!(look.schedules, all);
    assert!(look.now >= empty.now && all.iter().all(|schedule| schedule.created_at <= look.now));
}
