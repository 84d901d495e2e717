//! What a caller chooses: how to unlock, how to cut, how to compress.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::slot::SLOTS;
use crate::{RepositoryError, Secret};

/// What opens a repository.
#[derive(Clone, Debug)]
pub enum Unlock {
    /// A file with 32 random bytes as hex digits.
    KeyFile(PathBuf),
    /// A passphrase, stretched with argon2id.
    Passphrase(Secret),
    /// Nothing: the repository has no encryption, and takes plain backups only.
    None,
}

/// How chunks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// The zstd level, 1 to 22; `None` stores without compression.
    pub level: Option<i32>,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: Some(3) }
    }
}

/// Sizes of chunks in bytes of raw documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSizes {
    /// No cut before this size.
    pub min_bytes: u32,
    /// The size aimed at.
    pub avg_bytes: u32,
    /// No chunk of several documents is larger; a larger document is a chunk of its own.
    pub max_bytes: u32,
}

impl Default for ChunkSizes {
    fn default() -> Self {
        Self { min_bytes: 64 << 10, avg_bytes: 256 << 10, max_bytes: 1 << 20 }
    }
}

impl ChunkSizes {
    pub(crate) fn check(&self) -> Result<(), String> {
        let ordered = 0 < self.min_bytes && self.min_bytes < self.avg_bytes && self.avg_bytes < self.max_bytes;
        if ordered && self.max_bytes <= 16 << 20 {
            return Ok(());
        }
        Err(format!("chunk sizes must be 0 < min < avg < max <= 16 MiB, not {self:?}"))
    }
}

/// What argon2id costs for a passphrase slot; stored in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PassphraseCost {
    /// The second recommendation of RFC 9106: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self { memory_kib: 64 << 10, iterations: 3, lanes: 4 }
    }
}

/// Choices that stay with a repository for its life.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// Whether an encrypted repository takes plain backups too. One without a key always does.
    pub allow_plain: bool,
    /// Sizes of chunks.
    pub chunk: ChunkSizes,
    /// What a passphrase costs to try; only used with [`Unlock::Passphrase`].
    pub passphrase_cost: PassphraseCost,
    /// A name for the first key slot, for people.
    pub slot_label: String,
}

/// What a key slot opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// A key file.
    KeyFile,
    /// A passphrase.
    Passphrase,
}

/// A key slot, for people: nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotInfo {
    /// Its name in the repository: 16 hex digits.
    pub id: String,
    /// What it opens with.
    pub kind: SlotKind,
    /// What people called it.
    pub label: String,
    /// When it was made, by the clock of the machine that made it.
    pub created_at: bson::DateTime,
}

impl SlotInfo {
    /// Name of its object within the repository.
    pub(crate) fn object(&self) -> String {
        format!("{SLOTS}/{}", self.id)
    }
}

impl Compression {
    pub(crate) fn check(self) -> Result<(), RepositoryError> {
        match self.level {
            Some(level) if !(1..=22).contains(&level) => Err(RepositoryError::BadName {
                what: "compression level",
                name: level.to_string(),
                reason: "1 to 22 are possible".into(),
            }),
            _ => Ok(()),
        }
    }
}
