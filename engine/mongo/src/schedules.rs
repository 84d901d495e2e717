//! Schedules on MongoDB: one document each, changed by compare-and-set, dated by the server.

use crate::{
    MongoStore,
    detached::{READ_BOUND, detached},
    error::store_error,
    pipeline::literal,
    read::{self, decisive},
    send::{Sent, send},
};
use async_trait::async_trait;
use bson::{Bson, Document, doc};
use lucid_ports::{
    StoreError,
    schedules::{Advance, Edit, Edited, Look, Mark, NewSchedule, ScheduleStore},
};
use lucid_schemas::{
    collections::SCHEDULES,
    schedule::{SCHEDULE_SCHEMA, Schedule, Terms},
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(15);

#[async_trait]
impl ScheduleStore for MongoStore {
    async fn look(&self) -> Result<Look, StoreError> {
        let by_name = doc! { "$sort": { "_id": 1 } };
        let mut seen = read::look(self.ops(), SCHEDULES, vec![by_name]).await?.into_iter();
        let clock = seen.next().and_then(|first| first.get_datetime("now").ok().copied());
        let now = clock.ok_or_else(|| StoreError::Rejected("the server doesn't tell its time".into()))?;
        let mut look = Look { now, schedules: Vec::new(), unreadable: Vec::new() };
        for mut document in seen {
            document.remove("now");
            match Schedule::from_document(document) {
                Ok(schedule) => look.schedules.push(schedule),
                Err(problem) => look.unreadable.push(problem),
            }
        }
        Ok(look)
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        read::after(self.ops(), SCHEDULES, name, None).await?.map(parse).transpose()
    }

    async fn create_schedule(&self, new: &NewSchedule) -> Result<Option<Schedule>, StoreError> {
        let times = doc! {
            "high_water": new.high_water.map_or_else(|| "$$NOW".into(), literal),
            "created_by": literal(new.by.as_str()),
            "created_at": "$$NOW",
        };
        let born = document(&new.name, 1, &new.terms, times, &new.by, &new.write)?;
        let only_if_absent = doc! { "$cond": [{ "$eq": [{ "$type": "$version" }, "missing"] }, born, "$$ROOT"] };
        let update = vec![doc! { "$replaceWith": only_if_absent }];
        let mut sent = self.update(doc! { "_id": &new.name }, update.clone(), true).await?;
        if !sent.duplicates.is_empty() {
            // Two made it at once; now it is there.
            sent = self.update(doc! { "_id": &new.name }, update, true).await?;
        }
        let stored = self.after(&new.name, &sent).await?;
        Ok(stored.filter(|stored| stored.write == new.write))
    }

    async fn edit_schedule(&self, edit: &Edit) -> Result<Edited, StoreError> {
        let kept = doc! {
            "high_water": match edit.mark {
                Mark::Keep => "$high_water".into(),
                Mark::Raise => doc! { "$max": ["$high_water", "$$NOW"] }.into(),
                Mark::Set(mark) => literal(mark),
            },
            "last": "$last",
            "created_by": "$created_by",
            "created_at": "$created_at",
        };
        let edited = document(&edit.name, edit.version + 1, &edit.terms, kept, &edit.by, &edit.write)?;
        let filter = doc! { "_id": &edit.name, "version": edit.version };
        let sent = self.update(filter, vec![doc! { "$replaceWith": edited }], false).await?;
        Ok(Edited::of(edit, self.after(&edit.name, &sent).await?))
    }

    async fn advance_schedule(&self, advance: &Advance) -> Result<Option<Schedule>, StoreError> {
        let outcome = bson::serialize_to_bson(&advance.outcome).map_err(|error| unstorable(&error))?;
        let filter = doc! {
            "_id": &advance.name,
            "version": advance.version,
            "created_at": advance.created_at,
            "high_water": advance.from,
        };
        let set = doc! { "high_water": literal(advance.outcome.planned_at), "last": literal(outcome) };
        let sent = self.update(filter, vec![doc! { "$set": set }], false).await?;
        self.after(&advance.name, &sent).await
    }

    async fn remove_schedule(&self, name: &str, version: Option<i64>) -> Result<bool, StoreError> {
        let mut filter = doc! { "_id": name };
        if let Some(version) = version {
            filter.insert("version", version);
        }
        let schedules = decisive(self.ops(), SCHEDULES);
        detached(READ_BOUND, async move {
            let removed = schedules.delete_one(filter).await.map_err(|error| store_error(&error))?;
            Ok(removed.deleted_count > 0)
        })
        .await
    }
}

impl MongoStore {
    async fn update(&self, filter: Document, pipeline: Vec<Document>, upsert: bool) -> Result<Sent, StoreError> {
        let statement = doc! { "q": filter, "u": pipeline, "upsert": upsert, "multi": false };
        let ops = self.ops().clone();
        detached(PATIENCE + GRACE, async move { send(&ops, SCHEDULES, &statement, PATIENCE).await }).await
    }

    async fn after(&self, name: &str, sent: &Sent) -> Result<Option<Schedule>, StoreError> {
        read::after(self.ops(), SCHEDULES, name, sent.seen_from).await?.map(parse).transpose()
    }
}

/// The expression of a whole document; `times` are expressions, everything else is literal.
fn document(
    name: &str,
    version: i64,
    terms: &Terms,
    times: Document,
    by: &str,
    write: &str,
) -> Result<Bson, StoreError> {
    let identity = doc! { "_id": name, "schema": SCHEDULE_SCHEMA, "version": version };
    let terms = terms.to_document().map_err(|error| unstorable(&error))?;
    let edited = doc! { "updated_by": literal(by), "updated_at": "$$NOW", "write": literal(write) };
    Ok(doc! { "$mergeObjects": [literal(identity), literal(terms), times, edited] }.into())
}

fn parse(document: Document) -> Result<Schedule, StoreError> {
    Schedule::from_document(document).map_err(StoreError::Rejected)
}

fn unstorable(error: &bson::error::Error) -> StoreError {
    StoreError::Rejected(format!("the schedule has no BSON form: {error}"))
}
