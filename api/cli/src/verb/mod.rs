//! What a person types and waits for: client verbs over HTTP, and repository verbs without any service.

pub mod jobs;
pub mod repo;
pub mod request;

use crate::{
    args::ClientArgs,
    exit::{Exit, FAILED, UNREACHABLE, USAGE},
};
use lucid_client::{Client, ClientError, render};
use lucid_schemas::http::JobView;
use serde::Serialize;

fn client(args: &ClientArgs) -> Result<Client, Exit> {
    Client::new(&args.api).map_err(|error| failed(&error))
}

/// The exit for a call that failed.
fn failed(error: &ClientError) -> Exit {
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
fn print<T: Serialize>(args: &ClientArgs, view: &T, text: impl FnOnce(&T) -> String) {
    print!("{}", if args.json { render::json(view) } else { text(view) });
}

/// Shows how a job ended; anything but success is a failure.
fn finish(args: &ClientArgs, ended: &JobView) -> Result<(), Exit> {
    print(args, ended, render::ending);
    if ended.state == "succeeded" {
        Ok(())
    } else {
        Err(Exit::new(FAILED, ""))
    }
}
