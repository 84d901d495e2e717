//! Files that hold secrets, and what was read from them.

use nix::{fcntl::OFlag, unistd::geteuid};
use std::{
    fmt,
    fs::File,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};
use zeroize::Zeroizing;

/// More than any file of channels; whatever is larger isn't one.
const LIMIT_BYTES: u64 = 1 << 20;
/// What the group and all others may do.
const OTHERS: u32 = 0o077;

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The text of a file that nobody but this account can read, write or exchange for another.
///
/// # Errors
/// What is wrong with it, in a sentence that names the file and what to do.
pub fn read(path: &Path) -> Result<Secret, String> {
    text(path).map_err(|problem| format!("{}: {problem}", path.display()))
}

fn text(path: &Path) -> Result<Secret, String> {
    // A pipe must not hold us up, nor a link lead elsewhere.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path).map_err(|error| {
        if error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32) {
            return "it is a symbolic link, which others may turn: name the file itself".to_owned();
        }
        error.to_string()
    })?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it isn't a file".into());
    }
    let us = geteuid().as_raw();
    if about.uid() != us {
        return Err(format!("it belongs to user {}, who knows what it holds: `chown {us}` it", about.uid()));
    }
    if about.mode() & OTHERS != 0 {
        return Err(format!("others can reach it (mode {:04o}): `chmod 600` it", about.mode() & 0o7777));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LIMIT_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LIMIT_BYTES {
        return Err("it is larger than 1 MB, so it isn't meant".into());
    }
    Ok(Secret(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn only_a_file_that_is_ours_alone_is_read() {
        let scratch = tempfile::tempdir().expect("a folder");
        let path = scratch.path().join("channels.toml");
        fs::write(&path, "text").expect("written");
        for mode in [0o640, 0o604, 0o660, 0o602, 0o601] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
            let problem = read(&path).expect_err("others can reach it");
            assert!(problem.contains("chmod 600") && problem.contains("channels.toml"), "{problem}");
        }
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
        assert_eq!(read(&path).expect("ours").expose(), "text");
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(read(&link).expect_err("a link").contains("symbolic link"));
        let folder = scratch.path().join("folder");
        fs::create_dir(&folder).expect("made");
        assert!(read(&folder).expect_err("a folder").contains("isn't a file"));
        // A pipe that nobody writes to is refused at once.
        let pipe = scratch.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("made");
        assert!(read(&pipe).expect_err("a pipe").contains("isn't a file"));
        fs::write(&path, "x".repeat((1 << 20) + 1)).expect("written");
        assert!(read(&path).expect_err("large").contains("1 MB"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some((secret))");
    }
}
