//! `lucid-ops worker`: handlers, repositories and the store, under one worker.

use super::{backup_schedule, bind, connect, node, priority, upkeep::Upkeep, worker_name};
use crate::{
    alive::Alive,
    args::{Member, WorkerArgs},
    exit::Exit,
    output,
    repositories::{self, Named},
    secrets::{self, mongodb_uri},
    shutdown::Shutdown,
};
use lucid_handlers::{Environment, HandlerOptions, Pace, ReadFrom, registry};
use lucid_mongo::Connection;
use lucid_monitor::Registry;
use lucid_ports::{Reach, Store};
use lucid_repository::{Repository, RepositoryError};
use lucid_runtime::{Scheduler, SchedulerHandle, SchedulerOptions, Worker, WorkerHandle, WorkerOptions};
use lucid_schemas::RepositoryName;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Works until the signal to stop.
pub async fn run(args: WorkerArgs) -> Result<(), Exit> {
    if args.low_priority {
        priority::lower()?;
    }
    let mut shutdown = Shutdown::listen()?;
    let named = repositories::read(&args.repository)?;
    let wanted = backup_schedule::read(&args.backups, &args.mongo.ops_database)?;
    let uri = mongodb_uri(&args.mongo)?;
    Alive::begin("worker", args.alive.alive_file.as_deref())?;
    let connection = shutdown
        .unless_asked(async {
            let connection = connect(&uri, &args.mongo.ops_database, args.mongo.replica_set.as_deref()).await?;
            wanted.keep(&*connection.store(), &node()).await.map(|()| connection)
        })
        .await?;
    let options = WorkerOptions {
        slots: usize::from(args.slots),
        retention: retention(args.job_retention_days),
        problems: connection.problems(),
        grace_ms: args.stop.grace_ms(),
        ..WorkerOptions::new(worker_name()).with_lease_ms(args.lease_ms)
    };
    let name = options.name.clone();
    let scheduling = SchedulerOptions {
        skew_limit_ms: args.skew_limit_ms.into(),
        problems: connection.problems(),
        ..SchedulerOptions::new(&name)
    };
    let read_from = match args.read_from {
        Member::Primary => ReadFrom::Primary,
        Member::Secondary => ReadFrom::Secondary,
        Member::Any => ReadFrom::Any,
    };
    let manners = Manners {
        pace: args.max_rate.map_or_else(Pace::default, |rate| Pace::of(rate.0)),
        options: HandlerOptions { read_from, ..HandlerOptions::default() },
    };
    let ops = args.mongo.ops_database;
    let reach = Reach { kinds: args.kinds, labels: args.labels, ..Reach::default() };
    let secrets = named.secrets.iter().chain(&args.mongo.mongodb_uri_file).cloned().collect();
    tokio::spawn(secrets::watch(secrets, options.problems.clone()));
    let mut worker =
        shutdown.unless_asked(start(&connection, &ops, &named, reach, manners, options, scheduling)).await?;
    let upkeep = Upkeep::start(&connection, worker.repositories.clone(), wanted);
    output::announce(format_args!("worker {name} is ready"));
    tokio::select! {
        _ = shutdown.came() => {
            let ending = async {
                let stopped = worker.stop().await;
                upkeep.stop().await.map_err(Exit::failed).and(stopped)
            };
            shutdown.finish(args.stop.bound(), ending).await
        }
        broken = worker.broke_off() => Err(broken),
    }
}

fn retention(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_hours(24 * u64::from(days)))
}

/// How a worker treats the server.
#[derive(Default)]
pub(super) struct Manners {
    pace: Pace,
    options: HandlerOptions,
}

/// A worker with all that it holds.
pub(super) struct Running {
    worker: WorkerHandle,
    /// Those that it has opened.
    pub(super) repositories: Vec<RepositoryName>,
    scheduler: SchedulerHandle,
    feed: Arc<lucid_mongo::MongoFeed>,
}

impl Running {
    /// Returns when the worker has ended by itself, which it should not.
    pub(super) async fn broke_off(&mut self) -> Exit {
        let broken = self.worker.ended().await;
        Exit::failed(format!("the worker broke off, which is a defect: {broken:?}"))
    }

    /// Puts what the worker counts among the metrics of this process.
    pub(super) fn tell(&self, registry: &Registry) -> Result<(), Exit> {
        self.worker.metrics().register(registry, "jobs").map_err(Exit::failed)
    }

    /// Gives its jobs back and waits until that is done.
    pub(super) async fn stop(self) -> Result<(), Exit> {
        let scheduler = self.scheduler.stop().await.map_err(Exit::failed);
        let worker = self.worker.stop().await.map_err(Exit::failed);
        self.feed.stop().await;
        scheduler.and(worker)
    }
}

/// Opens the repositories, binds their names, and starts a worker of the kinds and labels in `reach` and, beside it, a scheduler.
pub(super) async fn start(
    connection: &Connection,
    ops_database: &str,
    named: &Named,
    reach: Reach,
    manners: Manners,
    options: WorkerOptions,
    scheduling: SchedulerOptions,
) -> Result<Running, Exit> {
    let repositories = repositories::open(named).await?;
    let reached: Vec<RepositoryName> = repositories
        .iter()
        .map(|(name, repository)| RepositoryName { name: name.clone(), id: repository.id().to_string() })
        .collect();
    let store: Arc<dyn Store> = connection.store();
    bind(&store, &reached).await?;
    let cluster = store.cluster().await.map_err(Exit::failed)?;
    claim(&cluster, &repositories).await;
    tokio::spawn(repositories::watch(repositories.clone(), options.problems.clone()));
    let environment = Environment {
        client: connection.client(),
        repositories,
        ops_database: ops_database.to_owned(),
        cluster: Some(cluster),
        options: manners.options,
        pace: manners.pace,
        problems: options.problems.clone(),
    };
    let reach = Reach { repositories: reached.clone(), ..reach };
    let feed = connection.feed().await.map_err(Exit::failed)?;
    let handlers = registry(&Arc::new(environment), &store);
    let worker = Worker::start(Arc::clone(&store), &*feed, handlers, reach, options).map_err(Exit::usage)?;
    let scheduler = Scheduler::start(store, connection.store(), scheduling);
    Ok(Running { worker, repositories: reached, scheduler, feed })
}

/// Makes this cluster the one that prunes its repositories, where no other one does. Nothing that a worker needs: one that can't say
/// so, or may not write, says it with its first prune.
async fn claim(cluster: &str, repositories: &BTreeMap<String, Repository>) {
    for (name, repository) in repositories {
        match repository.claim(cluster, false).await {
            Ok(true) => tracing::info!(repository = name, cluster, "this cluster prunes it from now on"),
            Ok(false) => {}
            Err(error @ RepositoryError::OtherOwner { .. }) => tracing::info!(repository = name, "{error}"),
            Err(error) => tracing::warn!(repository = name, %error, "can't be claimed"),
        }
    }
}
