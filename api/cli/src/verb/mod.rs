//! What a person types and waits for: client verbs over HTTP, and repository verbs without any service.

pub mod alerts;
pub mod bootstrap;
pub mod config;
pub mod doctor;
pub mod env;
pub mod explain;
pub mod healthcheck;
pub mod jobs;
pub mod manual;
pub mod queues;
pub mod repo;
pub mod request;
pub mod schedules;
pub mod tokens;
pub mod top;
pub mod whole;

use crate::{
    args::ClientArgs,
    exit::{Exit, FAILED, UNREACHABLE, USAGE},
    output, token,
};
use lucid_client::{Client, ClientError, render, sink_for_stderr, watch};
use lucid_schemas::http::JobView;
use serde::Serialize;

/// As shells number the end by an interrupt.
const INTERRUPTED: i32 = 130;

fn client(args: &ClientArgs) -> Result<Client, Exit> {
    let client = Client::new(&args.api).map_err(|error| failed(&error))?;
    token::client(client, args.token_file.as_deref(), args.ca_file.as_deref())
}

/// The exit for a call that failed.
pub fn failed(error: &ClientError) -> Exit {
    let code = if error.is_unreachable() {
        UNREACHABLE
    } else if error.is_usage() {
        USAGE
    } else {
        FAILED
    };
    Exit::new(code, error)
}

/// Prints a view; both forms end with a newline.
fn print<T: Serialize>(args: &ClientArgs, view: &T, text: impl FnOnce(&T) -> String) -> Result<(), Exit> {
    print_as(args.json, view, text)
}

fn print_as<T: Serialize>(json: bool, view: &T, text: impl FnOnce(&T) -> String) -> Result<(), Exit> {
    output::print(&if json { render::json(view) } else { text(view) })
}

/// Follows a job to its end.
fn follow(client: &Client, job_id: &str) -> Result<JobView, Exit> {
    say_how_to_go_on(job_id);
    watch(client, job_id, &mut *sink_for_stderr()).map_err(|error| failed(&error))
}

/// Ctrl-C stops the following, not the job, and says so.
fn say_how_to_go_on(job_id: &str) {
    let id = job_id.to_owned();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            output::say(format_args!(
                "\nstopped watching; {id} goes on. Follow it: lucid-ops jobs watch {id}\nEnd it: lucid-ops jobs cancel {id}"
            ));
            std::process::exit(INTERRUPTED);
        }
    });
}

/// Shows how a job ended.
fn finish(args: &ClientArgs, ended: &JobView) -> Result<(), Exit> {
    print(args, ended, render::ending)?;
    outcome(ended)
}

/// Anything but success is a failure, and so is a dry run that found what would stop the restore.
fn outcome(ended: &JobView) -> Result<(), Exit> {
    if ended.state == "succeeded" && !render::has_problems(ended) { Ok(()) } else { Err(Exit::new(FAILED, "")) }
}
