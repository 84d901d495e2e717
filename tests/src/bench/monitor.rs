//! The monitor in a process of its own, at the interval that it has by default: what it costs, what it costs the servers, and how fast it
//! answers while a member hangs.

use crate::{
    Outcome,
    figures::{Goal, Report, Spread, cpu_s, peak_mb, resident_mb},
    stage::Stage,
};
use bson::{Document, doc};
use lucid_embedded::Signal;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::spawn_blocking,
    time::sleep,
};

const MEMBERS: usize = 3;
const COLLECTIONS: usize = 500;
const DATABASE: &str = "bench_monitor";
/// Servers, which write out what was made for a while.
const CALM: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(300);
const WATCH: Duration = Duration::from_secs(300);
const SCRAPES: usize = 1_000;
/// Longer than the interval and its patience with a member.
const NOTICED: Duration = Duration::from_secs(75);

pub async fn measure(report: &mut Report) -> Outcome<()> {
    let mut stage = Stage::of(MEMBERS).await?;
    let client = stage.deployment.client()?;
    for number in 0..COLLECTIONS {
        let collection = client.database(DATABASE).collection::<Document>(&format!("c{number}"));
        collection.insert_one(doc! { "_id": 1 }).await?;
    }
    sleep(CALM).await;
    let idle = servers_s_per_min(&mut stage, CALM).await?;
    let (mut monitor, url) = start(&stage.deployment.uri()).await?;
    let pid = monitor.id().ok_or("the monitor has ended")?;
    sleep(SETTLE).await;
    let before = cpu_s(pid)?;
    let watched = servers_s_per_min(&mut stage, WATCH).await?;
    let percent = (cpu_s(pid)? - before) / WATCH.as_secs_f64() * 100.0;
    report.add("monitor_cpu_percent", percent, Goal::AtMost(1.0));
    report.add("monitor_peak_mb", peak_mb(pid)?, Goal::AtMost(40.0));
    report.add("monitor_resident_mb", resident_mb(pid)?, Goal::None);
    report.add("monitor_mongods_idle_cpu_s_per_min", idle, Goal::None);
    report.add("monitor_mongods_watched_cpu_s_per_min", watched, Goal::None);
    report.add("monitor_mongods_cost_cpu_s_per_min", watched - idle, Goal::None);

    let frozen = (stage.deployment.primary().await? + 1) % MEMBERS;
    stage.deployment.kill(frozen, Signal::SIGSTOP).await?;
    sleep(NOTICED).await;
    let (spread, text) = spawn_blocking(move || scrapes(&url)).await??;
    stage.deployment.kill(frozen, Signal::SIGCONT).await?;
    let silent = text.lines().filter(|line| line.starts_with("mongodb_up") && line.ends_with(" 0")).count();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    report.add("monitor_scrape_silent_members", count(silent), Goal::AtLeast(1.0));
    report.add("monitor_scrape_series", count(series), Goal::None);
    report.add("monitor_scrape_p50_ms", spread.p50_ms, Goal::AtMost(50.0));
    report.add("monitor_scrape_p99_ms", spread.p99_ms, Goal::None);
    monitor.kill().await?;
    stage.end().await
}

/// CPU seconds a minute of all servers together.
async fn servers_s_per_min(stage: &mut Stage, watch: Duration) -> Outcome<f64> {
    let pids: Vec<u32> = stage.deployment.members().iter().filter_map(|member| member.pid).collect();
    let all = || pids.iter().map(|pid| cpu_s(*pid)).sum::<Outcome<f64>>();
    let before = all()?;
    sleep(watch).await;
    Ok((all()? - before) * 60.0 / watch.as_secs_f64())
}

/// A monitor, and where its metrics are.
async fn start(uri: &str) -> Outcome<(Child, String)> {
    let program = std::env::current_exe()?.with_file_name("lucid-ops");
    let mut process = Command::new(program)
        .args(["monitor", "--listen", "127.0.0.1:0", "--metrics-port", "0"])
        .env("MONGODB_URI", uri)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.strip_prefix("metrics on ") {
            return Ok((process, url.to_owned()));
        }
    }
    Err("the monitor has ended".into())
}

/// How long scrapes take, one after the other, and what the last one says.
fn scrapes(url: &str) -> Outcome<(Spread, String)> {
    let url = format!("{url}/metrics");
    let (mut times, mut text) = (Vec::with_capacity(SCRAPES), String::new());
    for _ in 0..SCRAPES {
        let begun = Instant::now();
        text = ureq::get(&url).call()?.body_mut().read_to_string()?;
        times.push(begun.elapsed());
    }
    Ok((Spread::of(times)?, text))
}

#[allow(clippy::cast_precision_loss)] // Thousands.
fn count(number: usize) -> f64 {
    number as f64
}
