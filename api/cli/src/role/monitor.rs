//! `lucid-ops monitor`: the sampler, the store, the ports that show what they find, and a worker that writes alerts.
//!
//! It serves from the first moment, whether anybody answers or not: a set without a primary is what it is there to tell.

mod writer;

use self::writer::Writer;
use super::{access as entry, api, backup_schedule::Wanted, establish, node, upkeep::Upkeep, worker_name};
use crate::{
    alive::Alive,
    args::{MonitorArgs, SamplingArgs},
    exit::Exit,
    output, repositories,
    secrets::{self, mongodb_uri},
    shutdown::Shutdown,
    token,
};
use lucid_http::{Anonymous, Directory, Hosts, Tls, Token};
use lucid_members::Sampler;
use lucid_mongo::Connection;
use lucid_monitor::{
    Access, Door, Lock, Monitor, Registry, ServeError,
    evaluate::{Evaluations, Judge, evaluate},
    host,
    jobs::{self, Folder},
    open::{self, AlertSource, Desk},
    rules,
    seen::Told,
    serve, terms,
    write::{Chain, tell::directly},
};
use lucid_notify::{Channels, Direct, Sender};
use lucid_ports::{Problems, Reached, members::Terms, watched};
use lucid_runtime::WorkerOptions;
use lucid_schemas::{names::check_database, zones};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Under which subject it is told that collections can't be prepared.
const SET_UP: &str = "collections of alerts";
/// Below it the kernel tells of the machine.
const HOST_ROOT: &str = "/";
/// Between two tries to reach the store.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Serves until the signal to stop.
pub async fn run(args: MonitorArgs) -> Result<(), Exit> {
    entry::check_way("monitor", args.listen, &args.access)?;
    // What can never be right is refused at once: whatever may be later is tried again and again.
    check_database(&args.mongo.ops_database)
        .map_err(|problem| Exit::usage(format!("the engine's database '{}' {problem}", args.mongo.ops_database)))?;
    WorkerOptions::new(worker_name()).with_lease_ms(args.lease_ms).check().map_err(Exit::usage)?;
    let folders = folders(&args.repositories)?;
    let mut shutdown = Shutdown::listen()?;
    let uri = mongodb_uri(&args.mongo)?;
    let doors = Doors::open(args.listen, &args.sampling)?;
    let (told, jobs) = watch::channel(Err("it wasn't reached yet".to_owned()));
    let problems = Problems::default();
    let token = token::keep_or_go_without(&token::place(args.token_file.as_deref()), &problems);
    let channels = channels(args.sampling.channels_file.as_deref())?;
    let judge = judge(args.sampling.rules_file.as_deref(), args.mongo.ops_database.clone())?;
    let store = reach(uri.clone(), args.mongo.ops_database, args.mongo.replica_set, told.clone(), problems.clone());
    let registry = Registry::new();
    let asking = Asking { folders, told, problems, lease_ms: args.lease_ms, judge, registry, channels };
    let alive = Alive::begin("monitor", args.alive.alive_file.as_deref())?;
    let tls = entry::tls(&args.access, &asking.problems, &CancellationToken::new())?;
    let listening = doors.announcement(entry::scheme(tls.as_ref()))?;
    alive.listens(entry::scheme(tls.as_ref()), doors.monitor.local_addr().map_err(Exit::failed)?);
    let access = access(args.hosts, token, entry::anonymous(&args.access), tls);
    let mut monitoring = Monitoring::start(&uri, &args.sampling, doors, access, jobs, asking, store).await?;
    output::announce(listening);
    let ended_early = tokio::select! {
        _ = shutdown.came() => None,
        ended = monitoring.ended() => Some(ended),
    };
    let ending = async {
        monitoring.stop().await?;
        ended_early.map_or(Ok(()), Err)
    };
    shutdown.finish(args.stop.bound(), ending).await
}

/// Who may speak to a monitor of this node, under these names besides its own.
pub(super) fn access(hosts: Vec<String>, token: Token, anonymous: Anonymous, tls: Option<Tls>) -> Access {
    let hosts = Hosts::new(hosts.into_iter().chain([node()]));
    Access { hosts, node: node(), token, tokens: Directory::default(), anonymous, tls }
}

/// Tries until the store is reached; each failure is told.
async fn reach(
    uri: String,
    ops_database: String,
    replica_set: Option<String>,
    told: watch::Sender<Told>,
    problems: Problems,
) -> Connection {
    loop {
        match establish(&uri, &ops_database, replica_set.as_deref()).await {
            Ok(connection) => {
                let connection = connection.telling(problems.clone());
                prepare(&connection, &problems).await;
                // It ends with the process, which nothing that it does holds up.
                drop(Upkeep::start(&connection, Vec::new(), Wanted::none()));
                return connection;
            }
            Err(exit) => {
                tracing::warn!(reason = %exit, "the store can't be reached: nothing is known of jobs and backups");
                drop(told.send_replace(Err(exit.to_string())));
            }
        }
        sleep(TRY_AGAIN).await;
    }
}

