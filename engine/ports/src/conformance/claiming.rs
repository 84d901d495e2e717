//! What is looked for to be claimed, taken over or swept, and when to look again.

use super::kit::{Bench, LONG_MS, OVER_MS, claim, enqueue, reach, repository, request};
use crate::{Enqueue, Reach};
use lucid_core::Command;
use lucid_schemas::{EventBody, Job, JobId, Kind, RepositoryName, Request, Requires, Spec, State, VerifyLevel};
use std::{collections::BTreeSet, time::Duration};

const MANY: u32 = 100;

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id().clone()).collect()
}

async fn put(bench: &Bench, delay_ms: i64, change: impl FnOnce(&mut Request)) -> JobId {
    let mut asked = request(Kind::Backup);
    change(&mut asked);
    let enqueue = Enqueue { delay_ms, ..enqueue(asked) };
    bench.put(&enqueue).await.request.id
}

async fn claimable(bench: &Bench, reach: &Reach) -> Vec<JobId> {
    ids(&bench.store.claimable(reach, MANY).await.expect("looked for"))
}

pub(super) async fn claimable_is_what_is_due_best_first(bench: Bench) {
    // A step of priority is ten minutes.
    let an_hour_ago_ms = 12 * OVER_MS;
    let plain = put(&bench, 0, |_| ()).await;
    let older = put(&bench, an_hour_ago_ms, |_| ()).await;
    let urgent = put(&bench, 0, |asked| asked.priority = 3).await;
    // Lower, but due for so long that it has its turn.
    let idle = put(&bench, an_hour_ago_ms, |asked| asked.priority = -1).await;
    let idler = put(&bench, 0, |asked| asked.priority = -1).await;
    put(&bench, LONG_MS, |asked| asked.priority = 9).await;
    bench.running(LONG_MS).await;
    assert_eq!(claimable(&bench, &reach()).await, [&older, &idle, &urgent, &plain, &idler].map(Clone::clone));
    let two = bench.store.claimable(&reach(), 2).await.expect("looked for");
    assert_eq!(ids(&two), [older.clone(), idle.clone()]);
}

/// The repository of the same name that is another one.
fn elsewhere() -> RepositoryName {
    RepositoryName { id: "another".into(), ..repository("main") }
}

/// Each of these needs something else.
fn needs() -> [Requires; 4] {
    let of =
        |repository, labels: &[&str]| Requires { repository, labels: labels.iter().map(ToString::to_string).collect() };
    [of(Some(elsewhere()), &[]), of(Some(repository("main")), &["nvme"]), of(None, &["nvme", "rack-2"]), of(None, &[])]
}

pub(super) async fn claimable_is_what_is_in_reach(bench: Bench) {
    let plain = put(&bench, 0, |_| ()).await;
    let elsewhere = elsewhere();
    let mut placed = Vec::new();
    for requires in needs() {
        placed.push(
            put(&bench, OVER_MS, |asked| {
                (asked.requires, asked.priority) = (requires, 20);
            })
            .await,
        );
    }
    let mut verify = request(Kind::Verify);
    verify.priority = 30;
    let verify = bench.put(&enqueue(verify)).await.request.id;
    let mut drill = request(Kind::Verify);
    let Spec::Verify(spec) = &mut drill.spec else { panic!("{drill:?}") };
    spec.level = VerifyLevel::Drill;
    let drill = bench.put(&enqueue(drill)).await.request.id;
    let of = |kinds: &[Kind]| Reach { kinds: kinds.to_vec(), ..reach() };
    let backups = |repositories: &[RepositoryName], labels: &[&str]| Reach {
        kinds: vec![Kind::Backup],
        repositories: repositories.to_vec(),
        labels: labels.iter().map(ToString::to_string).collect(),
        ..Reach::default()
    };
    for (reach, expected) in [
        (backups(&[], &[]), vec![&placed[3]]),
        (backups(std::slice::from_ref(&elsewhere), &[]), vec![&placed[0], &placed[3]]),
        (backups(&[], &["rack-2", "nvme"]), vec![&placed[2], &placed[3]]),
        (backups(&[repository("main")], &["nvme"]), vec![&placed[1], &placed[3], &plain]),
        (of(&[Kind::Verify]), vec![&verify]),
        // A drill restores.
        (of(&[Kind::Restore]), vec![&drill]),
        (of(&[Kind::Verify, Kind::Restore]), vec![&verify, &drill]),
        (Reach { paused: vec![Kind::Verify], ..of(&[Kind::Restore]) }, vec![]),
        (Reach { paused: vec![Kind::Restore], ..of(&[Kind::Restore]) }, vec![&drill]),
        (of(&[]), vec![]),
    ] {
        let found = bench.store.claimable(&reach, MANY).await.expect("looked for");
        assert_eq!(ids(&found).iter().collect::<BTreeSet<_>>(), expected.into_iter().collect(), "{reach:?}");
        assert!(found.iter().all(|job| reach.covers(&job.request)));
    }
}

