//! What every request handler is given.

use crate::{Anonymous, ApiError, Directory, Gate, Streams, Throttle, Token, around::Around, gate::BODY_WITHIN};
use lucid_ports::{Alerts, Archive, Catalog, History, Problems, ScheduleStore, Store, Tokens};
use lucid_schemas::prune::KEEP_LAST;
use std::{sync::Arc, time::Duration};

/// A worker that wasn't heard of for so long doesn't count as alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(30);

/// How this API behaves.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// This node's name; what is done is signed with it.
    pub node: String,
    /// The engine's own database, which no job may touch.
    pub ops_database: String,
    /// The repository of backups that name none.
    pub default_repository: String,
    /// Whether backups are compressed unless the request says otherwise.
    pub compression_default: bool,
    /// Whether backups are encrypted unless the request says otherwise.
    pub encryption_default: bool,
    /// For how many days backups are kept by a prune that doesn't say; 0: it must say.
    pub retention_days: i32,
    /// How many of the newest it keeps besides.
    pub keep_last: i32,
    /// How many attempts of a job may fail before the job does.
    pub max_attempts: i32,
    /// Host names under which the API is called, besides addresses, `localhost` and the node's name.
    pub hosts: Vec<String>,
    /// How many clients may be connected at once.
    pub connections_max: usize,
    /// How long a client may take to send a body.
    pub body_within: Duration,
    /// What its holder may do everything with.
    pub token: Token,
    /// What somebody may do who shows no token.
    pub anonymous: Anonymous,
}

impl ApiOptions {
    /// The defaults: repository `main`, compressed and encrypted, 5 attempts.
    pub fn new(node: String, ops_database: String, token: Token) -> Self {
        Self {
            node,
            ops_database,
            default_repository: "main".into(),
            compression_default: true,
            encryption_default: true,
            retention_days: 30,
            keep_last: KEEP_LAST,
            max_attempts: 5,
            hosts: Vec::new(),
            connections_max: 1_024,
            body_within: BODY_WITHIN,
            token,
            anonymous: Anonymous::default(),
        }
    }

    /// The host names that are ours.
    pub(crate) fn host_names(&self) -> Vec<String> {
        self.hosts.iter().chain([&self.node]).cloned().collect()
    }
}

/// What stands behind the API.
#[derive(Clone)]
pub struct ApiState {
    /// The jobs.
    pub store: Arc<dyn Store>,
    /// What monitors have found.
    pub alerts: Arc<dyn Alerts>,
    /// All of them, page by page.
    pub archive: Arc<dyn Archive>,
    /// Who may do what.
    pub tokens: Arc<dyn Tokens>,
    /// What makes jobs by itself.
    pub schedules: Arc<dyn ScheduleStore>,
    /// What happens to jobs.
    pub history: Arc<dyn History>,
    /// The databases that requests are checked against.
    pub catalog: Arc<dyn Catalog>,
    /// The live streams that are open.
    pub streams: Streams,
    /// What is wrong at this process.
    pub problems: Problems,
    /// How to behave.
    pub options: ApiOptions,
}

impl ApiState {
    /// What its port goes by.
    pub(crate) fn gate(&self) -> Gate {
        let options = &self.options;
        let tokens = Directory::of(Arc::clone(&self.tokens));
        let throttle = Throttle::new(self.problems.clone());
        let gate = Gate::new(options.node.clone(), options.token.clone(), tokens, options.anonymous, throttle);
        gate.with_body_within(options.body_within)
    }

    /// The workers that are alive, the pauses, and the slots that jobs have.
    pub(crate) async fn workers(&self) -> Result<Around, ApiError> {
        let everybody = self.store.workers(ALIVE_WITHIN).await?;
        Ok(Around {
            workers: everybody.iter().filter(|card| card.runs_jobs_of_people()).cloned().collect(),
            everybody,
            pauses: self.store.paused().await?,
            occupied: self.store.occupied().await?,
        })
    }
}

/// A fresh random name of a write.
pub fn write_token() -> String {
    uuid::Uuid::new_v4().to_string()
}
