//! `lucid-ops dev`: a private mongod as rs0, API, worker and monitor in one process, state in one folder.

use super::{
    api, backup_schedule,
    monitor::{self, Asking, Doors, Monitoring},
    node,
    upkeep::Upkeep,
    worker::{self, Manners},
    worker_name,
};
use crate::{
    args::DevArgs,
    exit::Exit,
    output,
    repositories::{Named, refused},
    shutdown::Shutdown,
    token,
};
use lucid_embedded::{Deployment, Options, trusted_folder};
use lucid_http::{Anonymous, ApiOptions, Token};
use lucid_mongo::Connection;
use lucid_monitor::Registry;
use lucid_ports::Reach;
use lucid_repository::{InitOptions, Location, Repository, RepositoryError, Unlock};
use lucid_runtime::{SchedulerOptions, WorkerOptions};
use lucid_schemas::names::DEFAULT_OPS_DATABASE;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const REPOSITORY: &str = "main";

/// What scripts read to find the services: `DIR/dev.json`. It holds an administrator's password: 0600, and gone when
/// the services are.
#[derive(Serialize)]
struct Card {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitor_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_url: Option<String>,
    mongodb_uri: String,
    mongodb_version: String,
    repository: String,
    key_file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
}

impl Card {
    /// What is there without any service.
    fn new(dir: &Path, deployment: &Deployment, named: &Named) -> Self {
        Self {
            api_url: None,
            monitor_url: None,
            metrics_url: None,
            mongodb_uri: deployment.uri(),
            mongodb_version: deployment.version().to_owned(),
            repository: named.places[0].1.to_string(),
            key_file: key_file(dir),
            token_file: None,
        }
    }
}

/// Runs everything until Ctrl-C.
pub async fn run(args: DevArgs) -> Result<(), Exit> {
    let mut shutdown = Shutdown::listen()?;
    backup_schedule::read(&args.backups, DEFAULT_OPS_DATABASE)?;
    let dir = trusted_folder(&args.dir).map_err(Exit::failed)?;
    output::say(format_args!("starting a private mongod in {} ...", dir.display()));
    let deployment = Deployment::start(Options {
        members: usize::from(args.members),
        mongod_port: Some(args.mongod_port),
        ..Options::new(dir.join("mongod"))
    })
    .await
    .map_err(Exit::failed)?;
    let card = dir.join("dev.json");
    let outcome = serve(&args, &dir, &card, &deployment, &mut shutdown).await;
    // A card that tells of services that are gone would mislead.
    let _ = fs::remove_file(&card);
    output::say("stopping ...");
    // What isn't waited for is stopped by its supervisor.
    let stopped = shutdown.finish(args.stop.bound(), async { deployment.stop().await.map_err(Exit::failed) }).await;
    outcome.and(stopped)
}

async fn serve(
    args: &DevArgs,
    dir: &Path,
    card_path: &Path,
    deployment: &Deployment,
    shutdown: &mut Shutdown,
) -> Result<(), Exit> {
    let named = repository(dir).await?;
    let mut card = Card::new(dir, deployment, &named);
    if args.mongod_only {
        announce(&card, card_path, deployment)?;
        shutdown.came().await;
        return Ok(());
    }
    let connection = super::connect(&deployment.uri(), DEFAULT_OPS_DATABASE, None).await?;
    let wanted = backup_schedule::read(&args.backups, DEFAULT_OPS_DATABASE)?;
    wanted.keep(&*connection.store(), &node()).await?;
    let options = worker_options(args, &connection);
    let scheduling = SchedulerOptions { problems: connection.problems(), ..SchedulerOptions::new(&options.name) };
    let token = dir.join("token");
    let secret = token::keep(&token)?;
    // The port first: a worker that has just claimed is not to be stopped because it is taken.
    let listener = api::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, args.api_port)))?;
    let doors = Doors::open(SocketAddr::from((Ipv4Addr::LOCALHOST, args.monitor_port)), &args.sampling)?;
    let (reach, manners) = (Reach::default(), Manners::default());
    let mut worker =
        worker::start(&connection, DEFAULT_OPS_DATABASE, &named, reach, manners, options, scheduling).await?;
    let upkeep = Upkeep::start(&connection, worker.repositories.clone(), wanted);
    card.api_url = Some(format!("http://{}", listener.local_addr().map_err(Exit::failed)?));
    (card.monitor_url, card.metrics_url) = doors.urls().map(|(monitor, metrics)| (Some(monitor), metrics))?;
    let registry = Registry::new();
    worker.tell(&registry)?;
    let mut monitoring = monitoring(args, deployment, &card, doors, secret.clone(), &connection, registry).await?;
    let stop = CancellationToken::new();
    let mut served = tokio::spawn(api::serve(connection, api_options(args, secret), listener, None, stop.clone()));
    card.token_file = Some(token);
    announce(&card, card_path, deployment)?;
    let early = tokio::select! {
        _ = shutdown.came() => None,
        ended = &mut served => Some(ended),
        broken = worker.broke_off() => return Err(broken),
        broken = monitoring.ended() => return Err(broken),
    };
    stop.cancel();
    let ending = async {
        let api_ended = match early {
            Some(ended) => ended,
            None => served.await,
        };
        worker.stop().await?;
        monitoring.stop().await?;
        upkeep.stop().await.map_err(Exit::failed)?;
        api_ended.map_err(Exit::failed)?
    };
    // The rest is for mongod.
    shutdown.finish(args.stop.bound() / 2, ending).await
}

