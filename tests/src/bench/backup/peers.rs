//! The tools that people use otherwise, where they are on the `PATH`: `mongodump` and `mongorestore`.

use crate::{
    Outcome,
    figures::{Goal, Report, children_cpu_s, peak_mb},
    stage::Stage,
};
use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{process::Command, time::sleep};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A way of using a tool: its name, an argument, and what our time may be to its.
pub type Way = (&'static str, Option<&'static str>, Goal);

/// `mongodump --archive`, plain and with `--gzip`.
pub const DUMPS: [Way; 2] = [("plain", None, Goal::AtMost(1.25)), ("gzip", Some("--gzip"), Goal::AtMost(1.0 / 3.5))];

/// `mongorestore`, by default and with four insertion workers.
pub const RESTORES: [Way; 2] = [
    ("default", None, Goal::AtMost(0.5)),
    ("4_workers", Some("--numInsertionWorkersPerCollection=4"), Goal::AtMost(1.0 / 1.25)),
];

/// What a chapter measures beside the tools.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    pub chapter: &'a str,
    pub database: &'a str,
    /// Our time for the same.
    pub ours_s: f64,
}

/// Measures `mongodump --archive`.
#[allow(clippy::cast_precision_loss)] // Archives of a bench are below 2^52 bytes.
pub async fn dump(stage: &Stage, report: &mut Report, beside: Beside<'_>, ways: &[Way]) -> Outcome<()> {
    let Beside { chapter, database, ours_s } = beside;
    let Some(kit) = Kit::unpack(stage, "mongodump")? else { return Ok(()) };
    for (way, more, goal) in ways {
        let archive = kit.dir.path().join("archive");
        let into = format!("--archive={}", archive.display());
        let mut command = kit.command("mongodump");
        let name = format!("{chapter}_mongodump_{way}");
        let seconds = measure(report, &name, command.arg(format!("--db={database}")).arg(into).args(*more)).await?;
        report.add(format!("{name}_stored_mb"), fs::metadata(&archive)?.len() as f64 / 1e6, Goal::None);
        report.add(format!("{chapter}_backup_to_mongodump_{way}_ratio"), ours_s / seconds, *goal);
    }
    Ok(())
}

/// Measures `mongorestore`.
pub async fn restore(stage: &Stage, report: &mut Report, beside: Beside<'_>, ways: &[Way]) -> Outcome<()> {
    let Beside { chapter, database, ours_s } = beside;
    let (Some(dump), Some(kit)) = (Kit::unpack(stage, "mongodump")?, Kit::unpack(stage, "mongorestore")?) else {
        return Ok(());
    };
    let archive = format!("--archive={}", kit.dir.path().join("archive").display());
    let dumped = dump.command("mongodump").arg(format!("--db={database}")).arg(&archive).status().await?;
    if !dumped.success() {
        return Err("mongodump failed".into());
    }
    let client = stage.deployment.client()?;
    for (way, more, goal) in ways {
        let renamed = [format!("--nsFrom={database}.*"), "--nsTo=bench_mongorestored.*".into()];
        let mut command = kit.command("mongorestore");
        let name = format!("{chapter}_mongorestore_{way}");
        let seconds = measure(report, &name, command.arg(&archive).args(renamed).args(*more)).await?;
        report.add(format!("{chapter}_restore_to_mongorestore_{way}_ratio"), ours_s / seconds, *goal);
        client.database("bench_mongorestored").drop().await?;
    }
    Ok(())
}

/// A tool, and a folder with its settings: a password must not stand among arguments.
struct Kit {
    dir: TempDir,
}

impl Kit {
    /// None where the tool isn't on the `PATH`.
    fn unpack(stage: &Stage, tool: &str) -> Outcome<Option<Self>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()) {
            eprintln!("{tool} isn't on the PATH: not measured");
            return Ok(None);
        }
        let dir = tempfile::Builder::new().prefix("lucid-bench-").tempdir()?;
        fs::write(settings(dir.path()), format!("uri: {}\n", stage.deployment.uri()))?;
        Ok(Some(Self { dir }))
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.arg("--quiet").arg(format!("--config={}", settings(self.dir.path()).display()));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

fn settings(dir: &Path) -> std::path::PathBuf {
    dir.join("settings.yaml")
}

/// Runs a tool to its end; its seconds.
async fn measure(report: &mut Report, name: &str, command: &mut Command) -> Outcome<f64> {
    let (start, before_s) = (Instant::now(), children_cpu_s()?);
    let mut child = command.spawn()?;
    let pid = child.id().ok_or("it has ended")?;
    let mut most_mb = 0.0f64;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = sleep(LOOK_EVERY) => most_mb = most_mb.max(peak_mb(pid).unwrap_or(0.0)),
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("{name} ended with {status}").into());
    }
    report.add(format!("{name}_s"), seconds, Goal::None);
    report.add(format!("{name}_cpu_s"), children_cpu_s()? - before_s, Goal::None);
    report.add(format!("{name}_peak_mb"), most_mb, Goal::None);
    Ok(seconds)
}
