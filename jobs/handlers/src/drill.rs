//! A restore drill: restores a backup into a scratch database, compares what is there with the manifest, and drops it again.
//!
//! Invariant: no database is touched but those whose name says that this job made them. Each claim has one of its own, so that a worker
//! that wakes up late loads into nothing that a successor uses; whatever the end, it goes: by the run itself, by what comes after its
//! end, or by the next claim.

use crate::{
    Environment,
    database::{Server, catalog::hex, commands, definition, queries},
    error::{Error, Result},
    progress::Meter,
    restore::{
        cleanup,
        stage::{Stage, decoded},
        staging::StagingName,
    },
};
use bson::doc;
use lucid_ports::{Ending, JobContext};
use lucid_repository::{CollectionEntry, CollectionKind, Finding, Manifest, Repository};
use lucid_schemas::{Job, JobId, names::DRILL_PREFIX};
use sha2::{Digest, Sha256};
use std::sync::atomic::AtomicUsize;

const HASH_BYTES: usize = 8;
/// Documents rarely take less room on disk than this part of their bytes.
const COMPRESSION_AT_BEST: u64 = 8;

/// The name of a scratch database: `__lucid_drill_<job hash>_<epoch>`. Only values of this type can be dropped, and they are only made
/// for the job at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScratchName {
    text: String,
    epoch: i64,
}

impl ScratchName {
    fn new(job: &JobId, epoch: i64) -> Self {
        Self { text: format!("{}{epoch}", prefix(job)), epoch }
    }

    /// Reads a name, if it is one of this job's.
    fn parse(job: &JobId, name: &str) -> Option<Self> {
        let epoch = name.strip_prefix(&prefix(job))?;
        let is_number = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { text: name.to_owned(), epoch: epoch.parse().ok().filter(|_| is_number)? })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn prefix(job: &JobId) -> String {
    format!("{DRILL_PREFIX}{}_", hex(&Sha256::digest(job.as_str())[..HASH_BYTES]))
}

/// Restores every collection of a backup, one after the other, and says what differs. What was compared is dropped at once, so that no
/// more room is needed than for the largest one.
pub(crate) async fn run(
    context: &dyn JobContext,
    environment: &Environment,
    repository: &Repository,
    (manifest, key): (&Manifest, &str),
) -> Result<Vec<Finding>> {
    let job = context.job();
    let server = environment.server(context.stop());
    server.patiently(|| server.facts()).await?;
    let epoch = job.head.epoch;
    // What a predecessor has left, and what it still sends goes into a database of its own.
    drop_scratch(&server, job.id(), |other| other < epoch).await?;
    let scratch = ScratchName::new(job.id(), epoch);
    check_space(&server, manifest).await?;
    if !server.patiently(|| databases(&server, &scratch.text)).await?.is_empty() {
        let why = format!("database '{}' exists, and this drill hasn't made it: drop or rename it", scratch.text);
        return Err(Error::refused("scratch_exists", why));
    }
    let drill = Drill { context, environment, repository, server: &server, job: &job, key, scratch: &scratch };
    let outcome = drill.all(manifest).await;
    let dropped = server.tell(commands::drop_scratch(&scratch)?).await;
    let findings = outcome?;
    dropped?;
    Ok(findings)
}

/// Drops what the claims of a job have left, after a run has ended so.
pub(crate) async fn abandon(environment: &Environment, job: &Job, ending: Ending) {
    // The job's stop has fired by now; cleaning up goes on.
    let server = environment.server(&tokio_util::sync::CancellationToken::new());
    let goes = |epoch| cleanup::may_go(ending, &job.head, epoch);
    if let Err(error) = drop_scratch(&server, job.id(), goes).await {
        tracing::warn!(job = %job.id(), %error, "a scratch database stays behind");
    }
}

async fn drop_scratch(server: &Server, job: &JobId, goes: impl Fn(i64) -> bool) -> Result<()> {
    let prefix = prefix(job);
    for name in server.patiently(|| databases(server, &prefix)).await? {
        if let Some(scratch) = ScratchName::parse(job, &name).filter(|scratch| goes(scratch.epoch)) {
            server.tell(commands::drop_scratch(&scratch)?).await?;
        }
    }
    Ok(())
}

/// Names of databases that begin so.
async fn databases(server: &Server, prefix: &str) -> Result<Vec<String>> {
    // The prefix is made of letters, digits and '_': nothing in it means anything else in a pattern.
    let body = doc! { "listDatabases": 1, "nameOnly": true, "filter": { "name": { "$regex": format!("^{prefix}") } } };
    let reply = server.ask(queries::command("admin", "list scratch databases", true, &body)?).await?;
    let list = reply.get_array("databases").map(Vec::as_slice).unwrap_or_default();
    let names = list.iter().filter_map(|entry| entry.as_document()?.get_str("name").ok().map(str::to_owned));
    Ok(names.collect())
}

/// Refuses where the largest collection can't fit.
async fn check_space(server: &Server, manifest: &Manifest) -> Result<()> {
    let largest = manifest.collections.iter().map(|entry| entry.content.raw_bytes).max().unwrap_or(0);
    let free = server.free_bytes("admin").await?.and_then(|free| u64::try_from(free).ok());
    match free {
        Some(free) if free < largest / COMPRESSION_AT_BEST => Err(Error::refused(
            "no_space",
            format!(
                "the data disk has {} MB free, and the largest collection, of {} MB of documents, is to be restored for \
                 a moment: free space first, or verify at level data",
                free / 1_000_000,
                largest / 1_000_000
            ),
        )),
        _ => Ok(()),
    }
}

struct Drill<'a> {
    context: &'a dyn JobContext,
    environment: &'a Environment,
    repository: &'a Repository,
    server: &'a Server,
    job: &'a Job,
    key: &'a str,
    scratch: &'a ScratchName,
}

