//! A folder for secrets: of this account alone, and with one writer at a time.

use crate::exit::Exit;
use lucid_embedded::trusted_folder;
use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The permission bits of everyone but the owner.
const OTHERS: u32 = 0o077;
/// What is being written; left behind, it is never read.
const INCOMING: &str = ".incoming";

/// The folder, locked until this value is gone.
pub struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    /// Takes it; made where there is none.
    ///
    /// # Errors
    /// Where others can enter it, or another run is at work in it.
    pub fn open(path: &Path) -> Result<Self, Exit> {
        let path = trusted_folder(path).map_err(Exit::usage)?;
        let failed = |error| Exit::failed(format!("the folder {} can't be used: {error}", path.display()));
        let handle = File::open(&path).map_err(failed)?;
        let mode = handle.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & OTHERS != 0 {
            let path = path.display();
            return Err(Exit::usage(format!(
                "{path} is to hold secrets and has mode {mode:04o}, so others can enter it: run `chmod 700 {path}`, or name another folder"
            )));
        }
        match handle.try_lock() {
            Ok(()) => Ok(Self { path, handle }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                Err(Exit::failed(format!("another `lucid-ops env generate` is at work in {}", path.display())))
            }
        }
    }

    /// Its real name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something of this name is there, whatever it is.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).symlink_metadata().is_ok()
    }

    /// What a file holds; none where there is no such file.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>, Exit> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(error) if error.kind() == ErrorKind::NotFound && !self.has(name) => Ok(None),
            Err(error) => Err(Exit::failed(format!("{} can't be read: {error}", path.display()))),
        }
    }

    /// Writes a file whole, durably, and never readable by others, in the place of one that may be there.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, name: &str, mode: u32, text: &str) -> Result<(), Exit> {
        let path = self.path.join(name);
        self.put(&path, mode, text)
            .map_err(|error| Exit::failed(format!("{} can't be written: {error}", path.display())))
    }

    fn put(&self, path: &Path, mode: u32, text: &str) -> io::Result<()> {
        let incoming = self.path.join(INCOMING);
        match fs::remove_file(&incoming) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&incoming)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&incoming, path)?;
        self.handle.sync_all()
    }
}
