//! The doors on a real replica set: the store and the feed on MongoDB keep the contract that the twin keeps, also where
//! the server fails in between. `LUCID_TEST_MONGODB_URI` names a set to use instead of a private one; it must run with
//! `enableTestCommands=1`.

use crate::support::world::scratch;
use bson::{Document, doc};
use lucid_core::{Command, invariant::violations, transition};
use lucid_embedded::{Deployment, Options};
use lucid_mongo::{ConnectError, Connection, connect, explainable_queries};
use lucid_ports::{
    Enqueue, Feed, Outcome, Reach, Store, Wake,
    conformance::{Bench, agree, run_all},
};
use lucid_schemas::{
    BackupSpec, Job, JobId, Kind, RepositoryName, Request, Requires, Spec, State,
    collections::{OPS, OPS_EVENTS, indexes, validators},
};
use mongodb::{Client, Database};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{sync::broadcast::Receiver, time::timeout};

const LONG_MS: i64 = 3_600_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A replica set, and connections to databases on it that nobody else uses.
struct Set {
    uri: String,
    made: AtomicU32,
    deployment: Option<(Deployment, TempDir)>,
}

impl Set {
    async fn start(members: usize) -> Self {
        let (uri, deployment) = if let (1, Ok(uri)) = (members, std::env::var("LUCID_TEST_MONGODB_URI")) {
            (uri, None)
        } else {
            let dir = scratch();
            let options = Options::new(dir.path().join("mongod")).members(members);
            let deployment = Deployment::start(options.parameter("enableTestCommands", "1")).await;
            let deployment = deployment.expect("a replica set starts");
            (deployment.uri(), Some((deployment, dir)))
        };
        Self {
            uri,
            made: AtomicU32::new(0),
            deployment,
        }
    }

    /// A database of its own, not set up.
    async fn bare(&self) -> (Connection, Database) {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("doors_{}_{number}", std::process::id());
        let connection = connect(&self.uri, &name).await.expect("connected");
        let database = connection.client().database(&name);
        database.drop().await.expect("empty");
        (connection, database)
    }

    async fn database(&self) -> (Connection, Database) {
        let (connection, database) = self.bare().await;
        connection.set_up().await.expect("set up");
        (connection, database)
    }

    async fn bench(&self) -> Bench {
        let (connection, database) = self.database().await;
        let jobs = database.collection::<Document>(OPS);
        Bench {
            store: connection.store(),
            feed: connection.feed().await.expect("a feed"),
            documents: Arc::new(move |id: JobId| {
                let jobs = jobs.clone();
                Box::pin(async move { jobs.find_one(doc! { "_id": id.as_str() }).await.expect("read") })
            }),
        }
    }

    /// Drops what was made on a set that stays, and stops one that doesn't.
    async fn end(self) {
        let client = Client::with_uri_str(&self.uri).await.expect("a client");
        for number in 0..self.made.load(Ordering::Relaxed) {
            let name = format!("doors_{}_{number}", std::process::id());
            client.database(&name).drop().await.expect("dropped");
        }
        if let Some((deployment, _dir)) = self.deployment {
            deployment.stop().await.expect("stopped");
        }
    }
}

fn backup(number: u64) -> Enqueue {
    let id = JobId::compose(Kind::Backup, bson::DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0);
    Enqueue {
        request: Request {
            id,
            spec: Spec::Backup(BackupSpec {
                database: "lucid".into(),
                collections: None,
                compression: true,
                encryption: true,
                require_consistent: false,
            }),
            requested_by: "test".into(),
            unique_key: (number > 0).then(|| format!("key-{number}")),
            priority: 0,
            max_attempts: 3,
            requires: Requires::default(),
        },
        delay_ms: 0,
        write: uuid::Uuid::new_v4().to_string(),
    }
}

fn reach() -> Reach {
    Reach {
        kinds: Kind::ALL.to_vec(),
        ..Reach::default()
    }
}

fn claim(worker: &str, lease_ms: i64) -> Command {
    Command::Claim {
        worker: worker.into(),
        lease_ms,
    }
}

/// Makes a command true; it must win.
async fn make(store: &dyn Store, job: &Job, command: &Command, by: &str) -> Job {
    let write = uuid::Uuid::new_v4().to_string();
    let next = transition(job, command, by, &write).expect("lawful");
    match store.apply(&next).await.expect("applied") {
        Outcome::Won(job) => *job,
        Outcome::Lost(current) => panic!("'{}' lost: {current:?}", command.name()),
    }
}

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

