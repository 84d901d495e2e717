//! A storage in memory, which counts how often it is asked.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::Error;

use crate::storage::Storage;

#[derive(Debug, Default)]
pub(super) struct Memory {
    objects: Mutex<BTreeMap<String, Bytes>>,
    asked: AtomicUsize,
}

impl Memory {
    pub(super) fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often something was read.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn get(&self, name: &str) -> Result<Bytes, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.objects().get(name).cloned().ok_or_else(|| Error::NotFound { path: name.into(), source: "nothing".into() })
    }
}

#[async_trait]
impl Storage for Memory {
    fn anchor(&self, _: &Bytes) {}

    async fn ensure_here(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn create(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        if self.objects().contains_key(name) {
            return Err(Error::AlreadyExists { path: name.into(), source: "there".into() });
        }
        self.replace(name, parts).await
    }

    async fn replace(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.objects().insert(name.into(), parts.concat().into());
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<Bytes, Error> {
        self.get(name)
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let bytes = self.get(name)?;
        let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let part = bytes.get(bound(range.start)..bound(range.end));
        // Nothing that would be tried again after a pause.
        part.map(Bytes::copy_from_slice).ok_or(Error::NotSupported { source: "beyond the end".into() })
    }

    async fn size(&self, name: &str) -> Result<u64, Error> {
        Ok(self.get(name)?.len() as u64)
    }

    async fn modified_ms(&self, name: &str) -> Result<i64, Error> {
        self.get(name).map(|_| 0)
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let within =
            |name: &String| folder.is_empty() || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let objects = self.objects();
        Ok(objects
            .iter()
            .filter(|(name, _)| within(name))
            .map(|(name, bytes)| (name.clone(), bytes.len() as u64))
            .collect())
    }

    async fn sync(&self, _: &[String]) -> Result<(), Error> {
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), Error> {
        self.get(name)?;
        self.objects().remove(name);
        Ok(())
    }
}
