//! The backup repository: a folder or a part of a bucket that holds encrypted, deduplicated,
//! verifiable backups of MongoDB databases.
//!
//! The format is written down in `schemas/archive-format.md`; its words are the type names here.
//! This crate knows nothing of jobs, servers or HTTP, and depends on no other crate of this
//! workspace, so that it can be lifted out.
//!
//! Invariant: every object is complete or absent, and a manifest is written only after all that it
//! refers to is durable. So a crash at any moment loses at most work, never a finished backup.
//!
//! ```no_run
//! # use lucid_repository::*;
//! # async fn example(batch: DocumentBatch, manifest: Manifest) -> Result<(), RepositoryError> {
//! let location = Location::parse("file:///backups/main")?;
//! let unlock = Unlock::KeyFile("/etc/lucid/key".into());
//! let repository = Repository::open(&location, &unlock).await?;
//! let writer = repository.begin("backup_1", 1, Domain::Sealed, Compression::default()).await?;
//! let mut collection = writer.collection(ContentOrder::Any);
//! collection.push(batch).await?;
//! let content = collection.finish().await?;
//! writer.finish().await?;
//! writer.write_manifest(&manifest).await?;
//! # Ok(()) }
//! ```

mod ballast;
mod batch;
mod bucket;
mod bytes_reader;
mod cache;
mod collection;
mod compression;
mod config;
mod content;
mod copy;
mod cutter;
mod delta;
mod diff;
mod distrust;
mod envelope;
mod error;
mod fetch;
mod footer;
mod forgotten;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod generation;
mod index;
mod init;
mod inventory;
mod key_file;
mod keys;
mod ledger;
mod limits;
mod list;
mod local;
mod location;
mod manifest;
mod masters;
mod names;
mod object_name;
mod options;
mod ownership;
mod pack_listing;
mod packer;
mod padding;
mod partial;
mod pool;
mod predecessor;
mod prune;
mod reader;
mod record;
mod reencrypt;
mod rekey;
mod repair;
mod repository;
mod retention;
mod salvage;
mod scan;
mod seal;
mod seams;
mod secret;
mod settings;
mod slot;
mod slots;
mod stats;
mod storage;
mod store;
mod store_chunk;
mod vault;
mod verify;
mod writer;

pub use batch::{DocumentBatch, RawChunk};
pub use cache::CacheOptions;
pub use collection::CollectionWriter;
pub use config::identity;
pub use content::{ContentHasher, ContentOrder};
pub use copy::CopyReport;
pub use diff::{Change, CollectionDiff, IndexDiff, ToldDocument};
pub use error::{Damage, RepositoryError};
pub use forgotten::Forgotten;
pub use key_file::{check as check_key_file, exposed, new_key_file};
pub use ledger::WriteStats;
pub use location::Location;
pub use manifest::{
    CollectionContent, CollectionEntry, CollectionKind, ListRef, MANIFEST_FORMAT, Manifest, ManifestEntry, ManifestRef,
    ReadOrder, StoredSize,
};
pub use names::{Domain, RepositoryId};
pub use options::{ChunkSizes, Compression, InitOptions, PassphraseCost, SlotInfo, SlotKind, Unlock};
pub use ownership::Owner;
pub use padding::rounded;
pub use prune::{PruneOptions, PruneProgress, PruneReport};
pub use reader::BackupReader;
pub use reencrypt::{ReencryptReport, Reencrypted};
pub use rekey::Rekeyed;
pub use repair::{RepairKind, RepairStep};
pub use repository::Repository;
pub use retention::{Candidate, Judgement, LAST_BESIDE_DAYS, RetentionPolicy, Scope, Spared, Verdict, judge};
pub use salvage::{Loss, Salvaged};
pub use scan::{Oddity, OddityKind, Scan};
pub use seams::Seam;
pub use secret::Secret;
pub use settings::StorageSettings;
pub use stats::{BackupStats, Chunks, Objects, RepositoryStats};
pub use verify::{AllFindings, BackupFindings, Coverage, Finding, Share, Verified, VerifyLevel, VerifyProgress};
pub use writer::{BackupWriter, PreparedManifest};

#[cfg(test)]
extern crate self as lucid_repository;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod forgery_tests;
#[cfg(test)]
mod forgotten_tests;
#[cfg(test)]
mod golden_repositories;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod interruption_tests;
#[cfg(test)]
mod matrix_tests;
#[cfg(test)]
mod pin_tests;
#[cfg(test)]
mod place_tests;
#[cfg(test)]
mod planted_tests;
#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod sleeper_tests;
#[cfg(test)]
#[path = "../tests/suite/support/mod.rs"]
mod support;
