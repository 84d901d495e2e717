//! Transitions as update statements. Every value from outside stands in `$literal`: a string that begins with `$` is an
//! expression otherwise.

use bson::{Bson, Document, doc};
use lucid_core::{Guard, LEASE_LONGEST_MS, LeaseChange, RESERVATION_MS, Transition, birth};
use lucid_ports::{Enqueue, StoreError};
use lucid_schemas::{Event, EventBody, Head, Progress, Stamp, job::FieldValue};

/// The compare-and-set of one transition.
pub fn transition_statement(transition: &Transition) -> Result<Document, StoreError> {
    let last_event = format!("events.{}", transition.version() - 1);
    let mut filter = doc! {
        "_id": transition.id().as_str(),
        "version": transition.version(),
        "epoch": transition.epoch(),
        // Appending to a stream that isn't there would make it null.
        last_event: { "$exists": true },
    };
    let guards: Vec<Bson> = transition.guards.iter().map(|guard| guard_expression(*guard)).collect();
    if !guards.is_empty() {
        filter.insert("$expr", doc! { "$and": guards });
    }
    let mut set = changed_expressions(&transition.before.head, &transition.head);
    let events = event_expressions(&transition.events)?;
    set.insert("events", doc! { "$concatArrays": ["$events", events] });
    match &transition.lease {
        LeaseChange::Keep => {}
        LeaseChange::Drop => {
            set.insert("lease", "$$REMOVE");
        }
        LeaseChange::Take { worker, lease_ms } => {
            // A bare object would merge with the predecessor's.
            let lease = doc! {
                "worker": literal(worker.as_str()),
                "token": literal(transition.write.as_str()),
                "expires_at": stamp(Stamp::NOW.plus(*lease_ms)),
            };
            set.insert("lease", doc! { "$mergeObjects": [lease] });
            set.insert("progress", "$$REMOVE");
        }
    }
    Ok(doc! { "q": filter, "u": [{ "$set": set }], "upsert": false, "multi": false })
}

/// How a job's stream begins.
pub fn first_event(enqueue: &Enqueue) -> Result<Event, StoreError> {
    let request = &enqueue.request;
    Ok(Event {
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
    })
}

/// The insert of a new job, as an upsert by pipeline: plain inserts know no `$$NOW`.
pub fn enqueue_statement(enqueue: &Enqueue) -> Result<Document, StoreError> {
    let request = &enqueue.request;
    let first = first_event(enqueue)?;
    let mut volatile = head_expressions(&birth(&first));
    volatile.insert("events", event_expressions(std::slice::from_ref(&first))?);
    let asked = request.to_stored().map_err(|error| unstorable(&error))?;
    let born = doc! { "$mergeObjects": [literal(asked), volatile] };
    let only_if_absent = doc! { "$cond": [{ "$eq": [{ "$type": "$events" }, "missing"] }, born, "$$ROOT"] };
    Ok(doc! {
        "q": { "_id": request.id.as_str() },
        "u": [{ "$replaceWith": only_if_absent }],
        "upsert": true,
        "multi": false,
    })
}

/// The renewal of a lease: refused once it is over, even where nobody else has claimed.
pub fn renewal_statement(
    id: &str,
    epoch: i64,
    token: &str,
    lease_ms: i64,
    progress: Option<&Progress>,
) -> Result<Document, StoreError> {
    let mut set = doc! { "lease.expires_at": stamp(Stamp::NOW.plus(lease_ms)) };
    if let Some(progress) = progress {
        let mut progress = bson::serialize_to_document(progress).map_err(|error| unstorable(&error))?;
        progress.remove("updated_at");
        set.insert("progress", doc! { "$mergeObjects": [literal(progress), { "updated_at": "$$NOW" }] });
    }
    Ok(doc! {
        "q": {
            "_id": id,
            "epoch": epoch,
            "lease.token": token,
            "$expr": { "$gt": ["$lease.expires_at", "$$NOW"] },
        },
        "u": [{ "$set": set }],
        "upsert": false,
        "multi": false,
    })
}

