//! One mongod process and the shell that supervises it.
//!
//! The shell waits at the end of a pipe that only our process holds open: when we end, however that comes about, the
//! pipe closes and the shell stops the mongod. (`PR_SET_PDEATHSIG` would need unsafe code, and is Linux only.)

use crate::{Error, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// Arguments: the log file, then mongod's command line. Prints the process id of mongod, ends with its exit code.
/// Descriptor 3 is the pipe to our process, 4 the folder's lock, which mongod inherits.
const SUPERVISOR: &str = r#"
log=$1; shift
exec 3<&0 4<&2 </dev/null 2>/dev/null
"$@" >>"$log" 2>&1 3<&- &
mongod=$!
(
    read -r end <&3
    kill -TERM "$mongod"
    kill -CONT "$mongod"
    for second in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$mongod" || exit 0
        sleep 1 3<&- 4<&-
    done
    kill -KILL "$mongod"
) >/dev/null &
watcher=$!
echo "$mongod"
wait "$mongod"
code=$?
kill "$watcher"
exit "$code"
"#;

/// How long a mongod may take to stop when asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// A mongod that was started; dropping it stops the mongod a moment later.
#[derive(Debug)]
pub(crate) struct Process {
    supervisor: Child,
    /// The end of the pipe whose closing ends the mongod.
    _lifeline: Option<ChildStdin>,
    pid: Pid,
}

impl Process {
    /// Starts `command` with its output going to the end of `log`, the log of an earlier start put aside.
    pub async fn start(command: &[std::ffi::OsString], log: &Path, lock: File) -> Result<Self> {
        if log.exists() {
            fs::rename(log, log.with_extension("log.old")).map_err(Error::io(log))?;
        }
        let failed = |source| Error::Process { what: "mongod could not be started through `sh`".to_owned(), source };
        // A group of its own: Ctrl-C in a terminal must reach us, not the mongods we still need to stop well.
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "lucid-mongod"])
            .arg(log)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(lock)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let lifeline = supervisor.stdin.take();
        let mut line = String::new();
        if let Some(output) = supervisor.stdout.take() {
            BufReader::new(output).read_line(&mut line).await.map_err(failed)?;
        }
        let pid = line.trim().parse().map_err(|_| failed(std::io::Error::other("it told no process id")))?;
        Ok(Self { supervisor, _lifeline: lifeline, pid: Pid::from_raw(pid) })
    }

    /// The process id of mongod.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// How the mongod ended, if it did; the code is above 128 after a signal.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }

    /// Sends a signal; false if the mongod is gone.
    pub fn signal(&mut self, signal: Signal) -> Result<bool> {
        // The supervisor ends right after its mongod, so while it lives the process id is not somebody else's.
        if self.ended().is_some() {
            return Ok(false);
        }
        match kill(self.pid, signal) {
            Ok(()) => Ok(true),
            Err(nix::errno::Errno::ESRCH) => Ok(false),
            Err(errno) => {
                Err(Error::Process { what: format!("{signal} to mongod {}", self.pid), source: errno.into() })
            }
        }
    }

    /// Waits for the end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let what = || format!("waiting for mongod {}", self.pid);
        let what = what();
        self.supervisor.wait().await.map_err(|source| Error::Process { what, source })
    }

    /// Stops it cleanly, even if it is suspended; kills it where that takes too long.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)?;
        if let Ok(ended) = timeout(STOP_PATIENCE, self.wait()).await {
            return ended.map(drop);
        }
        tracing::warn!(pid = self.pid(), "mongod does not stop, so it is killed");
        self.signal(Signal::SIGKILL)?;
        self.wait_for_end().await
    }

    /// Waits for the end of a mongod that has been killed.
    pub async fn wait_for_end(&mut self) -> Result<()> {
        let what = format!("waiting for the end of mongod {}", self.pid);
        match timeout(STOP_PATIENCE, self.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(late) => Err(Error::Process { what, source: late.into() }),
        }
    }
}

/// The last lines of a log, for an error.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 12;
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Where a member keeps its log.
pub(crate) fn log_of(member_dir: &Path) -> PathBuf {
    member_dir.join("mongod.log")
}
