//! Looking at jobs, following them, ending them.

use super::{client, failed, outcome, print, say_how_to_go_on, whole};
use crate::{
    args::{BackupsArgs, ClientArgs, JobArgs, JobsCommand, ListArgs},
    exit::{Exit, FAILED, UNREACHABLE},
    output,
};
use lucid_client::{ClientError, JobQuery, live, live::Told, render};
use lucid_schemas::http::{BackupPage, JobPage, health::Status};
use serde::Serialize;

/// The largest page that the API gives.
const PAGE_MAX: u32 = 500;

/// `lucid-ops jobs ...`.
pub fn run(command: JobsCommand) -> Result<(), Exit> {
    match command {
        JobsCommand::List { kind, label, list, client: args } => {
            let client = client(&args)?;
            let (jobs, next) = collect(JobQuery { kind, label, ..query(&list) }, list.all, |query| {
                client.jobs(query).map(|page| (page.jobs, page.next))
            })?;
            print(&args, &JobPage { jobs, next }, render::jobs)
        }
        JobsCommand::Show(args) => show(&args.job, &args.client),
        JobsCommand::Watch(args) => watch(&args),
        JobsCommand::Audit(args) => whole::audit(&args),
        JobsCommand::Export(args) => whole::export(&args),
        JobsCommand::Cancel(args) => {
            let job = client(&args.client)?.cancel(&args.job).map_err(|error| failed(&error))?;
            print(&args.client, &job, |job| format!("{} is {}\n", job.job_id, job.state))
        }
        JobsCommand::Retry { job: args, detach } => {
            let client = client(&args.client)?;
            let job = client.retry(&args.job).map_err(|error| failed(&error))?;
            super::request::wait(&args.client, &client, detach, &job)
        }
        JobsCommand::Resume(args) => {
            let job = client(&args.client)?.resume(&args.job).map_err(|error| failed(&error))?;
            print(&args.client, &job, |job| format!("{} goes on\n", job.job_id))
        }
        JobsCommand::GiveUp { job: args, reason } => {
            let client = client(&args.client)?;
            let job = client.give_up(&args.job, reason).map_err(|error| failed(&error))?;
            say_how_to_go_on(&job.job_id);
            print(&args.client, &job, |job| format!("{} is given up, and cleaned up after\n", job.job_id))
        }
    }
}

/// `lucid-ops backups`.
pub fn backups(args: &BackupsArgs) -> Result<(), Exit> {
    let client = client(&args.client)?;
    let (backups, next) =
        collect(query(&args.list), args.list.all, |query| client.backups(query).map(|page| (page.backups, page.next)))?;
    print(&args.client, &BackupPage { backups, next }, render::backups)
}

fn query(args: &ListArgs) -> JobQuery {
    JobQuery {
        states: args.state.clone(),
        since: args.since.clone(),
        until: args.until.clone(),
        text: args.text.clone(),
        limit: Some(if args.all { PAGE_MAX } else { args.limit }),
        after: args.after.clone(),
        ..JobQuery::default()
    }
}

/// One page, or all of them, and what the next one would begin after.
fn collect<T>(
    mut query: JobQuery,
    all: bool,
    ask: impl Fn(&JobQuery) -> Result<(Vec<T>, Option<String>), ClientError>,
) -> Result<(Vec<T>, Option<String>), Exit> {
    let mut collected = Vec::new();
    loop {
        let (page, next) = ask(&query).map_err(|error| failed(&error))?;
        collected.extend(page);
        if !all || next.is_none() {
            return Ok((collected, next));
        }
        query.after = next;
    }
}

/// `lucid-ops jobs watch`.
fn watch(args: &JobArgs) -> Result<(), Exit> {
    let client = client(&args.client)?;
    let job = client.job(&args.job).map_err(|error| failed(&error))?;
    say_how_to_go_on(&job.job_id);
    let json = args.client.json;
    let mut tell = |told: &Told| {
        output::put(&match told {
            _ if json => serde_json::to_string(told).unwrap_or_default() + "\n",
            Told::Event(event) => render::event(event),
            Told::Progress { progress, .. } => render::progress(progress) + "\n",
        })
    };
    let mut trouble = |error: &ClientError| output::say(format_args!("waiting for the API: {error}"));
    let ended = match live(&client, &job.job_id, &mut tell, &mut trouble) {
        Ok(ended) => ended,
        Err(error) => return output::relayed(error),
    };
    if !json {
        output::print(&render::ending(&ended))?;
    }
    outcome(&ended)
}

/// `lucid-ops health`: fails where somebody should look, and otherwise where nobody knows.
pub fn health(args: &ClientArgs) -> Result<(), Exit> {
    let health = client(args)?.health().map_err(|error| failed(&error))?;
    print(args, &health, render::health)?;
    match health.status {
        Status::Healthy => Ok(()),
        Status::Degraded | Status::Critical => Err(Exit::new(FAILED, "")),
        Status::Unknown => Err(Exit::new(UNREACHABLE, "")),
    }
}

fn show(id: &str, args: &ClientArgs) -> Result<(), Exit> {
    #[derive(Serialize)]
    struct Whole {
        job: lucid_schemas::http::JobView,
        events: Vec<lucid_schemas::http::EventView>,
    }
    let client = client(args)?;
    let job = client.job(id).map_err(|error| failed(&error))?;
    let list = client.events(&job.job_id).map_err(|error| failed(&error))?;
    if args.json {
        let events = list.events;
        print(args, &Whole { job, events }, |_| String::new())
    } else {
        output::print(&format!("{}\n{}", render::job(&job), render::events(&list)))
    }
}
