//! Room that is set aside, so that a full disk can be pruned (format, section 9).
//!
//! Whoever removes something says so before, which takes room. Invariant: while the ballast is there, or room for it, a prune gets as far as
//! its removals, which make room for the rest. Nothing is lost with it: it holds nothing.

use bytes::Bytes;

use crate::keys::random;
use crate::names::hex;
use crate::store::Store;
use crate::{Repository, RepositoryError};

/// The object that takes up the room.
pub(crate) const BALLAST: &str = "ballast";
/// What it takes: more than a record of each kind that a prune writes before it has removed anything.
const BALLAST_BYTES: usize = 1 << 20;
/// A disk that hasn't so much left is full.
const PROBE_BYTES: usize = 256 << 10;

impl Repository {
    /// Sets room aside for prunes, where the repository lies on a disk and none is set aside. Does without where there is none to spare.
    pub async fn set_room_aside(&self) -> Result<(), RepositoryError> {
        let store = self.store();
        if store.is_far() || store.size(BALLAST).await? == Some(BALLAST_BYTES as u64) {
            return Ok(());
        }
        match store.replace(BALLAST, &[noise(BALLAST_BYTES)?]).await {
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "no room can be set aside for prunes");
                Ok(())
            }
            set_aside => set_aside,
        }
    }

    /// Gives up what was set aside where the disk is full; says whether it was.
    pub async fn make_room(&self) -> Result<bool, RepositoryError> {
        let store = self.store();
        if store.is_far() {
            return Ok(false);
        }
        let name = format!("probe-{}", hex(&random::<8>()?));
        match store.replace(&name, &[noise(PROBE_BYTES)?]).await {
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "the disk is full: giving up the room that is set aside for prunes");
                store.delete(BALLAST).await?;
                Ok(true)
            }
            written => {
                written?;
                store.delete(&name).await?;
                Ok(false)
            }
        }
    }
}

/// Fails where a disk has no room for this record: whoever is about to pass a point of no return with nothing but that left to write finds
/// out before, as afterwards he would have to wait for room, and keep prunes from making it.
pub(crate) async fn ensure_room(store: &Store, object: &str, record: &Bytes) -> Result<(), RepositoryError> {
    if store.is_far() {
        return Ok(());
    }
    let name = format!("probe-{}", hex(&random::<8>()?));
    match store.replace(&name, std::slice::from_ref(record)).await {
        Err(RepositoryError::Storage { source, .. }) => {
            Err(RepositoryError::Storage { operation: "make sure of room for", object: object.into(), source })
        }
        written => written,
    }?;
    store.delete(&name).await
}

/// What no file system makes smaller.
fn noise(bytes: usize) -> Result<Bytes, RepositoryError> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&random::<32>()?).finalize_xof().fill(&mut noise);
    Ok(noise.into())
}

impl RepositoryError {
    /// Whether it is that the disk of the repository is full, or a quota on it used up.
    pub fn is_full(&self) -> bool {
        match self {
            Self::WriterFailed { full, .. } => *full,
            Self::Storage { source, .. } => {
                let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source);
                while let Some(error) = cause {
                    let kind = error.downcast_ref().map(std::io::Error::kind);
                    if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
                        return true;
                    }
                    cause = error.source();
                }
                false
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault_tests::{Bench, Fault};

    #[tokio::test(flavor = "multi_thread")]
    async fn room_is_set_aside_once_and_given_up_on_a_full_disk_alone() {
        let bench = Bench::new();
        bench.init(Fault::None).await.expect("made");
        let repository = bench.open(Fault::None).await.expect("opens");
        let ballast = bench.folder().join(BALLAST);
        repository.set_room_aside().await.expect("set aside");
        let first = std::fs::read(&ballast).expect("there");
        repository.set_room_aside().await.expect("is set aside");
        assert!(first.len() == BALLAST_BYTES && std::fs::read(&ballast).expect("there") == first);
        assert!(!repository.make_room().await.expect("there is room") && ballast.exists());
        assert_eq!(repository.scan().await.expect("looked at").oddities, []);
        let full = bench.open(Fault::FullAfter(0)).await.expect("opens");
        assert!(full.make_room().await.expect("it is given up") && !ballast.exists());
        full.set_room_aside().await.expect("does without");
        assert!(!ballast.exists());
        let written = full.pins().await.and(full.claim("cluster-1", false).await).expect_err("full");
        assert!(written.is_full() && written.is_retryable(), "{written}");
    }
}
