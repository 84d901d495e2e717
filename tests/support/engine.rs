//! A Docker engine of the test's own, from Debian's packages, in namespaces of its own: two in one destroy each other's networks, and what
//! happens in its own leaves nothing behind.

use super::world::scratch;
use nix::{
    sched::{CloneFlags, setns},
    unistd::geteuid,
};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PACKAGES: [&str; 5] = ["docker.io", "containerd", "runc", "iptables", "docker-compose"];
/// Debian's programs first: another client may not know how to build.
const SEARCHED: &str = "/usr/bin:/usr/sbin:/bin:/sbin";
const READY_WITHIN: Duration = Duration::from_secs(60);
const CGROUPS: &str = "/sys/fs/cgroup";
/// What the folders of control groups of these engines begin with.
const OURS: &str = "lucidtest-";

/// Why there is none.
type Problem = Box<dyn std::error::Error>;

/// A running engine.
pub struct Engine {
    dir: TempDir,
    holder: Child,
    /// Its process, as seen from here.
    pid: u32,
}

impl Engine {
    /// Starts one, and moves this thread, with all that it starts, into its network, where published ports are reached.
    ///
    /// `None`, and a word about it, where none can be had; with `CI=true` that is a failure.
    pub fn start() -> Option<Self> {
        match had().and_then(|()| Self::begin()) {
            Ok(engine) => Some(engine),
            Err(problem) if std::env::var("CI").is_ok_and(|is| is == "true") => panic!("no Docker engine: {problem}"),
            Err(problem) => {
                left_out(&format!("containers, since no Docker engine can be had: {problem}"));
                None
            }
        }
    }

    fn begin() -> Result<Self, Problem> {
        sweep();
        let dir = scratch();
        let place = dir.path().display().to_string();
        let group = format!("/{OURS}{}", std::process::id());
        let script = format!(
            "ip link set lo up && mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd && \
             exec dockerd --data-root {place}/data --exec-root {place}/exec --pidfile {place}/pid --host unix://{place}/s.sock \
             --cgroup-parent {group}"
        );
        let log = File::create(dir.path().join("log"))?;
        // Whatever becomes of this test, the engine ends with it.
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        command.args(["sh", "-c", &script]).env("PATH", SEARCHED).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let holder = command.spawn()?;
        let mut engine = Self { dir, holder, pid: 0 };
        engine.await_ready()?;
        let network = File::open(format!("/proc/{}/ns/net", engine.pid))?;
        setns(network, CloneFlags::CLONE_NEWNET)?;
        Ok(engine)
    }

