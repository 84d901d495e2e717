//! The images and the stacks as deploy/ describes them, on a real engine: built from stand-ins for what others publish, up, used, broken,
//! down and up again.

mod images;
mod stack;

use crate::support::{
    engine::{Engine, root_of, said, write_executable},
    process::binary,
    world::scratch,
};
use lucid_embedded::Mongod;
use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(120);

/// A fresh clone of the project, and the engine on which what is in it runs.
struct Stack {
    engine: Engine,
    clone: TempDir,
}

impl Stack {
    /// With stand-ins for the images that others publish, since none can be fetched.
    fn new(engine: Engine, mongod: &Path) -> Self {
        let clone = scratch();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let copy = "git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -x -C \"$0\"";
        let copied =
            Command::new("sh").args(["-c", copy]).arg(clone.path()).current_dir(root).output().expect("sh runs");
        said("a clone", &copied);
        let stack = Self { engine, clone };
        stack.bases(mongod);
        stack
    }

    fn bases(&self, mongod: &Path) {
        let small = scratch();
        let [lucid, server] = ["lucid-ops", "mongod"].map(|name| small.path().join(name));
        for (from, to) in [(binary("lucid-ops").as_path(), &lucid), (mongod, &server)] {
            let stripped =
                Command::new("strip").arg("-o").arg(to).arg(from).output().expect("strip runs: install binutils");
            said("strip", &stripped);
        }
        let path = "ENV PATH=/usr/local/bin:/usr/bin:/bin";
        let of_c = |library: &str| {
            ["libc.so", "libm.so", "libresolv.so", "libgcc_s.so", "ld-linux"].iter().any(|part| library.contains(part))
        };
        let base = root_of(&[(&server, ""), (&lucid, "")], of_c);
        self.engine.import(base.path(), "gcr.io/distroless/cc-debian12:nonroot", &[path, "USER 65532:65532"]);
        // Its compiler is done before it begins.
        let tools = ["sh", "bash", "ldd", "cp", "mkdir", "find", "touch", "install"]
            .map(|name| (PathBuf::from("/usr/bin").join(name), format!("/usr/bin/{name}")));
        let mut programs: Vec<(&Path, &str)> = tools.iter().map(|(from, to)| (from.as_path(), to.as_str())).collect();
        programs.extend([(Path::new("/bin/sh"), "/bin/sh"), (Path::new("/bin/bash"), "/bin/bash")]);
        let builder = root_of(&[&programs[..], &[(&lucid, "/prebuilt/lucid-ops")]].concat(), |_| true);
        let compile = "#!/bin/sh\nmkdir -p target/release && cp /prebuilt/lucid-ops target/release/lucid-ops\n";
        write_executable(&builder.path().join("usr/local/bin/cargo"), compile).expect("written");
        self.engine.import(builder.path(), "rust:1.95-bookworm", &[path]);
        let mongo = root_of(&[&programs[..], &[(&server, "/usr/bin/mongod")]].concat(), |_| true);
        self.engine.import(mongo.path(), "mongo:7.0-jammy", &[path]);
    }

    /// A line of the guide, as written, in the root of the clone.
    fn types(&self, line: &str) -> String {
        let mut shell = self.engine.command("sh");
        shell.args(["-c", line]).current_dir(self.clone.path());
        // On one host with all others, a member that stops needn't wait for its clients.
        shell.env("LUCID_MONGO_HANDOVER_MS", "100");
        said(line, &shell.output().expect("sh runs"))
    }

    /// Names of the containers that run.
    fn running(&self) -> Vec<String> {
        self.engine.told(&["ps", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
    }

    /// What its own check says of a container.
    fn health(&self, name: &str) -> String {
        self.engine.told(&["inspect", "-f", "{{.State.Health.Status}}", name]).trim().to_owned()
    }

    /// None of them is root, may write its root, may do anything that only root may, or has a shell.
    fn check_locked_down(&self) {
        for name in self.running() {
            let format = "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.HostConfig.Memory}}";
            let told = self.engine.told(&["inspect", "-f", format, &name]);
            assert!(
                told.starts_with("65532:65532 true [ALL] [no-new-privileges:true] ") && !told.ends_with(" 0\n"),
                "{name}: {told}"
            );
            let pid = self.engine.pid_of(&name);
            let status = said("its status", &self.engine.beside(&["cat", &format!("/proc/{pid}/status")]));
            let line = |begins: &str| {
                status.lines().find_map(|line| line.strip_prefix(begins)).map(str::trim).unwrap_or_default()
            };
            assert_eq!(line("Uid:"), "65532\t65532\t65532\t65532", "{name}");
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                assert_eq!(line(set), "0000000000000000", "{name}: {set}");
            }
            assert_eq!((line("NoNewPrivs:"), line("Seccomp:")), ("1", "2"), "{name}");
            let mounts = said("its mounts", &self.engine.beside(&["cat", &format!("/proc/{pid}/mounts")]));
            let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).expect("a root");
            assert!(root.split(' ').nth(3).is_some_and(|options| options.starts_with("ro,")), "{name}: {root}");
            for shell in ["/bin/sh", "/bin/bash", "/busybox/sh"] {
                assert!(
                    [Some(126), Some(127)]
                        .contains(&self.engine.docker(&["exec", &name, shell, "-c", "true"]).status.code()),
                    "{name}: {shell}"
                );
            }
        }
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(begun.elapsed() < WITHIN, "not {what}: {seen}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// A clone on an engine, where one can be had.
fn stack() -> Option<Stack> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mongod = runtime.block_on(Mongod::find()).expect("a mongod");
    drop(runtime);
    Engine::start().map(|engine| Stack::new(engine, mongod.path()))
}

#[test]
fn what_deploy_describes_is_built_comes_up_and_outlives_its_parts() {
    let Some(stack) = stack() else { return };
    images::images(&stack);
    // Its threads begin in the engine's network, as this one is by now.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        stack::first_backup(&stack).await;
        stack::whole(&stack).await;
    });
}
