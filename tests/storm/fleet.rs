//! The processes under attack: two APIs and four workers, each with its log, started again as a service manager does.

use super::{
    island::Island,
    plan::{Fault, Kind},
};
use crate::support::{
    Api, World,
    process::{Process, run},
    world::LEASE_MS,
};
use lucid_embedded::Signal;
use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, RwLock},
    thread,
    time::Duration,
};

const WORKERS: usize = 4;
const APIS: usize = 2;
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The name of the repository that copies go to.
pub const FAR: &str = "far";
const FAKE_CLOCK: &str = "libfaketimeMT.so.1";

/// Addresses of the APIs as they are now.
pub type Addresses = Arc<RwLock<Vec<Api>>>;

/// One process that should run.
struct Post {
    name: String,
    arguments: Vec<String>,
    ready: &'static str,
    environment: Vec<(&'static str, String)>,
    is_on_island: bool,
    process: Option<Process>,
}

/// All of them.
pub struct Fleet {
    uri: String,
    token_file: String,
    logs: PathBuf,
    island: Option<Island>,
    workers: Vec<Mutex<Post>>,
    apis: Vec<Mutex<Post>>,
    pub addresses: Addresses,
    /// What can't be had here, for people.
    pub left_out: Vec<String>,
    /// Processes that ended though nobody ended them.
    pub broken: Mutex<Vec<String>>,
}

impl Fleet {
    /// Starts everything; `everything` with a clock two hours ahead and a network of its own for one worker each.
    pub fn start(world: &World, ports: &[u16], logs: PathBuf, everything: bool) -> Self {
        let mut left_out = Vec::new();
        let mut workers: Vec<Post> = (0..WORKERS).map(|number| worker(world, number)).collect();
        let island = everything.then(|| Island::found(ports)).and_then(|found| {
            found.map_err(|why| left_out.push(format!("no worker is cut off from the network: {why}"))).ok()
        });
        if everything {
            match fake_clock() {
                Some(library) => workers[2].environment = two_hours_ahead(&library),
                None => left_out.push(format!("no worker has a wrong clock: no {FAKE_CLOCK} (package faketime)")),
            }
        }
        workers[3].is_on_island = island.is_some();
        let apis = (0..APIS).map(|number| Mutex::new(api(world, number))).collect();
        let addresses = Addresses::new(RwLock::new(vec![Api::default(); APIS]));
        let workers = workers.into_iter().map(Mutex::new).collect();
        let broken = Mutex::new(Vec::new());
        let (uri, token_file) = (world.uri(), world.token_file());
        let fleet = Self { uri, token_file, logs, island, workers, apis, addresses, left_out, broken };
        fleet.mend();
        fleet
    }

    /// Does a fault and heals it; false where it can't be done here.
    pub fn suffer(&self, fault: &Fault) -> bool {
        let worker = &self.workers[fault.target % WORKERS];
        let api = &self.apis[fault.target % APIS];
        match fault.kind {
            Kind::KillWorker => self.end(worker, fault.lasts, Signal::SIGKILL),
            Kind::StopWorker => self.end(worker, fault.lasts, Signal::SIGTERM),
            Kind::KillApi => self.end(api, fault.lasts, Signal::SIGKILL),
            Kind::FreezeWorker => freeze(worker, fault.lasts),
            Kind::FreezeApi => freeze(api, fault.lasts),
            Kind::CutNetwork => return self.cut(fault.lasts),
            Kind::KillPrimary
            | Kind::FreezePrimary
            | Kind::KillSecondary
            | Kind::FreezeSecondary
            | Kind::StepDown
            | Kind::RestartMember
            | Kind::LoseHistory
            | Kind::Unmount
            | Kind::ExchangeDisk => return false,
        }
        true
    }

    /// Lets a worker sleep, or go on.
    pub fn signal_worker(&self, target: usize, signal: Signal) {
        send(&self.workers[target % WORKERS], signal);
    }

    /// Everything runs when this returns.
    pub fn mend(&self) {
        if let Some(island) = &self.island {
            let _ = island.link("up");
        }
        for post in self.apis.iter().chain(&self.workers) {
            self.man(&mut post.lock().expect("no panic while locked"));
        }
    }

    /// Asks everything to stop, and says who didn't end well.
    pub fn stop(self) -> Vec<String> {
        let mut unwell = self.broken.into_inner().expect("no panic while locked");
        for post in self.workers.into_iter().chain(self.apis) {
            let Post { name, process, .. } = post.into_inner().expect("no panic while locked");
            let ended = process.map(Process::stop);
            if let Some(status) = ended.filter(|status| !status.success()) {
                unwell.push(format!("{name}, asked to stop, ended with {status}"));
            }
        }
        unwell
    }

