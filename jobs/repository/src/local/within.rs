//! Files and folders within a folder that is held open.
//!
//! Invariants: names are looked up from the handle, so whatever is mounted or moved meanwhile, all is done in one folder; what root makes
//! belongs to whom the folder belongs to, who couldn't read it otherwise.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, fchown, fsync, geteuid};

/// How folders are opened.
pub(super) const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// A folder within, made where it lacks.
pub(super) fn make_folder(root: &OwnedFd, folder: &str) -> io::Result<OwnedFd> {
    match existing_folder(root, folder) {
        Err(Errno::ENOENT) => {}
        opened => return Ok(opened?),
    }
    let (above, name) = parts_of(folder);
    let above = make_folder(root, above)?;
    match mkdirat(&above, name, Mode::S_IRWXU) {
        Ok(()) => fsync(&above)?,
        // Another writer was first.
        Err(Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let made = existing_folder(&above, name)?;
    give(&above, &made)?;
    Ok(made)
}

/// Gives what was made in a folder to whom that belongs to, where this is root.
fn give(folder: &OwnedFd, made: impl AsFd) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (of_folder, own) = (fstat(folder)?, fstat(&made)?);
    if (of_folder.st_uid, of_folder.st_gid) == (own.st_uid, own.st_gid) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(of_folder.st_uid), Gid::from_raw(of_folder.st_gid));
    match fchown(made, Some(uid), Some(gid)) {
        // A file server that takes root for nobody, to whom the folder then belongs, too.
        Err(Errno::EPERM) => Ok(()),
        given => Ok(given?),
    }
}

pub(super) fn existing_folder(root: &OwnedFd, folder: &str) -> nix::Result<OwnedFd> {
    openat(root, if folder.is_empty() { "." } else { folder }, FOLDER, Mode::empty())
}

/// A new file under a name that says it is unfinished (format, section 2).
pub(super) fn begin(folder: &OwnedFd, name: &str) -> io::Result<(String, File)> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    for number in 1u32.. {
        let unfinished = format!("{name}#{number}");
        match openat(folder, unfinished.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(file) => {
                give(folder, &file)?;
                return Ok((unfinished, file.into()));
            }
            // Another writer's.
            Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// A plain file; nothing else is an object, nor waited for.
pub(super) fn open_file(root: &OwnedFd, name: &str) -> io::Result<File> {
    about(root, name)?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    Ok(openat(root, name, flags, Mode::empty())?.into())
}

pub(super) fn read_within(root: &OwnedFd, name: &str, limit_bytes: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    open_file(root, name)?.take(limit_bytes).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

pub(super) fn about(root: &OwnedFd, name: &str) -> io::Result<FileStat> {
    match fstatat(root, name, AtFlags::empty()) {
        Ok(about) if is_file(&about) => Ok(about),
        Ok(_) | Err(Errno::ELOOP | Errno::ENOTDIR) => Err(ErrorKind::NotFound.into()),
        Err(error) => Err(error.into()),
    }
}

fn kind_of(about: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT
}

pub(super) fn is_file(about: &FileStat) -> bool {
    kind_of(about) == SFlag::S_IFREG
}

pub(super) fn is_folder(about: &FileStat) -> bool {
    kind_of(about) == SFlag::S_IFDIR
}

pub(super) fn modified_ms(about: &FileStat) -> i64 {
    about.st_mtime.saturating_mul(1000).saturating_add(about.st_mtime_nsec / 1_000_000)
}

/// Whether a name ends as those of unfinished writes do.
pub(super) fn is_unfinished(name: &str) -> bool {
    let digits = name.rsplit_once('#').map(|(_, digits)| digits);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()))
}

/// Syncs files, then each folder between them and the root once: its entry may be new, too.
pub(super) fn sync_files(root: &OwnedFd, names: &[String]) -> io::Result<()> {
    let mut folders = BTreeSet::from([""]);
    for name in names {
        open_file(root, name)?.sync_all()?;
        let mut folder = parts_of(name).0;
        while !folder.is_empty() && folders.insert(folder) {
            folder = parts_of(folder).0;
        }
    }
    folders.into_iter().try_for_each(|folder| Ok(fsync(existing_folder(root, folder)?)?))
}

/// Folder and name.
pub(super) fn parts_of(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}