/// A monitor of this set, its jobs and the repository.
async fn monitoring(
    args: &DevArgs,
    deployment: &Deployment,
    card: &Card,
    doors: Doors,
    token: Token,
    connection: &Connection,
    registry: Registry,
) -> Result<Monitoring, Exit> {
    let folders = monitor::folders(&[format!("{REPOSITORY}={}", card.repository)])?;
    let (told, jobs) = watch::channel(Err("it wasn't asked yet".to_owned()));
    let judge = monitor::judge(args.sampling.rules_file.as_deref(), DEFAULT_OPS_DATABASE.to_owned())?;
    let (lease_ms, problems) = (args.lease_ms, connection.problems());
    let channels = monitor::channels(args.sampling.channels_file.as_deref())?;
    let asking = Asking { folders, told, problems, lease_ms, judge, registry, channels };
    let (connection, access) =
        (std::future::ready(connection.clone()), monitor::access(Vec::new(), token, Anonymous::default(), None));
    Monitoring::start(&deployment.uri(), &args.sampling, doors, access, jobs, asking, connection).await
}

/// A worker that gives its jobs back in half of the time that the whole may take to stop.
fn worker_options(args: &DevArgs, connection: &Connection) -> WorkerOptions {
    WorkerOptions {
        problems: connection.problems(),
        grace_ms: args.stop.grace_ms() / 2,
        ..WorkerOptions::new(worker_name()).with_lease_ms(args.lease_ms)
    }
}

/// An API with the defaults of the arguments.
fn api_options(args: &DevArgs, token: Token) -> ApiOptions {
    ApiOptions {
        compression_default: args.backups.compression,
        encryption_default: args.backups.encryption,
        retention_days: args.backups.backup_retention_days,
        keep_last: args.backups.backup_keep_last,
        connections_max: api::connections_max(),
        ..ApiOptions::new(node(), DEFAULT_OPS_DATABASE.to_owned(), token)
    }
}

/// Writes the card when everything answers, and says the same to the person who waits.
fn announce(card: &Card, path: &Path, deployment: &Deployment) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(card).map_err(Exit::failed)?;
    write_private(path, &text)
        .map_err(|error| Exit::failed(format!("{} can't be written: {error}", path.display())))?;
    let mut lines = vec![format!("MongoDB {} runs as replica set rs0, on loopback only.", card.mongodb_version)];
    lines.extend(deployment.mongod().caution());
    if let (Some(url), Some(token)) = (&card.api_url, &card.token_file) {
        lines.push(format!("API         {url}"));
        lines.extend(card.monitor_url.iter().map(|url| format!("monitor     {url}/health, {url}/stats")));
        lines.extend(card.metrics_url.iter().map(|url| format!("metrics     {url}/metrics")));
        lines.push(format!("token       {} (for what changes something)", token.display()));
        let monitor = card.monitor_url.as_ref().map(|url| format!(" LUCID_MONITOR={url}")).unwrap_or_default();
        lines.push(format!(
            "try         export LUCID_API={url}{monitor} LUCID_TOKEN_FILE={}; lucid-ops health",
            token.display()
        ));
    }
    lines.push(format!("repository  {} (key: {})", card.repository, card.key_file.display()));
    lines.push(format!("details     {} (holds the administrator's connection string)", path.display()));
    lines.push("Ctrl-C stops all of it; the data stay.".into());
    output::announce(lines.join("\n"));
    Ok(())
}

/// The repository in the folder; made on the first run, only opened later.
async fn repository(dir: &Path) -> Result<Named, Exit> {
    let url = format!("file://{}", dir.join("repository").display());
    let location = Location::parse(&url).map_err(Exit::failed)?;
    let unlock = Unlock::KeyFile(key_file(dir));
    match Repository::open(&location, &unlock).await {
        Ok(_) => {}
        Err(RepositoryError::NotInitialised { .. }) => {
            let options = InitOptions { allow_plain: true, ..InitOptions::default() };
            Repository::init(&location, &unlock, &options).await.map_err(|error| refused(REPOSITORY, &error))?;
        }
        Err(error) => return Err(refused(REPOSITORY, &error)),
    }
    Ok(Named { places: vec![(REPOSITORY.to_owned(), location)], unlock, own: BTreeMap::new(), secrets: Vec::new() })
}

fn key_file(dir: &Path) -> PathBuf {
    dir.join("repository.key")
}

/// All or nothing, and never readable by others in between.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
