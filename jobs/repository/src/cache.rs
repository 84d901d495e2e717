//! Packs of a bucket kept on a local disk, so that what new chunks build on needn't be fetched each time.
//!
//! Invariant: only a copy. What is read here is proven as if it came from the bucket, what can't be used is fetched there, and nothing
//! that fails here fails a backup. It holds what the bucket holds: sealed records.

use std::collections::HashSet;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use crate::keys::random;
use crate::names::hex;

/// Where packs of buckets are kept, and how much of the disk they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Made where there is none; each repository has a folder of its own in it.
    pub folder: PathBuf,
    /// All repositories for themselves.
    pub limit_bytes: u64,
}

/// The cache of one repository.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    limit_bytes: u64,
    /// Packs whose time was set since this was opened.
    used: Mutex<HashSet<String>>,
}

impl Cache {
    pub(crate) fn open(options: &CacheOptions, repository: &str) -> io::Result<Self> {
        let folder = options.folder.join(repository);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        Ok(Self { folder, limit_bytes: options.limit_bytes, used: Mutex::default() })
    }

    /// Keeps a pack. The packs that were unused for longest make room.
    pub(crate) fn keep(&self, object: &str, parts: &[Bytes]) -> io::Result<()> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        if bytes > self.limit_bytes {
            return Ok(());
        }
        self.make_room(bytes)?;
        let unfinished = self.folder.join(format!("new-{}", hex(&random::<8>().map_err(io::Error::other)?)));
        let written = File::create_new(&unfinished).and_then(|mut file| {
            parts.iter().try_for_each(|part| file.write_all(part))?;
            fs::rename(&unfinished, self.path(object))
        });
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// A part of a pack, if it is here.
    pub(crate) fn read(&self, object: &str, range: Range<u64>) -> Option<Bytes> {
        let mut file = File::open(self.path(object)).ok()?;
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        if file.metadata().ok()?.len() < range.end {
            return None;
        }
        let mut read = vec![0; length];
        file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut read)).ok()?;
        let is_first = self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(object.to_owned());
        if is_first {
            // Where that can't be set, it is only forgotten sooner.
            let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
        }
        Some(read.into())
    }

    /// Forgets a pack.
    pub(crate) fn forget(&self, object: &str) {
        let _ = fs::remove_file(self.path(object));
    }

    fn path(&self, object: &str) -> PathBuf {
        // The last part is one that no other writer uses.
        self.folder.join(object.rsplit('/').next().unwrap_or(object))
    }

    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            files.push((about.modified()?, about.len(), entry.path()));
        }
        files.sort();
        let mut taken: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in files {
            if taken + bytes <= self.limit_bytes {
                break;
            }
            remove(&path)?;
            taken -= size;
        }
        Ok(())
    }
}

/// Another worker may have been faster.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cache(folder: &Path, limit_bytes: u64) -> Cache {
        Cache::open(&CacheOptions { folder: folder.into(), limit_bytes }, "abcd").expect("opened")
    }

    #[test]
    fn what_was_unused_for_longest_makes_room() {
        let scratch = tempfile::tempdir().expect("scratch");
        let pack = [Bytes::from(vec![7; 400]), Bytes::from(vec![8; 100])];
        let first = cache(scratch.path(), 1_200);
        for (age_s, name) in [(30, "sealed/packs/a"), (20, "sealed/packs/b")] {
            first.keep(name, &pack).expect("kept");
            let file = File::options().write(true).open(first.path(name)).expect("there");
            file.set_times(FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(age_s))).expect("set");
        }
        assert_eq!(first.read("sealed/packs/a", 399..402).as_deref(), Some(&[7, 8, 8][..]));
        assert_eq!(first.read("sealed/packs/a", 499..502), None, "beyond its end");
        first.keep("sealed/packs/c", &pack).expect("kept");
        let again = cache(scratch.path(), 1_200);
        let there = ["a", "b", "c"].map(|name| again.read(&format!("sealed/packs/{name}"), 0..1).is_some());
        assert_eq!(there, [true, false, true]);
        again.forget("sealed/packs/a");
        assert_eq!(again.read("sealed/packs/a", 0..1), None);
        again.keep("sealed/packs/huge", &[Bytes::from(vec![0; 1_300])]).expect("left out");
        assert_eq!(again.read("sealed/packs/huge", 0..1), None);
    }
}
