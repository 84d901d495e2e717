//! Writing one backup.
//!
//! Invariant: a manifest is written only if every chunk that it names is in a durable pack that an index object lists.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bson::RawDocument;
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::ballast;
use crate::content::Sum;
use crate::fetch::Fetcher;
use crate::generation::Generations;
use crate::index::{Index, Pack};
use crate::ledger::WriteStats;
use crate::list::List;
use crate::names::hex;
use crate::object_name::{Folder, ListName, WriterNames, resealed_manifest};
use crate::pack_listing;
use crate::packer::Packer;
use crate::predecessor::Predecessor;
use crate::record::RecordType;
use crate::repository::reference_of;
use crate::seal::Sealer;
use crate::store::Created;
use crate::vault::Vault;
use crate::{
    CollectionContent, CollectionWriter, Compression, ContentOrder, ListRef, MANIFEST_FORMAT, Manifest, ManifestRef,
    RepositoryError, limits,
};

/// Writes one backup. A cheap handle: clone it, and use it from several tasks at once.
#[derive(Clone)]
pub struct BackupWriter {
    inner: Arc<Inner>,
}

struct Inner {
    packer: Arc<Packer>,
    /// Reads what was there at the start.
    fetcher: Fetcher,
    job: String,
    epoch: i64,
    level: Option<i32>,
    /// The manifest that is encrypted anew; none: it is a new one.
    replacing: Option<String>,
    /// As they were before anything was looked up.
    generations: Generations,
    /// The chunk lists that were there then and may be shared: who wrote those of an id.
    lists: HashMap<String, Vec<Option<String>>>,
    commit: Mutex<Commit>,
}

#[derive(Default)]
struct Commit {
    /// Index objects tried so far; a number is never used twice, as its bytes would differ.
    index_objects: u32,
    /// The one manifest of this writer: its body and its sealed bytes, to be sent again if a first attempt fails.
    manifest: Option<(Vec<u8>, Bytes)>,
}

/// A manifest that is checked and sealed: writing it is all that is left to do.
#[derive(Clone, Debug)]
pub struct PreparedManifest {
    reference: ManifestRef,
    object: String,
    sealed: Bytes,
}

impl PreparedManifest {
    /// Where it will be stored, and the hash of what will be there.
    pub fn reference(&self) -> &ManifestRef {
        &self.reference
    }
}

