//! Jobs and events as the API shows them. Specs and results hold no secret, so all of them is shown.

use crate::{around::Around, json, waiting};
use bson::Bson;
use lucid_schemas::{
    Event, EventBody, Failure, Fate, Job, Progress, Spec, Stamp,
    fate::FateView,
    http::{BackupView, EventView, FailureView, JobView, ProgressView},
};
use serde_json::Value;

/// A job; what stands around it says what it waits for.
pub(crate) fn job(job: &Job, around: &Around) -> JobView {
    let (request, head) = (&job.request, &job.head);
    // What an attempt that is over had done says nothing about the next one.
    let done = job.progress.as_ref().filter(|_| job.lease.is_some());
    JobView {
        job_id: job.id().to_string(),
        kind: job.kind().to_string(),
        state: head.state.to_string(),
        spec: request.spec.to_document().map_or(Value::Null, json::document),
        repository: request.requires.repository.as_ref().map(|repository| repository.name.clone()),
        requested_by: request.requested_by.clone(),
        version: head.version,
        epoch: head.epoch,
        attempt: head.attempt,
        max_attempts: request.max_attempts,
        priority: head.priority,
        timeout_seconds: request.timeout_ms.map(|timeout_ms| timeout_ms / 1_000),
        labels: request.requires.labels.clone(),
        unique_key: request.unique_key.as_deref().map(asked),
        after: request.after.as_ref().map(|after| after.job.to_string()),
        on: request.after.as_ref().map(|after| after.state.to_string()),
        retry_of: request.retry_of.as_ref().map(ToString::to_string),
        worker: head.worker.clone(),
        waiting_for: waiting::waiting_for(job, around),
        created_at: json::time(head.created_at),
        run_at: json::time(head.run_at),
        started_at: head.started_at.map(json::time),
        finished_at: head.finished_at.map(json::time),
        progress: done.map(progress),
        result: head.result.clone().map(json::document),
        error: head.error.as_ref().map(failure),
        fate: job.fate.as_ref().map(fate),
        canceled: canceled(job),
    }
}

/// Why a job was canceled: what it waited for ended otherwise, or somebody asked for its end.
fn canceled(job: &Job) -> Option<String> {
    let asked = |event: &&Event| matches!(event.body, EventBody::CancelRequested {});
    let last = job.events.last()?;
    match (&last.body, &job.request.after) {
        (EventBody::DependencyFailed { state: Some(state) }, Some(after)) => {
            Some(format!("{} ended as {state}, and this was to follow if it {}", after.job, after.state))
        }
        (EventBody::DependencyFailed { state: None }, Some(after)) => {
            Some(format!("{} isn't there any more, and this was to follow it", after.job))
        }
        (EventBody::Canceled {}, _) => {
            let by = job.events.iter().rev().find(asked).unwrap_or(last);
            Some(format!("{} asked for its end", by.by))
        }
        _ => None,
    }
}

/// A key as it was asked for: those of users are kept apart from those of the system.
fn asked(unique_key: &str) -> String {
    unique_key.strip_prefix("user/").unwrap_or(unique_key).to_owned()
}

/// A backup, with what a list of backups tells at a glance.
pub(crate) fn backup(of: &Job, around: &Around) -> BackupView {
    let result = of.head.result.as_ref();
    let number = |field| match result?.get(field)? {
        Bson::Int64(number) => Some(*number),
        Bson::Int32(number) => Some((*number).into()),
        _ => None,
    };
    BackupView {
        job: job(of, around),
        database: of.request.spec.database().cloned().unwrap_or_default(),
        partial: matches!(&of.request.spec, Spec::Backup(spec) if spec.collections.is_some()),
        consistent: result.and_then(|result| result.get_bool("consistent").ok()),
        documents: number("documents"),
        raw_bytes: number("raw_bytes"),
    }
}

/// An event.
pub(crate) fn event(event: &Event) -> EventView {
    EventView {
        seq: event.seq,
        at: json::time(event.at),
        kind: event.body.name().into(),
        by: event.by.clone(),
        data: event.body.data().map_or(Value::Null, json::document),
    }
}

/// Progress.
pub(crate) fn progress(progress: &Progress) -> ProgressView {
    ProgressView {
        phase: progress.phase.clone(),
        documents: progress.documents,
        bytes: progress.bytes,
        total_bytes: progress.total_bytes,
    }
}

fn fate(fate: &Fate) -> FateView {
    FateView {
        state: fate.state.as_str().into(),
        at: json::time(Stamp::At(fate.at)),
        by: fate.by.clone(),
        reason: fate.reason.clone(),
    }
}

fn failure(error: &Failure) -> FailureView {
    FailureView { code: error.code.clone(), message: error.message.clone(), retryable: error.retryable }
}
