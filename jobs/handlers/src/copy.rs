//! Takes backups to another repository.
//!
//! Invariant: a copy is committed only after all of it was read and compared with its manifest; one that is there already is found, so
//! that every attempt goes on where the last one stopped.

use crate::{
    Environment,
    bounded::part_of,
    error::{Error, Result},
    progress::Meter,
    verify,
};
use async_trait::async_trait;
use bson::{Bson, Document, doc};
use lucid_ports::{Ending, Handler, JobContext, JobError};
use lucid_repository::{Compression, Manifest, Repository, rounded};
use lucid_schemas::{Code, CopySpec, Kind, Spec};
use std::sync::Arc;

/// Backups that the result names; the counts tell of all.
const TOLD_MAX: usize = 20;

/// Runs copy jobs.
#[derive(Debug)]
pub struct CopyHandler {
    environment: Arc<Environment>,
}

impl CopyHandler {
    /// A handler in this environment.
    pub fn new(environment: Arc<Environment>) -> Self {
        Self { environment }
    }

    async fn copy(&self, context: &dyn JobContext) -> Result<Document> {
        let job = context.job();
        let Spec::Copy(spec) = &job.request.spec else {
            return Err(Error::refused(Code::WrongKind, "the job is no copy"));
        };
        if let Some(error) = spec.check(job.request.requires.repository.as_ref()).into_iter().next() {
            return Err(Error::refused(Code::BadRequest, format!("{} {}", error.field, error.problem)));
        }
        let (from, source) = self.environment.repository(&job.request).await?;
        let (to, target) = self.environment.open(&spec.to).await?;
        let run = Run { context, meter: Meter::new(context), source: &source, target: &target };
        let (done, part) = match &spec.backup {
            Some(_) => run.one(spec).await?,
            None => (run.all().await?, Document::new()),
        };
        let mut result = done.result(from, to);
        result.extend(part);
        Ok(result)
    }
}

#[async_trait]
impl Handler for CopyHandler {
    fn kind(&self) -> Kind {
        Kind::Copy
    }

    async fn run(&self, context: &dyn JobContext) -> std::result::Result<Document, JobError> {
        Ok(self.copy(context).await?)
    }

    async fn abandon(&self, _: &dyn JobContext, _: Ending) {
        // Without its manifest, what was copied so far is what the next copy builds on, or the next prune frees.
    }
}

struct Run<'a> {
    context: &'a dyn JobContext,
    meter: Meter<'a>,
    source: &'a Repository,
    target: &'a Repository,
}

/// What was copied.
#[derive(Default)]
struct Done {
    copied: Vec<Bson>,
    were_there: i64,
    stored_bytes: i64,
}

impl Run<'_> {
    /// The backup that a spec, or the job that was waited for, names; with what is to be said where it isn't of a whole database.
    async fn one(&self, spec: &CopySpec) -> Result<(Done, Document)> {
        let job = self.context.job();
        let (Some(backup), Some(named)) = (&spec.backup, spec.manifest.clone().or_else(|| verify::handed(&job))) else {
            return Err(Error::refused(Code::ManifestUnnamed, "nothing names the manifest of the backup"));
        };
        let manifest = verify::read_manifest(self.source, &named, backup.as_str()).await?;
        let mut done = Done::default();
        self.take(&manifest, &mut done).await?;
        Ok((done, part_of(&manifest)))
    }

    /// Every backup, the oldest first, so that each builds on the one before. One that isn't whole doesn't keep the others back.
    async fn all(&self) -> Result<Done> {
        let (mut done, mut manifests, mut failed) = (Done::default(), Vec::new(), Vec::new());
        for entry in self.source.manifests().await? {
            match entry.manifest {
                Ok(manifest) => manifests.push(manifest),
                Err(damage) => failed.push(format!("{}: {damage}", entry.job)),
            }
        }
        manifests.sort_by_key(|manifest| manifest.started_at);
        for manifest in manifests {
            match self.take(&manifest, &mut done).await {
                Err(Error::Repository(error)) if error.damage().is_some() => {
                    failed.push(format!("{}: {error}", manifest.job));
                }
                taken => taken?,
            }
        }
        match failed.first() {
            None => Ok(done),
            Some(first) => Err(Error::refused(
                Code::BackupDamaged,
                format!(
                    "not copied because they aren't whole: {}; all others are there. The first: {first}",
                    failed.len()
                ),
            )),
        }
    }

    async fn take(&self, manifest: &Manifest, done: &mut Done) -> Result<()> {
        if self.context.stop().is_cancelled() || self.context.lease_left().is_zero() {
            return Err(Error::Stopped);
        }
        let total = manifest.collections.iter().map(|entry| entry.content.raw_bytes).sum();
        self.meter.phase("copy", whole(total));
        let progress = |_: u64, bytes: u64| self.meter.set(whole(bytes), whole(total));
        let stop = self.context.stop().clone();
        let is_stopped = move || stop.is_cancelled();
        let copied = self.source.copy_backup(manifest, self.target, Compression::default(), &progress, &is_stopped);
        let report = copied.await?;
        let stored_bytes = whole(rounded(report.stats.stored_bytes));
        done.stored_bytes = done.stored_bytes.saturating_add(stored_bytes);
        if report.was_there {
            done.were_there += 1;
        } else {
            tracing::info!(job = %self.context.job().id(), backup = manifest.job, "copied");
            let manifest_name = doc! { "key": &report.reference.key, "hash": &report.reference.hash };
            let mut copied = doc! { "backup": &manifest.job, "manifest": manifest_name, "stored_bytes": stored_bytes };
            if manifest.part().is_some() {
                copied.insert("partial", true);
            }
            done.copied.push(copied.into());
        }
        Ok(())
    }
}

impl Done {
    fn result(mut self, from: &str, to: &str) -> Document {
        let copied = whole(self.copied.len() as u64);
        self.copied.truncate(TOLD_MAX);
        doc! {
            "repository": from,
            "to": to,
            "backups_copied": copied,
            "backups_there": self.were_there,
            "stored_bytes": self.stored_bytes,
            "copied": self.copied,
        }
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
