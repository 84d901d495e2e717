//! What backups are measured with: a repository, API and worker as a user starts them, beside the stage's server.
//!
//! Invariant: a job's time is by the server's clock, from the request to its end; CPU and peak are the worker's alone.

use crate::{
    Outcome,
    figures::{cpu_s, peak_mb, reset_peak},
    stage::Stage,
};
use lucid_client::{Client, Silent, watch};
use lucid_repository::{InitOptions, Location, Repository, Unlock};
use lucid_schemas::http::{BackupBody, JobView, RestoreBody, VerifyBody};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::block_in_place,
    time::timeout,
};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// One repository, one API, one worker.
pub struct House {
    dir: TempDir,
    client: Client,
    ops: String,
    worker: Child,
    _api: Child,
}

/// What one job took.
#[derive(Debug, Clone)]
pub struct Took {
    pub job_id: String,
    pub seconds: f64,
    pub cpu_s: f64,
    pub peak_mb: f64,
    result: Value,
}

impl Took {
    /// A number of the job's result.
    pub fn figure(&self, name: &str) -> Outcome<f64> {
        self.result.get(name).and_then(Value::as_f64).ok_or_else(|| format!("the result has no {name}").into())
    }

    /// A text of the job's result; empty where it has none.
    pub fn text(&self, name: &str) -> &str {
        self.result.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The texts of a list in the job's result; none where it has no such list.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.result.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl House {
    /// Builds one with an empty repository; its jobs are in a database of this name.
    pub async fn build(stage: &Stage, ops: &str) -> Outcome<Self> {
        Self::with(stage, ops, async |location, unlock| {
            Repository::init(&location, &unlock, &InitOptions::default()).await?;
            Ok(())
        })
        .await
    }

    /// Builds one with the repository that is made by `make`.
    pub async fn with(
        stage: &Stage,
        ops: &str,
        make: impl AsyncFnOnce(Location, Unlock) -> Outcome<()>,
    ) -> Outcome<Self> {
        let dir = tempfile::Builder::new().prefix("lucid-bench-").tempdir()?;
        let location = Location::parse(&format!("file://{}", folder(&dir).display()))?;
        make(location, Unlock::KeyFile(key_file(&dir))).await?;
        let token_file = dir.path().join("token");
        let mut api =
            command(stage, ops)?.args(["api", "--listen", "127.0.0.1:0", "--token-file"]).arg(&token_file).spawn()?;
        let url = line(&mut api, "listening on ").await?;
        let client = Client::new(&url)?.with_token(std::fs::read_to_string(&token_file)?.trim())?;
        let worker = worker(stage, ops, &dir, &[]).await?;
        Ok(Self { dir, client, ops: ops.to_owned(), worker, _api: api })
    }

    /// The same with a worker that reads from such a member of the set.
    pub async fn reading_from(mut self, stage: &Stage, member: &str) -> Outcome<Self> {
        // Not killed: for a while jobs would be left to it.
        let pid = self.worker.id().ok_or("the worker has ended")?;
        Command::new("kill").arg(pid.to_string()).status().await?;
        self.worker.wait().await?;
        self.worker = worker(stage, &self.ops, &self.dir, &["--read-from", member]).await?;
        Ok(self)
    }

    /// Where the repository is.
    pub fn repository(&self) -> PathBuf {
        folder(&self.dir)
    }

    pub fn backup(&self, database: &str) -> Outcome<Took> {
        self.run(|client| client.backup(&BackupBody { database: database.into(), ..BackupBody::default() }))
    }

    pub fn verify(&self, backup: &str) -> Outcome<Took> {
        self.run(|client| client.verify(&VerifyBody { backup: backup.into(), ..VerifyBody::default() }))
    }

    pub fn restore(&self, backup: &str, database: &str) -> Outcome<Took> {
        let body = RestoreBody { backup: backup.into(), database: Some(database.into()), ..RestoreBody::default() };
        self.run(|client| client.restore(&body))
    }

    fn run(&self, ask: impl FnOnce(&Client) -> Result<JobView, lucid_client::ClientError>) -> Outcome<Took> {
        let pid = self.worker.id().ok_or("the worker has ended")?;
        reset_peak(pid)?;
        let before_s = cpu_s(pid)?;
        let job = block_in_place(|| {
            let asked = ask(&self.client)?;
            watch(&self.client, &asked.job_id, &mut Silent)
        })?;
        if job.state != "succeeded" {
            return Err(format!("{} ended as {}: {:?}", job.job_id, job.state, job.error).into());
        }
        let ended = job.finished_at.as_deref().ok_or("no end")?;
        let at = |text: &str| bson::DateTime::parse_rfc3339_str(text).map(bson::DateTime::timestamp_millis);
        let took = Duration::from_millis(u64::try_from(at(ended)? - at(&job.created_at)?)?);
        Ok(Took {
            job_id: job.job_id,
            seconds: took.as_secs_f64(),
            cpu_s: cpu_s(pid)? - before_s,
            peak_mb: peak_mb(pid)?,
            result: job.result.unwrap_or_default(),
        })
    }
}

fn folder(dir: &TempDir) -> PathBuf {
    dir.path().join("repository")
}

fn key_file(dir: &TempDir) -> PathBuf {
    dir.path().join("key")
}

async fn worker(stage: &Stage, ops: &str, dir: &TempDir, more: &[&str]) -> Outcome<Child> {
    let (repository, key_file) =
        (format!("main=file://{}", folder(dir).display()), key_file(dir).display().to_string());
    let reached = ["worker", "--repository", &repository, "--key-file", &key_file];
    let mut worker = command(stage, ops)?.args(reached).args(more).spawn()?;
    line(&mut worker, "worker ").await?;
    Ok(worker)
}

/// Bytes of all files below a folder.
pub fn folder_bytes(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { folder_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// `lucid-ops`, the release build beside this program.
pub fn lucid_ops() -> Outcome<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("lucid-ops");
    if beside.exists() { Ok(beside) } else { Err(format!("{} isn't built: use tests/bench", beside.display()).into()) }
}

fn command(stage: &Stage, ops: &str) -> Outcome<Command> {
    let mut command = Command::new(lucid_ops()?);
    command.env("MONGODB_URI", stage.deployment.uri()).env("LUCID_OPS_DATABASE", ops).env("LUCID_LOG", "warn");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// The rest of the first line that a process prints, which begins so.
async fn line(process: &mut Child, beginning: &str) -> Outcome<String> {
    let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
    let line = timeout(READY_WITHIN, lines.next_line()).await??.unwrap_or_default();
    // Whatever it prints later is nobody's concern, but must not end it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    line.strip_prefix(beginning).map(str::to_owned).ok_or_else(|| format!("it said {line:?}").into())
}
