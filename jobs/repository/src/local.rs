//! A local folder as a storage.
//!
//! Invariant: whatever is written, looked up or deleted is so within the very folder that holds the repository's config at that moment: the
//! folder is opened, the config in it compared, and the rest done relative to that handle. So neither a folder that is gone nor a disk
//! that is mounted in its place is ever written to, and nothing here makes the repository's folder. What is made is for its owner only.

mod within;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::{UnlinkatFlags, fsync, linkat, unlinkat};
use object_store::Error;

use crate::config::CONFIG;
use crate::limits::UNSEALED_BYTES;
use crate::storage::{Elsewhere, Storage};
use within::{
    FOLDER, about, begin, existing_folder, is_file, is_folder, is_unfinished, make_folder, modified_ms, open_file,
    parts_of, read_within, sync_files,
};

/// A domain, and its folders: nothing lies deeper.
const FOLDERS_DEEP: usize = 2;
/// More names than these are passed over without a word.
const TOLD_MAX: usize = 1000;

/// A local folder. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LocalStorage {
    home: Arc<Home>,
}

#[derive(Debug)]
struct Home {
    folder: PathBuf,
    /// The config that must lie in it, once it is known.
    config: OnceLock<Bytes>,
    /// Names that were warned about, so that each is once.
    told: Mutex<BTreeSet<String>>,
}

/// What becomes of an object of that name which is there.
#[derive(Clone, Copy)]
enum Existing {
    Stays,
    IsReplaced,
}

impl LocalStorage {
    /// The folder must exist.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let home = Home { folder: folder.into(), config: OnceLock::new(), told: Mutex::default() };
        home.root().map_err(|error| said(&folder.to_string_lossy(), error))?;
        Ok(Self { home: Arc::new(home) })
    }

    /// Does something on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Home) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let home = self.home.clone();
        let done = tokio::task::spawn_blocking(move || work(&home)).await?;
        done.map_err(|error| said(name, error))
    }

    async fn write(&self, name: &str, parts: &[Bytes], existing: Existing) -> Result<(), Error> {
        let (object, parts) = (name.to_owned(), parts.to_vec());
        self.run(name, move |home| home.write(&object, &parts, existing)).await
    }
}

#[async_trait]
impl Storage for LocalStorage {
    fn anchor(&self, config: &Bytes) {
        // Whoever was first has opened the same one.
        let _ = self.home.config.set(config.clone());
    }

    async fn ensure_here(&self) -> Result<(), Error> {
        self.run(CONFIG, |home| home.open().map(drop)).await
    }

    async fn create(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.write(name, parts, Existing::Stays).await
    }

    async fn replace(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.write(name, parts, Existing::IsReplaced).await
    }

    async fn read(&self, name: &str) -> Result<Bytes, Error> {
        let object = name.to_owned();
        self.run(name, move |home| read_within(&home.open()?, &object, u64::MAX)).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let object = name.to_owned();
        self.run(name, move |home| home.read_range(&object, range)).await
    }

    async fn size(&self, name: &str) -> Result<u64, Error> {
        let object = name.to_owned();
        self.run(name, move |home| Ok(about(&home.open()?, &object)?.st_size.cast_unsigned())).await
    }

    async fn modified_ms(&self, name: &str) -> Result<i64, Error> {
        let object = name.to_owned();
        self.run(name, move |home| Ok(modified_ms(&about(&home.open()?, &object)?))).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let within = folder.to_owned();
        self.run(folder, move |home| home.list(&within)).await
    }

    async fn sync(&self, names: &[String]) -> Result<(), Error> {
        let (first, names) = (names.first().cloned().unwrap_or_default(), names.to_vec());
        self.run(&first, move |home| sync_files(&home.open()?, &names)).await
    }

    async fn remove_unfinished(&self, before_ms: i64) -> Result<(u64, u64), Error> {
        self.run("what is unfinished", move |home| home.remove_unfinished(before_ms)).await
    }

    async fn delete(&self, name: &str) -> Result<(), Error> {
        let object = name.to_owned();
        self.run(name, move |home| {
            let root = home.open()?;
            unlinkat(&root, object.as_str(), UnlinkatFlags::NoRemoveDir)?;
            // A deleted manifest must not come back after a power cut.
            Ok(fsync(existing_folder(&root, parts_of(&object).0)?)?)
        })
        .await
    }
}

