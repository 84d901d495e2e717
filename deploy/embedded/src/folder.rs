//! The folder of a private mongod: who uses it, what was started in it, its secrets.
//!
//! Invariants: one deployment at a time uses a folder, and the lock lives as long as any of its processes; data are
//! only ever removed of a set whose first start did not end (its connection string was never handed out).

use crate::{Error, Options, Result};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The permission bits of everyone but the owner.
const OTHERS: u32 = 0o077;
const SECRET_BYTES: usize = 48;
/// Longer than the supervisor of a mongod gives it to end after its parent's death.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// What a restart must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub replica_set: Option<String>,
    pub auth: bool,
    pub ports: Vec<u16>,
    /// The first start ended well: there are data to keep.
    pub ready: bool,
}

/// A folder that is ours until this value and all mongods in it are gone.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    lock: File,
}

impl Folder {
    /// Takes the folder, making it if need be; waits a while for processes of an owner that died.
    pub async fn open(dir: &Path) -> Result<Self> {
        prepare(dir)?;
        // Absolute, because mongod and its supervisor are told paths.
        let dir = dir.canonicalize().map_err(Error::io(dir))?;
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&path).map_err(Error::io(&path))?;
        let start = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(Error::io(path)(error)),
                Err(TryLockError::WouldBlock) if owner_lives(&path) || start.elapsed() > LOCK_PATIENCE => {
                    return Err(Error::InUse { path: dir });
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        let owner = std::process::id().to_string();
        lock.set_len(0).and_then(|()| lock.write_all(owner.as_bytes())).map_err(Error::io(&path))?;
        Ok(Self { dir, lock })
    }

    /// The state of an earlier start, if it must go on; otherwise the folder is as good as new.
    pub fn resume(&self, options: &Options) -> Result<Option<State>> {
        let path = self.state_path();
        if !path.exists() {
            if self.member(0).exists() {
                let reason = "holds member-0 but no deployment.json";
                return Err(Error::Folder { path: self.dir.clone(), reason });
            }
            return Ok(None);
        }
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let state: State = serde_json::from_slice(&bytes).map_err(|_| Error::Damaged { path })?;
        if !state.ready {
            return self.forget(&state).map(|()| None);
        }
        let mismatch = |what, stored, asked| Err(Error::Mismatch { path: self.dir.clone(), what, stored, asked });
        let name = |set: &Option<String>| set.clone().unwrap_or_else(|| "none".to_owned());
        if state.ports.len() != options.members {
            return mismatch("members", state.ports.len().to_string(), options.members.to_string());
        }
        if state.replica_set != options.replica_set {
            return mismatch("replica set", name(&state.replica_set), name(&options.replica_set));
        }
        if state.auth != options.auth {
            return mismatch("authentication", state.auth.to_string(), options.auth.to_string());
        }
        Ok(Some(state))
    }

    /// Removes what a first start left that did not end.
    fn forget(&self, state: &State) -> Result<()> {
        for member in 0..state.ports.len() {
            let path = self.member(member);
            if path.exists() {
                fs::remove_dir_all(&path).map_err(Error::io(path))?;
            }
        }
        Ok(())
    }

