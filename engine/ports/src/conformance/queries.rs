//! What is listed, counted and found.

use super::kit::{Bench, LONG_MS, OVER_MS, claim, enqueue, reach, request};
use crate::{JobFilter, Place};
use bson::{DateTime, doc};
use futures::future::join_all;
use lucid_core::Command;
use lucid_schemas::{Failure, Job, JobId, Kind, Request, Requires, State};
use std::collections::{BTreeMap, BTreeSet};

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
        let mut filter = JobFilter { kind, states: state.into_iter().collect(), limit: 4, ..JobFilter::default() };
        let mut found = Vec::new();
        loop {
            let page = bench.store.list(&filter).await.expect("listed");
            assert!(page.jobs.len() <= 4);
            found.extend(page.jobs);
            assert_eq!(page.more, found.len() < expected.len(), "{filter:?}");
            filter.after = found.last().map(Place::of);
            if !page.more {
                break;
            }
        }
        assert_eq!(ids(&found), ids(&expected), "{filter:?}");
        assert_eq!(found, expected);
    }
}

pub(super) async fn a_page_goes_on_where_a_job_was_that_is_gone(bench: Bench) {
    let (mut older, mut newer) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        older.push(bench.queued().await);
    }
    // So that they are newer on every clock.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    for _ in 0..2 {
        let job = bench.queued().await;
        newer.push(bench.make(&job, &Command::RequestCancel, "api").await);
    }
    let first = JobFilter { limit: 2, ..JobFilter::default() };
    let page = bench.store.list(&first).await.expect("listed");
    let of = |jobs: &[Job]| ids(jobs).into_iter().collect::<BTreeSet<_>>();
    assert_eq!((of(&page.jobs), page.more), (of(&newer), true));
    let rest = JobFilter { after: page.jobs.last().map(Place::of), ..first };
    // What was seen is forgotten meanwhile.
    assert_eq!(bench.store.forget(Kind::Backup, State::Canceled, OVER_MS, 9).await.expect("forgotten"), 2);
    let page = bench.store.list(&rest).await.expect("listed");
    assert_eq!((of(&page.jobs), page.more), (of(&older), false));
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
pub(super) async fn what_open_jobs_need_is_told_by_backup(bench: Bench) {
    let mut expected = BTreeMap::new();
    for kind in Kind::ALL {
        let job = bench.put(&enqueue(request(kind))).await;
        let stored = bench.document(job.id()).await;
        let told: Vec<_> =
            stored.get_array("needs").into_iter().flatten().filter_map(|backup| backup.as_str()).collect();
        let about: Vec<_> = job.request.spec.backup().map(JobId::as_str).into_iter().collect();
        assert_eq!(told, about, "{kind}: from birth, for any program to read");
        expected.extend(about.into_iter().map(|backup| (backup.to_owned(), job.id().to_string())));
    }
    assert_eq!(expected.len(), 3, "restore, verify, copy");
    assert_eq!(bench.store.needed().await.expect("told"), expected);
    let many = enqueue(request(Kind::Verify));
    let job = bench.store.enqueue_many(std::slice::from_ref(&many)).await.remove(0).expect("enqueued");
    let backup = job.request.spec.backup().expect("it is about one").to_string();
    expected.insert(backup.clone(), job.id().to_string());
    assert_eq!(bench.store.needed().await.expect("told"), expected);
    let job = bench.make(&job, &claim("w", LONG_MS), "w").await;
    assert_eq!(bench.store.needed().await.expect("told"), expected, "also while it runs");
    bench.make(&job, &Command::Succeed { epoch: job.head.epoch, result: doc! {} }, "w").await;
    expected.remove(&backup);
    assert_eq!(bench.store.needed().await.expect("told"), expected);
}

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

