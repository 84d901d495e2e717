//! Alerts on MongoDB: raised by one aggregation that the server's clock may turn into nothing, and moved on by
//! compare-and-set. Every value from outside stands in `$literal`.

use crate::{
    MongoStore,
    answer::Answer,
    control,
    detached::detached,
    error::{code, describe, is_passing},
    pipeline::{changed_fields, field_expressions, literal, outside, stamp, unstorable},
    query::newest_first,
    read,
    send::{Modified, durable, modify, persist, raw},
};
use async_trait::async_trait;
use bson::{Bson, Document, RawDocumentBuf, Timestamp, doc};
use lucid_core::alert::{Guard, Raise, SEEN_EACH_MS, SEVERITY_EACH_MS, Transition};
use lucid_ports::{AlertFilter, AlertOutcome, AlertPage, Alerts, DueAlert, Raised, StoreError};
use lucid_schemas::{
    alert::{ALERT_SCHEMA, Alert, AlertEvent, AlertId, AlertState},
    collections::{NEWEST_OF_KIND, NOTIFY_DUE, OPS, SAME_ALERTS, UNIQUE_KEY},
    kind::ALERT,
    unique_key,
};
use mongodb::{
    Database,
    options::{FindOptions, Hint},
};
use std::{sync::Arc, time::Duration};

const DUPLICATE_KEY: i32 = 11_000;
const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(15);
/// More than rules may leave open.
const OPEN_MAX: i64 = 2_000;
const PAGE_MAX: u32 = 500;

#[async_trait]
impl Alerts for MongoStore {
    async fn raise_alert(&self, raise: &Raise) -> Result<Raised, StoreError> {
        let (alert, ops) = (&raise.alert, self.ops().clone());
        let command = raw(&raise_command(raise)?)?;
        let written = detached(PATIENCE + GRACE, async move { run(&ops, &command).await }).await?;
        let found: Option<RawDocumentBuf> =
            read::after(self.ops(), OPS, alert.id().as_str(), written.seen_from).await?;
        match found.as_ref().map(read_alert).transpose()? {
            Some(there) if there.events.first().is_some_and(|first| first.write == alert.write) => {
                Ok(Raised::New(Box::new(there)))
            }
            Some(_) => Err(StoreError::Rejected(format!("the alert id {} is taken", alert.id()))),
            None if written.duplicate => {
                let key = unique_key::of_alert(&alert.origin.fingerprint);
                let open = open(self.ops(), doc! { "$eq": key }).await?.pop();
                let over =
                    || StoreError::Unavailable("the alert of the same fingerprint has just been resolved".into());
                open.map(|open| Raised::Open(Box::new(open))).ok_or_else(over)
            }
            None => Ok(Raised::Late),
        }
    }

    async fn apply_alert(&self, transition: &Transition) -> Result<AlertOutcome, StoreError> {
        let (statement, ops) = (transition_statement(transition)?, self.ops().clone());
        let modified = detached(PATIENCE + GRACE, async move { modify(&ops, OPS, &statement, PATIENCE).await });
        let document: Option<RawDocumentBuf> = match modified.await? {
            Modified::Done(document) => Some(raw(&document)?),
            Modified::Nothing { seen_from } => {
                read::after(self.ops(), OPS, transition.id().as_str(), seen_from).await?
            }
        };
        Ok(AlertOutcome::of(transition, document.as_ref().map(read_alert).transpose()?))
    }

    async fn alert(&self, id: &AlertId) -> Result<Option<Alert>, StoreError> {
        let found: Option<RawDocumentBuf> = read::after(self.ops(), OPS, id.as_str(), None).await?;
        found.as_ref().map(read_alert).transpose()
    }

    async fn alert_ids_with_prefix(&self, prefix: &AlertId, limit: u32) -> Result<Vec<AlertId>, StoreError> {
        read::ids_with_prefix(self.ops(), prefix.as_str(), limit).await
    }

