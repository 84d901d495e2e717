//! Copies a database at one instant into a repository.
//!
//! Invariant: a backup counts only if the job's result names its manifest; never two instants under one manifest.

mod commit;
mod member;
mod parts;
mod plan;
mod read;
mod snapshot;

use crate::{
    Environment,
    bounded::names_that_fit,
    database::{
        Entry, Server,
        catalog::{ASKED_AT_ONCE, storage_name},
        queries::{ServerFacts, Size},
    },
    error::{Error, Result},
    progress::Meter,
    several,
};
use async_trait::async_trait;
use bson::{DateTime, Document, Timestamp};
use commit::Copied;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use lucid_ports::{Ending, Handler, JobContext, JobError};
use lucid_repository::{
    BackupWriter, CollectionEntry, CollectionKind, Compression, ContentOrder, Domain, Manifest, ReadOrder, Repository,
};
use lucid_schemas::{BackupSpec, Code, EventBody, Kind, Spec, State};
use member::Member;
use read::Source;
use snapshot::{Snapshot, snapshot};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};
use tokio::sync::Semaphore;

/// So many instants are tried before giving up.
const SNAPSHOTS_MAX: u32 = 5;
/// What a smaller collection takes on the disk isn't asked: there may be thousands of them.
const STORED_ASKED_FROM: i64 = 1 << 20;

/// Runs backup jobs.
#[derive(Debug)]
pub struct BackupHandler {
    environment: Arc<Environment>,
}

/// One backup on its way.
struct Run<'a> {
    context: &'a dyn JobContext,
    environment: &'a Environment,
    spec: &'a BackupSpec,
    repository_name: &'a str,
    repository: &'a Repository,
    domain: Domain,
    facts: ServerFacts,
    started_at: DateTime,
    meter: Meter<'a>,
}

impl BackupHandler {
    /// A handler in this environment.
    pub fn new(environment: Arc<Environment>) -> Self {
        Self { environment }
    }

    async fn backup(&self, context: &dyn JobContext) -> Result<Document> {
        let job = context.job();
        let Spec::Backup(spec) = &job.request.spec else {
            return Err(Error::refused(Code::WrongKind, "the job is no backup"));
        };
        if let Some(error) = job.request.spec.check(&self.environment.ops_database).into_iter().next() {
            return Err(Error::refused(Code::BadRequest, format!("{} {}", error.field, error.problem)));
        }
        let (repository_name, repository) = self.environment.repository(&job.request).await?;
        if job.head.state == State::Committing
            && let Some(result) = commit::adopt(context, repository_name, &repository).await?
        {
            return Ok(result);
        }
        let server = self.environment.server(context.stop());
        let facts = server.patiently(|| server.facts()).await?;
        snapshot::check_window(&server).await?;
        let run = Run {
            context,
            environment: &self.environment,
            spec,
            repository_name,
            repository: &repository,
            domain: if spec.encryption { Domain::Sealed } else { Domain::Plain },
            facts,
            started_at: DateTime::now(),
            meter: Meter::new(context),
        };
        run.until_consistent().await
    }
}

#[async_trait]
impl Handler for BackupHandler {
    fn kind(&self) -> Kind {
        Kind::Backup
    }

    async fn run(&self, context: &dyn JobContext) -> std::result::Result<Document, JobError> {
        Ok(self.backup(context).await?)
    }

    async fn abandon(&self, context: &dyn JobContext, ending: Ending) {
        let job = context.job();
        // Before the point of no return there is no manifest. After it, any one may be adopted by whoever has the job,
        // and even this look at the job may be an hour old: only once it has ended is it certain which ones are void.
        if ending != Ending::Fenced || !job.head.state.is_terminal() {
            return;
        }
        let outcome = match self.environment.repository(&job.request).await {
            Ok((_, repository)) => commit::delete_void_manifests(&repository, &job).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(job = %job.id(), %error, "void manifests stay behind; nothing refers to them");
        }
    }
}

