//! Key files: 32 random bytes as text, readable by their owner only.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::RepositoryError;
use crate::keys::{Key, random};
use crate::names::{hex, unhex};

const COMMENT: &str = "# Key of a backup repository. Whoever has it can read the backups; without it nobody can.\n\
                       # Keep a copy in another place than the backups.\n";
/// More than any key file; whatever is larger isn't one.
const LIMIT_BYTES: u64 = 4096;

/// Reads a key file.
pub(crate) fn read(path: &Path) -> Result<Key, RepositoryError> {
    let text = read_text(path).map_err(|reason| unreadable(path, &reason))?;
    parse(&text).ok_or_else(|| unreadable(path, "not a key file: one line with 64 hex digits is expected"))
}

/// Whether a key file can be read, and holds a key.
///
/// # Errors
/// Where it isn't one.
pub fn check(path: &Path) -> Result<(), RepositoryError> {
    read(path).map(drop)
}

/// The key in the text of a key file.
pub(crate) fn parse(text: &str) -> Option<Key> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next().and_then(unhex), lines.next()) {
        (Some(key), None) => Some(Zeroizing::new(key)),
        _ => None,
    }
}

/// Reads a file that holds a secret; warns where others can reach it, too.
pub(crate) fn read_text(path: &Path) -> Result<Zeroizing<String>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    warn_if_exposed(path, &file);
    let mut text = Zeroizing::new(String::new());
    file.take(LIMIT_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Reads a key file, or makes one that doesn't exist.
pub(crate) fn read_or_create(path: &Path) -> Result<Key, RepositoryError> {
    let file = match owner_only().open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return read(path),
        Err(error) => return Err(unreadable(path, &error.to_string())),
    };
    let key: Key = Zeroizing::new(random()?);
    if let Err(error) = fill(file, path, &key) {
        // A half-written key file would stand in the way of the next attempt, and nothing uses it yet.
        let _ = std::fs::remove_file(path);
        return Err(unreadable(path, &error.to_string()));
    }
    Ok(key)
}

/// The text of a new key file, for who writes files of his own.
///
/// # Errors
/// Where the system has no randomness.
pub fn new_key_file() -> Result<Zeroizing<String>, RepositoryError> {
    let key: Key = Zeroizing::new(random()?);
    Ok(text(&key))
}

fn text(key: &Key) -> Zeroizing<String> {
    let digits = Zeroizing::new(hex(key.as_ref()));
    // Large enough from the start, so that no copy is left in memory.
    let mut text = Zeroizing::new(String::with_capacity(COMMENT.len() + digits.len() + 1));
    text.push_str(COMMENT);
    text.push_str(&digits);
    text.push('\n');
    text
}

/// Writes and makes durable: the file and its entry in the folder.
fn fill(mut file: File, path: &Path, key: &Key) -> std::io::Result<()> {
    file.write_all(text(key).as_bytes())?;
    file.sync_all()?;
    sync_folder(path.parent())
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: Option<&Path>) -> std::io::Result<()> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn warn_if_exposed(path: &Path, file: &File) {
    if let Some(exposed) = file.metadata().ok().and_then(|about| exposed(path, &about)) {
        tracing::warn!("{exposed}");
    }
}

/// One sentence on a file that holds a secret and that others than its owner can read or write; `None` where they can't.
#[cfg(unix)]
pub fn exposed(path: &Path, about: &Metadata) -> Option<String> {
    exposed_beside(path, about, std::env::var_os("CREDENTIALS_DIRECTORY").as_deref().map(Path::new))
}

/// The same of a process that has files in this folder from its service manager, which are for it alone: where the manager says so by an access
/// list, that shows as a right of the group to read.
#[cfg(unix)]
fn exposed_beside(path: &Path, about: &Metadata, handed_over: Option<&Path>) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let is_handed_over = handed_over.is_some_and(|folder| path.starts_with(folder));
    let (path, mode) = (path.display(), about.mode() & if is_handed_over { 0o7737 } else { 0o7777 });
    let whom = match (mode & 0o070, mode & 0o007) {
        (0, 0) => return None,
        (_, 0) => "its group",
        _ => "every user of this machine",
    };
    Some(format!("{path} holds a secret and has mode {mode:04o}, so {whom} can reach it: run `chmod 600 {path}`"))
}

/// There are no such modes here.
#[cfg(not(unix))]
pub fn exposed(_: &Path, _: &Metadata) -> Option<String> {
    None
}

fn unreadable(path: &Path, reason: &str) -> RepositoryError {
    RepositoryError::KeyFileUnreadable { path: PathBuf::from(path), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_file_is_private_and_reads_back() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("key");
        let key = read_or_create(&path).expect("made");
        assert_eq!(read(&path).expect("read"), key);
        assert_eq!(read_or_create(&path).expect("kept"), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(path.metadata().expect("there").mode() & 0o777, 0o600);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_reach_is_told_with_what_to_run() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("key");
        read_or_create(&path).expect("made");
        let told = |mode| {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("mode");
            exposed(&path, &path.metadata().expect("there"))
        };
        assert_eq!((told(0o600), told(0o400)), (None, None));
        for (mode, whom) in [(0o640, "its group"), (0o620, "its group"), (0o604, "every user"), (0o644, "every user")] {
            let said = told(mode).expect("told");
            assert!(said.contains(whom) && said.contains(&format!("mode {mode:04o}")), "{said}");
            assert!(said.contains(&format!("`chmod 600 {}`", path.display())), "{said}");
        }
        let handed_over = |mode, by: &Path| {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("mode");
            exposed_beside(&path, &path.metadata().expect("there"), Some(by))
        };
        assert_eq!(handed_over(0o440, folder.path()), None, "an access list of the service manager");
        for (mode, by) in [(0o440, Path::new("/elsewhere")), (0o460, folder.path()), (0o444, folder.path())] {
            handed_over(mode, by).expect("told");
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("key");
        for text in ["", "abc", "# only a comment\n", &"00".repeat(31), &format!("{0}\n{0}\n", "00".repeat(32))] {
            std::fs::write(&path, text).expect("written");
            let error = read(&path).expect_err(text);
            assert!(matches!(error, RepositoryError::KeyFileUnreadable { .. }), "{error}");
        }
        assert!(matches!(read(&folder.path().join("none")), Err(RepositoryError::KeyFileUnreadable { .. })));
    }
}
