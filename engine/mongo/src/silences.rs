//! Silences on MongoDB: a document each, written once and ended once, dated by the server. Every value from outside stands in
//! `$literal`.

use crate::{
    MongoStore, control,
    detached::detached,
    pipeline::{literal, unstorable},
    read,
    registry::upsert,
    send::send,
};
use async_trait::async_trait;
use bson::{Bson, DateTime, Document, doc};
use lucid_ports::{NewSilence, SilenceLook, Silences, StoreError};
use lucid_schemas::{
    collections::SILENCES,
    silence::{SILENCE_SCHEMA, Silence, SilenceId},
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(15);

#[async_trait]
impl Silences for MongoStore {
    async fn look_at_silences(&self) -> Result<SilenceLook, StoreError> {
        let mut seen = read::look(self.ops(), SILENCES, not_over()).await?.into_iter();
        let now = seen.next().and_then(|first| clock(&first));
        let now = now.ok_or_else(|| StoreError::Rejected("the server doesn't tell its time".into()))?;
        let mut look = SilenceLook { now, silences: Vec::new(), unreadable: Vec::new() };
        for mut document in seen {
            document.remove("now");
            match Silence::from_document(document) {
                Ok(silence) => look.silences.push(silence),
                Err(problem) => look.unreadable.push(problem),
            }
        }
        Ok(look)
    }

    async fn silence(&self, id: &SilenceId) -> Result<Option<Silence>, StoreError> {
        read::after(self.ops(), SILENCES, id.as_str(), None).await?.map(parse).transpose()
    }

    async fn add_silence(&self, new: &NewSilence) -> Result<Silence, StoreError> {
        let born = born(new)?;
        let only_if_absent = doc! { "$cond": [{ "$eq": [{ "$type": "$write" }, "missing"] }, born, "$$ROOT"] };
        let sent = upsert(self.ops(), SILENCES, new.id.as_str(), only_if_absent.into()).await?;
        let stored: Option<Document> = read::after(self.ops(), SILENCES, new.id.as_str(), sent.seen_from).await?;
        match stored.map(parse).transpose()? {
            Some(silence) if silence.write == new.write => Ok(silence),
            Some(_) => Err(StoreError::Rejected(format!("the silence id {} is taken", new.id))),
            None => Err(StoreError::Unavailable("the silence doesn't show yet".into())),
        }
    }

    async fn end_silence(&self, id: &SilenceId, by: &str) -> Result<Option<Silence>, StoreError> {
        let filter =
            doc! { "_id": id.as_str(), "ended_at": { "$exists": false }, "$expr": { "$gt": ["$until", "$$NOW"] } };
        let set = doc! { "ended_at": "$$NOW", "ended_by": literal(by) };
        let statement = doc! { "q": filter, "u": [{ "$set": set }], "upsert": false, "multi": false };
        let ops = self.ops().clone();
        let sent = detached(PATIENCE + GRACE, async move { send(&ops, SILENCES, &statement, PATIENCE).await }).await?;
        read::after(self.ops(), SILENCES, id.as_str(), sent.seen_from).await?.map(parse).transpose()
    }

    async fn forget_silences(&self, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let before = doc! { "$subtract": ["$$NOW", older_ms] };
        // Without an end of its own it is over with its time: what is missing counts for nothing in a minimum.
        let is_old = doc! { "$lt": [{ "$min": ["$until", "$ended_at"] }, before] };
        control::forget_some(self.ops(), SILENCES, doc! { "$expr": is_old }, limit).await
    }
}

/// Those that aren't over, by when they end.
fn not_over() -> Vec<Document> {
    vec![
        doc! { "$match": { "ended_at": { "$exists": false }, "$expr": { "$gt": ["$until", "$$NOW"] } } },
        doc! { "$sort": { "until": 1, "_id": 1 } },
    ]
}

/// The expression of a new document.
fn born(new: &NewSilence) -> Result<Bson, StoreError> {
    let NewSilence { id, matchers, from, until, window, by, comment, write } = new;
    let matchers = matchers.iter().map(bson::serialize_to_document).collect::<Result<Vec<_>, _>>();
    let mut stored = doc! {
        "_id": id.as_str(),
        "schema": SILENCE_SCHEMA,
        "matchers": matchers.map_err(|error| unstorable(&error))?,
        "until": until,
        "by": by,
        "comment": comment,
        "write": write,
    };
    if let Some(window) = window {
        stored.insert("window", bson::serialize_to_document(window).map_err(|error| unstorable(&error))?);
    }
    let times = doc! { "from": from.map_or_else(|| "$$NOW".into(), literal), "created_at": "$$NOW" };
    Ok(doc! { "$mergeObjects": [literal(stored), times] }.into())
}

fn clock(document: &Document) -> Option<DateTime> {
    document.get_datetime("now").ok().copied()
}

fn parse(document: Document) -> Result<Silence, StoreError> {
    Silence::from_document(document).map_err(StoreError::Rejected)
}
