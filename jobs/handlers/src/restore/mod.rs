//! Puts a backup into a database: plan, prove the backup, stage beside the target, prove what was staged, swap.
//!
//! Invariant: what was there before is untouched until all that replaces it is loaded and proven; past that point the
//! swap only goes forward, by whichever worker holds the job.

mod buckets;
pub(crate) mod cleanup;
mod list;
mod load;
mod plan;
mod probe;
pub(crate) mod stage;
pub(crate) mod staging;
mod swap;
mod timeseries;
mod views;

use crate::{
    Environment,
    bounded::names_that_fit,
    database::{Catalog, Server, catalog::storage_name, definition, queries::Identified},
    error::{Error, Result},
    progress::Meter,
    several, verify,
};
use async_trait::async_trait;
use bson::{Document, doc};
use list::{SwapEntry, SwapList, SwapView};
use lucid_ports::{Ending, Handler, JobContext, JobError};
use lucid_repository::{CollectionEntry, CollectionKind, Manifest, Repository, VerifyLevel};
use lucid_schemas::{EventBody, Job, Kind, RestoreSpec, Spec, State};
use plan::Plan;
use stage::{Stage, Staged, decoded};
use staging::StagingName;
use std::{
    cmp::Reverse,
    sync::{Arc, atomic::AtomicUsize},
};
use swap::Swap;

/// Documents rarely take less room on disk than this part of their bytes.
const COMPRESSION_AT_BEST: u64 = 8;

/// Runs restore jobs.
#[derive(Debug)]
pub struct RestoreHandler {
    environment: Arc<Environment>,
    /// In place of the backup's own manifest.
    salvaged: Option<Manifest>,
}

/// One restore on its way to the point of no return.
struct Run<'a> {
    context: &'a dyn JobContext,
    environment: &'a Environment,
    server: &'a Server,
    job: &'a Job,
    spec: &'a RestoreSpec,
    repository: &'a Repository,
    manifest: Manifest,
    entries: Vec<CollectionEntry>,
    /// Whether all of it has been read already.
    proven: bool,
    meter: Meter<'a>,
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
            return Err(Error::refused("wrong_kind", "the job is no restore"));
        };
        if let Some(error) = job.request.spec.check(&self.environment.ops_database).into_iter().next() {
            return Err(Error::refused("bad_request", format!("{} {}", error.field, error.problem)));
        }
        let server = self.environment.server(context.stop());
        if job.head.state == State::Committing {
            return self.roll_forward(context, &server, spec).await;
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
        let plan = plan::plan(&spec.database, &run.entries, &target, spec.replace);
        let free = run.check_space(&plan).await?;
        if spec.dry_run {
            let mut answer = plan.to_document();
            answer.extend(doc! { "dry_run": true, "database": &spec.database, "free_bytes": free });
            return Ok(answer);
        }
        refuse(&plan)?;
        run.to_point_of_no_return().await?;
        self.roll_forward(context, &server, spec).await
    }

    async fn manifest(&self, repository: &Repository, spec: &RestoreSpec) -> Result<Manifest> {
        match &self.salvaged {
            Some(salvaged) if salvaged.job == spec.backup.as_str() => Ok(salvaged.clone()),
            Some(_) => Err(Error::refused("bad_request", "another backup was salvaged")),
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
        Ok(result(spec, &list, &swapped.left_alone))
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
    }
}

