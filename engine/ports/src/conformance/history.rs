//! The history, seen live: each change once, in order, with its events; and the way back to any place.

use super::{
    alerts,
    kit::{Bench, LONG_MS, claim, enqueue, prepared, request},
};
use crate::{AlertChange, CatchUpError, Caught, Change, JobChange, Joined, News, Outcome, ResumeToken, Subject};
use bson::{Timestamp, doc};
use lucid_core::{Command, evolve};
use lucid_schemas::{Event, EventBody, JobId, Kind, Progress, Request};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn next(joined: &mut Joined) -> Arc<Change> {
    match timeout(PATIENCE, joined.news.recv()).await.expect("news in time").expect("a history that runs") {
        News::Change(change) => change,
        News::Gap => panic!("nothing was broken"),
    }
}

fn of_job(change: &Change) -> &JobChange {
    change.job().expect("a change of a job")
}

/// What came until the birth of `last`, with it.
async fn heard_until(joined: &mut Joined, last: &JobId) -> Vec<Arc<Change>> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|change: &Arc<Change>| of_job(change).id != *last) {
        heard.push(next(joined).await);
    }
    heard
}

/// The same, catching up.
async fn caught_until(bench: &Bench, after: &ResumeToken, last: &JobId) -> Vec<Arc<Change>> {
    let mut said = bench.history.catch_up(after).await.expect("held");
    let mut caught: Vec<Arc<Change>> = Vec::new();
    while caught.last().is_none_or(|change| of_job(change).id != *last) {
        match timeout(PATIENCE, said.recv()).await.expect("in time").expect("a stream that runs") {
            Caught::Change(change) => caught.push(change),
            Caught::Position(position) => assert!(caught.last().is_none_or(|change| change.token <= position)),
            Caught::Over(error) => panic!("{error}"),
        }
    }
    caught
}

pub(super) async fn changes_come_with_their_events(bench: Bench) {
    let mut joined = bench.history.recent().join_now();
    // A large request, so that changes are told as differences; and a small one, where they may not be.
    let large = Request { requested_by: "a".repeat(5_000), ..request(Kind::Backup) };
    for asked in [request(Kind::Verify), large] {
        let job = bench.put(&enqueue(asked)).await;
        let job = bench.make(&job, &claim("w", LONG_MS), "w").await;
        let token = job.lease.clone().expect("a lease").token;
        let progress = Progress { documents: 5, ..Progress::default() };
        bench.store.renew(job.id(), 1, &token, LONG_MS, Some(&progress)).await.expect("renewed");
        let job = bench.make(&job, &Command::Commit { epoch: 1, fact: EventBody::CommitStarted {} }, "w").await;
        // A name that isn't all ASCII must not break the stream.
        let result = doc! { "$where": 1, "größe": { "eventsé": 2 } };
        let job = bench.make(&job, &Command::Succeed { epoch: 1, result }, "w").await;
        let marker = bench.queued().await;
        let heard = heard_until(&mut joined, marker.id()).await;
        assert!(heard.is_sorted_by(|one, next| one.token < next.token), "{heard:?}");
        let changes = &heard[..heard.len() - 1];
        let told: Vec<Event> = changes.iter().flat_map(|change| of_job(change).events.clone()).collect();
        assert_eq!(told, job.events, "every event once, and none of a heartbeat");
        assert!(changes.iter().all(|change| of_job(change).id == *job.id()));
        let whole = |change: &JobChange| change.events_in(&job.events) == change.events;
        assert!(changes.iter().all(|change| whole(of_job(change))), "{changes:?}");
        assert_eq!(changes.last().and_then(|change| of_job(change).state), Some(job.head.state));
    }
    // One transition with several events.
    let job = bench.running(LONG_MS).await;
    let mut twofold = prepared(&job, &Command::Commit { epoch: 1, fact: EventBody::CommitStarted {} }, "w");
    let cluster_time = Timestamp { time: 5, increment: 6 };
    let snapshot = Event { seq: 4, body: EventBody::SnapshotTaken { cluster_time }, ..twofold.events[0].clone() };
    twofold.head = evolve(twofold.head, &snapshot);
    twofold.events.push(snapshot);
    let Ok(Outcome::Won(job)) = bench.store.apply(&twofold).await else { panic!("it is lawful") };
    let marker = bench.queued().await;
    let heard = heard_until(&mut joined, marker.id()).await;
    let told: Vec<&[Event]> = heard[..3].iter().map(|change| of_job(change).events.as_slice()).collect();
    assert_eq!(told, [&job.events[..1], &job.events[1..2], &job.events[2..]]);
}

