//! Why nobody works on a job.

use crate::{
    around::{Around, paused},
    json,
};
use bson::DateTime;
use lucid_ports::WorkerCard;
use lucid_schemas::{Job, Request, State};

/// What an open job without a holder waits for, given what stands around it.
pub(crate) fn waiting_for(job: &Job, around: &Around) -> Option<String> {
    let workers = &around.workers;
    match job.head.state {
        State::Waiting => {
            let after = job.request.after.as_ref()?;
            return Some(format!("for {} to end as {}", after.job, after.state));
        }
        State::Queued => {}
        // Begun, then given back or lost.
        State::Canceling | State::Committing if job.lease.is_none() => {}
        State::Blocked => {
            return Some(format!(
                "an operator must mend what the error says, then run `lucid-ops jobs resume {}`",
                job.id()
            ));
        }
        State::Running | State::Canceling | State::Committing | State::Succeeded | State::Failed | State::Canceled => {
            return None;
        }
    }
    if let Some(pause) = around.pauses.iter().find(|pause| pause.kind == job.kind())
        && job.head.state == State::Queued
    {
        return Some(paused(pause));
    }
    if let Some(run_at) = job.head.run_at.stored()
        && run_at > DateTime::now()
    {
        return Some(format!("due at {}", json::time(job.head.run_at)));
    }
    if !job.head.holds.is_empty() && job.lease.is_none() && job.head.state == State::Queued {
        let keys: Vec<_> = job.request.keys.iter().filter(|key| key.exclusive).map(|key| key.key.as_str()).collect();
        return Some(format!("until it has {} to itself: jobs that share it must end first", keys.join(" and ")));
    }
    Some(unreached(&job.request, workers).unwrap_or_else(|| busy(&job.request, workers)))
}

/// Why no live worker can run this; `None` where one can.
pub(crate) fn unreached(request: &Request, workers: &[WorkerCard]) -> Option<String> {
    if workers.is_empty() {
        return Some("no worker is alive: start one with `lucid-ops worker`".into());
    }
    if workers.iter().any(|worker| worker.reach.covers(request)) {
        return None;
    }
    let kind = request.spec.kind();
    if let Some(repository) = &request.requires.repository
        && !workers.iter().any(|worker| worker.reach.repositories.contains(repository))
    {
        return Some(format!(
            "no live worker reaches repository '{}' (id {}): start one with --repository {}=URL",
            repository.name, repository.id, repository.name
        ));
    }
    if !workers.iter().any(|worker| worker.reach.kinds.contains(&kind)) {
        return Some(format!("no live worker runs jobs of kind {kind}"));
    }
    let labels = &request.requires.labels;
    Some(if labels.is_empty() {
        format!("no single live worker both runs jobs of kind {kind} and reaches the repository")
    } else {
        format!("no live worker of that kind and repository carries the labels {}", labels.join(", "))
    })
}

fn busy(request: &Request, workers: &[WorkerCard]) -> String {
    let able = workers.iter().filter(|worker| worker.reach.covers(request));
    let (slots, running) =
        able.fold((0, 0), |(slots, running), worker| (slots + worker.capacity, running + worker.running));
    if running >= slots {
        format!("all {slots} slots of the workers that can run it are taken")
    } else {
        "a worker is about to take it".into()
    }
}
