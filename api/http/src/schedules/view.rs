//! A schedule as the API shows it: what can be asked for in the form in which it is asked for.

use crate::json;
use bson::DateTime;
use lucid_core::schedule::next_due;
use lucid_schemas::{
    Job, Schedule, Spec,
    cron::Calendar,
    http::{BackupBody, CopyBody, OutcomeView, PruneBody, ScheduleView, VerifyBody},
    schedule::{Outcome, Terms},
};
use serde_json::{Value, json};

/// A schedule, with so many of its next times as of `now`, and the job that was made last, where that is still there.
pub(super) fn schedule(of: &Schedule, last: Option<&Job>, now: DateTime, next_times: usize) -> ScheduleView {
    let terms = &of.terms;
    let calendar = terms.calendar().ok();
    let next = calendar.as_ref().map(|calendar| next(calendar, of, now, next_times)).unwrap_or_default();
    let local = |at: &DateTime| calendar.as_ref().and_then(|calendar| calendar.local(*at));
    ScheduleView {
        name: of.name.clone(),
        version: of.version,
        kind: terms.spec.kind().to_string(),
        cron: terms.cron.clone(),
        timezone: terms.timezone.clone(),
        spec: spec(terms),
        paused: terms.paused,
        missed: terms.missed.to_string(),
        missed_limit: terms.missed_limit.into(),
        overlap: terms.overlap.to_string(),
        high_water: json::date(of.high_water),
        last: of.last.as_ref().map(|made| OutcomeView {
            planned_local: local(&made.planned_at),
            state: last.map(|job| job.head.state.to_string()),
            message: last.and_then(|job| job.head.error.as_ref()).map(|error| error.message.clone()),
            ..outcome(made)
        }),
        next_local: next.iter().filter_map(local).collect(),
        next: next.into_iter().map(json::date).collect(),
        problem: of.problem(now),
        note: calendar.as_ref().and_then(Calendar::remark).map(|remark| format!("'{}': {remark}", of.name)),
        created_by: of.created_by.clone(),
        created_at: json::date(of.created_at),
        updated_by: of.updated_by.clone(),
        updated_at: json::date(of.updated_at),
    }
}

fn next(calendar: &Calendar, of: &Schedule, now: DateTime, times: usize) -> Vec<DateTime> {
    let first = next_due(calendar, &of.terms, of.high_water, now);
    std::iter::successors(first, |at| calendar.next_after(*at)).take(times).collect()
}

fn outcome(of: &Outcome) -> OutcomeView {
    OutcomeView {
        planned_at: json::date(of.planned_at),
        job: of.job.as_ref().map(ToString::to_string),
        skipped: of.skipped.clone(),
        ..OutcomeView::default()
    }
}

fn spec(terms: &Terms) -> Value {
    match &terms.spec {
        Spec::Backup(spec) => json!(BackupBody {
            job: None,
            database: spec.database.clone(),
            collections: spec.collections.clone(),
            compression: Some(spec.compression),
            encryption: Some(spec.encryption),
            require_consistent: Some(spec.require_consistent),
            repository: Some(terms.repository.clone()),
        }),
        Spec::Verify(spec) => json!(VerifyBody {
            job: None,
            backup: spec.backup.to_string(),
            level: Some(spec.level.as_str().into()),
            sample: spec.sample.map(String::from),
            seed: spec.seed,
            part: spec.part.map(String::from),
        }),
        Spec::Prune(spec) => json!(PruneBody {
            job: None,
            keep: Some(spec.keep),
            dry_run: Some(spec.dry_run),
            at_once: Some(spec.at_once),
            repack: Some(spec.repack),
            grace_hours: Some(spec.grace_hours),
            take_ownership: None,
            cluster: None,
            accept_loss: None,
            forget_many: None,
            repository: Some(terms.repository.clone()),
        }),
        Spec::Copy(spec) => json!(CopyBody {
            job: None,
            backup: spec.backup.as_ref().map(ToString::to_string),
            to: spec.to.name.clone(),
            repository: spec.backup.is_none().then(|| terms.repository.clone()),
        }),
        // No schedule restores, or encrypts anew; what another program may have stored is shown as it is.
        Spec::Restore(_) | Spec::Reencrypt(_) | Spec::Monitor(_) | Spec::Notify(_) => {
            terms.spec.to_document().map_or(Value::Null, json::document)
        }
    }
}