#[tokio::test(flavor = "multi_thread")]
async fn mongodb_keeps_the_contract() {
    let set = Set::start(1).await;
    run_all(|| set.bench()).await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_twin_and_mongodb_agree_on_whole_documents() {
    let set = Set::start(1).await;
    for seed in 0..10 {
        agree(&Bench::twin(), &set.bench().await, seed, 50).await;
    }
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_look_for_is_found_by_index() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let store = connection.store();
    for number in 0..40 {
        let job = store.enqueue(&backup(number)).await.expect("enqueued");
        match number % 4 {
            0 => {}
            1 => drop(make(&*store, &job, &Command::RequestCancel, "api").await),
            2 => drop(make(&*store, &job, &claim("w", LONG_MS), "w").await),
            _ => drop(make(&*store, &job, &claim("w", -LONG_MS), "w").await),
        }
    }
    for (name, command) in explainable_queries(&reach()) {
        let explained = database.run_command(doc! { "explain": command, "verbosity": "queryPlanner" }).await;
        let explained = explained.expect("explained").to_string();
        assert!(explained.contains("IXSCAN"), "{name}: {explained}");
        assert!(!explained.contains("COLLSCAN"), "{name}: {explained}");
    }
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn set_up_is_repeatable_at_once_and_over_what_was_there() {
    let set = Set::start(1).await;
    let (connection, database) = set.bare().await;
    // What an earlier version may have left: no validator, another view, an index more.
    database.create_collection(OPS).await.expect("created");
    database.create_collection(OPS_EVENTS).view_on("elsewhere").await.expect("created");
    let many = (0..8).map(|_| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.set_up().await })
    });
    for done in futures::future::join_all(many).await {
        done.expect("no panic").expect("set up");
    }
    connection.set_up().await.expect("set up once more");
    for definition in indexes() {
        let names = database.collection::<Document>(definition.collection).list_index_names().await.expect("listed");
        let name = definition.index.get_str("name").expect("a name").to_owned();
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    for definition in validators() {
        let refused = database.collection(definition.collection).insert_one(doc! { "odd": true }).await;
        assert!(refused.is_err(), "{} takes anything", definition.collection);
    }
    let store = connection.store();
    let job = store.enqueue(&backup(0)).await.expect("enqueued");
    make(&*store, &job, &claim("w", LONG_MS), "w").await;
    let events = database.collection::<Document>(OPS_EVENTS);
    let claimed = events.find_one(doc! { "job": job.id().as_str(), "seq": 2_i64 }).await.expect("read");
    let claimed = claimed.expect("the view shows every event");
    let word = |field| claimed.get_str(field).unwrap_or_default().to_owned();
    assert_eq!((word("type"), word("by")), ("claimed".to_owned(), "w".to_owned()));
    set.end().await;
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

async fn birth(store: &dyn Store, wakes: &mut Receiver<Wake>, what: &str) {
    let job = store.enqueue(&backup(0)).await.expect("enqueued");
    let born = Wake::Changed {
        id: job.id().clone(),
        state: Some(State::Queued),
    };
    assert_eq!(next_wake(wakes).await, born, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_nothing_happen_twice_or_not_at_all() {
    let set = Set::start(1).await;
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
        let renewal = store.renew(job.id(), 1, &token, LONG_MS, None).await.expect(what);
        assert_eq!(renewal, lucid_ports::Renewal::Renewed { state: State::Running }, "{what}");
        // Somebody else was faster, and the loser learns it through the same noise.
        let late = transition(&job, &Command::RequestCancel, "api", "late").expect("lawful");
        let done = Command::Succeed { epoch: 1, result: doc! {} };
        make(&*store, &job, &done, "w").await;
        fail_commands(&set, &["update", "find"], 2, how).await;
        let lost = store.apply(&late).await.expect(what);
        assert!(matches!(&lost, Outcome::Lost(Some(now)) if now.head.state == State::Succeeded), "{what}: {lost:?}");
        let stored = store.load(job.id()).await.expect("loaded").expect("there");
        assert_eq!((violations(&stored), stored.events.len()), (vec![], 3), "{what}");
        let repository = |id: &str| RepositoryName {
            name: what.into(),
            id: id.into(),
        };
        fail_commands(&set, &["update"], 2, doc! { "closeConnection": true }).await;
        store.bind_repository(&repository("one")).await.expect(what);
        store.bind_repository(&repository("two")).await.expect_err(what);
    }
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_server_quote_no_document() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let store = connection.store();
    let job = store.enqueue(&backup(0)).await.expect("enqueued");
    // Two jobs with one slot, which only a defect could bring about: the index refuses the second.
    let jobs = database.collection::<Document>(OPS);
    let held = doc! { "$set": { "holds": ["a-very-private-slot"] } };
    jobs.update_one(doc! { "_id": job.id().as_str() }, held).await.expect("updated");
    let command = doc! { "update": OPS, "updates": [
        { "q": { "_id": "x" }, "u": { "$set": { "holds": ["a-very-private-slot"] } }, "upsert": true },
    ] };
    let raw = database.run_command(command).await.expect("answered").to_string();
    assert!(raw.contains("writeErrors") && raw.contains("Document failed validation"), "{raw}");
    let mut large = backup(0);
    large.request.requested_by = "private ".repeat(3_000_000);
    let refused = store.enqueue(&large).await.expect_err("too large").to_string();
    assert!(!refused.contains("private"), "{refused}");
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_later_program_hides_no_other() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let store = connection.store();
    let jobs = database.collection::<Document>(OPS);
    let mut ids = BTreeSet::new();
    for number in 0..3 {
        let lost = store.enqueue(&backup(number)).await.expect("enqueued");
        let lost = make(&*store, &lost, &claim("w", -LONG_MS), "w").await;
        ids.insert(lost.id().clone());
        ids.insert(store.enqueue(&backup(number + 10)).await.expect("enqueued").id().clone());
        // Later programs come first in every order.
        for state in ["queued", "running"] {
            let mut later = jobs.find_one(doc! { "_id": lost.id().as_str() }).await.expect("read").expect("there");
            later.extend(doc! {
                "_id": format!("zz_{state}_{number}"), "schema": 2, "state": state, "priority": 99,
                "unique_key": format!("later-{state}-{number}"), "created_at": bson::DateTime::MAX,
                "lease": { "worker": "w", "token": "t", "expires_at": bson::DateTime::from_millis(0) },
            });
            jobs.insert_one(later).await.expect("inserted");
        }
    }
    let found = store.claimable(&reach(), 4).await.expect("looked for");
    let found: BTreeSet<_> = found.iter().map(|job| job.id().clone()).collect();
    assert!(found.len() == 4 && found.is_subset(&ids), "{found:?}");
    assert_eq!(store.expired(10).await.expect("looked for"), []);
    let filter = lucid_ports::JobFilter { limit: 50, ..Default::default() };
    let listed = store.list(&filter).await.expect("listed");
    assert_eq!(listed.jobs.len(), ids.len(), "the list shows what can be read");
    let later = "zz_queued_0".parse().expect("an id");
    let unreadable = store.load(&later).await.expect_err("unreadable").to_string();
    assert!(unreadable.contains("upgrade this node"), "{unreadable}");
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_there_is_no_connection_is_one_sentence_without_the_password() {
    let set = Set::start(1).await;
    let (_, rest) = set.uri.split_once('@').expect("a password");
    let wrong = format!("mongodb://lucid:hunter2@{rest}");
    let error = connect(&wrong, "lucid_ops").await.expect_err("refused");
    assert!(matches!(error, ConnectError::Credentials { .. }) && !error.is_retryable(), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    let other_set = set.uri.replace("replicaSet=rs0", "replicaSet=rs7");
    let error = connect(&other_set, "lucid_ops").await.expect_err("refused");
    assert!(error.to_string().contains("its name isn't the one"), "{error}");
    let nobody = "mongodb://lucid:hunter2@127.0.0.1:9/?replicaSet=rs0";
    let error = connect(nobody, "lucid_ops").await.expect_err("refused");
    assert!(error.is_retryable() && error.to_string().contains("127.0.0.1:9"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    let (connection, _) = set.database().await;
    assert_eq!(connection.replica_set(), "rs0");
    assert!(connection.snapshot_window_s().await.expect("asked").is_some_and(|seconds| seconds >= 60));
    assert!(!format!("{connection:?}").contains(password(&set.uri)), "a password in Debug output");
    set.end().await;
}

fn password(uri: &str) -> &str {
    let (user, _) = uri.split_once('@').expect("a user");
    user.rsplit_once(':').expect("a password").1
}

#[tokio::test(flavor = "multi_thread")]
async fn small_oplogs_and_windows_are_refused() {
    let dir = scratch();
    let mut options = Options::new(dir.path().join("mongod"));
    options.oplog_mib = 8;
    let small = Deployment::start(options).await.expect("a replica set starts");
    let error = connect(&small.uri(), "lucid_ops").await.expect_err("refused");
    assert_eq!(error, ConnectError::Oplog { mib: 8 });
    small.stop().await.expect("stopped");
    let dir = scratch();
    let options = Options::new(dir.path().join("mongod")).parameter("minSnapshotHistoryWindowInSeconds", "10");
    let short = Deployment::start(options).await.expect("a replica set starts");
    let error = connect(&short.uri(), "lucid_ops").await.expect_err("refused");
    assert_eq!(error, ConnectError::SnapshotWindow { seconds: 10 });
    short.stop().await.expect("stopped");
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
