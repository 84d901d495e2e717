//! Where objects are kept: create, read, list, delete; nothing else.
//!
//! Invariant: an object that [`Storage::create`] or [`Storage::replace`] reported as written is durable and complete, and one that
//! they didn't is either that or absent.

use std::error::Error as _;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::Error;

/// The repository isn't where it was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Elsewhere {
    /// No config is there.
    #[error("the repository is away")]
    Absent,
    /// Another config is there.
    #[error("another config is in the repository's place")]
    Another(Bytes),
}

impl Elsewhere {
    /// Compares the config that must be there with what was found.
    pub(crate) fn compare(expected: &Bytes, found: Option<Bytes>) -> Result<(), Self> {
        match found {
            Some(found) if found == *expected => Ok(()),
            Some(found) => Err(Self::Another(found)),
            None => Err(Self::Absent),
        }
    }

    /// What an error of a storage tells of it.
    pub(crate) fn told_by(error: &Error) -> Option<&Self> {
        let mut source = error.source();
        while let Some(error) = source {
            if let Some(elsewhere) = error.downcast_ref() {
                return Some(elsewhere);
            }
            // An `io::Error` shows only the source of what it holds.
            source =
                error.downcast_ref::<std::io::Error>().and_then(|error| Some(error.get_ref()? as _)).or(error.source());
        }
        None
    }
}

/// The storage under a repository.
#[async_trait]
pub(crate) trait Storage: fmt::Debug + Send + Sync {
    /// From now on this is where the repository with this config is, or nothing is done.
    fn anchor(&self, config: &Bytes);
    /// Fails, as told by [`Elsewhere::told_by`], where the config that it was anchored to isn't there; at a loss only where that can't
    /// be told.
    async fn ensure_here(&self) -> Result<(), Error>;
    /// Writes a new object from its parts; `AlreadyExists` if there is one of that name.
    async fn create(&self, name: &str, parts: &[Bytes]) -> Result<(), Error>;
    /// Writes an object, whatever was there.
    async fn replace(&self, name: &str, parts: &[Bytes]) -> Result<(), Error>;
    /// A whole object.
    async fn read(&self, name: &str) -> Result<Bytes, Error>;
    /// A part of an object.
    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error>;
    /// Size of an object.
    async fn size(&self, name: &str) -> Result<u64, Error>;
    /// When an object was written, by the storage's clock, in milliseconds since 1970.
    async fn modified_ms(&self, name: &str) -> Result<i64, Error>;
    /// Names and sizes of the objects of a folder.
    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error>;
    /// Makes objects durable that are there, whoever wrote them; where every write that is seen is durable, there is nothing to do.
    async fn sync(&self, names: &[String]) -> Result<(), Error>;
    /// Removes an object; `NotFound` if there is none.
    async fn delete(&self, name: &str) -> Result<(), Error>;
    /// How many large writes at once are faster than one after another: of a disk none, and each takes memory.
    fn writes_at_once(&self) -> u32 {
        1
    }
    /// Removes what writers that died have left unfinished, if it was last written before this time in milliseconds since 1970 by the
    /// storage's clock; comes back with number and bytes. Where nothing unfinished is to be seen, there is nothing to do.
    async fn remove_unfinished(&self, _before_ms: i64) -> Result<(u64, u64), Error> {
        Ok((0, 0))
    }
    /// Whether every read is a request to somewhere else.
    fn is_far(&self) -> bool {
        false
    }
}
