//! A restore on its way to the point of no return: prove the backup, stage it beside the target, try what the swap will do, and keep the
//! list of that.

use super::{
    buckets, cleanup, left_off, list,
    list::{SwapEntry, SwapList, SwapView},
    plan::{self, Plan, Problem},
    probe,
    rehearsal::{self, Refused},
    stage::{Stage, Staged, decoded},
    staging::StagingName,
};
use crate::{
    Environment,
    database::{
        Catalog, Server,
        catalog::storage_name,
        definition::{self, Definition},
        queries::Identified,
    },
    error::{Error, Result},
    progress::Meter,
    room::{self, Room},
    scratch, several, verify,
};
use lucid_ports::JobContext;
use lucid_repository::{CollectionEntry, CollectionKind, Manifest, Repository};
use lucid_schemas::{Code, EventBody, Job, RestoreSpec};
use std::{cmp::Reverse, sync::atomic::AtomicUsize};
use tokio_util::sync::CancellationToken;

/// One restore on its way to the point of no return.
pub(super) struct Run<'a> {
    pub context: &'a dyn JobContext,
    pub environment: &'a Environment,
    pub server: &'a Server,
    pub job: &'a Job,
    pub spec: &'a RestoreSpec,
    pub repository: &'a Repository,
    pub manifest: Manifest,
    pub entries: Vec<CollectionEntry>,
    /// Whether all of it has been read already.
    pub proven: bool,
    pub meter: Meter<'a>,
}

