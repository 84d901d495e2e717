//! What an event changes. Total and exhaustive: replaying any stored stream gives the stored head.

use lucid_schemas::{Event, EventBody, Head, Stamp, State, job::AGING_MS};

/// The head after a job's first event.
pub fn birth(first: &Event) -> Head {
    let (run_at, priority, waits) = match &first.body {
        EventBody::Enqueued { delay_ms, run_at, priority, waits, .. } => {
            (run_at.map_or(first.at.plus(*delay_ms), Stamp::At), *priority, *waits)
        }
        EventBody::DependencyMet { .. }
        | EventBody::DependencyFailed { .. }
        | EventBody::SlotsReserved { .. }
        | EventBody::SlotsReturned { .. }
        | EventBody::Claimed { .. }
        | EventBody::Released { .. }
        | EventBody::AttemptFailed { .. }
        | EventBody::SnapshotTaken { .. }
        | EventBody::CommitStarted {}
        | EventBody::SwapStarted { .. }
        | EventBody::CancelRequested {}
        | EventBody::Canceled {}
        | EventBody::Resumed {}
        | EventBody::GivenUp { .. }
        | EventBody::Blocked { .. }
        | EventBody::Succeeded { .. }
        | EventBody::Failed { .. } => (first.at, 0, false),
    };
    let state = if waits { State::Waiting } else { State::Queued };
    let mut head = Head { state, version: first.seq, priority, ..Head::born(first.at) };
    due_at(&mut head, run_at);
    head
}

/// The head after `event`.
#[must_use]
pub fn evolve(mut head: Head, event: &Event) -> Head {
    head.version = event.seq;
    match &event.body {
        EventBody::Enqueued { .. } => return birth(event),
        EventBody::DependencyMet { .. } => head.state = State::Queued,
        EventBody::DependencyFailed { .. } | EventBody::Canceled {} => end(&mut head, State::Canceled, event.at),
        EventBody::SlotsReserved { slots } => {
            head.holds.extend_from_slice(slots);
            head.reserved_at = head.reserved_at.or(Some(event.at));
        }
        EventBody::SlotsReturned { retry_in_ms, kept } => {
            free(&mut head);
            head.holds.clone_from(kept);
            due_at(&mut head, event.at.plus(*retry_in_ms));
        }
        EventBody::Claimed { epoch, attempt, slots, .. } => {
            head.epoch = *epoch;
            head.attempt = *attempt;
            claim(&mut head, event, slots);
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
        EventBody::Resumed {} => {
            head.state = State::Committing;
            due_at(&mut head, event.at);
        }
        EventBody::GivenUp { .. } => {
            head.state = State::Canceling;
            due_at(&mut head, event.at);
        }
        EventBody::Blocked { error, kept } => {
            head.state = State::Blocked;
            if let Some(kept) = kept {
                head.holds.clone_from(kept);
            }
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

fn claim(head: &mut Head, event: &Event, slots: &[String]) {
    head.holds.extend_from_slice(slots);
    head.reserved_at = None;
    head.worker = Some(event.by.clone());
    head.started_at = head.started_at.or(Some(event.at));
    if head.state == State::Queued {
        head.state = State::Running;
    }
}

/// The head of a whole stream; `None` for an empty one.
pub fn fold(events: &[Event]) -> Option<Head> {
    let (first, rest) = events.split_first()?;
    Some(rest.iter().fold(birth(first), evolve))
}

/// Back into the queue, unless the job can only go on from where it is: then it keeps what it holds.
fn wait_until(head: &mut Head, run_at: Stamp) {
    due_at(head, run_at);
    if head.state == State::Running {
        head.state = State::Queued;
        free(head);
    }
}

fn due_at(head: &mut Head, run_at: Stamp) {
    head.run_at = run_at;
    head.rank_at = run_at.plus(-i64::from(head.priority) * AGING_MS);
}

fn free(head: &mut Head) {
    head.holds.clear();
    head.reserved_at = None;
}

fn end(head: &mut Head, state: State, at: Stamp) {
    head.state = state;
    head.finished_at = Some(at);
    free(head);
}