/// What a list finds by each of its filters, and that no text is anything but text.
pub(super) async fn lists_are_filtered_by_time_label_and_text(bench: Bench) {
    let labelled = |label: &str, by: &str| {
        let requires = Requires { labels: vec!["disk".into(), label.into()], ..Requires::default() };
        enqueue(Request { requires, requested_by: by.into(), ..request(Kind::Backup) })
    };
    let first = bench.put(&labelled("zone.a", "api:Pi-1")).await;
    let second = bench.put(&labelled("zone", "token:$ci(.*)")).await;
    let failing = bench.running(LONG_MS).await;
    let error = Failure { code: "x".into(), message: "The DISK is full: 100 %".into(), retryable: false };
    let failed =
        bench.make(&failing, &Command::Fail { epoch: 1, error, retry_in_ms: 0, out_of_time: false }, "w").await;
    let restore = bench.put(&enqueue(request(Kind::Restore))).await;
    // Some are born in the same millisecond, so that their order is chance.
    let some = |jobs: &[&Job]| jobs.iter().map(|job| job.id().clone()).collect::<BTreeSet<_>>();
    let find = async |filter: JobFilter| {
        let page = bench.store.list(&JobFilter { limit: MANY, ..filter }).await.expect("listed");
        page.jobs.iter().map(|job| job.id().clone()).collect::<BTreeSet<_>>()
    };
    let text = async |text: &str| find(JobFilter { text: Some(text.into()), ..JobFilter::default() }).await;
    let label = async |label: &str| find(JobFilter { label: Some(label.into()), ..JobFilter::default() }).await;

    assert_eq!(label("zone").await, some(&[&second]), "a whole label, not a piece of one");
    assert_eq!(label("disk").await, some(&[&first, &second]));
    assert_eq!(label("$ne").await, some(&[]));
    assert_eq!(text(first.id().as_str()).await, some(&[&first]), "by id");
    assert_eq!(text("COPY").await, some(&[&restore]), "by database");
    assert_eq!(text("disk is FULL: 100 %").await, some(&[&failed]), "by the error's message");
    assert_eq!(text("pi-1").await, some(&[&first, &failed, &restore]), "by who asked");
    assert_eq!(text("$ci(.*)").await, some(&[&second]), "what looks like a pattern is none");
    for nothing in ["^backup", "b.ckup", "$_id", "lucid\u{0}", "main"] {
        assert_eq!(text(nothing).await, some(&[]), "{nothing:?}");
    }
    let states = vec![State::Failed, State::Queued];
    let found = find(JobFilter { states, kind: Some(Kind::Backup), ..JobFilter::default() }).await;
    assert_eq!(found, some(&[&first, &second, &failed]));
    let at = second.head.created_at.stored();
    let since = find(JobFilter { since: at, ..JobFilter::default() }).await;
    let until = find(JobFilter { until: at, ..JobFilter::default() }).await;
    assert!(since.contains(second.id()) && !until.contains(second.id()), "from the first instant, to before the last");
    assert!(since.is_disjoint(&until));
    assert_eq!(&since | &until, some(&[&first, &second, &failed, &restore]));
}

/// Pages by id: with as little room as possible, and whatever comes in between.
pub(super) async fn all_jobs_are_paged_by_id(bench: Bench) {
    let mut born = Vec::new();
    for kind in [Kind::Verify, Kind::Backup, Kind::Restore, Kind::Backup, Kind::Verify] {
        born.push(bench.put(&enqueue(request(kind))).await.request.id);
    }
    born.sort();
    let mut found: Vec<String> = Vec::new();
    loop {
        let page = bench.archive.page(found.last().map(String::as_str), 2).await.expect("read");
        if page.is_empty() {
            break;
        }
        for document in page {
            let id = document.get_str("_id").expect("an id").to_owned();
            assert_eq!(document, bench.document(&id.parse().expect("an id")).await, "as it is stored");
            found.push(id);
        }
        // An id that comes before all of these: it must not push any of them aside.
        let id = JobId::compose(Kind::Backup, DateTime::from_millis(0), found.len() as u64);
        bench.put(&enqueue(Request { id, ..request(Kind::Backup) })).await;
    }
    assert!(found.iter().eq(born.iter().map(JobId::as_str)), "{found:?}");
    assert_eq!(bench.archive.page(None, 0).await.expect("read"), []);
}
