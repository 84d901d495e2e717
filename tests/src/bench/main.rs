//! The bench: the engine with no-op jobs, and backups, beside the floors of the same server in the same run.
//!
//! `jobs` measures idling, pick-up, enqueue, drain and the claims of eight workers, each also by its own name; `history`
//! how claims fare beside ever more finished jobs; `monitor` what watching costs; `worker` is a worker in a process of its own; [`backup`] has chapters of its
//! own. Invariant: a floor and what is compared with it are measured in turn, so that a busy machine slows both.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of the tests: its output is read to the end")]

mod backup;
mod child;
mod claims;
mod drain;
mod enqueue;
mod figures;
mod floors;
mod history;
mod idle;
mod monitor;
mod pick_up;
mod stage;

use figures::Report;
use stage::Stage;
use std::{env, error::Error, process::ExitCode};

/// What goes wrong here ends the run.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: tests/bench jobs|idle|pick-up|enqueue|drain|claims|history|monitor [--json]\n   or: tests/bench backup|mixed|tiny|huge|many|sizes|nights|chunks|members [--json]";
/// What `jobs` measures: all but the history, which fills a disk.
const JOBS: [&str; 5] = ["idle", "pick-up", "enqueue", "drain", "claims"];

/// Two threads, as many as the smallest machine that this is for has cores to spare.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = match words[..] {
        ["worker", name, slots, database] => return ended(child::work(name, slots, database).await),
        ["jobs"] => measure(&JOBS).await.map(|report| report.table()),
        ["jobs", "--json"] => measure(&JOBS).await.map(|report| report.json()),
        ["backup"] => measure(&backup::CHAPTERS).await.map(|report| report.table()),
        ["backup", "--json"] => measure(&backup::CHAPTERS).await.map(|report| report.json()),
        [chapter] => measure(&[chapter]).await.map(|report| report.table()),
        [chapter, "--json"] => measure(&[chapter]).await.map(|report| report.json()),
        _ => Err(USAGE.into()),
    };
    ended(measured.map(|text| println!("{text}")))
}

fn ended(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(chapters: &[&str]) -> Outcome<Report> {
    let mut stage = Stage::set().await?;
    let mut report = Report::default();
    for chapter in chapters {
        match *chapter {
            "idle" => idle::measure(&mut stage, &mut report).await?,
            "pick-up" => pick_up::measure(&stage, &mut report).await?,
            "enqueue" => enqueue::measure(&mut stage, &mut report).await?,
            "drain" => drain::measure(&mut stage, &mut report).await?,
            "claims" => claims::measure(&stage, &mut report).await?,
            "monitor" => monitor::measure(&mut report).await?,
            "history" => history::measure(&stage, &mut report).await?,
            other if backup::measure(other, &mut stage, &mut report).await? => {}
            _ => return Err(USAGE.into()),
        }
    }
    stage.end().await?;
    Ok(report)
}
