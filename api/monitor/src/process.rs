//! This process, as the system tells it; nothing where the platform has no `/proc`.

use nix::sys::resource::{Resource, getrlimit};
use std::{fs, time::SystemTime};

/// What Linux counts processor time in, on every platform that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Process {
    /// Seconds of processor time.
    pub cpu_seconds: Option<f64>,
    /// When it was started, in seconds since 1970.
    pub started_at: Option<f64>,
    /// Bytes of memory.
    pub resident_bytes: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
    /// Open files.
    pub open_files: Option<f64>,
    /// How many it may open.
    pub open_files_max: Option<f64>,
}

impl Process {
    /// How it is now.
    pub fn read() -> Self {
        let text = |path| fs::read_to_string(path).ok();
        let uptime = text("/proc/uptime").and_then(|uptime| uptime.split_whitespace().next()?.parse().ok());
        let now = SystemTime::UNIX_EPOCH.elapsed().ok().map(|since| since.as_secs_f64());
        let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
        #[allow(clippy::cast_precision_loss)] // Thousands.
        let (open_files, open_files_max) =
            (fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64), limit.map(|limit| limit as f64));
        let stat = text("/proc/self/stat").unwrap_or_default();
        let status = text("/proc/self/status").unwrap_or_default();
        Self { open_files, open_files_max, ..Self::of(&stat, &status, uptime, now) }
    }

    /// From `/proc/self/stat` and `/proc/self/status`, the seconds since the system was started, and the time.
    fn of(stat: &str, status: &str, uptime: Option<f64>, now: Option<f64>) -> Self {
        // The name in parentheses may hold anything; the numbers behind it begin with the third field.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse::<f64>().ok()
        };
        let started_at = || Some(now? - (uptime? - field(22)? / TICKS_PER_SECOND));
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            started_at: started_at(),
            resident_bytes: line("VmRSS").map(|kib| kib * 1_024.0),
            threads: line("Threads"),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_that_the_manual_of_proc_says() {
        let stat =
            "7 (lucid) ops) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1000 117348 56 18446744073709551615";
        let status = "Name:\tlucid-ops\nVmRSS:\t   2048 kB\nThreads:\t9\n";
        let process = Process::of(stat, status, Some(60.0), Some(1_000_000.0));
        assert_eq!((process.cpu_seconds, process.started_at), (Some(3.0), Some(999_950.0)));
        assert_eq!((process.resident_bytes, process.threads), (Some(2_097_152.0), Some(9.0)));
        assert_eq!(Process::of("", "", None, None), Process::default());
    }
}
