//! A worker in a process of its own: started, asked for its counters, stopped.

use crate::{Outcome, stage::Hall};
use async_trait::async_trait;
use bson::{Document, doc};
use lucid_ports::{Ending, Handler, JobContext, JobError, Reach};
use lucid_runtime::{Worker, WorkerOptions};
use lucid_schemas::Kind;
use serde_json::Value;
use std::{
    process::Stdio,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child as Process, ChildStdout, Command},
};

const READY: &str = "ready";

/// The clock that all processes of this machine share.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Says only when it was started.
struct NoOp;

#[async_trait]
impl Handler for NoOp {
    fn kind(&self) -> Kind {
        Kind::Verify
    }

    async fn run(&self, _context: &dyn JobContext) -> Result<Document, JobError> {
        Ok(doc! { "started_us": now_us() })
    }

    async fn abandon(&self, _context: &dyn JobContext, _ending: Ending) {}
}

/// Works until standard input is closed, then prints the counters.
pub async fn work(name: &str, slots: &str, database: &str) -> Outcome<()> {
    let connection = lucid_mongo::connect(&std::env::var("MONGODB_URI")?, database).await?;
    let feed = connection.feed().await?;
    let options = WorkerOptions { slots: slots.parse()?, ..WorkerOptions::new(name) };
    let handlers: Vec<Arc<dyn Handler>> = vec![Arc::new(NoOp)];
    let worker = Worker::start(connection.store(), &*feed, handlers, Reach::default(), options)?;
    println!("{READY}");
    tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await??;
    let metrics = worker.metrics();
    worker.stop().await?;
    feed.stop().await;
    let counts = metrics.counts().into_iter().map(|(name, count)| (name.to_owned(), Value::from(count)));
    println!("{}", Value::Object(counts.collect()));
    Ok(())
}

/// A running worker process, seen from the bench.
pub struct Child {
    process: Process,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts one; it listens when this returns.
    pub async fn start(hall: &Hall, uri: &str, name: &str, slots: usize) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["worker", name, &slots.to_string(), &hall.name])
            .env("MONGODB_URI", uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
        match lines.next_line().await? {
            Some(line) if line == READY => Ok(Self { process, lines }),
            line => Err(format!("the worker said {line:?}").into()),
        }
    }

    pub fn pid(&self) -> Outcome<u32> {
        self.process.id().ok_or_else(|| "the worker has ended".into())
    }

    /// Stops it, and gives its counters.
    pub async fn stop(mut self) -> Outcome<Value> {
        drop(self.process.stdin.take());
        let line = self.lines.next_line().await?.ok_or("the worker gave no counters")?;
        self.process.wait().await?;
        Ok(serde_json::from_str(&line)?)
    }
}