impl Run<'_> {
    async fn to_point_of_no_return(&self) -> Result<()> {
        if !self.proven {
            self.prove_backup().await?;
        }
        let (job, epoch) = (self.job.id(), self.job.head.epoch);
        let database = &self.spec.database;
        // A predecessor's staging is loaded afresh; whatever it still sends finds its collections gone.
        cleanup::drop_staging(self.server, database, job, |other| other < epoch).await?;
        let numbers = AtomicUsize::new(2);
        let scratch = [StagingName::new(job, epoch, 0), StagingName::new(job, epoch, 1)];
        probe::check_identities(self.server, database, [&scratch[0], &scratch[1]]).await?;
        let staged = self.stage_all(&numbers).await?;
        self.meter.phase("preflight", 0);
        let target = self.server.patiently(|| self.server.names(database)).await?;
        let plan = plan::plan(database, &self.entries, &target, self.spec.replace);
        refuse(&plan)?;
        let list = self.swap_list(&plan, &target, &staged).await?;
        let hash = self.context.put_detail(&list::detail_name(epoch), list.to_document()?).await?;
        let started = EventBody::SwapStarted { entries: list.len(), list_hash: hash };
        Ok(self.context.commit(started).await?)
    }

    /// Proves what will be used; damage elsewhere in the backup doesn't matter here.
    async fn prove_backup(&self) -> Result<()> {
        let findings = verify::prove(self.context, self.repository, &self.manifest, VerifyLevel::Data).await?;
        let used = |name: &String| self.entries.iter().any(|entry| entry.name == *name);
        let matters =
            |finding: &lucid_repository::Finding| finding.needed && finding.collection.as_ref().is_none_or(used);
        let (findings, elsewhere): (Vec<_>, Vec<_>) = findings.into_iter().partition(matters);
        for lucid_repository::Finding { object, problem, .. } in elsewhere {
            tracing::warn!(object, problem, "the repository needs care, but this restore doesn't depend on it");
        }
        if findings.is_empty() { Ok(()) } else { Err(verify::damaged(&findings)) }
    }

    async fn check_space(&self, plan: &Plan) -> Result<Option<i64>> {
        let free = self.server.free_bytes(&self.spec.database).await?;
        let least = plan.raw_bytes / COMPRESSION_AT_BEST;
        match free.and_then(|free| u64::try_from(free).ok()) {
            Some(free) if free < least => Err(Error::refused(
                "no_space",
                format!(
                    "the data disk has {} MB free, and {} MB of documents are to be restored beside what is there: free \
                     space first",
                    free / 1_000_000,
                    plan.raw_bytes / 1_000_000
                ),
            )),
            _ => Ok(free),
        }
    }

    /// Stages every collection, a few at a time, the largest first.
    async fn stage_all(&self, numbers: &AtomicUsize) -> Result<Vec<Staged>> {
        let total: u64 = self.entries.iter().map(|entry| entry.content.raw_bytes).sum();
        self.meter.phase("load", i64::try_from(total).unwrap_or(i64::MAX));
        let halt = self.context.stop().child_token();
        let server = self.environment.server(&halt);
        let reader = self.repository.open_backup(&self.manifest).await?;
        let stage = Stage {
            server: &server,
            repository: self.repository,
            reader: &reader,
            domain: self.manifest.domain,
            database: &self.spec.database,
            job: self.job.id(),
            epoch: self.job.head.epoch,
            numbers,
            meter: &self.meter,
            options: self.environment.options,
        };
        let mut waiting: Vec<_> = self.entries.iter().filter(|entry| entry.kind != CollectionKind::View).collect();
        waiting.sort_by_key(|entry| Reverse(entry.content.raw_bytes));
        let staging = waiting.into_iter().map(|entry| stage.stage(entry));
        several::all(self.environment.options.parallel, staging, || halt.cancel()).await
    }

    async fn swap_list(&self, plan: &Plan, target: &Catalog, staged: &[Staged]) -> Result<SwapList> {
        let mut list = SwapList {
            epoch: self.job.head.epoch,
            database: self.spec.database.clone(),
            entries: Vec::new(),
            views: Vec::new(),
        };
        for (entry, step) in self.entries.iter().zip(&plan.steps) {
            let options = decoded(&entry.options)?;
            let Some(staged) = staged.iter().find(|staged| staged.name == entry.name) else {
                let before = target.entries.get(&entry.name).map(|found| decoded(&found.options)).transpose()?;
                list.views.push(SwapView { name: entry.name.clone(), options, before });
                continue;
            };
            let indexes: Vec<_> = entry.indexes.iter().map(|index| decoded(index)).collect::<Result<_>>()?;
            let expiry = definition::expiry(&options, &indexes);
            let mut swap = SwapEntry::new(staged, entry.kind, step.target, expiry);
            swap.documents = i64::try_from(staged.documents).unwrap_or(i64::MAX);
            let left_out = entry.content.documents.saturating_sub(staged.documents);
            swap.left_out = i64::try_from(left_out).unwrap_or(i64::MAX);
            swap.raw_bytes = i64::try_from(entry.content.raw_bytes).unwrap_or(i64::MAX);
            if entry.kind == CollectionKind::TimeSeries {
                swap.bucket_lists = self.bucket_lists(list.entries.len(), &swap).await?;
                swap.options = Some(options);
                swap.indexes = indexes;
            }
            list.entries.push(swap);
        }
        Ok(list)
    }

    async fn bucket_lists(&self, number: usize, swap: &SwapEntry) -> Result<i32> {
        let Some(target) = swap.target else { return Ok(0) };
        let identified = |name: &str, uuid| Identified {
            database: self.spec.database.clone(),
            storage: storage_name(name, swap.kind),
            uuid,
        };
        let (staged, target) = (identified(&swap.staging, swap.staged), identified(&swap.name, target));
        buckets::keep_lists(self.context, self.server, self.job.head.epoch, number, &staged, &target).await
    }
}

fn not_new(database: &str) -> Error {
    Error::refused(
        "target_not_new",
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
            "collection_not_found",
            format!("backup {} has no collection '{missing}'", spec.backup),
        ));
    }
    let asked = |entry: &&CollectionEntry| names.contains(&entry.name);
    Ok(manifest.collections.iter().filter(asked).cloned().collect())
}

fn refuse(plan: &Plan) -> Result<()> {
    let Some(first) = plan.problems.first() else {
        return Ok(());
    };
    let more = match plan.problems.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Err(Error::refused(first.code, format!("{}{more}", first.message)))
}

/// What the job says about a restore; stays below what an event may hold.
fn result(spec: &RestoreSpec, list: &SwapList, left_alone: &[String]) -> Document {
    let names = |which: fn(&&SwapEntry) -> bool| {
        names_that_fit(list.entries.iter().filter(which).map(|entry| entry.name.as_str()))
    };
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    doc! {
        "backup": spec.backup.as_str(),
        "database": &list.database,
        "collections": count(list.entries.len()),
        "views": count(list.views.len()),
        "documents": list.entries.iter().map(|entry| entry.documents).fold(0_i64, i64::saturating_add),
        "raw_bytes": list.entries.iter().map(|entry| entry.raw_bytes).fold(0_i64, i64::saturating_add),
        "replaced": names(|entry| entry.target.is_some()),
        "trimmed": names(|entry| entry.left_out > 0),
        "left_alone": names_that_fit(left_alone.iter().map(String::as_str)),
    }
}
