//! The doors on a real replica set: the store and the feed on MongoDB keep the contract that the twin keeps, also where
//! the server fails in between. `LUCID_TEST_MONGODB_URI` names a set to use instead of a private one; it must run with
//! authentication and `enableTestCommands=1`.

mod alerts;
mod breaks;
mod contract;
mod refusals;
mod silences;
mod tokens;

use crate::support::world::scratch;
use bson::{Document, doc};
use lucid_core::{Command, transition};
use lucid_embedded::{Deployment, Options};
use lucid_mongo::{Connection, connect};
use lucid_ports::{Enqueue, Outcome, Reach, Store, conformance::Bench};
use lucid_schemas::{BackupSpec, Job, JobId, Kind, Request, Spec, collections::OPS};
use mongodb::{Client, Database};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

const LONG_MS: i64 = 300_000;

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
        Self { uri, made: AtomicU32::new(0), deployment }
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
            schedules: connection.store(),
            alerts: connection.store(),
            silences: connection.store(),
            tokens: connection.store(),
            feed: connection.feed().await.expect("a feed"),
            history: connection.history(16).await.expect("a history"),
            archive: connection.store(),
            documents: Arc::new(move |id: String| {
                let jobs = jobs.clone();
                Box::pin(async move { jobs.find_one(doc! { "_id": id }).await.expect("read") })
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
            unique_key: (number > 0).then(|| format!("user/key-{number}")),
            max_attempts: 3,
            keys: Vec::new(),
            ..Request::new(
                id,
                Spec::Backup(BackupSpec {
                    database: "lucid".into(),
                    collections: None,
                    compression: true,
                    encryption: true,
                    require_consistent: false,
                }),
                "test",
                None,
            )
        },
        delay_ms: 0,
        run_at: None,
        write: uuid::Uuid::new_v4().to_string(),
    }
}

fn reach() -> Reach {
    Reach { kinds: Kind::ALL.to_vec(), ..Reach::default() }
}

fn claim(worker: &str, lease_ms: i64) -> Command {
    Command::Claim { worker: worker.into(), lease_ms, slots: Vec::new() }
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
