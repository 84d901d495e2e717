//! Following a job to its end.

use crate::{Client, ClientError, Sink};
use lucid_schemas::{State, http::JobView};
use std::{
    thread,
    time::{Duration, Instant},
};

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// An API that restarts, or a replica set that elects a primary, is back by then.
const PATIENCE: Duration = Duration::from_mins(1);

/// Follows a job until it has ended or is blocked, and shows its progress; answers with the job as it is then.
///
/// # Errors
/// Where the API refuses, or doesn't answer for a minute.
pub fn watch(client: &Client, job_id: &str, sink: &mut dyn Sink) -> Result<JobView, ClientError> {
    let outcome = follow(client, job_id, sink);
    sink.close();
    outcome
}

fn follow(client: &Client, job_id: &str, sink: &mut dyn Sink) -> Result<JobView, ClientError> {
    let mut pause = PAUSE_FIRST;
    // Not answered at all so far: then a wrong address is likelier than a restart.
    let mut answered: Option<Instant> = None;
    loop {
        match client.job(job_id) {
            Ok(job) => {
                answered = Some(Instant::now());
                sink.show(&job);
                if is_over(&job) {
                    return Ok(job);
                }
            }
            Err(error) if error.is_unreachable() && answered.is_some_and(|at| at.elapsed() < PATIENCE) => {
                sink.trouble(&error);
            }
            Err(error) => return Err(error),
        }
        thread::sleep(pause);
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// Whether nothing more happens to the job by itself.
pub fn is_over(job: &JobView) -> bool {
    job.state.parse::<State>().is_ok_and(|state| state.is_terminal() || state == State::Blocked)
}
