//! Pausing and resuming kinds of jobs, and the workers.

use super::{client, failed, print};
use crate::{
    args::{ClientArgs, QueuesCommand},
    exit::Exit,
};
use lucid_client::render;

/// `lucid-ops queues ...`.
pub fn run(command: QueuesCommand) -> Result<(), Exit> {
    match command {
        QueuesCommand::List(args) => {
            let list = client(&args)?.queues().map_err(|error| failed(&error))?;
            print(&args, &list, |list| render::queues(&list.queues))
        }
        QueuesCommand::Pause { kind, reason, client: args } => {
            let queue = client(&args)?.pause(&kind, reason).map_err(|error| failed(&error))?;
            print(&args, &queue, |queue| render::queues(std::slice::from_ref(queue)))
        }
        QueuesCommand::Resume { kind, client: args } => {
            let queue = client(&args)?.resume_queue(&kind).map_err(|error| failed(&error))?;
            print(&args, &queue, |queue| render::queues(std::slice::from_ref(queue)))
        }
    }
}

/// `lucid-ops workers`.
pub fn workers(args: &ClientArgs) -> Result<(), Exit> {
    let list = client(args)?.workers().map_err(|error| failed(&error))?;
    print(args, &list, render::workers)
}