async fn commit(bench: &Bench, job: &Job) -> Job {
    bench.make(job, &Command::Commit { epoch: 1, fact: EventBody::CommitStarted {} }, "w").await
}

pub(super) async fn claimable_has_lost_jobs_with_attempts_left(bench: Bench) {
    let lost = bench.running(OVER_MS).await;
    let held = bench.running(LONG_MS).await;
    let last_attempt = bench.put(&enqueue(Request { max_attempts: 1, ..request(Kind::Backup) })).await;
    bench.make(&last_attempt, &claim("w", OVER_MS), "w").await;
    assert_eq!(claimable(&bench, &reach()).await, std::slice::from_ref(lost.id()));
    let other_kinds = Reach { kinds: vec![Kind::Verify], ..reach() };
    assert_eq!(claimable(&bench, &other_kinds).await, []);
    // What is asked to end, or past its point of no return, is taken over without a limit.
    let canceling = bench.make(&held, &Command::RequestCancel, "api").await;
    assert_eq!(claimable(&bench, &reach()).await, std::slice::from_ref(lost.id()));
    let given_back = Command::Release { epoch: 1, reason: "stops".into() };
    bench.make(&canceling, &given_back, "w").await;
    let committing = bench.put(&enqueue(Request { max_attempts: 1, ..request(Kind::Backup) })).await;
    let committing = bench.make(&committing, &claim("w", OVER_MS), "w").await;
    commit(&bench, &committing).await;
    let waiting = commit(&bench, &bench.running(LONG_MS).await).await;
    let error = super::transitions::failure("broken", true);
    let failed = Command::Fail { epoch: 1, error: error.clone(), retry_in_ms: LONG_MS, out_of_time: false };
    bench.make(&waiting, &failed, "w").await;
    let blocked = commit(&bench, &bench.running(OVER_MS).await).await;
    let error = super::transitions::failure("broken", false);
    bench.make(&blocked, &Command::Fail { epoch: 1, error, retry_in_ms: OVER_MS, out_of_time: false }, "w").await;
    let found: BTreeSet<_> = claimable(&bench, &reach()).await.into_iter().collect();
    let expected = [&lost, &held, &committing].map(|job| job.id().clone());
    assert_eq!(found, expected.into_iter().collect());
}

pub(super) async fn expired_has_lost_jobs_without_attempts_left(bench: Bench) {
    bench.queued().await;
    bench.running(LONG_MS).await;
    bench.running(OVER_MS).await;
    let last = Request { max_attempts: 1, ..request(Kind::Backup) };
    let held = bench.put(&enqueue(Request { id: super::kit::id(Kind::Backup), ..last.clone() })).await;
    bench.make(&held, &claim("w", LONG_MS), "w").await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        let job = bench.put(&enqueue(Request { id: super::kit::id(Kind::Backup), ..last.clone() })).await;
        expected.push(bench.make(&job, &claim("w", OVER_MS), "w").await);
    }
    let committing = bench.put(&enqueue(last)).await;
    let committing = bench.make(&committing, &claim("w", OVER_MS), "w").await;
    commit(&bench, &committing).await;
    let found = bench.store.expired(MANY).await.expect("looked for");
    assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), ids(&expected).into_iter().collect());
    assert_eq!(bench.store.expired(2).await.expect("looked for").len(), 2);
    for job in found {
        assert_eq!(bench.make(&job, &Command::Expire, "sweeper").await.head.state, State::Failed);
    }
    assert_eq!(bench.store.expired(MANY).await.expect("looked for"), []);
}

pub(super) async fn the_next_due_time_is_the_soonest_to_come(bench: Bench) {
    let minutes = async |reach: &Reach| {
        let due_in = bench.store.next_due_in(reach).await.expect("looked for");
        due_in.map(|due_in| (due_in + Duration::from_secs(20)).as_secs() / 60)
    };
    assert_eq!(minutes(&reach()).await, None);
    bench.queued().await;
    bench.running(OVER_MS).await;
    assert_eq!(minutes(&reach()).await, None, "what could be claimed now is not to come");
    put(&bench, 3 * LONG_MS, |_| ()).await;
    assert_eq!(minutes(&reach()).await, Some(15));
    bench.running(2 * LONG_MS).await;
    assert_eq!(minutes(&reach()).await, Some(10), "a lease's end");
    let held = bench.running(5 * LONG_MS).await;
    let error = super::transitions::failure("broken", true);
    let failed = Command::Fail { epoch: 1, error, retry_in_ms: LONG_MS, out_of_time: false };
    bench.make(&commit(&bench, &held).await, &failed, "w").await;
    assert_eq!(minutes(&reach()).await, Some(5), "the next try of a commit");
    put(&bench, LONG_MS / 2, |asked| asked.requires.labels = vec!["nvme".into()]).await;
    assert_eq!(minutes(&reach()).await, Some(5), "out of reach");
    let labelled = Reach { labels: vec!["nvme".into()], ..reach() };
    assert_eq!(minutes(&labelled).await, Some(2));
}
