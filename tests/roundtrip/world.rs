//! A replica set, a repository and the handlers of one worker.

use super::context::{Claim, Stored};
use bson::Document;
use lucid_embedded::{Deployment, Options};
use lucid_handlers::{Environment, HandlerOptions, Pace, RestoreHandler, registry};
use lucid_ports::{Handler, JobError, Problems, Store, memory::MemoryStore};
use lucid_repository::{InitOptions, Location, Manifest, Repository, Unlock};
use lucid_schemas::{
    BackupSpec, JobId, Kind, ManifestName, RepositoryName, RestoreSpec, Spec, State, VerifyLevel, VerifySpec,
};
use mongodb::{
    Client,
    event::{EventHandler, command::CommandEvent},
    options::ClientOptions,
};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Called before each command that the handlers send, with its name.
type AtCommand = Arc<Mutex<Option<Box<dyn Fn(&str) + Send>>>>;

/// A replica set, a repository and the handlers of one worker.
pub struct World {
    pub client: Client,
    pub repository: Repository,
    pub folder: PathBuf,
    /// Stops the set with this value; none where a set that runs anyhow is used.
    pub deployment: Option<tokio::sync::Mutex<Deployment>>,
    /// Stops the handlers right before they send a command; the test's own client isn't concerned.
    pub at_command: AtCommand,
    /// What the handlers know of jobs.
    pub store: Arc<dyn Store>,
    handlers: Vec<Arc<dyn Handler>>,
    environment: Arc<Environment>,
    name: RepositoryName,
    _scratch: TempDir,
}

impl World {
    /// A set of its own, or the one that `LUCID_TEST_MONGODB_URI` names, if one member will do.
    pub async fn start(members: usize) -> Self {
        let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("lucid=debug").try_init();
        let scratch = crate::support::world::scratch();
        let (uri, deployment) = match std::env::var("LUCID_TEST_MONGODB_URI") {
            Ok(uri) if members == 1 => (uri, None),
            _ => {
                let options = Options::new(scratch.path().join("mongod")).members(members);
                let deployment = Deployment::start(options).await.expect("a replica set");
                (deployment.uri(), Some(deployment))
            }
        };
        let client = match &deployment {
            Some(deployment) => deployment.client().expect("a client"),
            None => Client::with_uri_str(&uri).await.expect("a client"),
        };
        let at_command = AtCommand::default();
        let folder = scratch.path().join("repository");
        let location = Location::folder(&folder).expect("a location");
        let unlock = Unlock::KeyFile(scratch.path().join("key"));
        let options = InitOptions { allow_plain: true, ..InitOptions::default() };
        let repository = Repository::init(&location, &unlock, &options).await.expect("a repository");
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let environment = Environment {
            client: watched(&uri, &at_command).await,
            repositories: [("main".to_owned(), repository.clone())].into(),
            ops_database: "lucid_ops".into(),
            cluster: Some(store.cluster().await.expect("an id")),
            options: HandlerOptions { batch_bytes: 64 << 10, silence_ms: 10_000, ..HandlerOptions::default() },
            pace: Pace::default(),
            problems: Problems::default(),
        };
        let environment = Arc::new(environment);
        Self {
            name: RepositoryName { name: "main".into(), id: repository.id().to_string() },
            handlers: registry(&environment, &store),
            store,
            environment,
            client,
            at_command,
            repository,
            folder,
            deployment: deployment.map(tokio::sync::Mutex::new),
            _scratch: scratch,
        }
    }

    /// The same world with a worker of other manners.
    pub fn with_worker(mut self, pace: Pace, change: impl FnOnce(&mut HandlerOptions)) -> Self {
        let mut environment = Environment::clone(&self.environment);
        change(&mut environment.options);
        self.environment = Arc::new(Environment { pace, ..environment });
        self.store = Arc::new(MemoryStore::new());
        self.handlers = registry(&self.environment, &self.store);
        self
    }

    /// The same repository, and a worker at another set.
    pub async fn at_another_set(mut self, uri: &str) -> Self {
        self.client = Client::with_uri_str(uri).await.expect("a client");
        let environment = Environment::clone(&self.environment);
        self.environment = Arc::new(Environment { client: watched(uri, &self.at_command).await, ..environment });
        self.store = Arc::new(MemoryStore::new());
        self.handlers = registry(&self.environment, &self.store);
        self
    }

    /// The connection string of the set.
    pub async fn uri(&self) -> String {
        match &self.deployment {
            Some(deployment) => deployment.lock().await.uri(),
            None => std::env::var("LUCID_TEST_MONGODB_URI").expect("a set that runs anyhow"),
        }
    }