impl Run<'_> {
    /// Takes an instant after another until one could be read whole.
    async fn until_consistent(&self) -> Result<Document> {
        let server = self.environment.server(self.context.stop());
        let mut too_old_before = false;
        for number in 1..=SNAPSHOTS_MAX {
            let snapshot = snapshot(self.context, &server, self.spec, number == 1).await?;
            match self.at_one_instant(&snapshot).await {
                Err(Error::SnapshotLost { why, too_old }) => {
                    // How long a predecessor's was read before says nothing about the window.
                    let too_old = too_old && snapshot.own;
                    tracing::warn!(job = %self.context.job().id(), why, "taking another snapshot");
                    if too_old && too_old_before {
                        return Err(snapshot::window_too_small(server.snapshot_window_seconds().await?));
                    }
                    too_old_before |= too_old;
                }
                outcome => return outcome,
            }
        }
        Err(Error::again(
            Code::CatalogUnstable,
            format!(
                "collections of '{}' kept being dropped, renamed or made anew through {SNAPSHOTS_MAX} snapshots",
                self.spec.database
            ),
        ))
    }

    async fn at_one_instant(&self, snapshot: &Snapshot) -> Result<Document> {
        // Ends the tasks of this instant without ending the job.
        let halt = self.context.stop().child_token();
        let server = self.environment.server(&halt);
        self.check_consistent(snapshot)?;
        let job = self.context.job();
        let compression =
            Compression { level: self.spec.compression.then_some(self.environment.options.compression_level) };
        let writer = self.repository.begin(job.id().as_str(), job.head.epoch, self.domain, compression).await?;
        let earlier = self
            .repository
            .newest_manifest((&self.spec.database, self.environment.cluster.as_deref()), self.domain)
            .await?;
        let copied = self.copy(&server, snapshot, (&writer, earlier.as_ref())).await;
        halt.cancel();
        let copied = copied?;
        writer.finish().await?;
        commit::commit(self, &writer, copied).await
    }

    /// Reads every collection; afterwards looks which definitions have changed meanwhile.
    async fn copy(
        &self,
        server: &Server,
        snapshot: &Snapshot,
        (writer, earlier): (&BackupWriter, Option<&Manifest>),
    ) -> Result<Copied> {
        let selected = &snapshot.selected;
        let sizes = self.sizes(server, selected).await?;
        let bytes = sizes.values().map(|size| size.bytes).sum();
        snapshot::check_pace(server, bytes).await?;
        self.meter.phase("copy", bytes);
        let from = self.environment.options.read_from;
        let before = earlier.map(|manifest| manifest.member.as_str());
        let member = Member::choose(server, from, &self.facts, before).await?;
        let source = Source {
            server: &member.server,
            member: &member,
            database: &self.spec.database,
            snapshot: snapshot.time,
            snapshots_capped: self.facts.snapshots_capped(),
            alone: self.facts.alone,
            cursors: Semaphore::new(self.environment.options.cursors.max(1)),
            writer,
            earlier,
            meter: &self.meter,
            options: self.environment.options,
        };
        let mut read = read_all(&source, selected, &sizes).await?;
        let changed = snapshot::changed(server, &self.spec.database, selected).await?;
        let collections = self.in_manifest_order(selected, &mut read, snapshot.time);
        let again = member::stored_again(&collections, earlier, &member.address);
        if !again.is_empty() {
            let (job, member) = (self.context.job(), &member.address);
            tracing::warn!(job = %job.id(), before, member, collections = ?again, "read in another order than before: these are stored again");
        }
        let (time, left_out, member) = (snapshot.time, snapshot.left_out.clone(), member.address);
        Ok(Copied { time, collections, changed, left_out, member, again })
    }

    async fn sizes(&self, server: &Server, selected: &BTreeMap<String, Entry>) -> Result<BTreeMap<String, Size>> {
        // In boxes: the compiler can't tell that a stream of closures may be sent.
        let mut asked = Vec::new();
        for (name, entry) in selected {
            if entry.kind != CollectionKind::View {
                asked.push(self.size(server, name, entry).boxed());
            }
        }
        stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await
    }

    async fn size(&self, server: &Server, name: &str, entry: &Entry) -> Result<(String, Size)> {
        let storage = storage_name(name, entry.kind);
        let mut size = server.patiently(|| server.size(&self.spec.database, &storage)).await?;
        if size.bytes >= STORED_ASKED_FROM {
            size.stored = server.patiently(|| server.stored(&self.spec.database, &storage)).await?;
        }
        Ok((name.to_owned(), size))
    }

    /// Collections by name, then views, each after those that it is defined on.
    fn in_manifest_order(
        &self,
        selected: &BTreeMap<String, Entry>,
        read: &mut BTreeMap<String, CollectionEntry>,
        time: Timestamp,
    ) -> Vec<CollectionEntry> {
        let mut ordered: Vec<_> = std::mem::take(read).into_values().collect();
        let definitions: BTreeMap<&str, Document> = selected
            .values()
            .filter(|entry| entry.kind == CollectionKind::View)
            .map(|entry| (entry.name.as_str(), Document::try_from(&entry.options).unwrap_or_default()))
            .collect();
        let views = definitions.iter().map(|(name, definition)| (*name, definition)).collect();
        for name in plan::views_in_order(&views) {
            ordered.push(self.view(&selected[name], time));
        }
        ordered
    }

    fn view(&self, entry: &Entry, time: Timestamp) -> CollectionEntry {
        let nothing = self.repository.content_hasher(self.domain, ContentOrder::Any).finish();
        CollectionEntry {
            name: entry.name.clone(),
            kind: entry.kind,
            options: entry.options.clone(),
            uuid: None,
            indexes: Vec::new(),
            read_at: Some(time),
            at_snapshot: true,
            read_order: ReadOrder::Natural,
            content_order: ContentOrder::Any,
            content: lucid_repository::CollectionContent {
                documents: 0,
                raw_bytes: 0,
                content_hash: nothing,
                chunk_lists: Vec::new(),
            },
            stored: None,
        }
    }

    fn check_consistent(&self, snapshot: &Snapshot) -> Result<()> {
        let left_out = names_that_fit(snapshot.left_out.iter().map(String::as_str));
        if self.spec.require_consistent && !left_out.is_empty() {
            return Err(Error::refused(
                Code::NotComplete,
                format!(
                    "{} in '{}' can't be backed up: name the collections to back up, or allow an inconsistent backup",
                    left_out.join(", "),
                    self.spec.database
                ),
            ));
        }
        let capped = snapshot.selected.values().filter(|entry| entry.kind == CollectionKind::Capped);
        let names = names_that_fit(capped.map(|entry| entry.name.as_str()));
        if !self.spec.require_consistent || self.facts.snapshots_capped() || names.is_empty() {
            return Ok(());
        }
        Err(Error::refused(
            Code::NotConsistent,
            format!(
                "MongoDB {} can't read capped collections at a snapshot ({}): leave them out, or allow an inconsistent \
                 backup",
                self.facts.version,
                names.join(", ")
            ),
        ))
    }

    /// Passes the point of no return, unless it was passed before.
    async fn pass_point_of_no_return(&self) -> Result<()> {
        if self.context.job().head.state != State::Committing {
            self.context.commit(EventBody::CommitStarted {}).await?;
        }
        Ok(())
    }
}

/// Reads collections, a few at a time: first those that can't wait, then the largest. All tasks end before this does,
/// since a writer must not be dropped while it takes documents.
async fn read_all(
    source: &Source<'_>,
    selected: &BTreeMap<String, Entry>,
    sizes: &BTreeMap<String, Size>,
) -> Result<BTreeMap<String, CollectionEntry>> {
    let mut waiting: Vec<&Entry> = selected.values().filter(|entry| entry.kind != CollectionKind::View).collect();
    let size = |entry: &Entry| sizes.get(&entry.name).copied().unwrap_or_default();
    waiting.sort_by_key(|entry| Reverse((entry.kind == CollectionKind::Capped, size(entry).bytes)));
    let reads = waiting.into_iter().map(|entry| source.read(entry, size(entry)));
    // After a failure the others end at their next batch.
    let read = several::all(source.options.parallel, reads, || source.server.stop().cancel()).await?;
    Ok(read.into_iter().map(|entry: CollectionEntry| (entry.name.clone(), entry)).collect())
}
