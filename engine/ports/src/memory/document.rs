//! What each write does to a job document: the same as the pipelines on MongoDB.

use crate::{Enqueue, StoreError};
use bson::{Bson, DateTime, Document, doc};
use lucid_core::{Guard, LEASE_LONGEST_MS, LeaseChange, RESERVATION_MS, Transition, birth};
use lucid_schemas::{Event, EventBody, Fate, Head, Kind, Progress, Stamp, State, job::FieldValue};

/// A new job's document.
pub(super) fn born(enqueue: &Enqueue, now: DateTime) -> Result<Document, StoreError> {
    let request = &enqueue.request;
    let first = Event {
        seq: 1,
        at: Stamp::NOW,
        by: request.requested_by.clone(),
        write: enqueue.write.clone(),
        body: EventBody::Enqueued {
            request_hash: request.hash().map_err(|error| unstorable(&error))?,
            delay_ms: enqueue.delay_ms,
            run_at: enqueue.run_at,
            priority: request.priority,
            waits: request.after.is_some(),
        },
    };
    let mut document = request.to_stored().map_err(|error| unstorable(&error))?;
    set_head(&mut document, &birth(&first), now);
    document.insert("events", vec![event_document(&first, now)?]);
    Ok(document)
}

/// Whether a transition may happen: version, epoch, and the guards by the store's clock.
pub(super) fn holds(document: &Document, transition: &Transition, now: DateTime) -> bool {
    let last_event = usize::try_from(transition.version() - 1).ok();
    let has_last_event =
        document.get_array("events").is_ok_and(|events| last_event.is_some_and(|last| last < events.len()));
    has_last_event
        && document.get_i64("version").ok() == Some(transition.version())
        && document.get_i64("epoch").ok() == Some(transition.epoch())
        && transition.guards.iter().all(|guard| match guard {
            Guard::Due => document.get_datetime("run_at").is_ok_and(|run_at| *run_at <= now),
            Guard::LeaseOver => lease_end(document).is_none_or(|expires_at| lease_is_over(expires_at, now)),
            Guard::ReservationOver => {
                document.get_datetime("reserved_at").is_ok_and(|at| outside(*at, now, -RESERVATION_MS, RESERVATION_MS))
            }
            Guard::Before(at) => now < *at,
            Guard::NotBefore(at) => now >= *at,
        })
}

/// Whether a lease that ends at this time doesn't count any more.
pub(super) fn lease_is_over(expires_at: DateTime, now: DateTime) -> bool {
    outside(expires_at, now, 0, LEASE_LONGEST_MS)
}

/// Whether a time is as early as `from_ms` from now, or later than `to_ms`.
pub(super) fn outside(at: DateTime, now: DateTime, from_ms: i64, to_ms: i64) -> bool {
    let from_now_ms = at.timestamp_millis().saturating_sub(now.timestamp_millis());
    from_now_ms <= from_ms || from_now_ms > to_ms
}

/// Makes a transition that [`holds`].
pub(super) fn apply(document: &mut Document, transition: &Transition, now: DateTime) -> Result<(), StoreError> {
    set_head(document, &transition.head, now);
    let appended: Vec<Bson> =
        transition.events.iter().map(|event| event_document(event, now)).collect::<Result<_, _>>()?;
    if let Ok(events) = document.get_array_mut("events") {
        events.extend(appended);
    }
    match &transition.lease {
        LeaseChange::Keep => {}
        LeaseChange::Drop => drop(document.remove("lease")),
        LeaseChange::Take { worker, lease_ms } => {
            let expires_at = Stamp::NOW.plus(*lease_ms).resolve(now);
            let lease = doc! { "worker": worker, "token": &transition.write, "expires_at": expires_at };
            document.insert("lease", lease);
            document.remove("progress");
        }
    }
    Ok(())
}

