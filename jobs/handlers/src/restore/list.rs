//! The list of a swap: kept before the point of no return, it is all that a successor needs to roll forward.

use super::{stage::Staged, staging::StagingName};
use crate::{
    database::definition::Expiry,
    error::{Error, Result},
};
use bson::{Bson, Document, Uuid};
use lucid_repository::CollectionKind;
use lucid_schemas::{Code, EventBody, Job, JobId};
use serde::{Deserialize, Serialize};

/// One collection to be swapped in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SwapEntry {
    /// Its final name.
    pub name: String,
    /// What it is.
    pub kind: CollectionKind,
    /// Its staging name.
    pub staging: String,
    /// Identity of what stores its documents.
    pub staged: Uuid,
    /// Identity of what it replaces; none where nothing was there.
    pub target: Option<Uuid>,
    /// Expiry of the collection, to be set afterwards.
    pub expire_after: Option<Bson>,
    /// Expiry of indexes by name, to be set afterwards.
    pub index_expiry: Vec<IndexExpiry>,
    /// Of a time-series collection: its options and indexes, to be made under the final name.
    pub options: Option<Document>,
    /// See `options`.
    pub indexes: Vec<Document>,
    /// Of a replaced time-series collection: how many lists of replaced buckets are kept.
    pub bucket_lists: i32,
    /// Documents.
    pub documents: i64,
    /// Documents of the backup that don't fit: the oldest ones of a capped collection whose size was changed.
    pub left_out: i64,
    /// Their bytes.
    pub raw_bytes: i64,
    /// What goes without its expiry, as the server refuses it there: names of indexes, or the empty name for the collection itself.
    #[serde(default)]
    pub expiry_left_off: Vec<String>,
}

/// Expiry of one index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IndexExpiry {
    /// Its name.
    pub index: String,
    /// Seconds, in the type they had.
    pub after_seconds: Bson,
}

/// One view to be made or redefined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SwapView {
    /// Its name.
    pub name: String,
    /// What it is to be.
    pub options: Document,
    /// What it was; none where nothing was there. Kept for people, too.
    pub before: Option<Document>,
}

/// Everything that is swapped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SwapList {
    /// The claim that made the list.
    pub epoch: i64,
    /// The database.
    pub database: String,
    /// Collections.
    pub entries: Vec<SwapEntry>,
    /// Views, each after those that it is defined on.
    pub views: Vec<SwapView>,
}

impl SwapEntry {
    /// From what was staged.
    pub fn new(staged: &Staged, kind: CollectionKind, target: Option<Uuid>, expiry: Expiry) -> Self {
        let of_index = |(index, after_seconds)| IndexExpiry { index, after_seconds };
        Self {
            name: staged.name.clone(),
            kind,
            staging: staged.staging.as_str().to_owned(),
            staged: staged.uuid,
            target,
            expire_after: expiry.collection,
            index_expiry: expiry.indexes.into_iter().map(of_index).collect(),
            options: None,
            indexes: Vec::new(),
            bucket_lists: 0,
            documents: 0,
            left_out: 0,
            raw_bytes: 0,
            expiry_left_off: Vec::new(),
        }
    }

    /// Its staging name, which must be one of this job.
    pub fn staging(&self, job: &JobId) -> Result<StagingName> {
        StagingName::parse(job, &self.staging).ok_or_else(|| unreadable("it names a staging collection of another job"))
    }
}

impl SwapList {
    /// The kept form.
    pub fn to_document(&self) -> Result<Document> {
        bson::serialize_to_document(self).map_err(|_| unreadable("it has no BSON form"))
    }

    /// Reads the kept form.
    pub fn from_document(document: Document) -> Result<Self> {
        bson::deserialize_from_document(document).map_err(|_| unreadable("it isn't one"))
    }

    /// How many collections and views there are.
    pub fn len(&self) -> i32 {
        i32::try_from(self.entries.len() + self.views.len()).unwrap_or(i32::MAX)
    }
}

/// Under which name a claim keeps its list: by epoch, so that a worker that was stopped can't overwrite the one that
/// counts.
pub(crate) fn detail_name(epoch: i64) -> String {
    format!("swap_{epoch}")
}

/// The list of buckets number `part` that the time-series collection number `entry` loses.
pub(crate) fn buckets_name(epoch: i64, entry: usize, part: i32) -> String {
    format!("swap_{epoch}_buckets_{entry}_{part}")
}

/// The mark of the target that was made for the time-series collection number `entry`.
pub(crate) fn made_name(epoch: i64, entry: usize) -> String {
    format!("swap_{epoch}_made_{entry}")
}

/// The mark that the time-series collection number `entry` is done.
pub(crate) fn done_name(epoch: i64, entry: usize) -> String {
    format!("swap_{epoch}_done_{entry}")
}

/// Epoch and hash of the list that the job has committed to.
pub(crate) fn committed(job: &Job) -> Option<(i64, String)> {
    let mut epoch = 0;
    let mut found = None;
    for event in &job.events {
        match &event.body {
            EventBody::Claimed { epoch: claimed, .. } => epoch = *claimed,
            EventBody::SwapStarted { list_hash, .. } => found = Some((epoch, list_hash.clone())),
            _ => {}
        }
    }
    found
}

pub(crate) fn unreadable(why: &str) -> Error {
    Error::refused(Code::SwapListUnreadable, format!("the kept list of the swap can't be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn a_list_reads_back_whole() {
        let list = SwapList {
            epoch: 3,
            database: "d".into(),
            entries: vec![SwapEntry {
                name: "a.b".into(),
                kind: CollectionKind::TimeSeries,
                staging: "s".into(),
                staged: Uuid::from_bytes([1; 16]),
                target: Some(Uuid::from_bytes([2; 16])),
                expire_after: Some(Bson::Int64(60)),
                index_expiry: vec![IndexExpiry { index: "t".into(), after_seconds: Bson::Int32(5) }],
                options: Some(doc! { "timeseries": { "timeField": "t" } }),
                indexes: vec![doc! { "key": { "t": 1 }, "name": "t" }],
                bucket_lists: 1,
                documents: 1,
                left_out: 0,
                raw_bytes: 2,
                expiry_left_off: vec!["words".into()],
            }],
            views: vec![SwapView {
                name: "v".into(),
                options: doc! { "viewOn": "a.b", "pipeline": [{ "$match": { "x": { "$gt": 1 } } }] },
                before: None,
            }],
        };
        let document = list.to_document().expect("a document");
        assert_eq!(SwapList::from_document(document.clone()).expect("a list"), list);
        let mut earlier = document;
        let entries = earlier.get_array_mut("entries").expect("entries");
        entries[0].as_document_mut().expect("an entry").remove("expiry_left_off").expect("there");
        assert!(
            SwapList::from_document(earlier).expect("of a program that didn't know of it").entries[0]
                .expiry_left_off
                .is_empty()
        );
    }
}