impl Run<'_> {
    /// Everything before the point of no return, and that.
    pub async fn to_point_of_no_return(&self) -> Result<()> {
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
        let mut plan = plan::plan(database, &self.entries, &target, self.spec.replace);
        self.rehearse_beside(&mut plan, &target).await?;
        refuse(&plan)?;
        let list = self.swap_list(&plan, &target, &staged).await?;
        let hash = self.context.put_detail(&list::detail_name(epoch), list.to_document()?).await?;
        let started = EventBody::SwapStarted { entries: list.len(), list_hash: hash };
        Ok(self.context.commit(started).await?)
    }

    /// Tries what the swap will do; of what can't be done anyhow, nothing.
    pub async fn rehearse(&self, plan: &mut Plan, target: &Catalog) -> Result<()> {
        if !plan.problems.is_empty() {
            return Ok(());
        }
        self.rehearse_beside(plan, target).await?;
        if !self.spec.dry_run {
            // Each collection's expiry is tried before it is loaded.
            return Ok(());
        }
        let (job, epoch) = (self.job.id(), self.job.head.epoch);
        let scratch = scratch::begin(self.server, job, epoch).await?;
        let tried = async {
            for (number, entry) in self.entries.iter().enumerate() {
                let name = StagingName::new(job, epoch, number);
                let definition = rehearsal::definition(self.server, (scratch.as_str(), &name), entry).await?;
                plan.expiry_left_off.extend(left_off(&entry.name, &definition.left_off));
            }
            Ok(())
        };
        let tried = tried.await;
        scratch::finish(self.server, &scratch, tried).await
    }

    /// Makes what can't be renamed beside what the target has, in a database of its own: views, and indexes of time-series collections.
    async fn rehearse_beside(&self, plan: &mut Plan, target: &Catalog) -> Result<()> {
        let merged: Vec<_> = self.entries.iter().filter(|entry| is_merged(entry, target)).collect();
        if !plan.problems.is_empty() || (merged.is_empty() && !rehearsal::has_views(&self.entries)) {
            return Ok(());
        }
        let (server, database) = (self.server, self.spec.database.as_str());
        let scratch = scratch::begin(server, self.job.id(), self.job.head.epoch).await?;
        let tried = async {
            let refused = rehearsal::views(server, &scratch, &self.entries, &target.entries).await?;
            plan.problems.extend(refused.into_iter().map(|refused| view_refused(database, refused)));
            for (number, entry) in merged.into_iter().enumerate() {
                let name = StagingName::new(self.job.id(), self.job.head.epoch, number);
                let there = server.patiently(|| server.indexes(database, &entry.name)).await?;
                let refused = rehearsal::series_indexes(server, (scratch.as_str(), &name), entry, &there).await?;
                plan.problems.extend(refused.into_iter().map(|refused| index_refused(database, &entry.name, refused)));
            }
            Ok(())
        };
        let tried = tried.await;
        scratch::finish(server, &scratch, tried).await
    }

    /// Proves what will be used; damage elsewhere in the backup doesn't matter here.
    async fn prove_backup(&self) -> Result<()> {
        let findings = verify::prove(self.context, self.repository, &self.manifest, self.entries.clone()).await?;
        let used = |name: &String| self.entries.iter().any(|entry| entry.name == *name);
        let matters =
            |finding: &lucid_repository::Finding| finding.needed && finding.collection.as_ref().is_none_or(used);
        let (findings, elsewhere): (Vec<_>, Vec<_>) = findings.into_iter().partition(matters);
        for lucid_repository::Finding { object, problem, .. } in elsewhere {
            tracing::warn!(object, problem, "the repository needs care, but this restore doesn't depend on it");
        }
        if findings.is_empty() { Ok(()) } else { Err(verify::damaged(&findings)) }
    }

    /// Free bytes of the fullest data disk, where they may suffice.
    pub async fn check_space(&self) -> Result<Option<i64>> {
        let room = Room::of(self.server).await?;
        let oplog_left = room.oplog_left().await?;
        room.check(room::estimate(self.entries.iter(), oplog_left)).await
    }

    /// Stages every collection, a few at a time, the largest first.
    async fn stage_all(&self, numbers: &AtomicUsize) -> Result<Vec<Staged>> {
        let total: u64 = self.entries.iter().map(|entry| entry.content.raw_bytes).sum();
        self.meter.phase("load", i64::try_from(total).unwrap_or(i64::MAX));
        let reader = self.repository.open_backup(&self.manifest).await?;
        let mut waiting: Vec<_> = self.entries.iter().filter(|entry| entry.kind != CollectionKind::View).collect();
        waiting.sort_by_key(|entry| Reverse(entry.content.raw_bytes));
        let all = async |server: Server, halt: CancellationToken| {
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
            let staging = waiting.into_iter().map(|entry| stage.stage(entry));
            several::all(self.environment.options.parallel, staging, || halt.cancel()).await
        };
        Room::of(self.server).await?.watched(all).await
    }

    async fn swap_list(&self, plan: &Plan, target: &Catalog, staged: &[Staged]) -> Result<SwapList> {
        let mut list = SwapList {
            epoch: self.job.head.epoch,
            database: self.spec.database.clone(),
            entries: Vec::new(),
            views: Vec::new(),
        };
        for (entry, step) in self.entries.iter().zip(&plan.steps) {
            let Some(staged) = staged.iter().find(|staged| staged.name == entry.name) else {
                let options = decoded(&entry.options)?;
                let before = target.entries.get(&entry.name).map(|found| decoded(&found.options)).transpose()?;
                list.views.push(SwapView { name: entry.name.clone(), options, before });
                continue;
            };
            let Definition { options, indexes, left_off } = staged.definition.clone();
            let expiry = definition::expiry(&options, &indexes);
            let mut swap = SwapEntry::new(staged, entry.kind, step.target, expiry);
            swap.expiry_left_off = left_off;
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

/// Whether it is a time-series collection whose buckets are exchanged in place.
fn is_merged(entry: &CollectionEntry, target: &Catalog) -> bool {
    entry.kind == CollectionKind::TimeSeries && target.entries.contains_key(&entry.name)
}

fn view_refused(database: &str, Refused { name, reason }: Refused) -> Problem {
    Problem {
        code: Code::ViewRefused,
        message: format!(
            "view '{name}' would be refused in database '{database}' ({reason}): drop or change the views there that it meets, or restore \
             without it"
        ),
    }
}

fn index_refused(database: &str, collection: &str, Refused { name, reason }: Refused) -> Problem {
    Problem {
        code: Code::IndexInTheWay,
        message: format!(
            "index '{name}' of time-series collection '{collection}' would be refused beside those that it has in database '{database}' \
             ({reason}): drop the one there that it meets, then restore again"
        ),
    }
}

/// Refuses what can't be done.
pub(super) fn refuse(plan: &Plan) -> Result<()> {
    let Some(first) = plan.problems.first() else {
        return Ok(());
    };
    let more = match plan.problems.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Err(Error::refused(first.code, format!("{}{more}", first.message)))
}
