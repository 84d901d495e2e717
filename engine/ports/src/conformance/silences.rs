//! Silences: each written once and ended once, by the store's clock.

use super::kit::{Bench, LONG_MS, OVER_MS, name};
use crate::{NewSilence, StoreError};
use bson::DateTime;
use lucid_schemas::silence::{Matcher, Silence, SilenceId, Subject, Window};

fn matcher(on: Subject, value: &str, not: bool) -> Matcher {
    Matcher { on, value: value.into(), not }
}

/// One that is over in a while.
fn new() -> NewSilence {
    NewSilence {
        id: SilenceId::compose(DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0),
        matchers: vec![matcher(Subject::Rule, "backup_overdue", false)],
        from: None,
        until: after(DateTime::now(), 4 * LONG_MS),
        window: None,
        by: "token:local@pi-1".into(),
        comment: "disks are changed".into(),
        write: name("silence"),
    }
}

fn after(at: DateTime, ms: i64) -> DateTime {
    DateTime::from_millis(at.timestamp_millis() + ms)
}

async fn added(bench: &Bench, new: &NewSilence) -> Silence {
    let silence = bench.silences.add_silence(new).await.expect("added");
    assert_eq!(stored(bench, &new.id).await, silence, "what is answered is what is stored");
    silence
}

async fn stored(bench: &Bench, id: &SilenceId) -> Silence {
    bench.silences.silence(id).await.expect("read").expect("there")
}

async fn ended(bench: &Bench, id: &SilenceId, by: &str) -> Silence {
    bench.silences.end_silence(id, by).await.expect("asked").expect("there")
}

pub(super) async fn a_silence_reads_back_as_it_was_made(bench: Bench) {
    let hostile = NewSilence {
        matchers: vec![
            matcher(Subject::Rule, "$$NOW", false),
            matcher(Subject::Severity, "$severity", true),
            matcher(Subject::Label("a.b.$c".into()), "{\"$ne\": 1} \u{0} ü", false),
        ],
        from: Some(DateTime::from_millis(1_736_388_000_000)),
        until: DateTime::from_millis(1_736_388_000_001),
        window: Some(Window { cron: "$cron".into(), timezone: "$$ROOT".into(), duration_seconds: 77 }),
        by: "$by".into(),
        comment: "$$REMOVE\r\n\u{1b}[31m".into(),
        ..new()
    };
    let made = added(&bench, &hostile).await;
    let expected = Silence {
        id: hostile.id.clone(),
        matchers: hostile.matchers.clone(),
        from: hostile.from.expect("given"),
        until: hostile.until,
        window: hostile.window.clone(),
        by: hostile.by.clone(),
        comment: hostile.comment.clone(),
        created_at: made.created_at,
        ended_at: None,
        ended_by: None,
        write: hostile.write.clone(),
    };
    assert_eq!(made, expected);
    let plain = added(&bench, &new()).await;
    assert_eq!((plain.from, plain.window), (plain.created_at, None), "from now on, by the store's clock");
}

pub(super) async fn one_write_makes_one_silence(bench: Bench) {
    let new = new();
    let first = added(&bench, &new).await;
    assert_eq!(added(&bench, &new).await, first, "the same write once more changes nothing");
    let other = NewSilence { write: name("other"), comment: "mine".into(), ..new };
    let refused = bench.silences.add_silence(&other).await;
    assert!(matches!(refused, Err(StoreError::Rejected(_))), "{refused:?}");
    assert_eq!(stored(&bench, &first.id).await, first);
}

pub(super) async fn a_silence_is_ended_once(bench: Bench) {
    let made = added(&bench, &new()).await;
    let first = ended(&bench, &made.id, "$by").await;
    let ended_at = first.ended_at.expect("ended");
    assert!(ended_at >= made.created_at, "by the store's clock");
    assert_eq!(first, Silence { ended_at: Some(ended_at), ended_by: Some("$by".into()), ..made });
    assert_eq!(ended(&bench, &first.id, "another").await, first, "who comes later ends nothing");
    let now = DateTime::now();
    let over = NewSilence { from: Some(after(now, 2 * OVER_MS)), until: after(now, OVER_MS), ..new() };
    let over = added(&bench, &over).await;
    assert_eq!(ended(&bench, &over.id, "late").await, over, "what is over stays as it was");
    assert_eq!(bench.silences.end_silence(&new().id, "nobody").await.expect("asked"), None);
    assert_eq!(bench.silences.silence(&new().id).await.expect("asked"), None);
}

pub(super) async fn a_look_has_the_silences_that_are_not_over(bench: Bench) {
    let empty = bench.silences.look_at_silences().await.expect("a look");
    assert_eq!((empty.silences, empty.unreadable), (vec![], Vec::<String>::new()));
    let now = DateTime::now();
    let ahead = NewSilence { from: Some(after(now, LONG_MS)), until: after(now, 3 * LONG_MS), ..new() };
    let ahead = added(&bench, &ahead).await;
    let later = added(&bench, &NewSilence { until: after(now, 5 * LONG_MS), ..new() }).await;
    let sooner = added(&bench, &NewSilence { until: after(now, 2 * LONG_MS), ..new() }).await;
    added(&bench, &NewSilence { from: Some(after(now, 2 * OVER_MS)), until: after(now, OVER_MS), ..new() }).await;
    let gone = added(&bench, &new()).await;
    ended(&bench, &gone.id, "me").await;
    let look = bench.silences.look_at_silences().await.expect("a look");
    assert_eq!(look.silences, [sooner, ahead, later], "by when they end");
    assert!(look.now >= empty.now && look.now >= gone.created_at);
}

pub(super) async fn silences_that_were_over_long_ago_are_forgotten(bench: Bench) {
    let now = DateTime::now();
    let mut over = Vec::new();
    for _ in 0..2 {
        let new = NewSilence { from: Some(after(now, 3 * OVER_MS)), until: after(now, 2 * OVER_MS), ..new() };
        over.push(added(&bench, &new).await.id);
    }
    let open = added(&bench, &new()).await.id;
    let early = added(&bench, &new()).await.id;
    ended(&bench, &early, "me").await;
    let forget = async |older_ms, limit| bench.silences.forget_silences(older_ms, limit).await.expect("done");
    assert_eq!(forget(3 * LONG_MS, 9).await, 0, "not so long ago");
    assert_eq!(forget(LONG_MS, 0).await, 0);
    assert_eq!(forget(LONG_MS, 1).await, 1, "at most one");
    assert_eq!(forget(LONG_MS, 9).await, 1, "but the one that was ended only now");
    assert_eq!(forget(OVER_MS, 9).await, 1, "which is over since it was ended, whatever time it had");
    assert_eq!(bench.silences.silence(&open).await.expect("read").map(|silence| silence.id), Some(open));
    for id in over.iter().chain([&early]) {
        assert_eq!(bench.silences.silence(id).await.expect("read"), None, "{id}");
    }
}