    async fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        open(self.ops(), any_key()).await
    }

    async fn list_alerts(&self, filter: &AlertFilter) -> Result<AlertPage, StoreError> {
        let limit = filter.limit.min(PAGE_MAX);
        if limit == 0 {
            return Ok(AlertPage::default());
        }
        let (filter, index) = listed(filter);
        let hint = Hint::Name(index.to_owned());
        let options = FindOptions::builder().sort(newest_first()).limit(i64::from(limit + 1)).hint(hint).build();
        let mut found: Vec<RawDocumentBuf> = read::find(self.ops(), OPS, filter, options).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        Ok(AlertPage { alerts: readable(&found), more })
    }

    async fn due_alerts(&self, limit: u32) -> Result<Vec<DueAlert>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let found = read::aggregate(self.ops(), due(limit), Some(NOTIFY_DUE)).await?;
        let one = |mut document: Document| {
            let now = document.get_datetime("now").ok().copied()?;
            document.remove("now");
            let alert = Alert::from_document(&document);
            let alert = alert.inspect_err(|error| tracing::warn!(%error, "its notices wait")).ok()?;
            Some(DueAlert::at(alert, now))
        };
        Ok(found.into_iter().filter_map(one).collect())
    }

    async fn forget_alerts(&self, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        if limit == 0 {
            return Ok(0);
        }
        let found = read::aggregate(self.ops(), forgettable(older_ms, limit), Some(NEWEST_OF_KIND)).await?;
        let ids: Vec<String> = found.iter().filter_map(|alert| alert.get_str("_id").ok().map(Into::into)).collect();
        control::forget(self.ops(), &ids).await
    }
}

/// What is known of an aggregation that writes an alert.
struct Written {
    /// Whether a unique index refused it: its id is there already, or its key.
    duplicate: bool,
    seen_from: Option<Timestamp>,
}

async fn run(ops: &Database, command: &RawDocumentBuf) -> Result<Written, StoreError> {
    persist(PATIENCE, || {
        let answered = ops.run_raw_command(durable(command.clone(), PATIENCE));
        async {
            match answered.await {
                Ok(answer) => {
                    let answer = Answer::read(&answer)?;
                    let written = Written { duplicate: false, seen_from: answer.operation_time };
                    Ok(answer.unsure().map_or(Ok(written), Err))
                }
                Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
                Err(error) if code(&error) == Some(DUPLICATE_KEY) => {
                    Ok(Ok(Written { duplicate: true, seen_from: None }))
                }
                Err(error) => Err(StoreError::Rejected(describe(&error))),
            }
        }
    })
    .await
}

/// The server makes the document, where its clock says that it isn't too late: inserts know no `$$NOW`.
fn raise_command(raise: &Raise) -> Result<Document, StoreError> {
    let alert = &raise.alert;
    let origin = alert.origin.to_document().map_err(|error| unstorable(&error))?;
    let mut volatile = field_expressions(alert.fields());
    volatile.insert("events", event_expressions(&alert.events)?);
    Ok(doc! {
        "aggregate": 1,
        "pipeline": [
            { "$documents": { "$literal": [{ "_id": alert.id().as_str() }] } },
            { "$match": { "$expr": guard_expression(Guard::Before(raise.fence.deadline)) } },
            { "$replaceWith": { "$mergeObjects": [literal(origin), volatile] } },
            { "$merge": { "into": OPS, "on": "_id", "whenMatched": "fail", "whenNotMatched": "insert" } },
        ],
        "cursor": {},
    })
}

/// The compare-and-set of one transition.
fn transition_statement(transition: &Transition) -> Result<Document, StoreError> {
    let Transition { before, after, guards, token } = transition;
    let last_event = format!("events.{}", before.head.version - 1);
    let mut filter = doc! {
        "_id": before.id().as_str(),
        "kind": ALERT,
        "version": before.head.version,
        "touches": before.touches,
        // Appending to a stream that isn't there would make it null.
        last_event: { "$exists": true },
    };
    if let Some(token) = token {
        let older = doc! { "token.generation": { "$lt": token.generation } };
        let same = doc! { "token.generation": token.generation, "token.epoch": { "$lte": token.epoch } };
        filter.insert("$or", vec![older, same]);
    }
    if !guards.is_empty() {
        let guards: Vec<Bson> = guards.iter().map(|guard| guard_expression(*guard)).collect();
        filter.insert("$expr", doc! { "$and": guards });
    }
    let mut set = changed_fields(before.fields(), after.fields());
    if !transition.events().is_empty() {
        set.insert("events", doc! { "$concatArrays": ["$events", event_expressions(transition.events())?] });
    }
    Ok(doc! { "q": filter, "u": [{ "$set": set }], "upsert": false, "multi": false })
}

fn guard_expression(guard: Guard) -> Bson {
    match guard {
        Guard::Before(at) => doc! { "$lt": ["$$NOW", literal(at)] }.into(),
        // True without such a time, too: what is missing sorts below every date.
        Guard::SeenLongAgo => outside("$last_seen_at".into(), -SEEN_EACH_MS, 0),
        Guard::SeveritySteady => outside("$severity_changed_at".into(), -SEVERITY_EACH_MS, 0),
        Guard::AcknowledgementOver => doc! { "$lte": ["$acknowledged_until", "$$NOW"] }.into(),
    }
}

