//! Where objects are kept: create, read, list, delete; nothing else.
//!
//! Invariant: an object that [`Storage::create`] or [`Storage::replace`] reported as written is durable and complete, and one that
//! they didn't is either that or absent.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::key_file::sync_folder;

/// A domain, and its folders.
const FOLDERS_DEEP: u32 = 2;

/// The storage under a repository.
#[async_trait]
pub(crate) trait Storage: fmt::Debug + Send + Sync {
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

/// A local folder.
#[derive(Debug)]
pub(crate) struct LocalStorage {
    folder: PathBuf,
    files: LocalFileSystem,
}

impl LocalStorage {
    /// The folder must exist.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let files = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self { folder: folder.into(), files })
    }

    async fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), Error> {
        let payload: PutPayload = parts.iter().cloned().collect();
        self.files.put_opts(&path(name), payload, PutOptions::from(mode)).await.map(|_| ())
    }
}

#[async_trait]
impl Storage for LocalStorage {
    async fn create(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.put(name, parts, PutMode::Create).await
    }

    async fn replace(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.put(name, parts, PutMode::Overwrite).await
    }

    async fn read(&self, name: &str) -> Result<Bytes, Error> {
        self.files.get(&path(name)).await?.bytes().await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.files.get_range(&path(name), range).await
    }

    async fn size(&self, name: &str) -> Result<u64, Error> {
        Ok(self.files.head(&path(name)).await?.size)
    }

    async fn modified_ms(&self, name: &str) -> Result<i64, Error> {
        Ok(self.files.head(&path(name)).await?.last_modified.timestamp_millis())
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let found = self.files.list(Some(&path(folder)));
        found.map_ok(|object| (object.location.to_string(), object.size)).try_collect().await
    }

    async fn sync(&self, names: &[String]) -> Result<(), Error> {
        let (root, names) = (self.folder.clone(), names.to_vec());
        let synced = tokio::task::spawn_blocking(move || sync_files(&root, &names)).await?;
        synced.map_err(|source| Error::Generic { store: "LocalFileSystem", source: source.into() })
    }

    async fn remove_unfinished(&self, before_ms: i64) -> Result<(u64, u64), Error> {
        let root = self.folder.clone();
        let removed = tokio::task::spawn_blocking(move || remove_unfinished(&root, before_ms, FOLDERS_DEEP)).await?;
        removed.map_err(|source| Error::Generic { store: "LocalFileSystem", source: source.into() })
    }

    async fn delete(&self, name: &str) -> Result<(), Error> {
        self.files.delete(&path(name)).await?;
        // The crate syncs what it writes, not what it deletes; a deleted manifest must not come back after a power cut.
        let file = self.folder.join(name);
        let synced = tokio::task::spawn_blocking(move || sync_folder(file.parent())).await?;
        synced.map_err(|source| Error::Generic { store: "LocalFileSystem", source: source.into() })
    }
}

/// Syncs files, then each folder between them and the root once: its entry may be new, too.
fn sync_files(root: &Path, names: &[String]) -> std::io::Result<()> {
    let mut folders = BTreeSet::new();
    for name in names {
        let file = root.join(name);
        File::open(&file)?.sync_all()?;
        let above = file.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        folders.extend(above.map(Path::to_path_buf));
    }
    folders.iter().try_for_each(|folder| sync_folder(Some(folder)))
}

/// Files whose names end as those of unfinished writes do (format, section 2).
fn remove_unfinished(folder: &Path, before_ms: i64, deep: u32) -> std::io::Result<(u64, u64)> {
    let (mut number, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = match entry.metadata() {
            // Its writer has just finished it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_dir() && deep > 0 {
            let (more, more_bytes) = remove_unfinished(&entry.path(), before_ms, deep - 1)?;
            (number, bytes) = (number + more, bytes + more_bytes);
        }
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| Some(name.rsplit_once('#')?.1));
        let is_unfinished =
            digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()));
        let modified = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_old = i64::try_from(modified.as_millis()).is_ok_and(|modified_ms| modified_ms < before_ms);
        if about.is_file() && is_unfinished && is_old {
            fs::remove_file(entry.path())?;
            (number, bytes) = (number + 1, bytes + about.len());
        }
    }
    Ok((number, bytes))
}

fn path(name: &str) -> object_store::path::Path {
    object_store::path::Path::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: &'static [u8]) -> Vec<Bytes> {
        vec![Bytes::from_static(bytes)]
    }

    #[tokio::test]
    async fn a_folder_keeps_the_promises() {
        let scratch = tempfile::tempdir().expect("scratch");
        let storage = LocalStorage::open(scratch.path()).expect("there");
        assert!(storage.list("a").await.expect("an absent folder is empty").is_empty());
        storage.create("a/b", &[part(b"x"), part(b"yz")].concat()).await.expect("new");
        assert!(matches!(storage.create("a/b", &part(b"other")).await, Err(Error::AlreadyExists { .. })));
        assert_eq!(storage.read("a/b").await.expect("there"), "xyz");
        assert_eq!(storage.read_range("a/b", 1..2).await.expect("there"), "y");
        assert!(storage.read_range("a/b", 5..9).await.is_err());
        storage.replace("a/b", &part(b"w")).await.expect("replaced");
        assert_eq!(storage.size("a/b").await.expect("there"), 1);
        // What an interrupted write leaves behind is no object.
        fs::write(scratch.path().join("a/c#1"), "half").expect("written");
        assert_eq!(storage.list("a").await.expect("listed"), [("a/b".to_owned(), 1)]);
        assert_eq!(storage.remove_unfinished(0).await.expect("looked"), (0, 0), "it may be under way");
        fs::write(scratch.path().join("a/ours#x"), "kept").expect("written");
        assert_eq!(storage.remove_unfinished(i64::MAX).await.expect("removed"), (1, 4));
        assert!(scratch.path().join("a/ours#x").exists() && !scratch.path().join("a/c#1").exists());
        storage.sync(&["a/b".into()]).await.expect("durable");
        assert!(storage.sync(&["a/none".into()]).await.is_err());
        storage.delete("a/b").await.expect("deleted");
        assert!(matches!(storage.delete("a/b").await, Err(Error::NotFound { .. })));
        assert!(matches!(storage.read("a/b").await, Err(Error::NotFound { .. })));
    }
}