impl Drill<'_> {
    async fn all(&self, manifest: &Manifest) -> Result<Vec<Finding>> {
        let reader = self.repository.open_backup(manifest).await?;
        let (numbers, meter) = (AtomicUsize::new(0), Meter::new(self.context));
        let total: u64 = manifest.collections.iter().map(|entry| entry.content.raw_bytes).sum();
        meter.phase("drill", i64::try_from(total).unwrap_or(i64::MAX));
        let stage = Stage {
            server: self.server,
            repository: self.repository,
            reader: &reader,
            domain: manifest.domain,
            database: self.scratch.as_str(),
            job: self.job.id(),
            epoch: self.job.head.epoch,
            numbers: &numbers,
            meter: &meter,
            options: self.environment.options,
        };
        let mut findings = Vec::new();
        for entry in &manifest.collections {
            let outcome = if entry.kind == CollectionKind::View {
                self.view(&stage.next_name(), entry).await
            } else {
                self.collection(&stage, entry).await
            };
            if let Err(error) = outcome {
                findings.push(self.finding(entry, error)?);
            }
        }
        Ok(findings)
    }

    /// Loads a collection with its indexes, and reads all of it back.
    async fn collection(&self, stage: &Stage<'_>, entry: &CollectionEntry) -> Result<()> {
        let staged = stage.stage(entry).await?;
        let database = self.scratch.as_str();
        let command = if entry.kind == CollectionKind::TimeSeries {
            commands::drop_staging_time_series(database, &staged.staging)?
        } else {
            commands::drop_staging(database, &staged.staging, staged.uuid)?
        };
        self.server.tell(command).await.map(drop)
    }

    /// Makes a view, and compares how the server lists it.
    async fn view(&self, name: &StagingName, entry: &CollectionEntry) -> Result<()> {
        let (database, options) = (self.scratch.as_str(), decoded(&entry.options)?);
        let create = commands::create_staging(database, name, definition::options_to_create(&options))?;
        self.server.tell(create).await?;
        let found = self.server.staging_options(database, name.as_str()).await?;
        let found = found.map(|found| decoded(&found)).transpose()?;
        if found.is_some_and(|found| definition::same_options(&options, &found)) {
            return Ok(());
        }
        Err(Error::refused(MISMATCH, format!("view '{}' can't be made as it was", entry.name)))
    }

    /// What a failure says about the backup; one that says nothing about it is passed on.
    fn finding(&self, entry: &CollectionEntry, error: Error) -> Result<Finding> {
        let (object, problem) = match error {
            Error::Repository(error) => match error.damage() {
                Some(damage) => (damage.object, damage.problem),
                None => return Err(error.into()),
            },
            Error::Refused { code: MISMATCH, message } => (self.key.to_owned(), message),
            error => return Err(error),
        };
        Ok(Finding { object, collection: Some(entry.name.clone()), problem, lost_documents: None, needed: true })
    }
}

/// What staging answers where a definition can't be restored.
const MISMATCH: &str = "definition_mismatch";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_the_job_at_hand_are_scratch() {
        let job: JobId = "verify_20250109_020000_7k3fq2m8ab".parse().expect("an id");
        let other: JobId = "verify_20250109_020000_7k3fq2m8ac".parse().expect("an id");
        let name = ScratchName::new(&job, i64::MAX);
        assert!(name.as_str().len() < 64, "the server takes it: {}", name.as_str());
        assert_eq!(ScratchName::parse(&job, name.as_str()), Some(name.clone()));
        assert_eq!(ScratchName::parse(&other, name.as_str()), None);
        for hostile in ["", "orders", "admin", &format!("{}x", name.as_str()), &prefix(&job), DRILL_PREFIX] {
            assert_eq!(ScratchName::parse(&job, hostile), None, "{hostile}");
        }
        assert!(
            lucid_schemas::names::check_user_database(name.as_str(), "lucid_ops").is_err(),
            "nobody's but a drill's"
        );
    }
}
