//! Verification: everything a backup stands on is read, and what is wrong is told, never repaired. Packs that turn out to be damaged
//! are recorded, so that the next backup doesn't build on them.
//!
//! Unlike a reader, which takes any sound copy and makes up for a lost index, it tells every fault that it meets.

mod all;
mod contents;
mod foundation;
mod losses;
mod packs;
mod seen;
mod share;

use std::sync::Arc;

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::distrust;
use crate::fetch::Fetcher;
use crate::footer::PackEntry;
use crate::index::Index;
use crate::reader::BackupReader;
use crate::vault::Vault;
use crate::{CollectionEntry, Damage, Manifest, RepositoryError};
pub use all::{AllFindings, BackupFindings};
use contents::Contents;
pub(crate) use seen::Seen;
pub use share::{Coverage, Share};

/// Packs read at once.
const PACKS_AT_ONCE: usize = 3;

/// How deep to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLevel {
    /// Config, key slots, index, chunk lists and manifest are read whole; packs exist with their sizes, references hold.
    Structure,
    /// Also every byte of every pack involved: decrypted, hashed, BSON bounds, counts and content hash.
    Data,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyProgress {
    /// Packs looked at.
    pub packs_done: u64,
    /// Packs to look at.
    pub packs_total: u64,
    /// Their bytes looked at.
    pub bytes_done: u64,
    /// Their bytes.
    pub bytes_total: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the object within the repository.
    pub object: String,
    /// The collection that is hurt, where it can be told.
    pub collection: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// How many documents of that collection, those of deltas that build on the object included, can't be read any more, where it can be told.
    pub lost_documents: Option<u64>,
    /// Whether the backup depends on the object. If not, the repository needs care, but every document of this backup can be read:
    /// index objects (packs say the same), key slots, and packs whose part in this backup has a sound copy elsewhere.
    pub needed: bool,
}

impl From<Damage> for Finding {
    fn from(damage: Damage) -> Self {
        Self { object: damage.object, collection: None, problem: damage.problem, lost_documents: None, needed: true }
    }
}

/// Problems that the next backup mends.
const PACK_MISSING: &str = "the pack is missing";
pub(crate) const PACK_UNLISTED: &str =
    "no index object lists it: one is missing or damaged; the next backup lists it again";

impl Finding {
    /// Whether the object stays in the way of later verifications until a repair: the next backup mends everything else.
    pub fn wants_repair(&self) -> bool {
        let is_unlistable = self.object.contains("/packs/") && !self.needed && self.lost_documents.is_none();
        ["/index/", "/distrust/"].iter().any(|folder| self.object.contains(folder)) || is_unlistable
    }

    /// The same of an object that the backup doesn't depend on.
    fn unneeded(self) -> Self {
        Self { needed: false, ..self }
    }
}

/// A failure as a finding; what isn't damage is passed on.
fn finding(error: RepositoryError) -> Result<Finding, RepositoryError> {
    error.damage().map(Finding::from).ok_or(error)
}

/// What a verification has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is wrong; nothing where all is well.
    pub findings: Vec<Finding>,
    /// How much of the packs was read.
    pub coverage: Coverage,
}

/// How deep to look, and at which part.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) level: VerifyLevel,
    pub(crate) share: Share,
    /// Whether nothing is read of a pack but the chunks that are looked for.
    pub(crate) alone: bool,
}

impl From<(VerifyLevel, Share)> for Extent {
    fn from((level, share): (VerifyLevel, Share)) -> Self {
        Self { level, share, alone: false }
    }
}

