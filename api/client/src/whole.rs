//! Going through all jobs: audit and export, through any break.

use crate::{Client, ClientError, RelayError};
use lucid_schemas::http::AuditReport;
use serde_json::Value;
use std::{
    io, thread,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_mins(1);

/// Audits all jobs; `so_far` hears how far it is.
///
/// # Errors
/// Where the API refuses, or doesn't answer.
pub fn audit(client: &Client, so_far: &mut dyn FnMut(&AuditReport)) -> Result<AuditReport, ClientError> {
    let mut whole = AuditReport::default();
    loop {
        let part = client.audit(whole.next.as_deref())?;
        whole.jobs += part.jobs;
        whole.events += part.events;
        whole.violations.extend(part.violations);
        whole.unreadable.extend(part.unreadable);
        whole.later += part.later;
        whole.next = part.next;
        so_far(&whole);
        if whole.next.is_none() {
            return Ok(whole);
        }
    }
}

/// Exports all jobs: each line, without its end, is handed to `write` once. Answers with their number.
///
/// # Errors
/// Where the API refuses or doesn't come back, or where a line can't be written.
pub fn export(client: &Client, write: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<u64, RelayError> {
    let (mut lines, mut after) = (0, None::<String>);
    let mut answered: Option<Instant> = None;
    loop {
        let place = after.clone();
        let outcome = part(client, place.as_deref(), &mut |id, line| {
            write(line)?;
            lines += 1;
            after = Some(id.to_owned());
            answered = Some(Instant::now());
            Ok(())
        });
        match outcome {
            Ok(()) => return Ok(lines),
            Err(RelayError::Client(error))
                if error.is_unreachable() && answered.is_some_and(|at| at.elapsed() < PATIENCE) => {}
            Err(error) => return Err(error),
        }
        thread::sleep(PAUSE);
    }
}

fn part(
    client: &Client,
    after: Option<&str>,
    take: &mut dyn FnMut(&str, &str) -> io::Result<()>,
) -> Result<(), RelayError> {
    let mut lines = client.export(after)?;
    while let Some(line) = client.line(&mut lines)? {
        let id = serde_json::from_str::<Value>(&line).ok().and_then(|job| Some(job.get("_id")?.as_str()?.to_owned()));
        let id = id.ok_or_else(|| client.odd("a line of its export is no job document"))?;
        take(&id, &line).map_err(RelayError::Output)?;
    }
    Ok(())
}
