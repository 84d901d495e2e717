//! Looking at jobs, following them, ending them.

use super::{client, failed, finish, follow, print};
use crate::{
    args::{BackupsArgs, ClientArgs, JobsCommand},
    exit::{Exit, FAILED, UNREACHABLE},
};
use lucid_client::{JobQuery, render};
use serde::Serialize;

/// `lucid-ops jobs ...`.
pub fn run(command: JobsCommand) -> Result<(), Exit> {
    match command {
        JobsCommand::List { kind, state, limit, client: args } => {
            let query = JobQuery { kind, state, limit: Some(limit), after: None };
            let page = client(&args)?.jobs(&query).map_err(|error| failed(&error))?;
            print(&args, &page, render::jobs);
            Ok(())
        }
        JobsCommand::Show(args) => show(&args.job, &args.client),
        JobsCommand::Watch(args) => {
            let client = client(&args.client)?;
            let job = client.job(&args.job).map_err(|error| failed(&error))?;
            let ended = follow(&client, &job.job_id)?;
            finish(&args.client, &ended)
        }
        JobsCommand::Cancel(args) => {
            let job = client(&args.client)?.cancel(&args.job).map_err(|error| failed(&error))?;
            print(&args.client, &job, |job| format!("{} is {}\n", job.job_id, job.state));
            Ok(())
        }
        JobsCommand::Retry { job: args, detach } => {
            let client = client(&args.client)?;
            let job = client.retry(&args.job).map_err(|error| failed(&error))?;
            super::request::wait(&args.client, &client, detach, &job)
        }
        JobsCommand::Resume(args) => {
            let job = client(&args.client)?.resume(&args.job).map_err(|error| failed(&error))?;
            print(&args.client, &job, |job| format!("{} goes on\n", job.job_id));
            Ok(())
        }
    }
}

/// `lucid-ops backups`.
pub fn backups(args: &BackupsArgs) -> Result<(), Exit> {
    let query = JobQuery { limit: Some(args.limit), ..JobQuery::default() };
    let page = client(&args.client)?.backups(&query).map_err(|error| failed(&error))?;
    print(&args.client, &page, render::backups);
    Ok(())
}

/// `lucid-ops health`: fails where somebody should look.
pub fn health(args: &ClientArgs) -> Result<(), Exit> {
    let health = client(args)?.health().map_err(|error| failed(&error))?;
    print(args, &health, render::health);
    match health.status.as_str() {
        "ok" => Ok(()),
        "down" => Err(Exit::new(UNREACHABLE, "")),
        _ => Err(Exit::new(FAILED, "")),
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
        print(args, &Whole { job, events }, |_| String::new());
    } else {
        print!("{}\n{}", render::job(&job), render::events(&list));
    }
    Ok(())
}