pub(crate) async fn verify(
    vault: &Arc<Vault>,
    manifest: &Arc<Manifest>,
    extent: Extent,
    progress: &(dyn Fn(VerifyProgress) + Send + Sync),
    stop: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Verified, RepositoryError> {
    let (key, mut findings) = foundation::check(vault, manifest).await?;
    let mut verified = examine(vault, manifest, &key, extent, progress, stop).await?;
    findings.append(&mut verified.findings);
    Ok(Verified { findings, ..verified })
}

/// Proves these collections, and reads nothing of the packs but their chunks and what those build on.
pub(crate) async fn prove(
    vault: &Arc<Vault>,
    manifest: &Manifest,
    collections: Vec<CollectionEntry>,
    progress: &(dyn Fn(VerifyProgress) + Send + Sync),
    stop: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Vec<Finding>, RepositoryError> {
    let (key, mut findings) = foundation::check(vault, manifest).await?;
    let part = Arc::new(Manifest { collections, ..manifest.clone() });
    let extent = Extent { level: VerifyLevel::Data, share: Share::All, alone: true };
    findings.extend(examine(vault, &part, &key, extent, progress, stop).await?.findings);
    Ok(findings)
}

/// Everything but what backups stand on; findings about the manifest name this key.
async fn examine(
    vault: &Arc<Vault>,
    manifest: &Arc<Manifest>,
    key: &str,
    Extent { level, share, alone }: Extent,
    progress: &(dyn Fn(VerifyProgress) + Send + Sync),
    stop: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Verified, RepositoryError> {
    let mut findings = Vec::new();
    let (mut index, _) = Index::load(vault).await?;
    // What the backup needs of a pack whose footer or index is lost is told by its chunks.
    let damage = index.damage.drain(..).map(Finding::from);
    findings.extend(damage.map(Finding::unneeded));
    let index = Arc::new(index);
    let mut contents = Contents::load(vault, manifest, (&index, key), alone, stop).await?;
    findings.append(&mut contents.findings);
    let involved = contents.involved_packs(&index);
    let all = whole(&index, &involved);
    let mut coverage = Coverage { packs: all.packs_total, bytes: all.bytes_total, ..Coverage::default() };
    if level == VerifyLevel::Structure {
        contents.note_present(&index, &vec![false; index.packs.len()]);
        progress(all);
    } else {
        let fetcher = Fetcher::new(vault.clone(), index.clone()).noting();
        let chosen = share.choose(&index, &involved);
        let read = whole(&index, &chosen);
        (coverage.packs_read, coverage.bytes_read) = (read.packs_total, read.bytes_total);
        read_packs(&fetcher, &chosen, &mut contents, progress, stop).await?;
        distrust::record_found(vault, &index, contents.problems.keys().copied()).await;
        if share != Share::All {
            contents.note_present(&index, &chosen);
        }
    }
    let packs = contents.pack_findings(manifest, &index, &involved, level);
    findings.extend(packs);
    if level == VerifyLevel::Data {
        let reader = BackupReader::new(Fetcher::new(vault.clone(), index), manifest.clone());
        findings.extend(contents.check_hashes(&reader, key, stop).await?);
    }
    Ok(Verified { findings, coverage })
}

/// Reads these packs, each once and whole.
async fn read_packs(
    fetcher: &Fetcher,
    involved: &[bool],
    contents: &mut Contents,
    progress: &(dyn Fn(VerifyProgress) + Send + Sync),
    stop: &(dyn Fn() -> bool + Send + Sync),
) -> Result<(), RepositoryError> {
    let index = &fetcher.index;
    let mut entries = index.by_pack(involved);
    let wanted = contents.wanted();
    if wanted.alone {
        for entries in &mut entries {
            entries.retain(|entry| wanted.position(&entry.id).is_some());
        }
    }
    let to_read = |pack: usize, entries: &[PackEntry]| match index.packs[pack].present_bytes {
        Some(_) if wanted.alone => entries.iter().map(|entry| u64::from(entry.record_bytes)).sum(),
        bytes => bytes.unwrap_or(0),
    };
    let bytes: Vec<u64> = entries.iter().enumerate().map(|(pack, entries)| to_read(pack, entries)).collect();
    let bytes_total = bytes.iter().zip(involved).filter(|(_, involved)| **involved).map(|(bytes, _)| bytes).sum();
    let mut done = VerifyProgress { packs_done: 0, bytes_done: 0, bytes_total, ..whole(index, involved) };
    progress(done);
    let present = entries
        .into_iter()
        .enumerate()
        .filter(|(pack, _)| involved[*pack] && index.packs[*pack].present_bytes.is_some());
    // Those with deltas to their end first: what they build on needn't be read again then.
    let has_deltas = |(_, entries): &(usize, Vec<PackEntry>)| {
        entries.iter().any(|entry| entry.delta.is_some() && wanted.position(&entry.id).is_some())
    };
    let (first, then): (Vec<_>, Vec<_>) = present.partition(has_deltas);
    for some in [first, then] {
        let reads =
            some.into_iter().map(|(pack, entries)| packs::check(fetcher.clone(), wanted.clone(), pack, entries));
        let mut reads = stream::iter(reads).buffer_unordered(PACKS_AT_ONCE);
        while let Some(report) = reads.next().await {
            if stop() {
                return Err(RepositoryError::Stopped);
            }
            let report = report?;
            done.packs_done += 1;
            done.bytes_done += bytes[report.pack];
            contents.note_read(report);
            progress(done);
        }
    }
    Ok(())
}

/// What is wrong with a pack, all of which is read.
pub(crate) async fn check_pack(
    fetcher: &Fetcher,
    pack: usize,
    entries: Vec<PackEntry>,
) -> Result<Vec<String>, RepositoryError> {
    Ok(packs::check(fetcher.clone(), Arc::default(), pack, entries).await?.problems)
}

/// Progress when all is done.
pub(crate) fn whole(index: &Index, involved: &[bool]) -> VerifyProgress {
    let packs = index.packs.iter().zip(involved).filter(|(pack, involved)| **involved && pack.present_bytes.is_some());
    let (count, bytes) =
        packs.fold((0, 0), |(count, bytes), (pack, _)| (count + 1, bytes + pack.present_bytes.unwrap_or(0)));
    VerifyProgress { packs_done: count, packs_total: count, bytes_done: bytes, bytes_total: bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault_tests::{Bench, Fault};
    use crate::support::{back_up, batches, documents, entry, manifest};
    use crate::{Compression, ContentOrder, Domain};

    async fn proven(reader: &BackupReader, names: &[&str]) -> Vec<Finding> {
        let asked = |entry: &&CollectionEntry| names.contains(&entry.name.as_str());
        let some = reader.manifest().collections.iter().filter(asked).cloned().collect();
        reader.prove(some, &|_| (), &|| false).await.expect("proven")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn proving_a_small_collection_reads_its_chunks_and_no_more() {
        let bench = Bench::new();
        bench.init(Fault::None).await.expect("made");
        let (repository, gate) = bench.open_gated(Fault::None).await.expect("opens");
        let (large, small) = (documents(0..4_000, 500, "a"), documents(0..1, 20, "b"));
        let all = [
            ("before", ContentOrder::Any, large.as_slice()),
            ("small", ContentOrder::Any, small.as_slice()),
            ("after", ContentOrder::Exact, large.as_slice()),
        ];
        let (first, ..) = back_up(&repository, "night", Domain::Sealed, &all).await;
        let reader = repository.open_backup(&first).await.expect("opens");
        gate.pack_bytes_read();
        assert_eq!(proven(&reader, &["small"]).await, []);
        let read = gate.pack_bytes_read();
        assert!(read > 0 && read < 8 << 10, "{read} bytes of packs for one small document");
        assert_eq!(proven(&reader, &["before", "small", "after"]).await, []);
        assert!(gate.pack_bytes_read() > 1 << 20, "all of it is read where all of it is asked for");

        // A delta is read with what it builds on.
        let mut changed = large.clone();
        changed[2_000] = documents(2_000..2_001, 510, "c").remove(0);
        let writer = repository.begin("next", 1, Domain::Sealed, Compression::default()).await.expect("begins");
        let mut collection = writer.collection_after(ContentOrder::Any, &first.collections[0].content);
        for batch in batches(&changed[1_990..2_010]) {
            collection.push(batch).await.expect("pushed");
        }
        let content = collection.finish().await.expect("finished");
        writer.finish().await.expect("finished");
        let next = manifest("next", 1, Domain::Sealed, vec![entry("before", ContentOrder::Any, content)]);
        writer.write_manifest(&next).await.expect("committed");
        let reader = repository.open_backup(&next).await.expect("opens");
        gate.pack_bytes_read();
        assert_eq!(proven(&reader, &["before"]).await, []);
        assert!(gate.pack_bytes_read() < 300 << 10, "some chunks of one collection");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damage_matters_where_it_is_asked_for() {
        let bench = Bench::new();
        bench.init(Fault::None).await.expect("made");
        let repository = bench.open(Fault::None).await.expect("opens");
        let (large, small) = (documents(0..2_000, 500, "a"), documents(0..1, 20, "b"));
        let all = [("large", ContentOrder::Any, large.as_slice()), ("small", ContentOrder::Any, small.as_slice())];
        let (backup, ..) = back_up(&repository, "night", Domain::Sealed, &all).await;
        let packs = std::fs::read_dir(bench.folder().join("sealed/packs")).expect("packs");
        for pack in packs.map(|pack| pack.expect("an entry").path()) {
            let mut bytes = std::fs::read(&pack).expect("read");
            bytes[5_000] ^= 1;
            std::fs::remove_file(&pack).expect("removed");
            std::fs::write(&pack, bytes).expect("written");
        }
        let reader = repository.open_backup(&backup).await.expect("opens");
        assert_eq!(proven(&reader, &["small"]).await, [], "elsewhere in its pack");
        let found = proven(&reader, &["large", "small"]).await;
        assert!(
            found.iter().any(|finding| finding.needed && finding.collection.as_deref() == Some("large")),
            "{found:?}"
        );
    }
}
