//! Everything that is only read.

use super::{Batches, Command, Server};
use crate::error::{Error, Result, code};
use bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, Uuid, doc};
use lucid_repository::StoredSize;
use lucid_schemas::Code;
use std::time::Duration;

/// A count comes as one answer, however long it takes to go through a large collection.
const COUNT_PATIENCE: Duration = Duration::from_hours(1);

/// Which documents a read sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadAt {
    /// Those of this instant.
    Snapshot(Timestamp),
    /// Those that a majority has, at least up to the instant.
    Majority(Option<Timestamp>),
}

impl ReadAt {
    fn concern(self) -> Document {
        match self {
            Self::Snapshot(time) => doc! { "level": "snapshot", "atClusterTime": time },
            Self::Majority(None) => doc! { "level": "majority" },
            Self::Majority(Some(after)) => doc! { "level": "majority", "afterClusterTime": after },
        }
    }
}

/// A collection by name and identity. A read of another one under the same name fails with code 361.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identified {
    /// The database.
    pub database: String,
    /// The name that the documents are stored under: of a time-series collection its buckets.
    pub storage: String,
    /// The identity.
    pub uuid: Uuid,
}

/// What the server says of a collection's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    /// Bytes of documents.
    pub bytes: i64,
    /// Mean bytes of a document, at least 1.
    pub mean_bytes: i64,
    /// The room that it takes, where that was asked.
    pub stored: Option<StoredSize>,
}

/// What the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerFacts {
    /// Such as `6.0.5`.
    pub version: String,
    /// Such as `6.0`; empty where this user may not ask.
    pub fcv: String,
    /// The member that answers, `host:port`.
    pub member: String,
    /// Whether there is no other member that clients can read from.
    pub alone: bool,
}

impl ServerFacts {
    /// Whether capped collections can be read at a snapshot.
    pub fn snapshots_capped(&self) -> bool {
        let major = self.version.split('.').next().unwrap_or_default();
        major.parse::<u32>().is_ok_and(|major| major >= 8)
    }
}

/// Makes a command of a document.
pub(crate) fn command(database: &str, doing: impl Into<String>, definitions: bool, body: &Document) -> Result<Command> {
    let doing = doing.into();
    match RawDocumentBuf::try_from(body) {
        Ok(body) => Ok(Command { doing, database: database.to_owned(), body, definitions }),
        Err(_) => Err(Error::refused(Code::BadDefinition, format!("can't {doing}: a definition has no BSON form"))),
    }
}

impl Server {
    /// The documents of a collection in the given order: `sort` by `_id` or as they are stored.
    pub fn documents(&self, what: &Identified, at: ReadAt, order: Document, batch_documents: u32) -> Result<Batches> {
        let mut body = doc! {
            "find": &what.storage,
            "collectionUUID": what.uuid,
            "readConcern": at.concern(),
            "batchSize": i64::from(batch_documents),
        };
        body.extend(order);
        let doing = format!("read {}.{}", what.database, what.storage);
        let command = command(&what.database, doing, false, &body)?;
        Ok(self.batches(command, batch_documents))
    }