    fn await_ready(&mut self) -> Result<(), Problem> {
        let begun = Instant::now();
        loop {
            if self.docker(&["version"]).status.success() {
                let holder = self.holder.id();
                let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children"))?;
                self.pid = children.trim().parse().map_err(|_| format!("dockerd isn't '{children}'"))?;
                return Ok(());
            }
            if begun.elapsed() > READY_WITHIN || self.holder.try_wait()?.is_some() {
                let mut log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                let tail = log.split_off(log.floor_char_boundary(log.len().saturating_sub(2_000)));
                return Err(format!("dockerd doesn't start: {tail}").into());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A program of the system that is to speak to this engine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new("/usr/bin").join(program));
        command.env("PATH", SEARCHED).env("DOCKER_HOST", format!("unix://{}/s.sock", self.dir.path().display()));
        command
            .env("DOCKER_BUILDKIT", "1")
            .env("COMPOSE_DOCKER_CLI_BUILD", "1")
            .env("HOME", self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs `docker`.
    pub fn docker(&self, arguments: &[&str]) -> Output {
        self.command("docker").args(arguments).output().expect("docker runs")
    }

    /// What `docker` says, which must succeed.
    pub fn told(&self, arguments: &[&str]) -> String {
        said(&format!("docker {arguments:?}"), &self.docker(arguments))
    }

    /// Makes an image of a folder.
    pub fn import(&self, root: &Path, image: &str, changes: &[&str]) {
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--owner=0", "--group=0", "-C"])
            .arg(root)
            .args(["-c", "."])
            .stdout(Stdio::piped());
        let mut tar = tar.spawn().expect("tar runs");
        let packed = tar.stdout.take().expect("piped");
        let mut made = self.command("docker");
        let made = made
            .arg("import")
            .args(changes.iter().flat_map(|change| ["-c", change]))
            .args(["-", image])
            .stdin(packed)
            .output();
        said(image, &made.expect("docker runs"));
        assert!(tar.wait().expect("tar ends").success(), "{image}");
    }

    /// The process of a container as the engine numbers it.
    pub fn pid_of(&self, container: &str) -> String {
        let pid = self.told(&["inspect", "-f", "{{.State.Pid}}", container]).trim().to_owned();
        // Zero would be the test itself.
        assert!(pid.parse::<u32>().is_ok_and(|pid| pid > 0), "{container} doesn't run");
        pid
    }

    /// Runs a program of the host where the engine's processes are seen.
    pub fn beside(&self, program: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--pid", "--mount", "--"]).args(program).stdin(Stdio::null());
        command.output().expect("nsenter runs")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The namespaces end with it, and all that is in them.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let begun = Instant::now();
        while Path::new(&format!("/proc/{}", self.pid)).exists() && self.pid > 0 && begun.elapsed() < READY_WITHIN {
            thread::sleep(Duration::from_millis(50));
        }
        sweep();
    }
}

/// Removes the control groups of this engine, and of such whose test was killed: nobody is in them any more.
fn sweep() {
    let own = std::process::id().to_string();
    for controller in fs::read_dir(CGROUPS).into_iter().flatten().flatten() {
        for group in fs::read_dir(controller.path()).into_iter().flatten().flatten() {
            let name = group.file_name().to_string_lossy().into_owned();
            let Some(test) = name.strip_prefix(OURS) else { continue };
            if test == own || !Path::new("/proc").join(test).exists() {
                let mut find = Command::new("find");
                find.arg(group.path()).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
                let _ = find.stderr(Stdio::null()).status();
            }
        }
    }
}

/// Installs the packages where they are missing.
fn had() -> Result<(), Problem> {
    if !geteuid().is_root() {
        return Err("only root can start one".into());
    }
    let is_there = |program: &&str| Path::new(program).exists();
    if ["/usr/sbin/dockerd", "/usr/bin/docker-compose", "/usr/sbin/iptables"].iter().all(is_there) {
        return Ok(());
    }
    install(&PACKAGES)
}

/// Installs Debian's packages. Those that bring services must not start them: the policy for that is the system's, and is set for the
/// while where there is none.
pub fn install(packages: &[&str]) -> Result<(), Problem> {
    const POLICY: &str = "/usr/sbin/policy-rc.d";
    let own = !Path::new(POLICY).exists();
    if own {
        write_executable(Path::new(POLICY), "#!/bin/sh\nexit 101\n")?;
    }
    let apt = |arguments: &[&str]| {
        let output = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
        let output = output?;
        if output.status.success() { Ok(()) } else { Err(Problem::from(String::from_utf8_lossy(&output.stderr))) }
    };
    let wanted = [&["install", "-y", "--no-install-recommends"], packages].concat();
    let done = apt(&wanted).or_else(|_| apt(&["update"]).and_then(|()| apt(&wanted)));
    if own {
        fs::remove_file(POLICY)?;
    }
    done.map_err(|problem| format!("{problem}\ninstall {}", packages.join(", ")).into())
}

/// Says what a run of the tests can't show on this machine; `tests/run` repeats it at its end.
pub fn left_out(what: &str) {
    eprintln!("LEFT OUT: {what}");
    if let Some(folder) = std::env::var_os("LUCID_TEST_DIR") {
        let file = File::options().create(true).append(true).open(Path::new(&folder).join("left-out"));
        let _ = file.and_then(|mut file| writeln!(file, "{what}"));
    }
}

/// A folder with these programs at their places and the libraries that they are linked to: what stands in for a base image.
pub fn root_of(programs: &[(&Path, &str)], libraries: impl Fn(&str) -> bool) -> TempDir {
    let root = scratch();
    let put = |from: &Path, to: &str| {
        let to = root.path().join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    };
    for (program, place) in programs {
        for library in linked(program).iter().filter(|library| libraries(library)) {
            put(Path::new(library), library);
        }
        if !place.is_empty() {
            put(program, place);
        }
    }
    for file in ["/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt"].map(Path::new) {
        if file.exists() {
            put(file, &file.display().to_string());
        }
    }
    let write = |name: &str, text: &str| fs::write(root.path().join(name), text).expect("written");
    fs::create_dir_all(root.path().join("etc")).expect("a folder");
    write(
        "etc/passwd",
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    );
    write("etc/group", "root:x:0:\nnonroot:x:65532:\n");
    fs::create_dir_all(root.path().join("tmp")).expect("a folder");
    root
}

/// The libraries that a program is linked to.
fn linked(program: &Path) -> Vec<String> {
    let output = Command::new("ldd").arg(program).output().expect("ldd runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

/// Writes a script.
pub fn write_executable(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    File::options().write(true).create(true).truncate(true).mode(0o755).open(path)?.write_all(text.as_bytes())
}

/// What a program said, which must have succeeded.
pub fn said(what: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{what}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    text
}
