//! Why nobody works on a job.

use crate::{
    around::{Around, paused},
    json,
};
use bson::DateTime;
use lucid_core::slots::{Occupied, SlotPlan, lacks, plan};
use lucid_ports::WorkerCard;
use lucid_schemas::{ConcurrencyKey, Job, JobId, RepositoryName, Request, State};
use std::collections::BTreeSet;

/// So many of the jobs that another one waits for are named.
const NAMED_MAX: usize = 3;

/// What an open job without a holder waits for, given what stands around it.
pub(crate) fn waiting_for(job: &Job, around: &Around) -> Option<String> {
    let workers = &around.everybody;
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
                "an operator must mend what the error says, then run `lucid-ops jobs resume {0}`, or `lucid-ops jobs give-up {0}`",
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
    let unreached = unreached(&job.request, workers);
    Some(unreached.or_else(|| occupied(job, &around.occupied)).unwrap_or_else(|| busy(&job.request, workers)))
}

/// Which of its concurrency keys others have, and who.
fn occupied(job: &Job, occupied: &Occupied) -> Option<String> {
    if !lacks(job) || matches!(plan(job, occupied), SlotPlan::Take(_)) {
        return None;
    }
    let in_the_way = |key: &ConcurrencyKey| {
        let others = occupied.iter().filter(|(slot, other)| key.has(slot) && *other != job.id());
        // Who has the first slot has, or wants, all of them: nobody shares with him.
        let first = key.slots().next();
        let all: BTreeSet<&JobId> = others.clone().map(|(_, other)| other).collect();
        let sole = others.filter(|(slot, _)| Some(*slot) == first.as_ref()).map(|(_, other)| other).next();
        match sole {
            Some(sole) if !key.exclusive => BTreeSet::from([sole]),
            _ if key.exclusive || all.len() >= key.slots().count() => all,
            _ => BTreeSet::new(),
        }
    };
    let (key, others) =
        job.request.keys.iter().map(|key| (key, in_the_way(key))).find(|(_, others)| !others.is_empty())?;
    let named: Vec<&str> = others.iter().take(NAMED_MAX).map(|other| other.as_str()).collect();
    let more = others.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = if key.exclusive { format!("{} to itself", key.key) } else { format!("a share of {}", key.key) };
    Some(format!("until it has {what}: {}{more} must end first", named.join(", ")))
}

/// Why no live worker can run this; `None` where one can.
pub(crate) fn unreached(request: &Request, workers: &[WorkerCard]) -> Option<String> {
    if workers.is_empty() {
        return Some("no worker is alive: start one with `lucid-ops worker`".into());
    }
    if workers.iter().any(|worker| worker.reach.covers(request)) {
        return None;
    }
    let kind = request.spec.runs_as();
    if let Some(repository) = &request.requires.repository
        && !workers.iter().any(|worker| worker.reach.repositories.contains(repository))
    {
        return Some(format!(
            "no live worker reaches repository '{}' (id {}): start one with --repository {}=URL",
            repository.name, repository.id, repository.name
        ));
    }
    if let Some(second) = request.spec.second_repository()
        && !workers.iter().any(|worker| covers_both(&worker.reach.repositories, request))
    {
        return Some(format!(
            "no live worker reaches both repositories, and '{}' (id {}) is where the copy goes: start one with both",
            second.name, second.id
        ));
    }
    if !workers.iter().any(|worker| worker.reach.kinds.contains(&kind)) {
        let drill = if kind == request.spec.kind() { "" } else { ", as a drill does" };
        return Some(format!(
            "no live worker runs jobs of kind {kind}{drill}: start one with `--kinds {kind}`, or without --kinds"
        ));
    }
    let labels = &request.requires.labels;
    Some(if labels.is_empty() {
        format!("no single live worker both runs jobs of kind {kind} and reaches the repository")
    } else {
        format!("no live worker of that kind and repository carries the labels {}", labels.join(", "))
    })
}

fn covers_both(reached: &[RepositoryName], request: &Request) -> bool {
    let needed = request.requires.repository.iter().chain(request.spec.second_repository());
    needed.into_iter().all(|repository| reached.contains(repository))
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