/// Makes the collections that alerts are written to: without their indexes, two monitors could write the same. Who may not does without:
/// whoever has more rights makes them.
async fn prepare(connection: &Connection, problems: &Problems) {
    loop {
        let Err(error) = connection.set_up().await else {
            problems.clear(SET_UP);
            return;
        };
        problems.set(SET_UP, format!("this monitor can't prepare its collections: {error}"));
        if !error.is_retryable() {
            tracing::warn!(%error, "the collections can't be prepared: they are used as they are");
            return;
        }
        tracing::warn!(%error, "the collections can't be prepared: tried again in a moment");
        sleep(TRY_AGAIN).await;
    }
}

/// Repositories that are folders here, by name.
pub(super) fn folders(pairs: &[String]) -> Result<BTreeMap<String, Folder>, Exit> {
    let places = repositories::places(pairs)?;
    let identify = |path: &Path| lucid_repository::identity(path).map(|id| id.to_string());
    let folder = |(name, location): (String, lucid_repository::Location)| {
        Some((name, Folder::new(location.path()?.to_owned(), identify)))
    };
    Ok(places.into_iter().filter_map(folder).collect())
}

/// The ports of a monitor, taken.
pub(super) struct Doors {
    monitor: TcpListener,
    metrics: Option<TcpListener>,
    lock: Lock,
}

impl Doors {
    /// Takes them.
    ///
    /// # Errors
    /// Where one is taken already, or others could read the metrics and nobody has said that they may.
    pub(super) fn open(address: SocketAddr, sampling: &SamplingArgs) -> Result<Self, Exit> {
        let lock = lock(sampling)?;
        let metrics = SocketAddr::from((sampling.metrics_bind, sampling.metrics_port));
        let metrics = sampling.prometheus_enabled.then(|| api::listen(metrics)).transpose()?;
        Ok(Self { monitor: api::listen(address)?, metrics, lock })
    }

    /// Where the monitor, and where the metrics are.
    pub(super) fn urls(&self) -> Result<(String, Option<String>), Exit> {
        let url = |listener: &TcpListener| listener.local_addr().map(|at| format!("http://{at}")).map_err(Exit::failed);
        Ok((url(&self.monitor)?, self.metrics.as_ref().map(url).transpose()?))
    }

    /// The same for scripts that let the system choose the ports.
    fn announcement(&self, scheme: &str) -> Result<String, Exit> {
        let metrics = self.urls()?.1;
        let monitor = self.monitor.local_addr().map_err(Exit::failed)?;
        let metrics = metrics.map(|url| format!("metrics on {url}\n")).unwrap_or_default();
        Ok(format!("{metrics}listening on {scheme}://{monitor}"))
    }

    /// Serves them until `stop`.
    fn serve(self, monitor: &Monitor, access: &Access, stop: &CancellationToken) -> JoinSet<Result<(), ServeError>> {
        let mut served = JoinSet::new();
        for (door, listener) in [(Door::Monitor, Some(self.monitor)), (Door::Metrics, self.metrics)] {
            if let Some(listener) = listener {
                served.spawn(serve(listener, door, monitor.clone(), access.clone(), stop.clone()));
            }
        }
        served
    }
}

/// What whoever reads the metrics must know.
///
/// # Errors
/// Where others can reach them and it isn't said who may, or the password can't be read.
pub(super) fn lock(sampling: &SamplingArgs) -> Result<Lock, Exit> {
    match &sampling.metrics_password_file {
        Some(file) => secrets::password(file).map(Lock::password),
        None if sampling.metrics_bind.is_loopback() || sampling.metrics_open => Ok(Lock::Open),
        None => Err(Exit::usage(format!(
            "others can reach {}: name the file of a password with --metrics-password-file, or let everybody read the metrics with --metrics-open",
            sampling.metrics_bind
        ))),
    }
}

/// How the store is asked, and who is told.
pub(super) struct Asking {
    pub(super) folders: BTreeMap<String, Folder>,
    pub(super) told: watch::Sender<Told>,
    pub(super) problems: Problems,
    pub(super) lease_ms: u32,
    pub(super) judge: Judge,
    /// What else this process counts about itself.
    pub(super) registry: Registry,
    pub(super) channels: Channels,
}

/// The channels of this node; none where it was told of no file.
pub(super) fn channels(file: Option<&Path>) -> Result<Channels, Exit> {
    let open = |path: &Path| Channels::open(path.to_owned(), zones::installed()).map_err(Exit::usage);
    file.map_or_else(|| Ok(Channels::none()), open)
}

/// By what this node judges.
pub(super) fn judge(rules_file: Option<&Path>, own_database: String) -> Result<Judge, Exit> {
    let parameters = rules_file.map(rules::read).transpose().map_err(Exit::usage)?.unwrap_or_default();
    Ok(Judge { node: node(), own_database, parameters })
}