    /// A database name that no other test uses.
    pub async fn database(&self, word: &str) -> String {
        let name = format!("rt_{word}_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        self.client.database(&name).drop().await.expect("dropped");
        name
    }

    /// The handler of a kind.
    pub fn handler(&self, kind: Kind) -> Arc<dyn Handler> {
        let found = self.handlers.iter().find(|handler| handler.kind() == kind);
        Arc::clone(found.expect("a handler of each kind"))
    }

    /// A handler that restores this manifest in place of a backup's own.
    pub fn salvaging(&self, manifest: Manifest) -> RestoreHandler {
        RestoreHandler::salvaging(Arc::clone(&self.environment), manifest)
    }

    /// A job that asks for this.
    pub fn job(&self, spec: Spec) -> Arc<Stored> {
        let id = format!("{}_20250109_020000_{:010}", spec.kind(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Stored::new(&id, spec, self.name.clone())
    }

    /// Runs a claim, and ends the job with its result.
    pub async fn run(&self, job: &Arc<Stored>, claim: &Claim) -> Result<Document, JobError> {
        let kind = job.job().request.spec.kind();
        let outcome = self.handler(kind).run(claim).await;
        if let Ok(result) = &outcome {
            assert!(result.to_vec().expect("BSON").len() < 16 << 10, "a result must fit an event");
            job.end(State::Succeeded, Some(result.clone()));
        }
        outcome
    }

    /// Backs up everything, and expects it to go well.
    pub async fn back_up(&self, database: &str) -> (Arc<Stored>, Document) {
        let job = self.job(backup(database));
        let result = self.run(&job, &job.claim()).await.expect("a backup");
        (job, result)
    }

    /// Restores everything, replacing what is there.
    pub async fn restore(&self, backup: &Stored, database: &str) -> Result<Document, JobError> {
        let job = self.job(restore(backup, database));
        self.run(&job, &job.claim()).await
    }

    /// Stops the set.
    pub async fn stop(self) {
        if let Some(deployment) = self.deployment {
            deployment.into_inner().stop().await.expect("stopped");
        }
    }

    /// Names of staging collections that were left in a database.
    pub async fn staging(&self, database: &str) -> Vec<String> {
        let mut names = self.client.database(database).list_collection_names().await.expect("names");
        names.retain(|name| name.contains("__lucid_staging_"));
        names
    }
}

/// A client that tells its commands.
async fn watched(uri: &str, at_command: &AtCommand) -> Client {
    let mut options = ClientOptions::parse(uri).await.expect("options");
    // As short as those of the set's own clients: where a member dies, cursors on it are given up after this.
    options.server_selection_timeout = Some(Duration::from_secs(10));
    options.connect_timeout = Some(Duration::from_secs(5));
    let at_command = Arc::clone(at_command);
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(event) = event
            && let Some(hook) = &*at_command.lock().unwrap_or_else(PoisonError::into_inner)
        {
            hook(&event.command_name);
        }
    }));
    Client::with_options(options).expect("a client")
}

/// Runs work to its end inside a hook, which isn't async, while what called the hook stands still.
///
/// On a thread of its own: a `block_on` nested in the test's own would use up the wake-ups that are meant for what stands
/// still, and nobody would ever go on with that.
pub fn wait_for(work: impl Future<Output = ()> + Send) {
    let runtime = tokio::runtime::Handle::current();
    let ended =
        tokio::task::block_in_place(|| std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join()));
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A backup of everything.
pub fn backup(database: &str) -> Spec {
    Spec::Backup(BackupSpec {
        database: database.into(),
        collections: None,
        compression: true,
        encryption: true,
        require_consistent: false,
    })
}

/// The manifest that a backup job has named.
pub fn named(backup: &Stored) -> (JobId, ManifestName) {
    let job = backup.job();
    let result = job.head.result.expect("a result");
    let manifest = result.get_document("manifest").expect("a manifest");
    let text = |field| manifest.get_str(field).expect("a text").to_owned();
    (job.request.id, ManifestName { key: text("key"), hash: text("hash") })
}

/// A restore of everything, replacing what is there.
pub fn restore(backup: &Stored, database: &str) -> Spec {
    let (backup, manifest) = named(backup);
    Spec::Restore(RestoreSpec {
        backup,
        manifest,
        database: database.into(),
        collections: None,
        replace: true,
        dry_run: false,
    })
}

/// A verification.
pub fn verify(backup: &Stored, level: VerifyLevel) -> Spec {
    let (backup, manifest) = named(backup);
    Spec::Verify(VerifySpec::whole(backup, Some(manifest), level))
}
