//! What an event changes. Total and exhaustive: replaying any stored stream gives the stored head.

use lucid_schemas::{Event, EventBody, Head, Stamp, State};

/// The head after a job's first event.
pub fn birth(first: &Event) -> Head {
    let delay_ms = match &first.body {
        EventBody::Enqueued { delay_ms, .. } => *delay_ms,
        EventBody::Claimed { .. }
        | EventBody::Released { .. }
        | EventBody::AttemptFailed { .. }
        | EventBody::SnapshotTaken { .. }
        | EventBody::CommitStarted {}
        | EventBody::SwapStarted { .. }
        | EventBody::CancelRequested {}
        | EventBody::Canceled {}
        | EventBody::Resumed {}
        | EventBody::Blocked { .. }
        | EventBody::Succeeded { .. }
        | EventBody::Failed { .. } => 0,
    };
    Head {
        state: State::Queued,
        version: first.seq,
        epoch: 0,
        attempt: 0,
        worker: None,
        run_at: first.at.plus(delay_ms),
        created_at: first.at,
        started_at: None,
        finished_at: None,
        result: None,
        error: None,
    }
}

/// The head after `event`.
#[must_use]
pub fn evolve(mut head: Head, event: &Event) -> Head {
    head.version = event.seq;
    match &event.body {
        EventBody::Enqueued { .. } => return birth(event),
        EventBody::Claimed { epoch, attempt, .. } => {
            head.epoch = *epoch;
            head.attempt = *attempt;
            head.worker = Some(event.by.clone());
            head.started_at = head.started_at.or(Some(event.at));
            if head.state == State::Queued {
                head.state = State::Running;
            }
        }
        EventBody::Released { .. } => {
            // An attempt that was interrupted doesn't count.
            head.attempt -= 1;
            wait_until(&mut head, event.at);
        }
        EventBody::AttemptFailed { error, retry_in_ms } => {
            head.error = Some(error.clone());
            wait_until(&mut head, event.at.plus(*retry_in_ms));
        }
        EventBody::SnapshotTaken { .. } => {}
        EventBody::CommitStarted {} | EventBody::SwapStarted { .. } => {
            head.state = State::Committing;
        }
        EventBody::CancelRequested {} => head.state = State::Canceling,
        EventBody::Canceled {} => end(&mut head, State::Canceled, event.at),
        EventBody::Resumed {} => {
            head.state = State::Committing;
            head.run_at = event.at;
        }
        EventBody::Blocked { error } => {
            head.state = State::Blocked;
            head.error = Some(error.clone());
        }
        EventBody::Succeeded { result } => {
            head.result = Some(result.clone());
            head.error = None;
            end(&mut head, State::Succeeded, event.at);
        }
        EventBody::Failed { error } => {
            head.error = Some(error.clone());
            end(&mut head, State::Failed, event.at);
        }
    }
    head
}

/// The head of a whole stream; `None` for an empty one.
pub fn fold(events: &[Event]) -> Option<Head> {
    let (first, rest) = events.split_first()?;
    Some(rest.iter().fold(birth(first), evolve))
}

/// Back into the queue, unless the job can only go on from where it is.
fn wait_until(head: &mut Head, run_at: Stamp) {
    head.run_at = run_at;
    if head.state == State::Running {
        head.state = State::Queued;
    }
}

fn end(head: &mut Head, state: State, at: Stamp) {
    head.state = state;
    head.finished_at = Some(at);
}
