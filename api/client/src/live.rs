//! Following a job by its stream of events, through any break.

use crate::{Client, ClientError, RelayError, sse::Message, watch::is_over};
use lucid_schemas::http::{EndView, EventView, JobView, ProgressView};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io, thread,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(300);
/// An API that restarts, or a replica set that elects a primary, is back by then.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is told of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Told {
    /// What happened.
    Event(EventView),
    /// How far the attempt is.
    Progress {
        /// Always `progress`.
        #[serde(rename = "type")]
        kind: &'static str,
        /// How far.
        #[serde(flatten)]
        progress: ProgressView,
    },
}

/// Follows a job until it has ended or is blocked, and tells each event once, in order, from the first on; answers with
/// the job as it is then. `trouble` hears of breaks.
///
/// # Errors
/// Where the API refuses, or doesn't answer for a minute, or where `tell` fails.
pub fn live(
    client: &Client,
    job_id: &str,
    tell: &mut dyn FnMut(&Told) -> io::Result<()>,
    trouble: &mut dyn FnMut(&ClientError),
) -> Result<JobView, RelayError> {
    let mut place = Place { seq: 0, ended: false };
    let mut answered: Option<Instant> = None;
    loop {
        match follow(client, job_id, &mut place, &mut answered, tell) {
            Ok(Some(job)) => return Ok(job),
            // The server ended it, to begin anew.
            Ok(None) => {}
            // Not answered at all so far: then a wrong address is likelier than a restart.
            Err(RelayError::Client(error))
                if error.is_unreachable() && answered.is_some_and(|at| at.elapsed() < PATIENCE) =>
            {
                trouble(&error);
            }
            Err(error) => return Err(error),
        }
        thread::sleep(PAUSE);
    }
}

/// What is known so far.
struct Place {
    seq: i64,
    ended: bool,
}

fn follow(
    client: &Client,
    job_id: &str,
    place: &mut Place,
    answered: &mut Option<Instant>,
    tell: &mut dyn FnMut(&Told) -> io::Result<()>,
) -> Result<Option<JobView>, RelayError> {
    if !place.ended {
        let mut messages = client.job_stream(job_id, place.seq)?;
        while let Some(message) = client.message(&mut messages)? {
            *answered = Some(Instant::now());
            let is_blocked = message.event == "blocked";
            take(client, &message, place, tell)?;
            if is_blocked {
                // It may have gone on since.
                let job = client.job(job_id)?;
                if is_over(&job) && job.version == place.seq {
                    return Ok(Some(job));
                }
            }
            if place.ended {
                break;
            }
        }
        *answered = Some(Instant::now());
    }
    if place.ended { Ok(Some(client.job(job_id)?)) } else { Ok(None) }
}

fn take(
    client: &Client,
    message: &Message,
    place: &mut Place,
    tell: &mut dyn FnMut(&Told) -> io::Result<()>,
) -> Result<(), RelayError> {
    match message.event.as_str() {
        "end" => {
            read::<EndView>(client, message)?;
            place.ended = true;
        }
        "progress" => {
            let told = Told::Progress { kind: "progress", progress: read(client, message)? };
            tell(&told).map_err(RelayError::Output)?;
        }
        _ => {
            let event: EventView = read(client, message)?;
            if event.seq > place.seq {
                place.seq = event.seq;
                tell(&Told::Event(event)).map_err(RelayError::Output)?;
            }
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(client: &Client, message: &Message) -> Result<T, ClientError> {
    let doesnt_fit = |error| client.odd(&format!("its message '{}' doesn't fit: {error}", message.event));
    serde_json::from_str(&message.data).map_err(doesnt_fit)
}
