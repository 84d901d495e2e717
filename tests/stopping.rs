//! Services that are asked to stop while MongoDB hangs, or whose outputs are full.

use crate::support::{World, data, process::Process};
use lucid_embedded::Signal;
use serde_json::json;
use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader},
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Far more than the bound that is asked for, and less than MongoDB's own time limits together.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service whose log is read.
struct Service(Child);

impl Service {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let (uri, repository, key) = (world.uri(), world.repository(), world.key_file());
        let mut arguments = arguments.to_vec();
        if arguments[0] == "worker" {
            arguments.extend(["--repository", &repository, "--key-file", &key]);
        }
        let mut command = Process::command(&arguments, &[("MONGODB_URI", &uri)]);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut service = Self(command.spawn().expect("it starts"));
        // Its ready line.
        let mut out = BufReader::new(service.0.stdout.take().expect("piped"));
        out.read_line(&mut String::new()).expect("a line");
        service
    }

    fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        nix::sys::signal::kill(pid, signal).expect("sent");
    }

    /// Reads the log until it says so.
    fn said(log: &mut impl BufRead, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(log.read_line(&mut line).expect("its log") > 0, "it ended without a word of '{word}'");
        }
    }

    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("it was started") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it doesn't end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_mongodb_hangs_a_service_ends_within_its_bound_and_at_a_second_signal_at_once() {
    let mut world = World::start(1).await;
    let api = ["api", "--listen", "127.0.0.1:0", "--stop-within"];
    let worker = ["worker", "--stop-within"];
    let token = world.dir().join("token-of-the-hanging-one").display().to_string();
    let with = |base: &[&'static str], seconds: &'static str| -> Vec<String> {
        let own = if base[0] == "api" { vec!["--token-file".to_owned(), token.clone()] } else { Vec::new() };
        base.iter().copied().chain([seconds]).map(str::to_owned).chain(own).collect()
    };
    let mut started = Vec::new();
    for base in [&api[..], &worker[..]] {
        for seconds in ["1", "3600"] {
            let arguments = with(base, seconds);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            started.push((seconds, Service::start(&world, &arguments)));
        }
    }
    world.deployment.kill(0, Signal::SIGSTOP).await.expect("suspended");
    for (seconds, mut service) in started {
        service.signal(Signal::SIGTERM);
        let mut log = BufReader::new(service.0.stderr.take().expect("piped"));
        if seconds == "3600" {
            Service::said(&mut log, "3600 s at most");
            service.signal(Signal::SIGTERM);
            assert!(matches!(service.ended().code(), Some(143 | 0)), "a second signal ends it");
        } else {
            Service::said(&mut log, "1 s at most");
            // An API that has nothing under way ends well; a worker can't leave the registry.
            assert!(matches!(service.ended().code(), Some(0 | 1)));
        }
    }
    world.deployment.kill(0, Signal::SIGCONT).await.expect("goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_outputs_are_full_works_on() {
    let world = World::start(1).await;
    data::rows(&world, "much", 100).await;
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let (uri, repository, key) = (world.uri(), world.repository(), world.key_file());
    let mut command =
        Process::command(&["worker", "--repository", &repository, "--key-file", &key], &[("MONGODB_URI", &uri)]);
    let child = command.stdin(Stdio::null()).stdout(full()).stderr(full()).spawn().expect("it starts");
    let mut worker = Service(child);
    let (_api, api) = world.api();
    let begun = Instant::now();
    while api.get("/workers").1["workers"].as_array().is_none_or(Vec::is_empty) {
        assert!(begun.elapsed() < PATIENCE, "no worker: {:?}", worker.0.try_wait());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let id = api.accepted("/backup", &json!({ "database": "much" }));
    api.succeeded(&id).await;
    worker.signal(Signal::SIGTERM);
    assert!(worker.ended().success());
}