    /// Whether a snapshot of a collection has so many documents. What the server keeps count of anyway is asked first: it is of now, and
    /// may be wrong after a crash, but that it says by chance just what was read is out of the question. Then its index on `_id` (in a third
    /// of the time of counting documents); where there is none, or it says otherwise, the documents are counted themselves.
    pub async fn has_count(&self, what: &Identified, at: Timestamp, expected: u64) -> Result<bool> {
        if self.kept_count(what).await? == Some(expected) {
            return Ok(true);
        }
        match self.count(what, at, doc! { "hint": { "_id": 1 } }).await {
            Ok(counted) if counted == expected => return Ok(true),
            Err(error) if error.server_code() != Some(code::BAD_VALUE) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        Ok(self.count(what, at, Document::new()).await? == expected)
    }

    /// How many documents a collection has now, as far as the server knows without counting.
    async fn kept_count(&self, what: &Identified) -> Result<Option<u64>> {
        let body = doc! {
            "aggregate": &what.storage,
            "collectionUUID": what.uuid,
            "pipeline": [{ "$collStats": { "count": {} } }, { "$project": { "count": 1 } }],
            "cursor": {},
        };
        let doing = format!("ask for the size of {}.{}", what.database, what.storage);
        match self.batches(command(&what.database, doing, false, &body)?, 1).all().await {
            Ok((documents, _)) => {
                let counted = documents.first().map(|document| whole_field(document, "count"));
                Ok(counted.and_then(|count| u64::try_from(count).ok()))
            }
            // It may not be asked, or the collection is gone: the snapshot will tell.
            Err(Error::Server { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn count(&self, what: &Identified, at: Timestamp, hint: Document) -> Result<u64> {
        let mut body = doc! {
            "aggregate": &what.storage,
            "collectionUUID": what.uuid,
            "pipeline": [{ "$count": "documents" }],
            "cursor": {},
            "readConcern": ReadAt::Snapshot(at).concern(),
        };
        body.extend(hint);
        let doing = format!("count {}.{}", what.database, what.storage);
        let mut batches = self.batches(command(&what.database, &doing, false, &body)?, 1).within(COUNT_PATIENCE);
        let mut counted = 0;
        while let Some(batch) = batches.next().await? {
            if batch.at_cluster_time().is_none() {
                return Err(vanished(what));
            }
            for document in batch.slices()? {
                counted = whole_field(document, "documents");
            }
        }
        Ok(u64::try_from(counted).unwrap_or_default())
    }

    /// The `_id` of so many documents taken by chance, as `{ _id: ... }`, in its order.
    pub async fn sampled_ids(&self, what: &Identified, documents: u64) -> Result<Vec<RawDocumentBuf>> {
        let size = i64::try_from(documents).unwrap_or(i64::MAX);
        let body = doc! {
            "aggregate": &what.storage,
            "collectionUUID": what.uuid,
            "pipeline": [{ "$sample": { "size": size } }, { "$project": { "_id": 1 } }, { "$sort": { "_id": 1 } }],
            "cursor": {},
        };
        let doing = format!("take samples of {}.{}", what.database, what.storage);
        let command = command(&what.database, doing, false, &body)?;
        Ok(self.batches(command, u32::try_from(documents).unwrap_or(u32::MAX)).all().await?.0)
    }

    /// The `_id` of the first document of an order as `{_id: ...}`, empty where there is none, and the set's time then.
    pub async fn first_id(
        &self,
        what: &Identified,
        at: ReadAt,
        order: Document,
    ) -> Result<(Option<RawDocumentBuf>, Option<Timestamp>)> {
        let mut body = doc! {
            "find": &what.storage,
            "collectionUUID": what.uuid,
            "readConcern": at.concern(),
            "limit": 1,
            "singleBatch": true,
            "projection": { "_id": 1 },
        };
        body.extend(order);
        let doing = format!("look into {}.{}", what.database, what.storage);
        let found = self.batches(command(&what.database, doing, false, &body)?, 1).all();
        let (documents, at) = found.await?;
        Ok((documents.into_iter().next(), at))
    }

    /// The size of a collection; zeros where the server doesn't say.
    pub async fn size(&self, database: &str, storage: &str) -> Result<Size> {
        // What the server keeps count of anyway; `$collStats` would gather all statistics of the storage, eight times as dear.
        let body = doc! { "dataSize": format!("{database}.{storage}"), "estimate": true };
        match self.ask(command(database, format!("measure {database}.{storage}"), false, &body)?).await {
            Ok(answer) => {
                let (bytes, documents) = (whole(answer.get("size")), whole(answer.get("numObjects")));
                Ok(Size { bytes, mean_bytes: bytes / documents.max(1), stored: None })
            }
            // Sizes are for progress and batches only.
            Err(Error::Server { .. }) => Ok(Size::default()),
            Err(error) => Err(error),
        }
    }

    /// The room that a collection takes on the disk; `None` where the server doesn't say.
    pub async fn stored(&self, database: &str, storage: &str) -> Result<Option<StoredSize>> {
        let body = doc! {
            "aggregate": storage,
            "pipeline": [{ "$collStats": { "storageStats": {} } }, { "$project": {
                "size": "$storageStats.storageSize", "free": "$storageStats.freeStorageSize",
                "indexes": "$storageStats.totalIndexSize",
            } }],
            "cursor": {},
        };
        let doing = format!("measure {database}.{storage}");
        match self.batches(command(database, doing, false, &body)?, 1).all().await {
            Ok((documents, _)) => Ok(documents.first().map(|found| StoredSize {
                storage_bytes: whole_field(found, "size").saturating_sub(whole_field(found, "free")),
                index_bytes: whole_field(found, "indexes"),
            })),
            Err(Error::Server { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The members that hold data and that clients read from, as `host:port`.
    pub async fn members(&self) -> Result<Vec<String>> {
        let hello = self.ask(command("admin", "greet the server", true, &doc! { "hello": 1 })?).await?;
        let of = |kind: &str| hello.get_array(kind).map(Vec::as_slice).unwrap_or_default();
        let all = of("hosts").iter().chain(of("passives"));
        Ok(all.filter_map(Bson::as_str).map(str::to_owned).collect())
    }

    /// The address of the member that answers, `host:port`; refuses a server without a replica set.
    pub async fn greet(&self) -> Result<String> {
        Ok(self.hello().await?.0)
    }

    /// The address of the member that answers, and how many members clients read from.
    async fn hello(&self) -> Result<(String, usize)> {
        let hello = self.ask(command("admin", "greet the server", true, &doc! { "hello": 1 })?).await?;
        let member = hello.get_str("me").map(str::to_owned).map_err(|_| {
            Error::refused(
                Code::NoReplicaSet,
                "MongoDB runs without a replica set, which backups need: start it with --replSet and initiate the set",
            )
        })?;
        let count = |kind: &str| hello.get_array(kind).map_or(0, Vec::len);
        Ok((member, count("hosts") + count("passives")))
    }

    /// What the server is; refuses one without a replica set.
    pub async fn facts(&self) -> Result<ServerFacts> {
        let admin = |doing: &str, body| command("admin", doing, true, &body);
        let (member, members) = self.hello().await?;
        let build = self.ask(admin("ask for the version", doc! { "buildInfo": 1 })?).await?;
        let asked = self
            .ask(admin(
                "ask for the feature compatibility version",
                doc! { "getParameter": 1, "featureCompatibilityVersion": 1 },
            )?)
            .await;
        let fcv = match asked {
            Ok(reply) => reply
                .get_document("featureCompatibilityVersion")
                .and_then(|fcv| fcv.get_str("version"))
                .unwrap_or_default()
                .to_owned(),
            Err(Error::Server { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        Ok(ServerFacts {
            version: build.get_str("version").unwrap_or_default().to_owned(),
            fcv,
            member,
            alone: members == 1,
        })
    }

    /// For how long a snapshot stays readable, in seconds; `None` where this user may not ask.
    pub async fn snapshot_window_seconds(&self) -> Result<Option<i64>> {
        let name = "minSnapshotHistoryWindowInSeconds";
        let body = doc! { "getParameter": 1, name: 1 };
        match self.ask(command("admin", "ask for the snapshot window", true, &body)?).await {
            Ok(reply) => Ok(Some(whole(reply.get(name)))),
            Err(Error::Server { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The error of a collection that isn't what it was when it was listed.
pub(crate) fn vanished(what: &Identified) -> Error {
    Error::SnapshotLost {
        why: format!("{}.{} was dropped, renamed or made anew meanwhile", what.database, what.storage),
        too_old: false,
    }
}

/// Turns what the server says about snapshots into [`Error::SnapshotLost`].
pub(crate) fn snapshot_error(what: &Identified, error: Error) -> Error {
    match error.server_code() {
        Some(code::UUID_MISMATCH | code::NAMESPACE_NOT_FOUND) => vanished(what),
        Some(code::SNAPSHOT_TOO_OLD) => Error::SnapshotLost {
            why: format!("reading {}.{} took too long", what.database, what.storage),
            too_old: true,
        },
        Some(code::SNAPSHOT_UNAVAILABLE) => Error::SnapshotLost {
            why: format!("{}.{} can't be read at that time", what.database, what.storage),
            too_old: false,
        },
        _ => error,
    }
}

fn whole_field(document: &RawDocument, name: &str) -> i64 {
    let value = document.get(name).ok().flatten();
    whole(value.and_then(|value| Bson::try_from(value).ok()).as_ref())
}

/// A number of any BSON type as a whole one; 0 for anything else.
pub(crate) fn whole(value: Option<&Bson>) -> i64 {
    match value {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        // Sizes and times come as doubles at times; beyond 2^53 exactness doesn't matter for them.
        #[allow(clippy::cast_possible_truncation)]
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    }
}
