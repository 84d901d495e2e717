//! The nodes of a set as deploy/install leaves them, below one folder, and a shell in which the guide's commands are run: `sudo` is nobody else,
//! and `systemctl` starts what the installed units say.

use crate::support::{
    Api,
    process::{Process, binary, run},
    users,
    world::scratch,
};
use lucid_embedded::{Deployment, Options, Signal};
use mongodb::Client;
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../deploy/operations.md");
/// As the guide names them.
const MEMBERS: &str = "pi-1:27017,pi-2:27017,pi-3:27017";
const WITHIN: Duration = Duration::from_secs(200);

/// A set, its nodes and their services.
pub struct Site {
    pub deployment: Deployment,
    members: String,
    dir: TempDir,
    listen: String,
    services: BTreeMap<String, Process>,
    sets: usize,
    lost: Option<usize>,
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("written");
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("mode");
}

/// A block of the guide's section.
fn block(section: &str, number: usize) -> &'static str {
    let text = GUIDE.split("\n## ").find(|text| text.starts_with(section)).unwrap_or_else(|| panic!("no '{section}'"));
    text.split("```sh\n").nth(number + 1).and_then(|rest| rest.split("```").next()).expect("a block")
}

impl Site {
    /// A set of three with a repository and every service, as the guide finds it.
    pub async fn found() -> Self {
        let dir = scratch();
        let deployment = unfounded(dir.path(), 0).await;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let (listen, services) = (free.to_string(), BTreeMap::new());
        let mut site = Self { deployment, members: String::new(), dir, listen, services, sets: 1, lost: None };
        site.members = users::members(&mut site.deployment);
        site.furnish();
        let repository = format!("main=file://{}", site.path("mnt/backups").display());
        let key = site.path("clone/deploy/secrets/repository.key").display().to_string();
        fs::create_dir_all(site.path("mnt")).expect("a folder");
        site.make_folder_of_secrets();
        let made = run(&["repo", "init", "--repository", &repository, "--key-file", &key], &[]);
        assert!(made.status.success(), "{made:?}");
        site.run(block("All nodes are lost", 0).split("sudo lucid-ops repo list").next().expect("the beginning")).await;
        site.run("sudo systemctl start lucid-ops-api lucid-ops-worker lucid-ops-restore lucid-ops-monitor").await;
        site
    }

    /// The machine around the commands.
    fn furnish(&self) {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let deploy = workspace.join("deploy");
        let root = self.dir.path().display();
        let users = "root:x:0:0::/root:/bin/sh\nmongodb:x:999:999::/nonexistent:/usr/sbin/nologin\n";
        write(&self.path("etc/passwd"), users, 0o644);
        write(&self.path("etc/group"), "root:x:0:\nmongodb:x:999:\n", 0o644);
        write(&self.path("etc/shadow"), "", 0o600);
        write(&self.path("etc/gshadow"), "", 0o600);
        let install = format!(
            "#!/bin/sh\nexec {}/install --root {root} --binary {} --env {root}/clone/deploy/env --secrets {root}/clone/deploy/secrets \"$@\"\n",
            deploy.display(),
            binary("lucid-ops").display()
        );
        write(&self.path("clone/deploy/install"), &install, 0o755);
        let build_env = fs::read_to_string(deploy.join("build-env.sh")).expect("a script");
        write(&self.path("clone/deploy/build-env.sh"), &build_env, 0o755);
        write(&self.path("shims/sudo"), "#!/bin/sh\nexec \"$@\"\n", 0o755);
        let systemctl = format!(
            "#!/bin/sh\nrm -f {root}/done\necho \"$*\" >{root}/asked.new\nmv {root}/asked.new {root}/asked\n\
             until [ -e {root}/done ]; do sleep 0.05; done\n"
        );
        write(&self.path("shims/systemctl"), &systemctl, 0o755);
    }

    fn make_folder_of_secrets(&self) {
        let folder = self.path("clone/deploy/secrets");
        fs::create_dir_all(&folder).expect("a folder");
        fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).expect("mode");
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Runs a block of a section.
    pub async fn section(&mut self, section: &str, number: usize) {
        self.run(block(section, number)).await;
    }