/// A guard as an expression on the server's clock.
pub fn guard_expression(guard: Guard) -> Bson {
    match guard {
        Guard::Due => doc! { "$lte": ["$run_at", "$$NOW"] }.into(),
        // True without a lease, too: what is missing sorts below every date. So an index serves.
        Guard::LeaseOver => outside("$lease.expires_at".into(), 0, LEASE_LONGEST_MS),
        Guard::ReservationOver => {
            let since = doc! { "$ifNull": ["$reserved_at", "$$NOW"] };
            outside(since.into(), -RESERVATION_MS, RESERVATION_MS)
        }
        Guard::Before(at) => doc! { "$lt": ["$$NOW", literal(at)] }.into(),
        Guard::NotBefore(at) => doc! { "$gte": ["$$NOW", literal(at)] }.into(),
    }
}

/// Whether a time is as early as `from_ms` from now, or later than `to_ms`.
pub fn outside(time: Bson, from_ms: i64, to_ms: i64) -> Bson {
    let now_plus = |ms: i64| doc! { "$add": ["$$NOW", ms] };
    let early = doc! { "$lte": [&time, now_plus(from_ms)] };
    let far = doc! { "$gt": [time, now_plus(to_ms)] };
    doc! { "$or": [early, far] }.into()
}

fn head_expressions(head: &Head) -> Document {
    field_expressions(head.fields())
}

/// What stays is left out: the version that is compared says that it is still so. What an upcaster adds to an older shape
/// isn't written before it changes.
fn changed_expressions(before: &Head, after: &Head) -> Document {
    changed_fields(before.fields(), after.fields())
}

/// The fields of `after` that differ, as expressions.
pub fn changed_fields(before: Vec<(&'static str, FieldValue)>, after: Vec<(&'static str, FieldValue)>) -> Document {
    let changed = before.into_iter().zip(after).filter(|(before, after)| before != after);
    field_expressions(changed.map(|(_, after)| after).collect())
}

/// Fields with these values, as a document of expressions.
pub fn field_expressions(fields: Vec<(&'static str, FieldValue)>) -> Document {
    fields.into_iter().map(|(name, value)| (name.to_owned(), field_expression(value))).collect()
}

fn field_expression(value: FieldValue) -> Bson {
    match value {
        FieldValue::Objects(list) => list.into_iter().map(|fields| Bson::from(field_expressions(fields))).collect(),
        FieldValue::Literal(value) => literal(value),
        FieldValue::Stamp(at) => stamp(at),
        FieldValue::Absent => Bson::String("$$REMOVE".into()),
    }
}

fn event_expressions(events: &[Event]) -> Result<Vec<Bson>, StoreError> {
    events
        .iter()
        .map(|event| {
            let data = event.body.data().map_err(|error| unstorable(&error))?;
            Ok(Bson::Document(doc! {
                "seq": literal(event.seq),
                "at": stamp(event.at),
                "type": literal(event.body.name()),
                "by": literal(event.by.as_str()),
                "write": literal(event.write.as_str()),
                "data": literal(data),
            }))
        })
        .collect()
}

/// A time, perhaps only known to the server, as an expression.
pub fn stamp(at: Stamp) -> Bson {
    match at {
        Stamp::At(at) => literal(at),
        Stamp::Now { plus_ms: 0 } => Bson::String("$$NOW".into()),
        Stamp::Now { plus_ms } => doc! { "$add": ["$$NOW", plus_ms] }.into(),
    }
}

/// A value from outside, as an expression that stands for itself.
pub fn literal(value: impl Into<Bson>) -> Bson {
    doc! { "$literal": value.into() }.into()
}

pub fn unstorable(error: &bson::error::Error) -> StoreError {
    StoreError::Rejected(format!("it has no BSON form: {error}"))
}