/// Whether the lease that `write` took in this epoch still runs.
pub(super) fn may_renew(document: &Document, epoch: i64, write: &str, now: DateTime) -> bool {
    let token = document.get_document("lease").and_then(|lease| lease.get_str("token"));
    document.get_i64("epoch").ok() == Some(epoch)
        && token.ok() == Some(write)
        && lease_end(document).is_some_and(|expires_at| expires_at > now)
}

/// Renews a lease that [`may_renew`].
pub(super) fn renew(
    document: &mut Document,
    lease_ms: i64,
    progress: Option<&Progress>,
    now: DateTime,
) -> Result<(), StoreError> {
    let progress = progress.map(bson::serialize_to_document).transpose();
    if let Ok(lease) = document.get_document_mut("lease") {
        lease.insert("expires_at", Stamp::NOW.plus(lease_ms).resolve(now));
    }
    if let Some(mut progress) = progress.map_err(|error| unstorable(&error))? {
        // Last, whatever the handler said about it.
        progress.remove("updated_at");
        progress.insert("updated_at", now);
        document.insert("progress", progress);
    }
    Ok(())
}

fn lease_end(document: &Document) -> Option<DateTime> {
    let lease = document.get_document("lease").ok()?;
    lease.get_datetime("expires_at").ok().copied()
}

fn set_head(document: &mut Document, head: &Head, now: DateTime) {
    set(document, head.fields(), now);
}

/// Gives fields these values, or removes them.
pub(super) fn set(document: &mut Document, fields: Vec<(&'static str, FieldValue)>, now: DateTime) {
    for (name, value) in fields {
        match stored(value, now) {
            Some(value) => drop(document.insert(name, value)),
            None => drop(document.remove(name)),
        }
    }
}

fn stored(value: FieldValue, now: DateTime) -> Option<Bson> {
    let object = |fields| {
        let mut object = Document::new();
        set(&mut object, fields, now);
        Bson::Document(object)
    };
    match value {
        FieldValue::Literal(value) => Some(value),
        FieldValue::Stamp(at) => Some(at.resolve(now).into()),
        FieldValue::Objects(list) => Some(Bson::Array(list.into_iter().map(object).collect())),
        FieldValue::Absent => None,
    }
}

fn event_document(event: &Event, now: DateTime) -> Result<Bson, StoreError> {
    Ok(Bson::Document(doc! {
        "seq": event.seq,
        "at": event.at.resolve(now),
        "type": event.body.name(),
        "by": &event.by,
        "write": &event.write,
        "data": event.body.data().map_err(|error| unstorable(&error))?,
    }))
}

fn unstorable(error: &bson::error::Error) -> StoreError {
    StoreError::Rejected(format!("the job has no BSON form: {error}"))
}

/// Whether it is a backup that succeeded, and of which nothing else has become.
fn is_made(stored: &Document) -> bool {
    let is = |field: &str, word: &str| stored.get_str(field).is_ok_and(|stored| stored == word);
    is("kind", Kind::Backup.as_str()) && is("state", State::Succeeded.as_str()) && !stored.contains_key("fate")
}

/// The key of the manifest of such a backup, if it is in this repository and of this cluster.
pub(super) fn manifest(stored: &Document, repository: &str, cluster: &str) -> Option<String> {
    let place = stored.get_document("requires").ok()?.get_document("repository").ok()?;
    let result = stored.get_document("result").ok()?;
    let ours = place.get_str("id").ok() == Some(repository) && result.get_str("cluster").ok() == Some(cluster);
    let key = result.get_document("manifest").ok()?.get_str("key").ok()?;
    (ours && is_made(stored)).then(|| key.to_owned())
}

/// Notes what became of a backup that succeeded, once.
pub(super) fn note_fate(stored: &mut Document, fate: &Fate) -> Result<(), StoreError> {
    if is_made(stored) {
        let fate = bson::serialize_to_document(fate).map_err(|error| StoreError::Rejected(error.to_string()))?;
        stored.insert("fate", fate);
    }
    Ok(())
}