    /// Runs commands as somebody does who has read the guide, on this machine instead of his.
    async fn run(&mut self, commands: &str) {
        let root = self.dir.path().display().to_string();
        let commands = commands
            .replace("/mnt/backups", &format!("{root}/mnt/backups"))
            .replace("/etc/lucid-ops", &format!("{root}/etc/lucid-ops"))
            .replace(MEMBERS, &self.members);
        let bin = binary("lucid-ops").parent().expect("a folder").display().to_string();
        let mut shell = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &commands])
            .env("PATH", format!("{root}/shims:{bin}:/usr/sbin:/usr/bin:/sbin:/bin"))
            .envs([("LUCID_API", format!("http://{}", self.listen)), ("LUCID_TOKEN_FILE", self.token_file())])
            .current_dir(self.path("clone"))
            .stdin(Stdio::null())
            .spawn()
            .expect("it runs");
        let begun = Instant::now();
        let ended = loop {
            if let Ok(asked) = fs::read_to_string(self.path("asked")) {
                fs::remove_file(self.path("asked")).expect("taken");
                self.systemctl(&asked).await;
                write(&self.path("done"), "", 0o600);
            }
            if let Some(ended) = shell.try_wait().expect("it was started") {
                break ended;
            }
            assert!(begun.elapsed() < WITHIN, "still running: {commands}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(ended.success(), "{ended}: {commands}");
    }

    /// What the service manager does.
    async fn systemctl(&mut self, asked: &str) {
        let mut words = asked.split_whitespace();
        let verb = words.next().expect("a verb");
        for unit in words {
            match (verb, unit) {
                ("start", "mongod") => self.start_mongod().await,
                ("start" | "restart", unit) => {
                    if let Some(before) = self.services.remove(unit) {
                        assert!(before.stop().success(), "{unit}");
                    }
                    let started = self.start(unit);
                    self.services.insert(unit.to_owned(), started);
                }
                _ => panic!("the guide says `systemctl {asked}`"),
            }
        }
    }

    /// Empty members wait to be made a set; one that was lost is begun anew.
    async fn start_mongod(&mut self) {
        if let Some(lost) = self.lost.take() {
            self.deployment.restart(lost).await.expect("a member again");
            return;
        }
        // The test looks at its set with this password.
        let init = self.path("clone/deploy/env/mongodb-init.env");
        let password = self.deployment.administrator_password().expect("a set with authentication");
        let said = fs::read_to_string(&init).expect("variables");
        let line = |line: &str| match line.strip_prefix("MONGO_INITDB_ROOT_PASSWORD=") {
            Some(_) => format!("MONGO_INITDB_ROOT_PASSWORD={password}\n"),
            None => format!("{line}\n"),
        };
        fs::write(&init, said.lines().map(line).collect::<String>()).expect("written");
    }

    /// Starts what the installed unit says, with the ports of this test.
    fn start(&self, unit: &str) -> Process {
        let said =
            fs::read_to_string(self.path(&format!("etc/systemd/system/{unit}.service"))).expect("an installed unit");
        let values = |name: &str| -> Vec<String> {
            said.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned).collect()
        };
        let mut command = values("ExecStart").pop().expect("a command");
        for credential in values("LoadCredential") {
            let (name, path) = credential.split_once(':').expect("a credential");
            command = command.replace(&format!("%d/{name}"), &format!("{}{path}", self.dir.path().display()));
        }
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        for file in values("EnvironmentFile") {
            let said = fs::read_to_string(self.path(file.trim_start_matches('/'))).expect("variables");
            let said = said.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
            environment.extend(said.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        for (name, value) in [
            ("LUCID_LISTEN", self.listen.as_str()),
            ("LUCID_MONITOR_LISTEN", "127.0.0.1:0"),
            ("METRICS_PORT", "0"),
            ("LUCID_LEASE_MS", "3000"),
            ("LUCID_TOKEN_FILE", &self.token_file()),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut process = Process::start_with(&arguments, &environment);
        process.await_line(if arguments[0] == "worker" { "worker " } else { "listening on " });
        process
    }

    fn token_file(&self) -> String {
        self.path("token").display().to_string()
    }

    pub fn api(&self) -> Api {
        Api::new(format!("http://{}", self.listen), &self.token_file())
    }

    pub fn administrator(&self) -> Client {
        self.deployment.client().expect("a client")
    }

    pub fn uri_of(&self, member: usize) -> String {
        self.deployment.uri_of(member).expect("a member")
    }

    /// What a service is handed.
    pub fn secret(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("etc/lucid-ops/credentials/{name}")))
            .expect("installed")
            .trim()
            .to_owned()
    }

    pub fn keep_a_copy_of(&self, file: &str) -> PathBuf {
        let copy = self.path("copy");
        fs::copy(self.path("clone").join(file), &copy).expect("copied");
        copy
    }

    pub fn repository_opens_with(&self, key: &Path) -> bool {
        let repository = format!("main=file://{}", self.path("mnt/backups").display());
        run(&["repo", "list", "--repository", &repository, "--key-file", &key.display().to_string()], &[])
            .status
            .success()
    }

    /// A node burns down.
    pub async fn lose(&mut self, member: usize) {
        self.deployment.kill(member, Signal::SIGKILL).await.expect("killed");
        let data = self.deployment.log(member).parent().expect("its folder").to_owned();
        for entry in fs::read_dir(&data).expect("listed").flatten() {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.expect("removed");
        }
        self.lost = Some(member);
    }

    /// All of them do; what is left is the repository, and the copy of its key. New machines stand ready.
    pub async fn lose_everything(&mut self) {
        let key = fs::read(self.path("clone/deploy/secrets/repository.key")).expect("the key");
        self.services.clear();
        let new = unfounded(self.dir.path(), self.sets).await;
        self.sets += 1;
        std::mem::replace(&mut self.deployment, new).stop().await.expect("stopped");
        self.members = users::members(&mut self.deployment);
        for folder in ["clone", "etc", "shims"] {
            fs::remove_dir_all(self.path(folder)).expect("removed");
        }
        fs::remove_file(self.path("token")).expect("removed");
        self.furnish();
        self.make_folder_of_secrets();
        fs::write(self.path("clone/deploy/secrets/repository.key"), key).expect("put there");
    }
}

/// Empty members, with key file and authentication.
async fn unfounded(dir: &Path, set: usize) -> Deployment {
    let options = Options::new(dir.join(format!("set-{set}"))).members(3);
    Deployment::start_unfounded(options).await.expect("members start")
}