pub(super) async fn alerts_are_told_among_the_jobs(bench: Bench) {
    use lucid_core::alert::Command;
    let mut joined = bench.history.recent().join_now();
    let start = joined.position.clone();
    let raised = alerts::put(&bench, &alerts::finding()).await;
    let known = alerts::make(&bench, &raised, &Command::ResolveByHand { comment: "mended".into() }).await;
    let marker = bench.queued().await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|change: &Arc<Change>| change.job().is_none()) {
        heard.push(next(&mut joined).await);
    }
    let told: Vec<&AlertChange> = heard
        .iter()
        .filter_map(|change| match &change.subject {
            Subject::Alert(changed) => Some(changed),
            Subject::Job(_) => None,
        })
        .collect();
    let [born, over] = &told[..] else { panic!("{heard:?}") };
    assert!([&born.id, &over.id].into_iter().all(|id| id == raised.id()));
    assert_eq!((born.state, over.state), (Some(raised.head.state), Some(known.head.state)));
    assert_eq!([born.events.clone(), over.events.clone()].concat(), known.events);
    assert_eq!(of_job(&heard[2]).id, *marker.id());
    let mut said = bench.history.catch_up(&start).await.expect("held");
    let mut caught = Vec::new();
    while caught.len() < 3 {
        if let Some(Caught::Change(change)) = timeout(PATIENCE, said.recv()).await.expect("in time") {
            caught.push(change);
        }
    }
    assert_eq!(caught, heard, "the long way tells the same");
}

pub(super) async fn who_was_away_is_told_all_that_he_missed(bench: Bench) {
    let recent = bench.history.recent();
    let mut joined = recent.join_now();
    let start = joined.position.clone();
    let first = bench.queued().await;
    let place = next(&mut joined).await;
    assert_eq!(of_job(&place).id, *first.id());
    for _ in 0..5 {
        bench.queued().await;
    }
    let last = bench.queued().await;
    let missed = heard_until(&mut joined, last.id()).await;
    let back = recent.join(&place.token).expect("it isn't long ago");
    assert_eq!(back.backlog, missed);
    assert!(recent.join(&back.position).is_some_and(|again| again.backlog.is_empty()));
    assert_eq!(caught_until(&bench, &place.token, last.id()).await, missed, "the long way tells the same");

    // More than is held: only the long way is left, and it meets what is held.
    for _ in 0..20 {
        bench.queued().await;
    }
    let last = bench.queued().await;
    let later = heard_until(&mut joined, last.id()).await;
    let all: Vec<_> = [vec![place.clone()], missed, later].concat();
    assert!(recent.join(&place.token).is_none(), "it is too long ago");
    assert_eq!(caught_until(&bench, &start, last.id()).await, all, "from a place where nothing happened, too");
    let met = recent.join(&all[all.len() - 3].token).expect("among what is held");
    assert_eq!(met.backlog, all[all.len() - 2..]);
}

pub(super) async fn a_place_that_never_was_is_lost(bench: Bench) {
    bench.queued().await;
    for text in ["00FF", "82", "FFFFFFFFFFFFFFFFFF", "82FFFFFFFF000000032B022C0100296E5A1004"] {
        let token: ResumeToken = text.parse().expect("digits");
        assert!(bench.history.recent().join(&token).is_none_or(|joined| joined.backlog.len() == 1), "{text}");
        let mut reason = bench.history.catch_up(&token).await.err();
        if let Ok(mut said) = bench.history.catch_up(&token).await {
            while reason.is_none() {
                match timeout(PATIENCE, said.recv()).await.expect("in time").expect("a word on why") {
                    Caught::Over(error) => reason = Some(error),
                    Caught::Change(_) | Caught::Position(_) => {}
                }
            }
        }
        assert!(matches!(reason, Some(CatchUpError::Lost(_))), "{text}: {reason:?}");
    }
}
