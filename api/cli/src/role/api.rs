//! `lucid-ops api`: the HTTP API over the store.

use super::{access, backup_schedule, connect, node, upkeep::Upkeep};
use crate::{alive::Alive, args::ApiArgs, exit::Exit, output, secrets, shutdown::Shutdown, token};
use lucid_http::{ApiOptions, ApiState, Streams, Tls};
use lucid_mongo::Connection;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::net::{SocketAddr, TcpListener};
use tokio_util::sync::CancellationToken;

/// How many changes of jobs are held for clients that come back.
const RECENT_CHANGES: usize = 4_096;

/// Where the system doesn't say how many files a process may open.
const FILES_USUAL: u64 = 1_024;
/// More than all clients and all connections to MongoDB take.
const FILES_WANTED: u64 = 16_384;
/// More clients than a small node can serve.
const CONNECTIONS_MAX: usize = 4_096;

/// Serves until the signal to stop.
pub async fn run(args: ApiArgs) -> Result<(), Exit> {
    access::check_way("API", args.door.listen, &args.door.access)?;
    let wanted = backup_schedule::read(&args.backups, &args.mongo.ops_database)?;
    let mut shutdown = Shutdown::listen()?;
    let uri = secrets::api_uri(&args.door, &args.mongo)?;
    let alive = Alive::begin("api", args.alive.alive_file.as_deref())?;
    let ops_database = &args.mongo.ops_database;
    let connection = shutdown
        .unless_asked(async {
            let connection = connect(&uri, ops_database, args.mongo.replica_set.as_deref()).await?;
            wanted.keep(&*connection.store(), &node()).await?;
            access::check_tokens("API", args.door.listen, &args.door.access, &*connection.store())
                .await
                .map(|()| connection)
        })
        .await?;
    let token = token::keep(&token::place(args.door.token_file.as_deref()))?;
    let options = ApiOptions {
        compression_default: args.backups.compression,
        encryption_default: args.backups.encryption,
        retention_days: args.backups.backup_retention_days,
        keep_last: args.backups.backup_keep_last,
        hosts: args.door.hosts,
        connections_max: connections_max(),
        anonymous: access::anonymous(&args.door.access),
        ..ApiOptions::new(node(), ops_database.clone(), token)
    };
    let listener = listen(args.door.listen)?;
    let address = listener.local_addr().map_err(Exit::failed)?;
    let stop = CancellationToken::new();
    let tls = access::tls(&args.door.access, &connection.problems(), &stop)?;
    alive.listens(access::scheme(tls.as_ref()), address);
    // For scripts that let the system choose the port.
    output::announce(format_args!("listening on {}://{address}", access::scheme(tls.as_ref())));
    let upkeep = Upkeep::start(&connection, Vec::new(), wanted);
    let mut served = tokio::spawn(serve(connection, options, listener, tls, stop.clone()));
    let ended_early = tokio::select! {
        _ = shutdown.came() => None,
        ended = &mut served => Some(ended),
    };
    stop.cancel();
    let ending = async {
        let ended = match ended_early {
            Some(ended) => ended,
            None => served.await,
        };
        upkeep.stop().await.map_err(Exit::failed)?;
        ended.map_err(Exit::failed)?
    };
    shutdown.finish(args.stop.bound(), ending).await
}

/// How many clients may be connected at once: fewer than this process may open files, so that MongoDB can be reached whatever they do.
/// The limit is raised first as far as it may be.
pub(super) fn connections_max() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((FILES_USUAL, FILES_USUAL));
    let wanted = hard.min(FILES_WANTED).max(soft);
    let files = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_or(soft, |()| wanted);
    usize::try_from(files / 2).unwrap_or(usize::MAX).min(CONNECTIONS_MAX)
}

/// Takes the port.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, Exit> {
    let listener = TcpListener::bind(address)
        .map_err(|error| Exit::failed(format!("the address {address} can't be listened on: {error}")))?;
    listener
        .set_nonblocking(true)
        .map_err(|error| Exit::failed(format!("the address {address} can't be served: {error}")))?;
    Ok(listener)
}

/// Serves until `stop`.
pub(super) async fn serve(
    connection: Connection,
    options: ApiOptions,
    listener: TcpListener,
    tls: Option<Tls>,
    stop: CancellationToken,
) -> Result<(), Exit> {
    let history = connection.history(RECENT_CHANGES).await.map_err(Exit::failed)?;
    let store = connection.store();
    let state = ApiState {
        store: store.clone(),
        alerts: store.clone(),
        archive: store.clone(),
        tokens: store.clone(),
        schedules: store,
        history: history.clone(),
        catalog: connection.catalog(),
        streams: Streams::default(),
        problems: connection.problems(),
        options,
    };
    let address = listener.local_addr().map_err(Exit::failed)?;
    tracing::info!(%address, token = ?state.options.token, "API listens");
    let served = lucid_http::serve(listener, state, tls, stop).await.map_err(Exit::failed);
    history.stop().await;
    served
}