/// What is looked at, and how often: as the newest monitor job says, and until one is seen with this interval.
fn followed(jobs: &watch::Receiver<Told>, interval: Duration, judge: &Judge) -> watch::Receiver<Terms> {
    let own = Terms::every(interval);
    let (tell, followed) = watch::channel(own.clone());
    tokio::spawn(terms::follow(jobs.clone(), own, judge.own_database.clone(), tell));
    followed
}

/// Tells directly what can't be written, whatever becomes of it.
async fn keep_telling(
    telling: (Direct, Evaluations, watch::Receiver<Told>, AlertSource, String),
    problems: Problems,
    stop: CancellationToken,
) {
    watched("direct telling", problems, stop, move || {
        let (direct, evaluations, jobs, known, name) = telling.clone();
        directly(direct, evaluations, jobs, known, name)
    })
    .await;
}

/// A monitor, under way.
pub(super) struct Monitoring {
    sampler: Sampler,
    stop: CancellationToken,
    served: JoinSet<Result<(), ServeError>>,
    writing: JoinHandle<()>,
}

impl Monitoring {
    /// Begins to sample and to serve, and asks the store as soon as it is there.
    pub(super) async fn start(
        uri: &str,
        sampling: &SamplingArgs,
        doors: Doors,
        access: Access,
        jobs: watch::Receiver<Told>,
        asking: Asking,
        connection: impl Future<Output = Connection> + Send + 'static,
    ) -> Result<Self, Exit> {
        let Asking { folders, told, problems, lease_ms, judge, registry, channels } = asking;
        let (interval, stop) = (sampling.interval(), CancellationToken::new());
        let followed = followed(&jobs, interval, &judge);
        let sampler = Sampler::start(uri, followed.clone(), problems.clone()).await.map_err(Exit::failed)?;
        let (alerts, told_jobs) = (AlertSource::default(), jobs.clone());
        let (snapshot, known) = (sampler.snapshot(), alerts.clone());
        let (stream, (machine, host)) = (Reached::default(), watch::channel(None));
        tokio::spawn(host::watch(HOST_ROOT.into(), sampling.disks.clone(), followed.clone(), machine, stop.clone()));
        let (problems_of_all, compat, lock) = (problems.clone(), sampling.compat_metrics, doors.lock.clone());
        let monitor = Monitor {
            snapshot,
            jobs,
            host,
            problems: problems_of_all,
            interval,
            terms: followed,
            stream: stream.clone(),
            alerts,
            compat,
            registry,
            lock,
        };
        let served = doors.serve(&monitor, &access, &stop);
        let (evaluated, evaluations) = watch::channel(None);
        known.tells_over(channels.clone());
        let (name, direct) = (worker_name(), Direct::new(channels.clone(), Sender::default()));
        let telling = (direct.clone(), evaluations.clone(), told_jobs, known.clone(), name.clone());
        tokio::spawn(keep_telling(telling, problems.clone(), stop.clone()));
        tokio::spawn(evaluate(monitor, judge, evaluated, stop.clone()));
        tokio::spawn(open::keep(known.clone(), evaluations.clone(), problems.clone(), stop.clone()));
        let (stopped, complaints, tokens) = (stop.clone(), problems.clone(), access.tokens);
        let writing = tokio::spawn(async move {
            let connection = tokio::select! {
                () = stopped.cancelled() => return,
                connection = connection => connection,
            };
            let store = connection.store();
            tokens.reached(store.clone());
            let chain = Chain::new(store.clone(), store.clone(), format!("monitor:{}", node()));
            known.reached(Desk { alerts: store.clone(), silences: store.clone(), chain });
            let asked = tokio::spawn(jobs::ask(store, folders, interval, told, problems.clone(), stopped.clone()));
            let writer =
                Writer { connection, evaluations, interval, lease_ms, channels, direct, name, problems, stream };
            if let Err(exit) = writer.run(stopped).await {
                tracing::error!(reason = %exit, "this monitor writes no alerts");
                complaints.set("alerts", format!("this monitor writes no alerts: {exit}"));
            }
            drop(asked.await);
        });
        Ok(Self { sampler, stop, served, writing })
    }

    /// Returns when a port isn't served any more, which should not be.
    pub(super) async fn ended(&mut self) -> Exit {
        match self.served.join_next().await {
            Some(Ok(Err(error))) => Exit::failed(error),
            broken => Exit::failed(format!("the monitor broke off, which is a defect: {broken:?}")),
        }
    }

    /// Stops it.
    pub(super) async fn stop(mut self) -> Result<(), Exit> {
        self.stop.cancel();
        self.writing.await.map_err(Exit::failed)?;
        self.sampler.stop().await;
        while let Some(ended) = self.served.join_next().await {
            ended.map_err(Exit::failed)?.map_err(Exit::failed)?;
        }
        Ok(())
    }
}