impl BackupWriter {
    pub(crate) async fn begin(
        vault: Arc<Vault>,
        job: &str,
        epoch: i64,
        compression: Compression,
        replacing: Option<String>,
    ) -> Result<Self, RepositoryError> {
        compression.check()?;
        let sealer = Arc::new(Sealer::new(vault.keys.clone(), vault.domain)?);
        let names = WriterNames::new(vault.domain, job, epoch, sealer.writer())?;
        let generations = Generations::load(&vault).await?;
        let lists = lists_to_share(&vault, &generations).await?;
        let (mut index, mut found) = Index::load(&vault).await?;
        let is_left_out = |pack: &Pack| !pack.is_trusted() || generations.may_doom(&pack.object);
        let out: BTreeSet<String> =
            index.packs.iter().filter(|pack| is_left_out(pack)).map(|pack| pack.name().to_owned()).collect();
        index.leave_out(&is_left_out);
        found.retain(|listing| !out.contains(&listing.name));
        // Their writer may have died before they were durable, and our manifest may build on them.
        let packs: Vec<_> = found.iter().map(|listing| Folder::Packs.object(vault.domain, &listing.name)).collect();
        vault.store.sync(&packs).await?;
        let fetcher = Fetcher::new(vault.clone(), Arc::new(index)).cached();
        let packer = Packer::new(vault, sealer, names);
        // What a crashed predecessor left is listed by our index, so that the index heals itself.
        packer.ledger().unlisted = found;
        let (job, level) = (job.to_owned(), compression.level);
        let commit = Mutex::default();
        let inner = Inner { packer, fetcher, job, epoch, level, replacing, generations, lists, commit };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts a collection. Several may be written at once; their chunks share packs.
    pub fn collection(&self, order: ContentOrder) -> CollectionWriter {
        CollectionWriter::new(self.clone(), order, None)
    }

    /// The same, for a collection that an earlier backup holds, too: a chunk that resembles one of those is stored as its
    /// difference, unless compression is off or the repository doesn't know deltas; and one of those is stored sooner.
    pub fn collection_after(&self, order: ContentOrder, earlier: &CollectionContent) -> CollectionWriter {
        let lists = earlier.chunk_lists.clone();
        let deltas = self.vault().deltas && self.level().is_some();
        let is_of_use = deltas || (self.vault().sums && order == ContentOrder::Any);
        let predecessor = is_of_use.then(|| Predecessor::new(self.vault().clone(), lists, deltas));
        CollectionWriter::new(self.clone(), order, predecessor)
    }

    /// Whether every chunk of this content, written by an earlier epoch or by this writer, is in a durable pack: then a
    /// takeover may go on with it. False also where a chunk list is missing or damaged.
    pub async fn holds(&self, content: &CollectionContent) -> Result<bool, RepositoryError> {
        match self.why_not_held(content).await {
            Ok(None) => Ok(true),
            Ok(Some(_)) => Ok(false),
            Err(error) if error.damage().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores the pack that is being filled. After it, what the [`CollectionContent`]s returned so far name will usually be found by a
    /// successor (which must ask [`Self::holds`]), so this is the moment for a checkpoint. It may make a small pack: call it rarely.
    pub async fn flush(&self) -> Result<(), RepositoryError> {
        self.inner.packer.flush().await
    }

    /// Stores the pack that is being filled, and the index. Call it after the last collection, before
    /// [`Self::write_manifest`]. May be called again.
    pub async fn finish(&self) -> Result<(), RepositoryError> {
        let mut commit = self.inner.commit.lock().await;
        self.flush().await?;
        loop {
            let some = pack_listing::first_that_fit(&self.packer().ledger().unlisted).to_vec();
            if some.is_empty() {
                return Ok(());
            }
            commit.index_objects += 1;
            let object = self.packer().names.index(commit.index_objects);
            let sealed = self.seal_named(&object, RecordType::Index, pack_listing::encode(&some)).await?;
            self.vault().store.create_own(&object, std::slice::from_ref(&sealed)).await?;
            let mut ledger = self.packer().ledger();
            ledger.unlisted.retain(|listing| !some.contains(listing));
            ledger.stats.stored_bytes += sealed.len() as u64;
        }
    }

    /// Commits the backup: [`Self::prepare_manifest`], then [`Self::write_prepared`].
    pub async fn write_manifest(&self, manifest: &Manifest) -> Result<ManifestRef, RepositoryError> {
        let ready = self.prepare_manifest(manifest).await?;
        self.write_prepared(ready).await
    }

    /// Does everything of a commit that may be refused; nothing is committed yet. Refuses a manifest of another job, epoch or
    /// domain, one with a chunk that isn't durably stored, any before [`Self::finish`], and a second one that differs.
    pub async fn prepare_manifest(&self, manifest: &Manifest) -> Result<PreparedManifest, RepositoryError> {
        let mut commit = self.inner.commit.lock().await;
        let checked = self.check_manifest(manifest).await;
        let generation = Generations::load(self.vault()).await?.newest();
        if generation != self.generation() {
            // Which explains whatever the check has met.
            return Err(RepositoryError::Pruned { generation });
        }
        checked?;
        let body = bson::serialize_to_vec(manifest).map_err(|error| bad_manifest(error.to_string()))?;
        let raw = RawDocument::from_bytes(&body).map_err(|error| bad_manifest(error.to_string()))?;
        if !limits::is_shallow(raw, limits::MANIFEST_DEPTH) {
            return Err(bad_manifest("options or an index are nested too deeply".into()));
        }
        let object = self.manifest_object();
        let sealed = match &commit.manifest {
            Some((first, sealed)) if *first == body => sealed.clone(),
            Some(_) => return Err(bad_manifest("this writer has written another one; begin again".into())),
            None => {
                let sealed = self.seal_named(&object, RecordType::Manifest, body.clone()).await?;
                commit.manifest = Some((body, sealed.clone()));
                sealed
            }
        };
        ballast::ensure_room(&self.vault().store, &object, &sealed).await?;
        Ok(PreparedManifest { reference: reference_of(&object, manifest, &sealed)?, object, sealed })
    }

    /// Commits the backup by creating one object: when this returns, the backup is complete and durable. Refuses what another
    /// writer has prepared. After a failure the backup may be committed or not; call it again with a clone to know.
    pub async fn write_prepared(&self, ready: PreparedManifest) -> Result<ManifestRef, RepositoryError> {
        let PreparedManifest { reference, object, sealed } = ready;
        if object != self.manifest_object() {
            return Err(bad_manifest("another writer has prepared it".into()));
        }
        let _commit = self.inner.commit.lock().await;
        let store = &self.vault().store;
        store.ensure_here().await?;
        store.create_own(&object, std::slice::from_ref(&sealed)).await?;
        // A prune that began before this may have listed the manifests before it was there. It isn't removed: if it was seen, a
        // successor adopts it.
        let now = Generations::load(self.vault()).await?;
        if !now.settles(&object, self.generation()) {
            return Err(RepositoryError::Pruned { generation: now.newest() });
        }
        // What those generations were read beside is the repository: so it is there that the manifest must lie.
        if store.size(&object).await? != Some(reference.stored_bytes) {
            let reason = format!("{object} isn't there right after it was written");
            return Err(RepositoryError::Internal { what: "commit", reason });
        }
        self.packer().ledger().stats.stored_bytes += reference.stored_bytes;
        Ok(reference)
    }

    fn manifest_object(&self) -> String {
        let Packer { sealer, names, .. } = &**self.packer();
        match &self.inner.replacing {
            Some(key) => resealed_manifest(key, sealer.key_id(), sealer.writer()),
            None => names.manifest(),
        }
    }

    /// What its manifest must say: how many prunes had begun before it.
    pub fn generation(&self) -> i64 {
        self.inner.generations.newest()
    }

    /// What was done so far.
    pub fn stats(&self) -> WriteStats {
        self.packer().ledger().stats
    }

    pub(crate) fn packer(&self) -> &Arc<Packer> {
        &self.inner.packer
    }

    pub(crate) fn vault(&self) -> &Arc<Vault> {
        &self.inner.packer.vault
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.inner.fetcher
    }

    pub(crate) fn index(&self) -> &Index {
        &self.inner.fetcher.index
    }

    pub(crate) fn level(&self) -> Option<i32> {
        self.inner.level
    }

    /// Whether the caller is to store this chunk; counts it either way.
    pub(crate) fn claim(&self, id: &[u8; 32], raw_bytes: u32) -> bool {
        let known = self.index().holds(id);
        let mut ledger = self.packer().ledger();
        let new = !known && ledger.claim(id);
        let stats = &mut ledger.stats;
        stats.raw_bytes += u64::from(raw_bytes);
        if new {
            stats.chunks_new += 1;
            stats.new_chunk_raw_bytes += u64::from(raw_bytes);
        } else {
            stats.chunks_known += 1;
        }
        new
    }

    /// Stores a chunk list that isn't inline, unless one of the same content was there that is sound and not doomed.
    pub(crate) async fn store_list(&self, list: List) -> Result<ListRef, RepositoryError> {
        let List { mut reference, id, body } = list;
        let Some(body) = body else { return Ok(reference) };
        for writer in self.inner.lists.get(&reference.id).into_iter().flatten() {
            reference.writer.clone_from(writer);
            match self.share_list(&reference).await {
                Err(error) if error.damage().is_some() => tracing::warn!(%error, "storing a chunk list again"),
                shared => return shared.map(|()| reference),
            }
        }
        reference.writer = Some(self.own_lists());
        let object = self.list_object(&reference);
        let sealed = [self.seal(RecordType::List, id, body).await?];
        match self.vault().store.create(&object, &sealed).await? {
            Created::New => self.packer().ledger().stats.stored_bytes += sealed[0].len() as u64,
            // Of another collection with the same documents, or the answer to a first attempt was lost.
            Created::Exists => self.share_list(&reference).await?,
        }
        Ok(reference)
    }

    /// Fails with damage where a list isn't sound. Whoever wrote it may have died before it was durable.
    async fn share_list(&self, reference: &ListRef) -> Result<(), RepositoryError> {
        let object = self.list_object(reference);
        self.vault().read_list_at(&object, reference).await?;
        self.vault().store.sync(&[object]).await
    }

    /// Who the lists that it writes are of.
    fn own_lists(&self) -> String {
        hex(&self.packer().sealer.writer()[..16])
    }

    fn list_object(&self, reference: &ListRef) -> String {
        self.vault().list_name(&reference.id, reference.writer.as_deref())
    }

    async fn check_manifest(&self, manifest: &Manifest) -> Result<(), RepositoryError> {
        let ours = (MANIFEST_FORMAT, self.inner.job.as_str(), self.inner.epoch, self.vault().domain);
        if (manifest.format, manifest.job.as_str(), manifest.epoch, manifest.domain) != ours {
            return Err(bad_manifest(format!("format, job, epoch and domain must be {ours:?}")));
        }
        if manifest.generation != self.generation() {
            return Err(bad_manifest(format!("its generation must be {}", self.generation())));
        }
        self.packer().ledger().check()?;
        if !self.packer().is_flushed().await || !self.packer().ledger().unlisted.is_empty() {
            return Err(bad_manifest("finish the writer first".into()));
        }
        for entry in &manifest.collections {
            if let Some(reason) = self.why_not_held(&entry.content).await? {
                return Err(bad_manifest(format!("collection {:?}: {reason}", entry.name)));
            }
        }
        Ok(())
    }

    async fn why_not_held(&self, content: &CollectionContent) -> Result<Option<String>, RepositoryError> {
        let (mut documents, mut raw_bytes, mut sum) = (0, 0, Some(Sum::default()));
        for list in &content.chunk_lists {
            let object = self.list_object(list);
            let entries = if list.inline.is_some() {
                self.vault().read_list(list).await?
            } else if list.writer.as_ref() != Some(&self.own_lists()) && self.inner.generations.may_doom(&object) {
                return Ok(Some("a chunk list is doomed".into()));
            } else {
                // What an older master key has sealed isn't built on.
                self.vault().read_list_at(&object, list).await?
            };
            for entry in entries {
                if !self.index().holds(&entry.id) && !self.packer().ledger().has_stored(&entry.id) {
                    return Ok(Some("a chunk isn't stored".into()));
                }
                documents += u64::from(entry.documents);
                raw_bytes += u64::from(entry.raw_bytes);
                sum = sum.zip(entry.sum).map(|(sum, more)| sum.plus(&more));
            }
        }
        if (documents, raw_bytes) != (content.documents, content.raw_bytes) {
            return Ok(Some("its counts don't agree with its chunk lists".into()));
        }
        let is_other = |sum: Sum| documents > 0 && sum.content_hash(documents) != content.content_hash;
        Ok(sum.is_some_and(is_other).then(|| "its content hash isn't what its chunk lists add up to".into()))
    }

    async fn seal_named(&self, object: &str, record_type: RecordType, body: Vec<u8>) -> Result<Bytes, RepositoryError> {
        self.seal(record_type, self.vault().name_id(object), body).await
    }

    async fn seal(&self, record_type: RecordType, id: [u8; 32], body: Vec<u8>) -> Result<Bytes, RepositoryError> {
        let sealer = &self.packer().sealer;
        self.vault().seal_record(sealer, record_type, id, body).await
    }
}

impl fmt::Debug for BackupWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupWriter({} epoch {})", self.inner.job, self.inner.epoch)
    }
}

/// The chunk lists that new backups may refer to, by their ids: what isn't doomed, sealed with the newest master.
async fn lists_to_share(
    vault: &Vault,
    generations: &Generations,
) -> Result<HashMap<String, Vec<Option<String>>>, RepositoryError> {
    let mut lists: HashMap<String, Vec<Option<String>>> = HashMap::new();
    for (object, _) in vault.store.list(&Folder::Lists.of(vault.domain)).await? {
        let Some(ListName { id, writer, key_id }) = ListName::parse(vault.domain, &object) else { continue };
        if key_id == vault.list_key_id() && !generations.may_doom(&object) {
            lists.entry(id.to_owned()).or_default().push(writer.map(str::to_owned));
        }
    }
    Ok(lists)
}

fn bad_manifest(reason: String) -> RepositoryError {
    RepositoryError::BadManifest { reason }
}
