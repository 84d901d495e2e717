//! The place of the repository under attack: its disk is unmounted, or another one is mounted there; then it is put right.
//!
//! Invariant: what lies in its place meanwhile is as it was, or a promise was broken.

use super::plan::{Fault, Kind};
use crate::support::{World, process::run};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
};

/// Where the repository belongs, where it is kept meanwhile, and a disk with somebody else's.
pub struct Place {
    here: PathBuf,
    aside: PathBuf,
    other: PathBuf,
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;

impl Place {
    /// The one of this world's repository.
    pub fn of(world: &World) -> Self {
        let other = world.dir().join("other-disk");
        let location = format!("main=file://{}", other.display());
        let key_file = world.dir().join("other-disk.key").display().to_string();
        let made = run(&["repo", "init", "--repository", &location, "--key-file", &key_file], &[]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { here: world.repository_path(), aside: world.dir().join("unmounted"), other }
    }

    /// Does a fault and heals it; an error says what was written where nothing may be.
    pub fn suffer(&self, fault: &Fault) -> Result<(), String> {
        fs::rename(&self.here, &self.aside).expect("unmounted");
        if fault.kind == Kind::ExchangeDisk {
            fs::rename(&self.other, &self.here).expect("another one is mounted");
        } else {
            fs::create_dir(&self.here).expect("an empty mount point");
        }
        let before = contents(&self.here);
        thread::sleep(fault.lasts);
        let changed = contents(&self.here) != before;
        if fault.kind == Kind::ExchangeDisk {
            fs::rename(&self.here, &self.other).expect("unmounted");
        } else if !changed {
            fs::remove_dir(&self.here).map_err(|error| format!("the empty mount point: {error}"))?;
        }
        if changed {
            return Err(format!("something was written in the repository's place ({})", fault.kind.as_str()));
        }
        fs::rename(&self.aside, &self.here).map_err(|error| format!("the repository can't be put back: {error}"))
    }
}

fn contents(folder: &Path) -> Contents {
    let mut found = Contents::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            found.insert(path, bytes);
        }
    }
    found
}
