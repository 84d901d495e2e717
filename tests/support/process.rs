//! One `lucid-ops` process: started, read, stopped with any signal, killed at the end of the test in any case.

use lucid_embedded::Signal;
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// The binary that the build put beside this test binary's folder.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test has a path");
    let built = own.parent().and_then(|deps| deps.parent()).expect("target/debug").join(name);
    assert!(built.exists(), "{name} isn't built: run tests/run, or cargo build --workspace --bins");
    built
}

/// A running service.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    /// Starts `lucid-ops` with these arguments and this connection string; its log goes to the test's output.
    pub fn start(arguments: &[&str], uri: &str) -> Self {
        Self::start_with(arguments, &[("MONGODB_URI", uri)])
    }

    /// Starts it with these variables.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn(&mut Self::command(arguments, environment))
    }

    /// What [`start_with`](Self::start_with) runs.
    pub fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(binary("lucid-ops"));
        command.args(arguments);
        // How full the disk of the machine is that tests run on is no part of them.
        command.env("LUCID_RULES_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/support/rules.json"));
        command.env("LUCID_LOG", std::env::var("LUCID_LOG").unwrap_or_else(|_| "info".into()));
        command.envs(environment.iter().copied());
        command
    }

    /// Starts a command that may have been changed.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("lucid-ops starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line of standard output that begins so, and gives the rest of it.
    pub fn await_line(&mut self, beginning: &str) -> String {
        self.line_within(beginning, READY_WITHIN).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// The same, where it may also end, or stay silent for `patience`.
    pub fn line_within(&mut self, beginning: &str, patience: Duration) -> Result<String, String> {
        loop {
            match self.lines.recv_timeout(patience) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return Ok(rest.to_owned());
                    }
                    self.seen.push(line);
                }
                Err(error) => return Err(format!("no line '{beginning}...' ({error}); it said {:?}", self.seen)),
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it was started")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal.as_str().trim_start_matches("SIG"), &pid]).status();
        assert!(sent.expect("kill runs").success(), "{signal} to {pid}");
    }

    /// Stops it as a service manager does.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.child.wait().expect("it was started")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `lucid-ops` to its end.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(binary("lucid-ops"))
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("lucid-ops runs")
}

/// The library of the package `faketime`; `None` where it isn't installed. Preloaded by itself: the program of that name
/// would stand between the test and its process.
pub fn faketime_library() -> Option<String> {
    let asked = Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output().ok()?;
    let path = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
    asked.status.success().then_some(path)
}
