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

/// Measures `mongodump --archive`, plain and with `--gzip`.
#[allow(clippy::cast_precision_loss)] // Archives of a bench are below 2^52 bytes.
pub async fn dump(stage: &Stage, report: &mut Report, database: &str, backup_s: f64) -> Outcome<()> {
    let Some(kit) = Kit::unpack(stage, "mongodump")? else { return Ok(()) };
    for (name, more, goal) in [("plain", None, Goal::AtMost(1.25)), ("gzip", Some("--gzip"), Goal::AtMost(1.0 / 3.5))] {
        let archive = kit.dir.path().join("archive");
        let into = format!("--archive={}", archive.display());
        let mut command = kit.command("mongodump");
        let seconds =
            measure(report, &format!("mongodump_{name}"), command.arg(format!("--db={database}")).arg(into).args(more))
                .await?;
        report.add(format!("mongodump_{name}_stored_mb"), fs::metadata(&archive)?.len() as f64 / 1e6, Goal::None);
        report.add(format!("mixed_backup_to_mongodump_{name}_ratio"), backup_s / seconds, goal);
    }
    Ok(())
}

/// Measures `mongorestore`, by default and with four insertion workers.
pub async fn restore(stage: &Stage, report: &mut Report, database: &str, restore_s: f64) -> Outcome<()> {
    let (Some(dump), Some(kit)) = (Kit::unpack(stage, "mongodump")?, Kit::unpack(stage, "mongorestore")?) else {
        return Ok(());
    };
    let archive = format!("--archive={}", kit.dir.path().join("archive").display());
    let dumped = dump.command("mongodump").arg(format!("--db={database}")).arg(&archive).status().await?;
    if !dumped.success() {
        return Err("mongodump failed".into());
    }
    let client = stage.deployment.client()?;
    let ways = [("default", None, 0.5), ("4_workers", Some("--numInsertionWorkersPerCollection=4"), 1.0 / 1.25)];
    for (name, more, goal) in ways {
        let renamed = [format!("--nsFrom={database}.*"), "--nsTo=bench_mongorestored.*".into()];
        let mut command = kit.command("mongorestore");
        let seconds =
            measure(report, &format!("mongorestore_{name}"), command.arg(&archive).args(renamed).args(more)).await?;
        report.add(format!("mixed_restore_to_mongorestore_{name}_ratio"), restore_s / seconds, Goal::AtMost(goal));
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