    fn end(&self, post: &Mutex<Post>, down_for: Duration, signal: Signal) {
        let mut post = post.lock().expect("no panic while locked");
        self.look(&mut post);
        if let Some(process) = post.process.take() {
            if signal == Signal::SIGTERM {
                // The other lane may have frozen it, and waits for this lock.
                process.signal(Signal::SIGCONT);
                let status = process.stop();
                if !status.success() {
                    self.complain(format!("{}, asked to stop, ended with {status}", post.name));
                }
            } else {
                process.signal(signal);
            }
        }
        thread::sleep(down_for);
        self.man(&mut post);
    }

    fn cut(&self, lasts: Duration) -> bool {
        let Some(island) = &self.island else { return false };
        let cut = island.link("down");
        thread::sleep(lasts);
        cut.and_then(|()| island.link("up")).is_ok()
    }

    /// Notes a process that ended by itself.
    fn look(&self, post: &mut Post) {
        if let Some(status) = post.process.as_mut().and_then(Process::ended) {
            self.complain(format!("{} ended by itself with {status}", post.name));
            post.process = None;
        }
    }

    fn complain(&self, what: String) {
        self.broken.lock().expect("no panic while locked").push(what);
    }

    /// Starts a process until it is ready: while the set is hurt that may take more than one start.
    fn man(&self, post: &mut Post) {
        self.look(post);
        while post.process.is_none() {
            let mut process = self.spawn(post);
            if let Ok(said) = process.line_within(post.ready, READY_WITHIN) {
                if let Some(number) = post.name.strip_prefix("api-").and_then(|number| number.parse::<usize>().ok()) {
                    self.addresses.write().expect("no panic while locked")[number] = Api::new(said, &self.token_file);
                }
                post.process = Some(process);
            } else {
                // The repository's disk may be away.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn spawn(&self, post: &Post) -> Process {
        let arguments: Vec<&str> = post.arguments.iter().map(String::as_str).collect();
        let mut command: Command = Process::command(&arguments, &[("MONGODB_URI", &self.uri)]);
        let log = self.logs.join(format!("{}.log", post.name));
        let log = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        command.envs(post.environment.iter().map(|(name, value)| (name, value))).stderr(log);
        match &self.island {
            Some(island) if post.is_on_island => island.spawn(command),
            _ => Process::spawn(&mut command),
        }
    }
}

fn freeze(post: &Mutex<Post>, lasts: Duration) {
    send(post, Signal::SIGSTOP);
    thread::sleep(lasts);
    send(post, Signal::SIGCONT);
}

fn send(post: &Mutex<Post>, signal: Signal) {
    if let Some(process) = &post.lock().expect("no panic while locked").process {
        process.signal(signal);
    }
}

fn api(world: &World, number: usize) -> Post {
    let arguments = ["api", "--listen", "127.0.0.1:0", "--token-file", &world.token_file()];
    post(format!("api-{number}"), arguments.map(str::to_owned).to_vec(), "listening on ")
}

fn worker(world: &World, number: usize) -> Post {
    let lease_ms = LEASE_MS.to_string();
    let (repository, key_file) = (world.repository(), world.key_file());
    let (far, far_key) = (far(world), format!("{FAR}={}", far_key_file(world)));
    let near = ["worker", "--repository", &repository, "--key-file", &key_file, "--lease-ms", &lease_ms];
    let arguments = [&near[..], &["--repository", &far, "--key-file", &far_key]].concat();
    let arguments = arguments.into_iter().map(str::to_owned).collect();
    post(format!("worker-{number}"), arguments, "worker ")
}

/// The repository that copies go to: `far=file:///...`
fn far(world: &World) -> String {
    format!("{FAR}=file://{}", far_path(world).display())
}

/// Its folder.
pub fn far_path(world: &World) -> PathBuf {
    world.dir().join(FAR)
}

/// Its key.
pub fn far_key_file(world: &World) -> String {
    world.dir().join("far.key").display().to_string()
}

/// Makes it.
pub fn make_far(world: &World) {
    let made = run(&["repo", "init", "--repository", &far(world), "--key-file", &far_key_file(world)], &[]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn post(name: String, arguments: Vec<String>, ready: &'static str) -> Post {
    Post { name, arguments, ready, environment: Vec::new(), is_on_island: false, process: None }
}

/// Where the library is that gives a process a clock of its own.
fn fake_clock() -> Option<PathBuf> {
    let architectures = fs::read_dir("/usr/lib").ok()?.flatten();
    architectures.map(|entry| entry.path().join("faketime").join(FAKE_CLOCK)).find(|path| path.exists())
}

/// Dates are ahead; intervals aren't touched, as on a node whose clock is set wrongly.
fn two_hours_ahead(library: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", "+2h".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ]
}
