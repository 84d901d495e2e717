//! What is listed, counted and found.

use super::kit::{Bench, LONG_MS, OVER_MS, claim, enqueue, reach, request};
use crate::JobFilter;
use bson::doc;
use futures::future::join_all;
use lucid_core::Command;
use lucid_schemas::{Job, JobId, Kind, Request, State};
use std::collections::BTreeMap;

const MANY: u32 = 100;

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id().clone()).collect()
}

pub(super) async fn pages_of_a_list_join_without_gap_or_repetition(bench: Bench) {
    // All at once, so that some are born in the same millisecond.
    let births = (0..23).map(|number| {
        let bench = bench.clone();
        tokio::spawn(async move {
            let kind = [Kind::Backup, Kind::Verify][number % 2];
            let job = bench.put(&enqueue(request(kind))).await;
            if number % 3 > 0 {
                return job;
            }
            bench.make(&job, &claim("w", LONG_MS), "w").await
        })
    });
    let births = join_all(births.collect::<Vec<_>>()).await;
    let mut born: Vec<Job> = births.into_iter().map(|job| job.expect("no panic")).collect();
    born.sort_by_key(|job| (job.head.created_at.stored(), job.id().clone()));
    born.reverse();
    for (kind, state) in [
        (None, None),
        (Some(Kind::Verify), None),
        (None, Some(State::Running)),
        (Some(Kind::Backup), Some(State::Queued)),
        (Some(Kind::Restore), None),
        (None, Some(State::Failed)),
    ] {
        let expected: Vec<_> = born
            .iter()
            .filter(|job| kind.is_none_or(|kind| job.kind() == kind))
            .filter(|job| state.is_none_or(|state| job.head.state == state))
            .cloned()
            .collect();
        let mut filter = JobFilter { kind, state, after: None, limit: 4 };
        let mut found = Vec::new();
        loop {
            let page = bench.store.list(&filter).await.expect("listed");
            assert!(page.jobs.len() <= 4);
            found.extend(page.jobs);
            assert_eq!(page.more, found.len() < expected.len(), "{filter:?}");
            filter.after = found.last().map(|job| job.id().clone());
            if !page.more {
                break;
            }
        }
        assert_eq!(ids(&found), ids(&expected), "{filter:?}");
        assert_eq!(found, expected);
    }
}

pub(super) async fn open_jobs_are_counted_by_state(bench: Bench) {
    assert_eq!(bench.store.open_jobs().await.expect("counted"), BTreeMap::new());
    bench.queued().await;
    bench.queued().await;
    let running = bench.running(LONG_MS).await;
    let ended = bench.running(LONG_MS).await;
    bench.make(&ended, &Command::Succeed { epoch: 1, result: doc! {} }, "w").await;
    let counts = bench.store.open_jobs().await.expect("counted");
    assert_eq!(counts, BTreeMap::from([(State::Queued, 2), (State::Running, 1)]));
    bench.make(&running, &Command::RequestCancel, "api").await;
    let counts = bench.store.open_jobs().await.expect("counted");
    assert_eq!(counts, BTreeMap::from([(State::Queued, 2), (State::Canceling, 1)]));
}

pub(super) async fn ids_are_found_by_prefix(bench: Bench) {
    let mut backups = Vec::new();
    for _ in 0..5 {
        backups.push(bench.queued().await.request.id);
    }
    let verify = bench.put(&enqueue(request(Kind::Verify))).await.request.id;
    backups.sort();
    let find = async |prefix: &str, limit| bench.store.ids_with_prefix(prefix, limit).await.expect("looked for");
    assert_eq!(find("backup_", MANY).await, backups);
    assert_eq!(find("backup_", 2).await, backups[..2]);
    assert_eq!(find("verify_2", MANY).await, std::slice::from_ref(&verify));
    assert_eq!(find(verify.as_str(), MANY).await, std::slice::from_ref(&verify), "a whole id is its own prefix");
    assert_eq!(find("", MANY).await.len(), 6);
    for strange in ["backup.", "^backup", ".*", "Backup", "ackup_", "backup_{", "restore", "$gt", "verify_\u{0}"] {
        assert_eq!(find(strange, MANY).await, [], "{strange:?}");
    }
    let longer = format!("{verify}0");
    assert_eq!(find(&longer, MANY).await, []);
}

/// A limit of 0 is no "without limit".
pub(super) async fn none_means_none(bench: Bench) {
    bench.queued().await;
    bench.running(OVER_MS).await;
    let last = bench.put(&enqueue(Request { max_attempts: 1, ..request(Kind::Backup) })).await;
    bench.make(&last, &claim("w", OVER_MS), "w").await;
    assert_eq!(bench.store.claimable(&reach(), 0).await.expect("looked for"), []);
    assert_eq!(bench.store.expired(0).await.expect("looked for"), []);
    assert_eq!(bench.store.list(&JobFilter::default()).await.expect("listed").jobs, []);
    assert_eq!(bench.store.ids_with_prefix("backup", 0).await.expect("looked for"), Vec::<JobId>::new());
}
