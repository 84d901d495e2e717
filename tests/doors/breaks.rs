//! The server fails in between: answers are lost, streams break, primaries change.

use super::{LONG_MS, Set, backup, claim, make};
use bson::{Document, doc};
use lucid_core::{Command, invariant::violations, transition};
use lucid_ports::{Feed, Outcome, Renewal, Store, Wake};
use lucid_schemas::{RepositoryName, State, collections::OPS};
use mongodb::Client;
use std::{sync::Arc, time::Duration};
use tokio::{sync::broadcast::Receiver, time::timeout};

const PATIENCE: Duration = Duration::from_secs(30);

async fn next_wake(wakes: &mut Receiver<Wake>) -> Wake {
    timeout(PATIENCE, wakes.recv()).await.expect("a wake-up in time").expect("a feed that runs")
}

/// Makes the server fail the next `times` commands of our program in this way.
async fn fail_commands(set: &Set, commands: &[&str], times: i32, how: Document) {
    let mut data = doc! { "failCommands": commands, "appName": "lucid-ops" };
    data.extend(how);
    let failpoint = doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": data };
    let client = Client::with_uri_str(&set.uri).await.expect("a client");
    client.database("admin").run_command(failpoint).await.expect("a failpoint");
}

async fn birth(store: &dyn Store, wakes: &mut Receiver<Wake>, what: &str) {
    let job = store.enqueue(&backup(0)).await.expect("enqueued");
    let born = |wake: &Wake| matches!(wake, Wake::Changed { id, state: Some(State::Queued), .. } if id == job.id());
    let wake = next_wake(wakes).await;
    assert!(born(&wake), "{what}: {wake:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_opened_anew_and_says_so() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let (store, feed) = (connection.store(), connection.feed().await.expect("a feed"));
    let mut wakes = feed.subscribe();
    birth(&*store, &mut wakes, "at first").await;
    // History that was lost: nothing to resume from.
    fail_commands(&set, &["getMore"], 1, doc! { "errorCode": 286 }).await;
    assert_eq!(next_wake(&mut wakes).await, Wake::Gap);
    birth(&*store, &mut wakes, "after lost history").await;
    // Nor is there anything while no stream can be opened; the gap is told once one is.
    fail_commands(&set, &["getMore", "aggregate"], 4, doc! { "errorCode": 286 }).await;
    assert_eq!(next_wake(&mut wakes).await, Wake::Gap);
    birth(&*store, &mut wakes, "after several failures").await;
    database.collection::<Document>(OPS).drop().await.expect("dropped");
    assert_eq!(next_wake(&mut wakes).await, Wake::Gap);
    connection.set_up().await.expect("set up");
    birth(&*store, &mut wakes, "after an invalidate").await;
    timeout(PATIENCE, feed.stop()).await.expect("it stops");
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_nothing_happen_twice_or_not_at_all() {
    let mut set = Set::start(1).await;
    // After a made-up failure nothing tells the driver that all is well again until it looks.
    set.uri.push_str("&heartbeatFrequencyMS=500");
    let (connection, _) = set.database().await;
    let store = connection.store();
    let not_on_a_majority = doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } };
    let failures = [
        ("the write happened, its majority is unknown", not_on_a_majority),
        ("the connection breaks", doc! { "closeConnection": true }),
        ("the primary steps down", doc! { "errorCode": 10_107 }),
        ("the server shuts down", doc! { "errorCode": 91 }),
        ("out of time", doc! { "errorCode": 50 }),
    ];
    for (what, how) in failures {
        fail_commands(&set, &["update"], 2, how.clone()).await;
        let job = store.enqueue(&backup(0)).await.expect(what);
        assert_eq!(job.events.len(), 1, "{what}");
        fail_commands(&set, &["update"], 2, how.clone()).await;
        let job = make(&*store, &job, &claim("w", LONG_MS), "w").await;
        assert_eq!((job.head.version, job.head.epoch), (2, 1), "{what}");
        let token = job.lease.clone().expect("a lease").token;
        fail_commands(&set, &["update"], 2, how.clone()).await;
        let renewal = loop {
            // A renewal gives up soon, so that the heartbeat decides; it then tries again.
            match store.renew(job.id(), 1, &token, LONG_MS, None).await {
                Err(error) if error.is_retryable() => {}
                answer => break answer.expect(what),
            }
        };
        assert_eq!(renewal, Renewal::Renewed { state: State::Running }, "{what}");
        // Somebody else was faster, and the loser learns it through the same noise.
        let late = transition(&job, &Command::RequestCancel, "api", "late").expect("lawful");
        let done = Command::Succeed { epoch: 1, result: doc! {} };
        make(&*store, &job, &done, "w").await;
        fail_commands(&set, &["update", "find"], 2, how).await;
        let lost = store.apply(&late).await.expect(what);
        assert!(matches!(&lost, Outcome::Lost(Some(now)) if now.head.state == State::Succeeded), "{what}: {lost:?}");
        let stored = store.load(job.id()).await.expect("loaded").expect("there");
        assert_eq!((violations(&stored), stored.events.len()), (vec![], 3), "{what}");
        let repository = |id: &str| RepositoryName { name: what.into(), id: id.into() };
        fail_commands(&set, &["update"], 2, doc! { "closeConnection": true }).await;
        store.bind_repository(&repository("one")).await.expect(what);
        store.bind_repository(&repository("two")).await.expect_err(what);
    }
    set.end().await;
}

/// Workers race through jobs while primaries change; each event is there once, and no answer was wrong.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_primaries_change() {
    const JOBS: u64 = 120;
    let set = Set::start(3).await;
    let (connection, _) = set.database().await;
    let store = connection.store();
    let lives = (0..JOBS).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            // Spread over the changes.
            tokio::time::sleep(Duration::from_millis(number * 100)).await;
            let job = store.enqueue(&backup(number)).await.expect("enqueued");
            let job = make(&*store, &job, &claim("w", LONG_MS), "w").await;
            let token = job.lease.clone().expect("a lease").token;
            store.renew(job.id(), 1, &token, LONG_MS, None).await.expect("renewed");
            make(&*store, &job, &Command::Succeed { epoch: 1, result: doc! { "number": 1 } }, "w").await
        })
    });
    let lives: Vec<_> = lives.collect();
    let (deployment, _) = set.deployment.as_ref().expect("a private set");
    for _ in 0..2 {
        deployment.step_down().await.expect("another primary");
    }
    for life in lives {
        let job = life.await.expect("every write came through");
        let stored = store.load(job.id()).await.expect("loaded");
        assert_eq!(stored.as_ref(), Some(&job));
        assert_eq!((violations(&job), job.events.len(), job.head.state), (vec![], 3, State::Succeeded));
    }
    set.end().await;
}
