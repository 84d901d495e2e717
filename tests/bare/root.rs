//! The root of a machine that deploy/install installs to, in a folder.

use crate::support::{process::binary, world::scratch};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

pub const SERVICES: [&str; 4] = ["api", "worker", "restore", "monitor"];
/// Where the machine has its backups.
pub const REPOSITORY: &str = "/srv/backups";
const MONGODB: u32 = 999;

/// A machine: users, folders, and beside them the files that `env generate` made for it.
pub struct Root(TempDir);

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("deploy")
}

impl Root {
    pub fn new() -> Self {
        Self::of("pi-1:27017,pi-2:27017,pi-3:27017")
    }

    /// One of a set of these members.
    pub fn of(members: &str) -> Self {
        let root = Self(scratch());
        fs::create_dir(root.path().join("etc")).expect("a folder");
        let users =
            format!("root:x:0:0::/root:/bin/sh\nmongodb:x:{MONGODB}:{MONGODB}::/nonexistent:/usr/sbin/nologin\n");
        for (name, text) in [
            ("passwd", users),
            ("group", format!("root:x:0:\nmongodb:x:{MONGODB}:\n")),
            ("shadow", String::new()),
            ("gshadow", String::new()),
        ] {
            fs::write(root.path().join("etc").join(name), text).expect("written");
        }
        root.generate(&["--members", members]);
        root
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes the files of variables, as on the machine of whoever installs.
    pub fn generate(&self, more: &[&str]) {
        let repository = format!("main=file://{REPOSITORY}");
        // It makes them beside itself.
        let script = self.path().join("build-env.sh");
        fs::copy(deploy().join("build-env.sh"), &script).expect("copied");
        let mut command = Command::new(script);
        let bin = binary("lucid-ops").parent().expect("a folder").display().to_string();
        command.env("PATH", format!("{bin}:/usr/bin:/bin"));
        command.args(["--repository", &repository]).args(more);
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    }

    pub fn try_install(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(deploy().join("install"));
        command.arg("--root").arg(self.path()).arg("--binary").arg(binary("lucid-ops"));
        command.arg("--env").arg(self.path().join("env")).arg("--secrets").arg(self.path().join("secrets"));
        command.args(arguments).output().expect("it runs")
    }

    /// What it told.
    pub fn install(&self, arguments: &[&str]) -> String {
        let output = self.try_install(arguments);
        let said = super::said(&output);
        assert!(output.status.success(), "{said}");
        said
    }

    /// The targets that ours are ordered by, and the unit that MongoDB's package brings.
    pub fn give_it_the_units_of_the_system(&self) {
        let units = self.path().join("usr/lib/systemd/system");
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&units).expect("a folder");
        for entry in fs::read_dir("/usr/lib/systemd/system").expect("systemd's own units").flatten() {
            if entry.path().extension().is_some_and(|is| is == "target") {
                fs::copy(entry.path(), units.join(entry.file_name())).expect("copied");
            }
        }
        let unit = "[Unit]\nDescription=MongoDB\n[Service]\nUser=mongodb\nGroup=mongodb\nRuntimeDirectory=mongodb\n\
                    ExecStart=/usr/bin/mongod --config /etc/mongod.conf\n[Install]\nWantedBy=multi-user.target\n";
        fs::write(units.join("mongod.service"), unit).expect("written");
        fs::copy("/bin/true", self.path().join("usr/bin/mongod")).expect("copied");
    }

    pub fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    pub fn variables(&self, file: &str) -> String {
        self.text(&format!("env/{file}"))
    }

    pub fn edit(&self, file: &str, from: &str, to: &str) {
        fs::write(self.path().join(file), self.text(file).replacen(from, to, 1)).expect("written");
    }

    pub fn mode(&self, file: &str) -> u32 {
        self.path().join(file).metadata().expect("there").mode() & 0o7777
    }

    pub fn owner(&self, file: &str) -> u32 {
        self.path().join(file).metadata().expect("there").uid()
    }

    /// The id of a user of the machine.
    pub fn user(&self, name: &str) -> u32 {
        let users = self.text("etc/passwd");
        let user = users.lines().find(|line| line.starts_with(&format!("{name}:"))).expect(name);
        user.split(':').nth(2).and_then(|id| id.parse().ok()).expect("an id")
    }

    /// Every file below a folder of the machine that holds text.
    pub fn texts(&self, below: &str) -> BTreeMap<String, String> {
        let there = self.everything().into_keys().filter(|path| path.starts_with(below));
        there.filter_map(|path| Some((path.clone(), fs::read_to_string(self.path().join(path)).ok()?))).collect()
    }

    /// Every file and folder, with owner, mode, when it was changed, and its size.
    pub fn everything(&self) -> BTreeMap<String, (u32, u32, i64, u64)> {
        fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, (u32, u32, i64, u64)>) {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                let (path, about) = (entry.path(), entry.metadata().expect("there"));
                let name = path.strip_prefix(root).expect("inside").display().to_string();
                // A folder's time is that of what is written beside and renamed.
                let (time, size) = if about.is_dir() { (0, 0) } else { (about.mtime_nsec(), about.len()) };
                found.insert(name, (about.uid(), about.mode(), time, size));
                if about.is_dir() {
                    walk(root, &path, found);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.path(), self.path(), &mut found);
        found
    }
}
