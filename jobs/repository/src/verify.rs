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
use crate::{Damage, Manifest, RepositoryError};
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
pub(crate) type Extent = (VerifyLevel, Share);

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

/// Everything but what backups stand on; findings about the manifest name this key.
async fn examine(
    vault: &Arc<Vault>,
    manifest: &Arc<Manifest>,
    key: &str,
    (level, share): Extent,
    progress: &(dyn Fn(VerifyProgress) + Send + Sync),
    stop: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Verified, RepositoryError> {
    let mut findings = Vec::new();
    let (mut index, _) = Index::load(vault).await?;
    // What the backup needs of a pack whose footer or index is lost is told by its chunks.
    let damage = index.damage.drain(..).map(Finding::from);
    findings.extend(damage.map(Finding::unneeded));
    let index = Arc::new(index);
    let mut contents = Contents::load(vault, manifest, (&index, key), stop).await?;
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
    let total = whole(index, involved);
    let mut done = VerifyProgress { packs_done: 0, bytes_done: 0, ..total };
    progress(done);
    let entries = index.by_pack(involved);
    let wanted = contents.wanted();
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
            done.bytes_done += index.packs[report.pack].present_bytes.unwrap_or(0);
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
