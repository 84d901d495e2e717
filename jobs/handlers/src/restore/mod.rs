//! Puts a backup into a database: plan, prove the backup, stage beside the target, prove what was staged, swap.
//!
//! Invariant: what was there before is untouched until all that replaces it is loaded and proven; past that point the
//! swap only goes forward, by whichever worker holds the job.

mod buckets;
pub(crate) mod cleanup;
mod give_up;
mod list;
mod load;
mod plan;
mod probe;
pub(crate) mod rehearsal;
mod run;
pub(crate) mod stage;
pub(crate) mod staging;
mod swap;
mod timeseries;
mod views;

use crate::{
    Environment,
    bounded::{names_that_fit, part_of},
    database::Server,
    error::{Error, Result},
    progress::Meter,
    scratch, verify,
};
use async_trait::async_trait;
use bson::{Document, doc};
use list::{SwapEntry, SwapList};
use lucid_ports::{Ending, GivenUp, Handler, JobContext, JobError};
use lucid_repository::{CollectionEntry, Manifest, Repository};
use lucid_schemas::{Code, EventBody, Job, Kind, RestoreSpec, Spec, State};
use run::{Run, refuse};
use std::sync::Arc;
use swap::{Swap, Swapped};

/// Runs restore jobs.
#[derive(Debug)]
pub struct RestoreHandler {
    environment: Arc<Environment>,
    /// In place of the backup's own manifest.
    salvaged: Option<Manifest>,
}

impl RestoreHandler {
    /// A handler in this environment.
    pub fn new(environment: Arc<Environment>) -> Self {
        Self { environment, salvaged: None }
    }

    /// A handler that restores what [`lucid_repository::BackupReader::salvage`] has found whole of the backup of its jobs, and
    /// only into databases that don't exist yet: a part must never take the place of a whole.
    pub fn salvaging(environment: Arc<Environment>, salvaged: Manifest) -> Self {
        Self { environment, salvaged: Some(salvaged) }
    }

    async fn restore(&self, context: &dyn JobContext) -> Result<Document> {
        let job = context.job();
        let Spec::Restore(spec) = &job.request.spec else {
            return Err(Error::refused(Code::WrongKind, "the job is no restore"));
        };
        if let Some(error) = job.request.spec.check(&self.environment.ops_database).into_iter().next() {
            return Err(Error::refused(Code::BadRequest, format!("{} {}", error.field, error.problem)));
        }
        let server = self.environment.server(context.stop());
        if job.head.state == State::Committing {
            let mut result = self.roll_forward(context, &server, spec).await?;
            // All is done: where the repository is away, one remark less.
            let read = async {
                let (_, repository) = self.environment.repository(&job.request).await?;
                self.manifest(&repository, spec).await
            };
            result.extend(read.await.map_or_else(|_| Document::new(), |manifest| part_of(&manifest)));
            return Ok(result);
        }
        server.patiently(|| server.facts()).await?;
        let (_, repository) = self.environment.repository(&job.request).await?;
        let manifest = self.manifest(&repository, spec).await?;
        let run = Run {
            context,
            environment: &self.environment,
            server: &server,
            job: &job,
            spec,
            repository: &repository,
            entries: select(spec, &manifest)?,
            manifest,
            proven: self.salvaged.is_some(),
            meter: Meter::new(context),
        };
        let target = server.patiently(|| server.names(&spec.database)).await?;
        if self.salvaged.is_some() && !target.entries.is_empty() {
            return Err(not_new(&spec.database));
        }
        let mut plan = plan::plan(&spec.database, &run.entries, &target, spec.replace);
        let free = run.check_space().await?;
        run.rehearse(&mut plan, &target).await?;
        if spec.dry_run {
            let mut answer = plan.to_document();
            answer.extend(doc! { "dry_run": true, "database": &spec.database, "free_bytes": free });
            answer.extend(part_of(&run.manifest));
            return Ok(answer);
        }
        refuse(&plan)?;
        run.to_point_of_no_return().await?;
        let mut result = self.roll_forward(context, &server, spec).await?;
        result.extend(part_of(&run.manifest));
        Ok(result)
    }

    async fn manifest(&self, repository: &Repository, spec: &RestoreSpec) -> Result<Manifest> {
        match &self.salvaged {
            Some(salvaged) if salvaged.job == spec.backup.as_str() => Ok(salvaged.clone()),
            Some(_) => Err(Error::refused(Code::BadRequest, "another backup was salvaged")),
            None => verify::read_manifest(repository, &spec.manifest, spec.backup.as_str()).await,
        }
    }

    /// Everything past the point of no return.
    async fn roll_forward(&self, context: &dyn JobContext, server: &Server, spec: &RestoreSpec) -> Result<Document> {
        let job = context.job();
        let list = swap::committed_list(context).await?;
        if list.database != spec.database {
            return Err(list::unreadable("it is about another database"));
        }
        let meter = Meter::new(context);
        meter.phase("swap", 0);
        let swap = Swap { context, server, job: job.id().clone(), list: &list, options: self.environment.options };
        let swapped = swap.run().await?;
        meter.phase("clean_up", 0);
        let own = job.head.epoch;
        server.patiently(|| cleanup::drop_staging(server, &list.database, job.id(), |epoch| epoch <= own)).await?;
        let swapped = swap.look_again(swapped).await?;
        claimable(&job, &list, &swapped)?;
        Ok(result(spec, &list, &swapped))
    }
}

