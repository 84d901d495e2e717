//! Forgets backups that no rule keeps, and frees what only they needed.
//!
//! Invariant: a backup that any open job is about isn't forgotten; only the cluster that owns the repository forgets any, and of others'
//! backups only where it is told whose; nobody else runs on the repository meanwhile, since the job has it to itself; and whatever a
//! worker that lost the job still does is harmless, since the repository's own rules need no lock.

mod clusters;
mod told;

use crate::{
    Environment,
    error::{Error, Result},
    progress::Meter,
};
use async_trait::async_trait;
use bson::Document;
use clusters::Clusters;
use lucid_ports::{Ending, Handler, JobContext, JobError, Store, StoreError};
use lucid_repository::{Candidate, PruneOptions, PruneReport, Repository, RetentionPolicy, Verdict, judge};
use lucid_schemas::{Code, Fate, FateState, Job, JobId, Keep, Kind, PruneSpec, Spec, State};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use told::whole;

const HOUR_MS: i64 = 3_600_000;

/// Runs prune jobs.
pub struct PruneHandler {
    environment: Arc<Environment>,
    /// Knows which backups jobs are about, and which never succeeded.
    store: Arc<dyn Store>,
}

impl PruneHandler {
    /// A handler in this environment.
    pub fn new(environment: Arc<Environment>, store: Arc<dyn Store>) -> Self {
        Self { environment, store }
    }

    async fn prune(&self, context: &dyn JobContext) -> Result<Document> {
        let job = context.job();
        let Spec::Prune(spec) = &job.request.spec else {
            return Err(Error::refused(Code::WrongKind, "the job is no prune"));
        };
        if let Some(error) = spec.check().into_iter().next() {
            return Err(Error::refused(Code::BadRequest, format!("{} {}", error.field, error.problem)));
        }
        let (name, repository) = self.environment.repository(&job.request).await?;
        let unreachable = |error: StoreError| Error::again(Code::StoreUnavailable, error.to_string());
        let cluster = self.store.cluster().await.map_err(unreachable)?;
        if !spec.dry_run {
            repository.claim(&cluster, spec.take_ownership).await?;
        }
        let was_full = !spec.dry_run && repository.make_room().await?;
        // What succeeds later is listed later, too.
        let known = self.known(&repository, &cluster).await?;
        let lost = if spec.accept_loss { repository.accept_loss(job.id().as_str(), &known).await? } else { 0 };
        repository.ensure_none_missing(&known).await?;
        let meter = Meter::new(context);
        meter.phase("judge", 0);
        let mut candidates = repository.candidates().await?;
        self.annotate(&cluster, &mut candidates).await?;
        let clusters = Clusters::of(&candidates, &cluster);
        if spec.take_ownership {
            tracing::info!(job = %job.id(), repository = name, backups = %clusters, "this cluster prunes it from now on");
        }
        let scope = clusters.scope(&repository, spec).await?;
        let mut judgement = judge(&policy(spec.keep), &scope, &candidates);
        told::warn(&job, &judgement);
        context.put_detail("verdicts", told::detail(&judgement.verdicts)).await?;
        if !spec.dry_run {
            // Judging takes its time: another cluster may have taken over meanwhile.
            repository.claim(&cluster, false).await?;
            self.forget(context, &repository, &mut judgement.verdicts).await?;
            self.tell(&repository).await?;
        }
        let mut options = options(&job, spec, &judgement.verdicts);
        // Without what the history was just told to be forgotten: records of that may go.
        options.known = self.known(&repository, &cluster).await?;
        // What is written anew takes room that isn't there.
        options.repack &= !was_full;
        let report = free(context, &meter, &repository, &options).await?;
        if !spec.dry_run {
            repository.set_room_aside().await?;
        }
        let mut result = told::result(name, spec, &judgement, &report);
        result.extend(clusters.told(spec.take_ownership));
        if spec.accept_loss {
            result.insert("manifests_lost", whole(lost));
        }
        Ok(result)
    }

    /// Says at each backup what the jobs know of it: those of before the manifests named clusters are this one's where its job is here.
    async fn annotate(&self, cluster: &str, candidates: &mut [Candidate]) -> Result<()> {
        let needed = self.needed().await?;
        for candidate in candidates {
            if let Some(job) = needed.get(&candidate.job) {
                candidate.held.get_or_insert_with(|| format!("{job} is about it"));
            }
            let Ok(id) = candidate.job.parse() else { continue };
            // A job that isn't known was forgotten, or is another cluster's: the repository's word is all there is.
            let Some(job) = self.store.load(&id).await.map_err(|error| unavailable(&error))? else { continue };
            candidate.cluster.get_or_insert_with(|| cluster.to_owned());
            // The job of a copy knows nothing of it, and its end says nothing about it.
            if candidate.copied {
                continue;
            }
            match job.head.state {
                State::Succeeded if names(&job, &candidate.key) => {}
                State::Succeeded => candidate.orphaned = Some("its job succeeded with another attempt's".into()),
                State::Failed | State::Canceled => candidate.orphaned = Some(format!("its job is {}", job.head.state)),
                State::Waiting
                | State::Queued
                | State::Running
                | State::Canceling
                | State::Committing
                | State::Blocked => candidate.held = Some("its job isn't finished".into()),
            }
        }
        Ok(())
    }