fn event_expressions(events: &[AlertEvent]) -> Result<Vec<Bson>, StoreError> {
    let one = |event: &AlertEvent| {
        let data = event.body.data().map_err(|error| unstorable(&error))?;
        Ok(Bson::Document(doc! {
            "seq": literal(event.seq),
            "at": stamp(event.at),
            "type": literal(event.body.name()),
            "by": literal(event.by.as_str()),
            "write": literal(event.write.as_str()),
            "data": literal(data),
        }))
    };
    events.iter().map(one).collect()
}

/// Every unique key that begins with `alert/`: '0' follows '/'.
pub fn any_key() -> Document {
    doc! { "$gte": "alert/", "$lt": "alert0" }
}

/// Open alerts whose unique keys match.
async fn open(ops: &Database, key: Document) -> Result<Vec<Alert>, StoreError> {
    let options = FindOptions::builder()
        .sort(doc! { "unique_key": 1 })
        .limit(OPEN_MAX)
        .hint(Hint::Name(UNIQUE_KEY.to_owned()))
        .build();
    let found: Vec<RawDocumentBuf> = read::find(ops, OPS, doc! { "open": true, "unique_key": key }, options).await?;
    Ok(readable(&found))
}

/// Alerts of which somebody is to be told now, with the server's time.
pub fn due(limit: u32) -> Vec<Document> {
    vec![
        doc! { "$match": { "notify": { "$exists": true }, "$expr": { "$lte": [{ "$min": "$notify.due_at" }, "$$NOW"] } } },
        doc! { "$sort": { "notify.due_at": 1 } },
        doc! { "$limit": i64::from(limit) },
        doc! { "$set": { "now": "$$NOW" } },
    ]
}

/// The ids of alerts that were resolved for so long that they may go, the oldest first.
pub fn forgettable(older_ms: i64, limit: u32) -> Vec<Document> {
    let is_old = doc! { "$lt": ["$resolved_at", { "$subtract": ["$$NOW", older_ms] }] };
    let same_time = doc! { "$and": [{ "$eq": ["$created_at", "$$at"] }, { "$gt": ["$_id", "$$id"] }] };
    let is_newer = doc! { "$or": [{ "$gt": ["$created_at", "$$at"] }, same_time] };
    let newer = doc! {
        "from": OPS,
        "localField": "fingerprint",
        "foreignField": "fingerprint",
        "let": { "at": "$created_at", "id": "$_id" },
        "pipeline": [{ "$match": { "$expr": is_newer } }, { "$limit": 1 }, { "$project": { "_id": 1 } }],
        "as": "newer",
    };
    vec![
        doc! { "$match": { "kind": ALERT, "state": AlertState::Resolved.as_str(), "$expr": is_old } },
        doc! { "$sort": { "created_at": 1, "_id": 1 } },
        doc! { "$lookup": newer },
        doc! { "$match": { "newer": { "$ne": [] } } },
        doc! { "$limit": i64::from(limit) },
        doc! { "$project": { "_id": 1 } },
    ]
}

/// A list's filter, and the index that serves it.
pub fn listed(filter: &AlertFilter) -> (Document, &'static str) {
    let mut matching = doc! { "kind": ALERT, "schema": ALERT_SCHEMA };
    if !filter.states.is_empty() {
        let words: Vec<_> = filter.states.iter().map(|state| state.as_str()).collect();
        matching.insert("state", doc! { "$in": words });
    }
    if let Some(severity) = filter.severity {
        matching.insert("severity", severity.as_str());
    }
    if let Some(rule) = &filter.rule {
        matching.insert("rule", rule);
    }
    if let Some(fingerprint) = &filter.fingerprint {
        matching.insert("fingerprint", fingerprint.as_str());
    }
    if let Some(after) = &filter.after {
        let (at, id) = (after.created_at, after.id.as_str());
        let later = vec![doc! { "created_at": { "$lt": at } }, doc! { "created_at": at, "_id": { "$lt": id } }];
        matching.insert("$or", later);
    }
    (matching, if filter.fingerprint.is_some() { SAME_ALERTS } else { NEWEST_OF_KIND })
}

fn read_alert(document: &RawDocumentBuf) -> Result<Alert, StoreError> {
    Alert::from_raw(document).map_err(|error| StoreError::UnreadableAlert(Arc::new(error)))
}

/// The alerts among these that this program can read: one that a later program wrote must not hide the others.
fn readable(documents: &[RawDocumentBuf]) -> Vec<Alert> {
    let read = |document: &RawDocumentBuf| {
        Alert::from_raw(document).inspect_err(|error| tracing::warn!(%error, "passed over")).ok()
    };
    documents.iter().filter_map(read).collect()
}
