//! The folder of a repository: whether the repository is there, and the space of its file system.

use nix::sys::statvfs::statvfs;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// A file system that takes longer to answer isn't there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the id of the repository in a folder, without any secret; `None` where there is none.
pub type Identify = fn(&Path) -> Option<String>;

/// The folder of a repository, looked at by one thread at a time: a file system may hang.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    identify: Identify,
    looking: Arc<Semaphore>,
}

/// Space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Space {
    /// Bytes that are free for this account.
    pub free_bytes: f64,
    /// Bytes in all.
    pub total_bytes: f64,
}

impl Folder {
    /// The folder at this path, and how to tell what is in it.
    pub fn new(path: PathBuf, identify: Identify) -> Self {
        Self { path, identify, looking: Arc::new(Semaphore::new(1)) }
    }

    /// The space of its file system, where the repository lies in it that has this id, any one where none is known; else what is there
    /// instead, for people.
    pub(super) async fn space(&self, id: Option<&str>) -> Result<Space, String> {
        let hangs = || "its folder doesn't answer: is its disk or its server well?".to_owned();
        let permit = Arc::clone(&self.looking).try_acquire_owned().map_err(|_| hangs())?;
        let (path, identify, id) = (self.path.clone(), self.identify, id.map(str::to_owned));
        let looking = spawn_blocking(move || {
            let found = look(&path, identify, id.as_deref());
            drop(permit);
            found
        });
        timeout(PATIENCE, looking).await.ok().and_then(Result::ok).unwrap_or_else(|| Err(hangs()))
    }
}

fn look(path: &Path, identify: Identify, id: Option<&str>) -> Result<Space, String> {
    let told = statvfs(path).map_err(|_| "its folder isn't there: is it mounted?".to_owned())?;
    match identify(path) {
        None => return Err("its folder holds no repository: is it mounted?".into()),
        Some(found) if id.is_some_and(|id| id != found) => {
            return Err(format!("its folder holds another repository, {found}: is another disk mounted there?"));
        }
        Some(_) => {}
    }
    #[allow(clippy::cast_precision_loss)] // Exact for 9 petabytes.
    let bytes = |blocks: u64| blocks as f64 * told.fragment_size() as f64;
    Ok(Space { free_bytes: bytes(told.blocks_available()), total_bytes: bytes(told.blocks()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_folder_with_the_repository_in_it_has_space() {
        let ours: Identify = |_| Some("ours".into());
        let at = |path: &str, identify| Folder::new(path.into(), identify);
        assert!(at("/proc", ours).space(Some("ours")).await.is_ok());
        assert!(at("/proc", ours).space(None).await.is_ok(), "while no name is known, any one will do");
        let refused = async |folder: Folder, id| folder.space(id).await.expect_err("not there");
        assert!(refused(at("/nowhere/at/all", ours), None).await.contains("isn't there"));
        assert!(refused(at("/proc", |_| None), None).await.contains("no repository"), "an empty mount point");
        assert!(refused(at("/proc", ours), Some("theirs")).await.contains("another repository, ours"));
        let busy = at("/proc", ours);
        let _looking = Arc::clone(&busy.looking).try_acquire_owned().expect("nobody looks");
        assert!(refused(busy, None).await.contains("doesn't answer"), "while the last look hangs");
    }
}