impl Home {
    /// The folder, whatever is in it.
    fn root(&self) -> io::Result<OwnedFd> {
        nix::fcntl::open(&self.folder, FOLDER, Mode::empty()).map_err(|error| match error {
            Errno::ENOENT | Errno::ENOTDIR if self.config.get().is_some() => io::Error::other(Elsewhere::Absent),
            error => error.into(),
        })
    }

    /// The folder, if the repository is in it.
    fn open(&self) -> io::Result<OwnedFd> {
        let root = self.root()?;
        if let Some(expected) = self.config.get() {
            let found = match read_within(&root, CONFIG, UNSEALED_BYTES + 1) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                read => Some(read?),
            };
            Elsewhere::compare(expected, found).map_err(io::Error::other)?;
        }
        Ok(root)
    }

    fn write(&self, name: &str, parts: &[Bytes], existing: Existing) -> io::Result<()> {
        let root = self.open()?;
        let (folder, file) = parts_of(name);
        let folder = make_folder(&root, folder)?;
        if matches!(existing, Existing::Stays) && fstatat(&folder, file, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let (unfinished, mut out) = begin(&folder, file)?;
        let written = parts.iter().try_for_each(|part| out.write_all(part)).and_then(|()| out.sync_all());
        let named = written.and_then(|()| match existing {
            Existing::Stays => Ok(linkat(&folder, unfinished.as_str(), &folder, file, AtFlags::empty())?),
            Existing::IsReplaced => Ok(renameat(&folder, unfinished.as_str(), &folder, file)?),
        });
        if named.is_err() || matches!(existing, Existing::Stays) {
            // Where that fails, it is what a write that was broken off leaves: no object, and the next prune's to remove.
            let _ = unlinkat(&folder, unfinished.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        named?;
        Ok(fsync(&folder)?)
    }

    /// Without looking at the config, unless it fails: the names of what is read in parts are those of one writer alone.
    fn read_range(&self, name: &str, range: Range<u64>) -> io::Result<Bytes> {
        let read = || {
            let mut file = open_file(&self.root()?, name)?;
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or_default());
            file.take(range.end - range.start).read_to_end(&mut bytes)?;
            Ok(bytes.into())
        };
        read().or_else(|error: io::Error| self.open().and(Err(error)))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        self.walk(&self.open()?, folder, &mut found)?;
        found.retain(|(name, _)| !is_unfinished(name));
        Ok(found.into_iter().map(|(name, about)| (name, about.st_size.cast_unsigned())).collect())
    }

    fn remove_unfinished(&self, before_ms: i64) -> io::Result<(u64, u64)> {
        let (root, mut found) = (self.open()?, Vec::new());
        self.walk(&root, "", &mut found)?;
        let (mut number, mut bytes) = (0, 0);
        for (name, about) in found.iter().filter(|(name, about)| is_unfinished(name) && modified_ms(about) < before_ms)
        {
            match unlinkat(&root, name.as_str(), UnlinkatFlags::NoRemoveDir) {
                // Its writer has just finished it.
                Err(Errno::ENOENT) => {}
                removed => {
                    removed?;
                    (number, bytes) = (number + 1, bytes + about.st_size.cast_unsigned());
                }
            }
        }
        Ok((number, bytes))
    }

    /// The plain files of a folder, and of those below. What is none is passed over, and told once.
    fn walk(&self, root: &OwnedFd, folder: &str, found: &mut Vec<(String, FileStat)>) -> io::Result<()> {
        let here = if folder.is_empty() { "." } else { folder };
        let mut dir = match Dir::openat(root, here, FOLDER, Mode::empty()) {
            // Unless it is a link that leads nowhere: then what lies there is out of sight.
            Err(Errno::ENOENT) if fstatat(root, here, AtFlags::AT_SYMLINK_NOFOLLOW).is_err() => return Ok(()),
            opened => opened?,
        };
        let deep = folder.split('/').filter(|part| !part.is_empty()).count();
        let entries = dir.iter().collect::<Result<Vec<_>, Errno>>()?;
        for entry in entries {
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let name = String::from_utf8_lossy(name);
            let full = if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") };
            match fstatat(root, full.as_str(), AtFlags::empty()) {
                Ok(about) if is_file(&about) => found.push((full, about)),
                Ok(about) if is_folder(&about) && deep < FOLDERS_DEEP => self.walk(root, &full, found)?,
                Ok(_) => self.pass_over(&full),
                Err(Errno::ENOENT | Errno::ELOOP) if entry.file_type() == Some(Type::Symlink) => self.pass_over(&full),
                // It was deleted meanwhile, or its name isn't text.
                Err(Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn pass_over(&self, name: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX && told.insert(name.to_owned()) {
            tracing::warn!(object = name, folder = %self.folder.display(), "neither a file nor a folder of a repository; passed over");
        }
    }
}

fn said(name: &str, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::NotFound { path: name.into(), source: error.into() },
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: name.into(), source: error.into() },
        _ => Error::Generic { store: "folder", source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        assert_ne!(storage.read_range("a/b", 5..9).await.ok().map(|bytes| bytes.len()), Some(4));
        storage.replace("a/b", &part(b"w")).await.expect("replaced");
        assert_eq!(storage.size("a/b").await.expect("there"), 1);
        // What an interrupted write leaves behind is no object.
        fs::write(scratch.path().join("a/c#1"), "half").expect("written");
        assert_eq!(storage.list("a").await.expect("listed"), [("a/b".to_owned(), 1)]);
        storage.create("a/c", &part(b"whole")).await.expect("beside it");
        storage.delete("a/c").await.expect("deleted");
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

    #[tokio::test]
    async fn what_is_made_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().expect("scratch");
        // The folder was there before, for everybody.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("set");
        let storage = LocalStorage::open(scratch.path()).expect("there");
        storage.create("a/b/new", &part(b"x")).await.expect("made");
        storage.replace("a/b/again", &part(b"x")).await.expect("made");
        let mode = |name: &str| fs::metadata(scratch.path().join(name)).expect("there").permissions().mode() & 0o777;
        assert_eq!(["a", "a/b", "a/b/new", "a/b/again"].map(mode), [0o700, 0o700, 0o600, 0o600]);
    }

    #[tokio::test]
    async fn what_root_makes_belongs_to_whom_the_folder_belongs_to() {
        use std::os::unix::fs::{MetadataExt, chown};
        if !nix::unistd::geteuid().is_root() {
            eprintln!("left out: only root can make what belongs to others");
            return;
        }
        let scratch = tempfile::tempdir().expect("scratch");
        chown(scratch.path(), Some(65_534), Some(65_533)).expect("given away");
        let storage = LocalStorage::open(scratch.path()).expect("there");
        storage.create("a/b/new", &part(b"x")).await.expect("made");
        storage.replace("config", &part(b"x")).await.expect("made");
        for name in ["a", "a/b", "a/b/new", "config"] {
            let about = fs::metadata(scratch.path().join(name)).expect("there");
            assert_eq!((about.uid(), about.gid()), (65_534, 65_533), "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_passed_over_and_never_waited_for() {
        use std::os::unix::fs::symlink;
        let scratch = tempfile::tempdir().expect("scratch");
        let storage = LocalStorage::open(scratch.path()).expect("there");
        storage.create("a/good", &part(b"x")).await.expect("made");
        let at = |name: &str| scratch.path().join(name);
        symlink("loop", at("a/loop")).expect("linked");
        symlink("nowhere", at("a/dangling")).expect("linked");
        symlink("/dev/zero", at("a/device")).expect("linked");
        nix::unistd::mkfifo(&at("a/fifo"), Mode::S_IRWXU).expect("made");
        let _socket = std::os::unix::net::UnixListener::bind(at("a/socket")).expect("bound");
        assert_eq!(storage.list("a").await.expect("listed"), [("a/good".to_owned(), 1)]);
        assert_eq!(storage.list("").await.expect("listed"), [("a/good".to_owned(), 1)]);
        assert_eq!(storage.home.told.lock().expect("no panic").len(), 5, "each is told, once");
        for name in ["a/loop", "a/dangling", "a/device", "a/fifo", "a/socket"] {
            assert!(matches!(storage.read(name).await, Err(Error::NotFound { .. })), "{name}");
        }
        // A whole folder that is out of sight isn't an empty one.
        symlink("/nowhere/at/all", at("b")).expect("linked");
        assert!(storage.list("b").await.is_err());
    }
}
