//! `lucid-ops repo restore`: puts a backup into a MongoDB when everything else is gone.
//!
//! The same handler as that of the jobs does it, on a job that lives in this process alone: staged beside, proven, swapped.
//! Invariant: the engine's database is neither needed nor made.

use super::{
    output::{self, bytes, count, relaxed, time},
    pick::{self, Picked},
    salvage,
};
use crate::{
    args::RepoRestoreArgs,
    exit::{Exit, FAILED, USAGE},
    output::say,
    role,
    secrets::mongodb_uri,
    shutdown::Shutdown,
};
use bson::{DateTime, Document};
use lucid_client::{render::part_of, sink_for_stderr};
use lucid_handlers::{DirectJob, Environment, HandlerOptions, Pace, RestoreHandler};
use lucid_ports::{Handler, JobError, Problems};
use lucid_repository::Salvaged;
use lucid_schemas::{
    Failure, JobId, Kind, ManifestName, Progress, RepositoryName, Request, RestoreSpec, Spec, http::ProgressView,
};
use std::{
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

const INTERRUPTED: u8 = 130;
const ATTEMPTS: i32 = 3;

/// Restores.
pub async fn run(args: RepoRestoreArgs) -> Result<(), Exit> {
    let mut shutdown = Shutdown::listen()?;
    let uri = mongodb_uri(&args.mongo)?;
    let picked = pick::one(&args.repo.repository, &args.backup).await?;
    let request = request(&args, &picked)?;
    let connection = role::establish(&uri, &args.mongo.ops_database, args.mongo.replica_set.as_deref()).await?;
    let manifest = &picked.manifest;
    say(format_args!(
        "restoring {} of '{}', begun {} UTC, into '{}' of replica set {}",
        manifest.job,
        part_of(&manifest.database, manifest.part()),
        time(manifest.started_at),
        args.to,
        connection.replica_set(),
    ));
    let environment = Environment {
        client: connection.client(),
        repositories: [(picked.name.clone(), picked.repository.clone())].into(),
        ops_database: args.mongo.ops_database.clone(),
        cluster: None,
        options: HandlerOptions::default(),
        pace: Pace::default(),
        problems: Problems::default(),
    };
    let environment = Arc::new(environment);
    let salvaged = if args.salvage { Some(salvage(&args, &picked, &mut shutdown).await?) } else { None };
    let handler = match &salvaged {
        Some(salvaged) => RestoreHandler::salvaging(environment, salvaged.manifest.clone()),
        None => RestoreHandler::new(environment),
    };
    let result = carry_out(&handler, request, &mut shutdown).await.map_err(|error| ended_badly(&error))?;
    let has_problems = result.get_array("problems").is_ok_and(|problems| !problems.is_empty());
    output::text(&printed(&args, result, salvaged.as_ref())).await?;
    if has_problems { Err(Exit::new(FAILED, "")) } else { Ok(()) }
}

/// Finds out what is whole, unless interrupted.
async fn salvage(args: &RepoRestoreArgs, picked: &Picked, shutdown: &mut Shutdown) -> Result<Salvaged, Exit> {
    let stop = AtomicBool::new(false);
    let asked = || stop.load(Ordering::Relaxed);
    let mut work = Box::pin(salvage::sieve(picked, args.collections.as_deref(), &asked));
    tokio::select! {
        outcome = &mut work => outcome,
        _ = shutdown.came() => {
            stop.store(true, Ordering::Relaxed);
            Err(Exit::new(INTERRUPTED, "stopped before anything was changed"))
        }
    }
}

fn printed(args: &RepoRestoreArgs, result: Document, salvaged: Option<&Salvaged>) -> String {
    if !args.repo.json {
        let lost = salvaged.map_or_else(String::new, salvage::as_text);
        return as_text(args, &result) + &lost;
    }
    let mut value = relaxed(result);
    if let Some(salvaged) = salvaged {
        value["losses"] = salvage::as_json(&salvaged.losses);
    }
    format!("{value}\n")
}

fn request(args: &RepoRestoreArgs, picked: &Picked) -> Result<Request, Exit> {
    let backup: JobId = picked.manifest.job.parse().map_err(Exit::failed)?;
    let manifest = ManifestName { key: picked.reference.key.clone(), hash: picked.reference.hash.clone() };
    let id = job_id(&picked.manifest, &args.to);
    let spec = Spec::Restore(RestoreSpec {
        backup,
        manifest,
        database: args.to.clone(),
        collections: args.collections.clone(),
        replace: args.replace,
        dry_run: args.dry_run,
    });
    let repository = RepositoryName { name: picked.name.clone(), id: picked.repository.id().to_string() };
    Ok(Request { max_attempts: ATTEMPTS, ..Request::new(id, spec, "repo restore", Some(repository)) })
}

/// The same for the same backup and target, so that what a run has staged that was killed is found by the next one.
fn job_id(manifest: &lucid_repository::Manifest, target: &str) -> JobId {
    let mut hasher = DefaultHasher::new();
    (&manifest.job, target).hash(&mut hasher);
    JobId::compose(Kind::Restore, manifest.started_at, hasher.finish())
}

/// Runs the job while its progress is shown, and stops it when asked to.
async fn carry_out(handler: &dyn Handler, request: Request, shutdown: &mut Shutdown) -> Result<Document, JobError> {
    let sink = Arc::new(Mutex::new(sink_for_stderr()));
    let shown = Arc::clone(&sink);
    let report = move |progress: Progress| {
        let view = ProgressView {
            phase: progress.phase,
            documents: progress.documents,
            bytes: progress.bytes,
            total_bytes: progress.total_bytes,
        };
        shown.lock().unwrap_or_else(PoisonError::into_inner).advance("restore", &view);
    };
    // Higher than that of any run before.
    let job = DirectJob::new(request, DateTime::now().timestamp_millis(), Box::new(report));
    let mut work = Box::pin(job.run(handler));
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = shutdown.came() => {
                let said = if job.stop() { "stopping ..." } else { "the swap has begun, and is carried through" };
                say(format_args!("\n{said}"));
            }
        }
    };
    sink.lock().unwrap_or_else(PoisonError::into_inner).close();
    outcome
}