#[async_trait]
impl Handler for RestoreHandler {
    fn kind(&self) -> Kind {
        Kind::Restore
    }

    async fn run(&self, context: &dyn JobContext) -> std::result::Result<Document, JobError> {
        Ok(self.restore(context).await?)
    }

    async fn abandon(&self, context: &dyn JobContext, ending: Ending) {
        let job = context.job();
        let Spec::Restore(spec) = &job.request.spec else { return };
        // The job's stop has fired by now; cleaning up goes on.
        let server = self.environment.server(&tokio_util::sync::CancellationToken::new());
        let goes = |epoch| cleanup::may_go(ending, &job.head, epoch);
        if let Err(error) = cleanup::drop_staging(&server, &spec.database, job.id(), goes).await {
            tracing::warn!(job = %job.id(), %error, "staging collections stay behind");
        }
        if let Err(error) = scratch::clear(&server, job.id(), goes).await {
            tracing::warn!(job = %job.id(), %error, "a scratch database stays behind");
        }
    }

    async fn give_up(&self, context: &dyn JobContext) -> std::result::Result<GivenUp, JobError> {
        let job = context.job();
        let Spec::Restore(spec) = &job.request.spec else {
            return Err(Error::refused(Code::WrongKind, "the job is no restore").into());
        };
        let server = self.environment.server(context.stop());
        Ok(give_up::give_up(context, &server, spec).await?)
    }
}

fn not_new(database: &str) -> Error {
    Error::refused(
        Code::TargetNotNew,
        format!("database '{database}' exists: what is salvaged goes into a new one only, to be looked at there"),
    )
}

/// The entries that a restore is asked for, in the backup's order.
fn select(spec: &RestoreSpec, manifest: &Manifest) -> Result<Vec<CollectionEntry>> {
    let Some(names) = &spec.collections else {
        return Ok(manifest.collections.clone());
    };
    let missing = names.iter().find(|name| !manifest.collections.iter().any(|entry| entry.name == **name));
    if let Some(missing) = missing {
        return Err(Error::refused(
            Code::CollectionNotFound,
            format!("backup {} has no collection '{missing}'", spec.backup),
        ));
    }
    let asked = |entry: &&CollectionEntry| names.contains(&entry.name);
    Ok(manifest.collections.iter().filter(asked).cloned().collect())
}

/// Whether the restore may be said to have succeeded. What is gone by the hand of somebody else isn't restored: a person decides whether the
/// rest will do, by resuming the job; and of nothing at all no job can say so.
fn claimable(job: &Job, list: &SwapList, swapped: &Swapped) -> Result<()> {
    let nothing = swapped.done.is_empty() && !list.entries.is_empty();
    let is_resumed = job.events.iter().any(|event| matches!(event.body, EventBody::Resumed {}));
    if swapped.left_alone.is_empty() || (is_resumed && !nothing) {
        return Ok(());
    }
    let database = &list.database;
    let message = if nothing {
        format!(
            "nothing of this restore is in '{database}' any more: somebody has dropped or renamed all of it since it was swapped in; give the \
             job up, and restore again"
        )
    } else {
        let some: Vec<_> = swapped.left_alone.iter().take(10).map(String::as_str).collect();
        format!(
            "somebody has dropped or renamed {} in '{database}' since this restore swapped it in ({} in all; the others are in place): resume \
             the job to end it without, or give it up and restore again",
            some.join(", "),
            swapped.left_alone.len(),
        )
    };
    Err(Error::refused(Code::ChangedByOthers, message))
}

/// What of a collection goes without its expiry, in words.
pub(crate) fn left_off(collection: &str, names: &[String]) -> Vec<String> {
    let word = |name: &String| match name.as_str() {
        "" => collection.to_owned(),
        index => format!("{collection} (index {index})"),
    };
    names.iter().map(word).collect()
}

/// What the job says about a restore: of what is there; stays below what an event may hold.
fn result(spec: &RestoreSpec, list: &SwapList, swapped: &Swapped) -> Document {
    let in_place = || list.entries.iter().filter(|entry| swapped.done.contains_key(&entry.name));
    let names =
        |which: fn(&&SwapEntry) -> bool| names_that_fit(in_place().filter(which).map(|entry| entry.name.as_str()));
    let views = list.views.iter().filter(|view| !swapped.left_alone.contains(&view.name)).count();
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    doc! {
        "backup": spec.backup.as_str(),
        "database": &list.database,
        "collections": count(in_place().count()),
        "views": count(views),
        "documents": in_place().map(|entry| entry.documents).fold(0_i64, i64::saturating_add),
        "raw_bytes": in_place().map(|entry| entry.raw_bytes).fold(0_i64, i64::saturating_add),
        "replaced": names(|entry| entry.target.is_some()),
        "trimmed": names(|entry| entry.left_out > 0),
        "written_meanwhile": names_that_fit(swapped.written_meanwhile.iter().map(String::as_str)),
        "expiry_left_off": names_that_fit(swapped.expiry_left_off.iter().map(String::as_str)),
        "left_alone": names_that_fit(swapped.left_alone.iter().map(String::as_str)),
    }
}
