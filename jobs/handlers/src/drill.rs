//! A restore drill: restores a backup into a scratch database, compares what is there with the manifest, and drops it again.
//!
//! Invariant: no database is touched but the scratch database of the claim at hand ([`crate::scratch`]); whatever the end, it goes: by
//! the run itself, by what comes after its end, or by the next claim.

use crate::{
    Environment,
    database::{Server, commands, definition},
    error::{Error, Result},
    progress::Meter,
    restore::{
        cleanup, left_off, rehearsal,
        stage::{Stage, decoded},
        staging::StagingName,
    },
    room::{self, Room},
    scratch::{self, ScratchName},
};
use lucid_ports::{Ending, JobContext};
use lucid_repository::{CollectionEntry, CollectionKind, Finding, Manifest, Repository};
use lucid_schemas::{Code, Job};
use std::{collections::BTreeMap, sync::atomic::AtomicUsize};

/// What a drill has shown.
#[derive(Debug, Default)]
pub(crate) struct Drilled {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What this server would restore without its expiry, which it refuses there.
    pub expiry_left_off: Vec<String>,
}

/// Restores every collection of a backup, one after the other, and says what differs. What was compared is dropped at once, so that no
/// more room is needed than for the largest one.
pub(crate) async fn run(
    context: &dyn JobContext,
    environment: &Environment,
    repository: &Repository,
    (manifest, key): (&Manifest, &str),
) -> Result<Drilled> {
    let job = context.job();
    let server = environment.server(context.stop());
    server.patiently(|| server.facts()).await?;
    let room = Room::of(&server).await?;
    check_space(&room, manifest).await?;
    let scratch = scratch::begin(&server, job.id(), job.head.epoch).await?;
    let all = async |server: Server, _| {
        let drill = Drill { context, environment, repository, server: &server, job: &job, key, scratch: &scratch };
        Box::pin(drill.all(manifest)).await
    };
    let outcome = room.watched(all).await;
    scratch::finish(&server, &scratch, outcome).await
}

/// Drops what the claims of a job have left, after a run has ended so.
pub(crate) async fn abandon(environment: &Environment, job: &Job, ending: Ending) {
    // The job's stop has fired by now; cleaning up goes on.
    let server = environment.server(&tokio_util::sync::CancellationToken::new());
    let goes = |epoch| cleanup::may_go(ending, &job.head, epoch);
    if let Err(error) = scratch::clear(&server, job.id(), goes).await {
        tracing::warn!(job = %job.id(), %error, "a scratch database stays behind");
    }
}

/// Refuses where the largest collection can't fit.
async fn check_space(room: &Room<'_>, manifest: &Manifest) -> Result<()> {
    let oplog_left = room.oplog_left().await?;
    let alone = manifest.collections.iter().map(|entry| room::estimate(std::iter::once(entry), oplog_left));
    room.check(alone.max().unwrap_or(0)).await.map(drop)
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
    async fn all(&self, manifest: &Manifest) -> Result<Drilled> {
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
        let refused = rehearsal::views(self.server, self.scratch, &manifest.collections, &BTreeMap::new()).await?;
        let mut drilled = Drilled::default();
        for entry in &manifest.collections {
            let outcome = if let Some(refused) = refused.iter().find(|refused| refused.name == entry.name) {
                let rehearsal::Refused { name, reason } = refused;
                Err(Error::refused(MISMATCH, format!("view '{name}' can't be made ({reason})")))
            } else if entry.kind == CollectionKind::View {
                self.view(&stage.next_name(), entry).await.map(|()| Vec::new())
            } else {
                self.collection(&stage, entry).await
            };
            match outcome {
                Ok(without) => drilled.expiry_left_off.extend(left_off(&entry.name, &without)),
                Err(error) => drilled.findings.push(self.finding(entry, error)?),
            }
        }
        Ok(drilled)
    }

    /// Loads a collection with its indexes, and reads all of it back; says what had to go without its expiry.
    async fn collection(&self, stage: &Stage<'_>, entry: &CollectionEntry) -> Result<Vec<String>> {
        let staged = stage.stage(entry).await?;
        let database = self.scratch.as_str();
        let command = if entry.kind == CollectionKind::TimeSeries {
            commands::drop_staging_time_series(database, &staged.staging)?
        } else {
            commands::drop_staging(database, &staged.staging, staged.uuid)?
        };
        self.server.tell(command).await.map(|_| staged.definition.left_off)
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
const MISMATCH: Code = Code::DefinitionMismatch;