    /// Forgets what no rule keeps. What somebody has pinned since it was judged, or a job is about by now, stays after all.
    async fn forget(&self, context: &dyn JobContext, repository: &Repository, verdicts: &mut [Verdict]) -> Result<()> {
        let (job, mut changed) = (context.job(), false);
        for verdict in verdicts.iter_mut().filter(|verdict| !verdict.keep) {
            if context.stop().is_cancelled() || context.lease_left().is_zero() {
                return Err(Error::Stopped);
            }
            let held = if let Some(needs) = self.needed().await?.get(&verdict.job) {
                Some(format!("{needs} is about it"))
            } else {
                tracing::info!(job = %job.id(), manifest = verdict.key, "forgetting a backup that no rule keeps");
                let why = verdict.reasons.join("; ");
                let is_gone = repository.forget(&verdict.key, job.id().as_str(), &why).await?;
                (!is_gone).then(|| "it was pinned meanwhile".to_owned())
            };
            if let Some(reason) = held {
                (verdict.keep, verdict.reasons, changed) = (true, vec![reason], true);
            }
        }
        if changed {
            context.put_detail("verdicts", told::detail(verdicts)).await?;
        }
        Ok(())
    }

    /// Lets the history say of each backup that is no more what the repository says; also of those whose prune has died in between.
    async fn tell(&self, repository: &Repository) -> Result<()> {
        for (job, key) in repository.all_forgotten().await? {
            let Ok(id) = job.parse::<JobId>() else { continue };
            let Some(job) = self.store.load(&id).await.map_err(|error| unavailable(&error))? else { continue };
            // A copy that is gone says nothing of the backup that its job has made.
            if job.fate.is_some() || !names(&job, &key) {
                continue;
            }
            let Some(said) = repository.forgotten(&key).await? else { continue };
            let state = if said.lost { FateState::Missing } else { FateState::Forgotten };
            let fate = Fate { state, at: said.forgotten_at, by: said.by, reason: said.reason };
            self.store.note_fate(&id, &fate).await.map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }

    /// Keys of manifests that the history knows of, and of which it doesn't say that they were forgotten. Where it was trimmed, it knows
    /// of fewer.
    async fn known(&self, repository: &Repository, cluster: &str) -> Result<BTreeSet<String>> {
        let made = self.store.manifests(&repository.id().to_string(), cluster).await;
        made.map_err(|error| unavailable(&error))
    }

    /// Backups by their job that open jobs need, and one job for each.
    async fn needed(&self) -> Result<BTreeMap<String, String>> {
        self.store.needed().await.map_err(|error| unavailable(&error))
    }
}

#[async_trait]
impl Handler for PruneHandler {
    fn kind(&self) -> Kind {
        Kind::Prune
    }

    async fn run(&self, context: &dyn JobContext) -> std::result::Result<Document, JobError> {
        Ok(self.prune(context).await?)
    }

    async fn abandon(&self, _: &dyn JobContext, _: Ending) {
        // Whatever was written so far, the next prune takes from there.
    }
}

async fn free(
    context: &dyn JobContext,
    meter: &Meter<'_>,
    repository: &Repository,
    options: &PruneOptions,
) -> Result<PruneReport> {
    let progress = |phase: &'static str, done: u64, total: u64| {
        if done == 0 {
            meter.phase(phase, whole(total));
        }
        meter.set(whole(done), whole(total));
    };
    let stop = context.stop().clone();
    Ok(repository.prune(options, &progress, &move || stop.is_cancelled()).await?)
}

fn options(job: &Job, spec: &PruneSpec, verdicts: &[Verdict]) -> PruneOptions {
    let removed = verdicts.iter().filter(|verdict| !verdict.keep).map(|verdict| verdict.key.clone());
    PruneOptions {
        job: job.id().as_str().to_owned(),
        epoch: job.head.epoch,
        grace_ms: i64::from(spec.grace_hours) * HOUR_MS,
        repack: spec.repack,
        at_once: spec.at_once,
        known: BTreeSet::new(),
        dry_run: spec.dry_run.then(|| removed.collect()),
    }
}

fn policy(keep: Keep) -> RetentionPolicy {
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    RetentionPolicy {
        last: number(keep.last),
        hourly: number(keep.hourly),
        daily: number(keep.daily),
        weekly: number(keep.weekly),
        monthly: number(keep.monthly),
        yearly: number(keep.yearly),
        days: number(keep.days),
    }
}

fn names(job: &Job, key: &str) -> bool {
    let manifest = job.head.result.as_ref().and_then(|result| result.get_document("manifest").ok());
    manifest.and_then(|manifest| manifest.get_str("key").ok()) == Some(key)
}

fn unavailable(error: &StoreError) -> Error {
    Error::again(Code::StoreUnavailable, format!("the job history can't be asked which backups are needed: {error}"))
}