fn ended_badly(error: &JobError) -> Exit {
    match error {
        JobError::Stopped => Exit::new(INTERRUPTED, "stopped before anything was changed"),
        JobError::Failed(Failure { code, message, .. }) => match code.as_str() {
            "target_exists" => Exit::new(USAGE, format!("{message} (--replace, or another --to)")),
            "bad_request" | "collection_not_found" | "target_not_new" => Exit::new(USAGE, message),
            "changed_by_others" => {
                Exit::failed(format!("{message} (here there is no job to resume: run this again with --replace)"))
            }
            _ => Exit::failed(message),
        },
    }
}

fn as_text(args: &RepoRestoreArgs, result: &Document) -> String {
    let number = |field: &str| {
        let value = result.get(field);
        let value = value.and_then(|value| value.as_i64().or_else(|| value.as_i32().map(i64::from)));
        u64::try_from(value.unwrap_or_default()).unwrap_or_default()
    };
    let mut text = if args.dry_run {
        format!("nothing was done; '{}' would take {}\n", args.to, bytes(number("raw_bytes")))
    } else {
        format!(
            "restored into '{}': {} collections, {} views, {} documents, {}; each was read back and equals {}\n",
            args.to,
            count(number("collections")),
            count(number("views")),
            count(number("documents")),
            bytes(number("raw_bytes")),
            if args.salvage { "what was whole" } else { "the backup" },
        )
    };
    for (field, said) in [
        ("problems", "in the way"),
        ("created", "would be made"),
        ("replaced", if args.dry_run { "would be replaced" } else { "replaced" }),
        ("kept", "would stay as they are"),
        ("trimmed", "only the newest documents fit"),
        ("written_meanwhile", "written to meanwhile, and left as they are"),
        ("expiry_left_off", "without expiry, which this server refuses there"),
        ("left_alone", "left alone, as somebody else changed them meanwhile"),
        ("notes", "note"),
        ("selected", "the backup is of these collections of its database alone"),
    ] {
        let names: Vec<&str> =
            result.get_array(field).into_iter().flatten().filter_map(|value| value.as_str()).collect();
        if !names.is_empty() {
            let _ = writeln!(text, "{said}: {}", names.join(", "));
        }
    }
    lucid_client::render::lines(&text)
}