    /// Writes the state, durably, by one rename.
    pub fn save(&self, state: &State) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(state).expect("plain fields always serialize");
        write_private(&self.state_path(), &bytes)
    }

    /// A secret of the folder in hexadecimal, made at first use.
    pub fn secret(&self, name: &str) -> Result<String> {
        let path = self.dir.join(name);
        if !path.exists() {
            let mut bytes = [0; SECRET_BYTES];
            getrandom::fill(&mut bytes).map_err(|error| Error::io(&path)(std::io::Error::other(error)))?;
            write_private(&path, hex(&bytes).as_bytes())?;
        }
        let secret = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let whole = secret.len() == 2 * SECRET_BYTES && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
        if whole { Ok(secret) } else { Err(Error::Damaged { path }) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn member(&self, member: usize) -> PathBuf {
        self.dir.join(format!("member-{member}"))
    }

    /// A handle that keeps the lock as long as some process holds it.
    pub fn lock_handle(&self) -> Result<File> {
        self.lock.try_clone().map_err(Error::io(self.dir.join("lock")))
    }

    fn state_path(&self) -> PathBuf {
        self.dir.join("deployment.json")
    }
}

fn prepare(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::io(dir));
    }
    let about = dir.metadata().map_err(Error::io(dir))?;
    if about.uid() != geteuid().as_raw() {
        let reason = "belongs to somebody else, who knows its secrets";
        return Err(Error::Folder { path: dir.to_owned(), reason });
    }
    if about.mode() & OTHERS == 0 {
        return Ok(());
    }
    if fs::read_dir(dir).map_err(Error::io(dir))?.next().is_some() {
        let reason = "is not empty and open to other users (chmod 700 would close it)";
        return Err(Error::Folder { path: dir.to_owned(), reason });
    }
    fs::set_permissions(dir, PermissionsExt::from_mode(0o700)).map_err(Error::io(dir))
}

/// Whether the process that took the lock is another one that still runs.
fn owner_lives(lock: &Path) -> bool {
    let owner = fs::read_to_string(lock).ok().and_then(|text| text.trim().parse::<i32>().ok());
    owner.is_some_and(|pid| {
        u32::try_from(pid).is_ok_and(|pid| pid != 0 && pid != std::process::id())
            && nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
    })
}

/// Writes a file that only its owner may read; it is there whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o600)).tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(Error::io(path))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ready: bool) -> State {
        State { replica_set: Some("rs0".to_owned()), auth: true, ports: vec![1], ready }
    }

    #[tokio::test]
    async fn an_unfinished_first_start_is_forgotten_and_a_finished_one_kept() {
        let scratch = tempfile::tempdir().expect("scratch folder");
        let folder = Folder::open(&scratch.path().join("new")).await.expect("open");
        let options = Options::new("unused");
        fs::create_dir(folder.member(0)).expect("member");
        assert!(folder.resume(&options).is_err(), "data without a state are not ours to touch");
        folder.save(&state(false)).expect("save");
        assert!(folder.resume(&options).expect("resume").is_none());
        assert!(!folder.member(0).exists());
        fs::create_dir(folder.member(0)).expect("member");
        folder.save(&state(true)).expect("save");
        assert!(folder.resume(&options).expect("resume").is_some());
        assert!(folder.member(0).exists());
        let message = folder.resume(&Options::new("unused").members(3)).expect_err("other members").to_string();
        assert!(message.contains("members 1, not 3"), "{message}");
    }

    #[tokio::test]
    async fn secrets_are_private_and_stay_and_damage_is_named() {
        let scratch = tempfile::tempdir().expect("scratch folder");
        let folder = Folder::open(scratch.path()).await.expect("open");
        let secret = folder.secret("password").expect("secret");
        assert_eq!(folder.secret("password").expect("secret"), secret);
        let mode = folder.path("password").metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(folder.path("password"), "").expect("write");
        assert!(matches!(folder.secret("password"), Err(Error::Damaged { .. })));
    }

    #[tokio::test]
    async fn a_folder_that_others_can_read_is_refused_unless_empty() {
        let scratch = tempfile::tempdir().expect("scratch folder");
        let dir = scratch.path().join("open");
        fs::create_dir(&dir).expect("folder");
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).expect("mode");
        fs::write(dir.join("letter"), "").expect("file");
        assert!(matches!(Folder::open(&dir).await, Err(Error::Folder { .. })));
        fs::remove_file(dir.join("letter")).expect("remove");
        Folder::open(&dir).await.expect("empty, so it is closed to others and taken");
        if geteuid().is_root() {
            std::os::unix::fs::chown(&dir, Some(65_534), None).expect("given away");
            assert!(matches!(Folder::open(&dir).await, Err(Error::Folder { .. })), "its owner may have prepared it");
            std::os::unix::fs::chown(&dir, Some(0), None).expect("taken back");
        }
        assert_eq!(dir.metadata().expect("metadata").permissions().mode() & 0o077, 0);
    }
}
