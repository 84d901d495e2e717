//! What a database holds: collections, time-series collections and views, with options and indexes as listed.

use super::{Server, queries::command};
use crate::error::{Error, Result, code};
use bson::{Document, RawDocument, RawDocumentBuf, Timestamp, Uuid, doc};
use futures::{FutureExt, StreamExt, stream};
use lucid_repository::CollectionKind;
use lucid_schemas::names::STAGING_PREFIX;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

const BUCKETS: &str = "system.buckets.";
const LIST_BATCH: u32 = 10_000;
/// Where each collection is asked about, so many questions are on their way: thousands in turn would take their time.
pub(crate) const ASKED_AT_ONCE: usize = 4;

/// Indexes of a collection, and the set's time after the answer.
pub(crate) type Indexes = (Vec<RawDocumentBuf>, Option<Timestamp>);

/// One collection or view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: CollectionKind,
    /// As listed.
    pub options: RawDocumentBuf,
    /// Identity of what stores its documents: of its buckets where it is a time-series collection. Views have none.
    pub uuid: Option<Uuid>,
    /// As listed; finished ones only.
    pub indexes: Vec<RawDocumentBuf>,
}

/// What a database held at one time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Catalog {
    /// The set's time right after it was listed.
    pub at: Timestamp,
    /// By name; without what belongs to the server, what is temporary, and staging.
    pub entries: BTreeMap<String, Entry>,
    /// Staging collections of restores, by their names.
    pub staging: BTreeMap<String, Entry>,
    /// Names of what only looks like the server's own, such as `system.js`, or buckets without their time-series
    /// collection: it holds users' data that can't be named in a request. Says nothing where only some names were listed.
    pub left_out: Vec<String>,
}

/// The name under which the documents are stored.
pub(crate) fn storage_name(name: &str, kind: CollectionKind) -> String {
    match kind {
        CollectionKind::TimeSeries => format!("{BUCKETS}{name}"),
        CollectionKind::Collection | CollectionKind::Capped | CollectionKind::Clustered | CollectionKind::View => {
            name.to_owned()
        }
    }
}

impl Entry {
    /// Changes whenever kind, identity, options or indexes do.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{:?} {:?}", self.kind, self.uuid));
        hash.update(self.options.as_bytes());
        for index in &self.indexes {
            hash.update(index.as_bytes());
        }
        hex(&hash.finalize()[..8])
    }
}

impl Server {
    /// Adds their indexes to the entries; answers with the names of those that are gone, and the set's time after the last
    /// answer, if there was one.
    pub async fn add_indexes(
        &self,
        database: &str,
        entries: &mut BTreeMap<String, Entry>,
    ) -> Result<(Vec<String>, Option<Timestamp>)> {
        let (mut gone, mut latest) = (Vec::new(), None);
        // In boxes: the compiler can't tell that a stream of closures may be sent.
        let mut asked = Vec::new();
        for entry in entries.values_mut().filter(|entry| entry.kind != CollectionKind::View) {
            asked.push(self.indexes_of(database, entry).boxed());
        }
        let mut answers = stream::iter(asked).buffered(ASKED_AT_ONCE);
        while let Some((entry, answer)) = answers.next().await {
            match answer {
                Ok((indexes, at)) => {
                    entry.indexes = indexes;
                    latest = latest.max(at);
                }
                Err(error) if error.server_code() == Some(code::NAMESPACE_NOT_FOUND) => gone.push(entry.name.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok((gone, latest))
    }

    async fn indexes_of<'a>(&self, database: &str, entry: &'a mut Entry) -> (&'a mut Entry, Result<Indexes>) {
        let answer = self.indexes_at(database, &entry.name).await;
        (entry, answer)
    }

    /// The finished indexes of a collection by its logical name.
    pub async fn indexes(&self, database: &str, name: &str) -> Result<Vec<RawDocumentBuf>> {
        Ok(self.indexes_at(database, name).await?.0)
    }

    async fn indexes_at(&self, database: &str, name: &str) -> Result<Indexes> {
        let (listed, at) = self.listed_indexes(database, name).await?;
        let finished =
            listed.into_iter().filter_map(|index| finished(index).transpose()).collect::<std::result::Result<_, ()>>();
        let unreadable =
            || Error::unreachable(&format!("list the indexes of {database}.{name}"), "its answer can't be read");
        Ok((finished.map_err(|()| unreadable())?, at))
    }

    /// All indexes, those that are being built among them ([`is_building`]).
    pub async fn listed_indexes(&self, database: &str, name: &str) -> Result<Indexes> {
        // Without the UUIDs of builds, an index that is still being built is listed just like a finished one.
        let body = doc! {
            "listIndexes": name,
            "includeBuildUUIDs": true,
            "cursor": { "batchSize": i64::from(LIST_BATCH) },
        };
        let doing = format!("list the indexes of {database}.{name}");
        self.batches(command(database, &doing, true, &body)?, LIST_BATCH).all().await
    }

    /// Lists a database without indexes.
    pub async fn names(&self, database: &str) -> Result<Catalog> {
        self.listed(database, doc! {}).await
    }

    /// Lists some names, without indexes, as far as they are there.
    pub async fn named(&self, database: &str, names: &[&str]) -> Result<Catalog> {
        let with_buckets = |name: &&str| [(*name).to_owned(), storage_name(name, CollectionKind::TimeSeries)];
        let names: Vec<String> = names.iter().flat_map(with_buckets).collect();
        self.listed(database, doc! { "name": { "$in": names } }).await
    }

    /// The options of a staging collection, if it is there.
    pub async fn staging_options(&self, database: &str, name: &str) -> Result<Option<RawDocumentBuf>> {
        Ok(self.named(database, &[name]).await?.staging.remove(name).map(|staging| staging.options))
    }

    async fn listed(&self, database: &str, filter: Document) -> Result<Catalog> {
        let doing = format!("list the collections of {database}");
        let body = doc! {
            "listCollections": 1,
            "filter": filter,
            "cursor": { "batchSize": i64::from(LIST_BATCH) },
        };
        let (listed, at) = self.batches(command(database, &doing, true, &body)?, LIST_BATCH).all().await?;
        let at =
            at.ok_or_else(|| Error::unreachable(&doing, "its answer has no operationTime: is it a replica set?"))?;
        let unreadable = || Error::unreachable(&doing, "its answer can't be read");
        parse(at, &listed).ok_or_else(unreadable)
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An index as listed with the UUIDs of builds: a finished one comes as it is (6.0.5) or wrapped as `{spec}`, an unfinished
/// one, which is none, as `{spec, buildUUID}`. `Err` is something else.
fn finished(listed: RawDocumentBuf) -> std::result::Result<Option<RawDocumentBuf>, ()> {
    if is_building(&listed) {
        return Ok(None);
    }
    if matches!(listed.get("key"), Ok(Some(_))) {
        return Ok(Some(listed));
    }
    listed.get_document("spec").map(|spec| Some(spec.to_owned())).map_err(|_| ())
}

/// Whether an index, as listed, isn't finished.
pub(crate) fn is_building(listed: &RawDocument) -> bool {
    ["buildUUID", "indexBuildInfo"].into_iter().any(|field| matches!(listed.get(field), Ok(Some(_))))
}

fn parse(at: Timestamp, listed: &[RawDocumentBuf]) -> Option<Catalog> {
    let mut identities = BTreeMap::new();
    for item in listed {
        if let Some(uuid) = uuid_of(item) {
            identities.insert(item.get_str("name").ok()?, uuid);
        }
    }
    let series: BTreeSet<&str> = listed
        .iter()
        .filter(|item| item.get_str("type").is_ok_and(|kind| kind == "timeseries"))
        .filter_map(|item| item.get_str("name").ok())
        .collect();
    let (mut entries, mut staging, mut left_out) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for item in listed {
        let name = item.get_str("name").ok()?;
        if name.starts_with("system.") {
            if !is_derived(name, &series) {
                left_out.push(name.to_owned());
            }
            continue;
        }
        let options = item.get_document("options").ok()?;
        if options.get_bool("temp").unwrap_or_default() {
            // Of an aggregation that is under way; it goes by itself.
            continue;
        }
        let kind = kind_of(item.get_str("type").ok()?, options)?;
        let uuid = identities.get(storage_name(name, kind).as_str()).copied();
        let entry = Entry { name: name.to_owned(), kind, options: options.to_owned(), uuid, indexes: Vec::new() };
        let place = if name.starts_with(STAGING_PREFIX) { &mut staging } else { &mut entries };
        place.insert(name.to_owned(), entry);
    }
    left_out.sort();
    Some(Catalog { at, entries, staging, left_out })
}

/// Whether the server makes it by itself out of what is backed up, or, as the profile, for itself.
fn is_derived(name: &str, series: &BTreeSet<&str>) -> bool {
    let buckets_of = name.strip_prefix(BUCKETS);
    matches!(name, "system.views" | "system.profile") || buckets_of.is_some_and(|owner| series.contains(owner))
}

fn uuid_of(item: &RawDocument) -> Option<Uuid> {
    let binary = item.get_document("info").ok()?.get_binary("uuid").ok()?;
    Some(Uuid::from_bytes(binary.bytes.try_into().ok()?))
}

fn kind_of(listed_type: &str, options: &RawDocument) -> Option<CollectionKind> {
    match listed_type {
        "view" => Some(CollectionKind::View),
        "timeseries" => Some(CollectionKind::TimeSeries),
        "collection" if options.get_bool("capped").unwrap_or_default() => Some(CollectionKind::Capped),
        "collection" if matches!(options.get("clusteredIndex"), Ok(Some(_))) => Some(CollectionKind::Clustered),
        "collection" => Some(CollectionKind::Collection),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(document: &Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(document).expect("BSON")
    }

    #[test]
    fn a_time_series_collection_has_the_identity_of_its_buckets() {
        let uuid = Uuid::from_bytes([7; 16]);
        let listed = [
            raw(&doc! { "name": "ts", "type": "timeseries", "options": { "timeseries": { "timeField": "t" } },
            "info": { "readOnly": false } }),
            raw(&doc! { "name": "system.buckets.ts", "type": "collection", "options": { "clusteredIndex": true },
            "info": { "uuid": uuid } }),
            raw(&doc! { "name": "__lucid_staging_x_1_0", "type": "collection", "options": {},
            "info": { "uuid": uuid } }),
            raw(&doc! { "name": "system.views", "type": "collection", "options": {}, "info": { "uuid": uuid } }),
        ];
        let at = Timestamp { time: 1, increment: 1 };
        let catalog = parse(at, &listed).expect("a catalog");
        assert_eq!(catalog.entries.keys().collect::<Vec<_>>(), ["ts"]);
        assert_eq!(catalog.entries["ts"].uuid, Some(uuid));
        assert_eq!(catalog.staging.len(), 1);
        assert!(catalog.left_out.is_empty());
    }

    #[test]
    fn what_holds_data_of_users_is_not_left_out_without_a_word() {
        let item = |name: &str, kind: &str| raw(&doc! { "name": name, "type": kind, "options": {}, "info": {} });
        let listed = [
            item("system.views", "collection"),
            item("system.profile", "collection"),
            item("system.js", "collection"),
            item("system.buckets.orphan", "collection"),
            item("system.buckets.plain", "collection"),
            item("plain", "collection"),
            item("system.buckets.ts", "collection"),
            item("ts", "timeseries"),
        ];
        let at = Timestamp { time: 1, increment: 1 };
        let catalog = parse(at, &listed).expect("a catalog");
        assert_eq!(catalog.left_out, ["system.buckets.orphan", "system.buckets.plain", "system.js"]);
        assert_eq!(catalog.entries.keys().collect::<Vec<_>>(), ["plain", "ts"]);
    }

    #[test]
    fn an_index_that_is_being_built_is_none() {
        let spec = doc! { "v": 2, "key": { "a": 1 }, "name": "a" };
        let uuid = Uuid::from_bytes([7; 16]);
        assert_eq!(finished(raw(&spec)), Ok(Some(raw(&spec))));
        assert_eq!(finished(raw(&doc! { "spec": &spec })), Ok(Some(raw(&spec))));
        assert_eq!(finished(raw(&doc! { "spec": &spec, "buildUUID": uuid })), Ok(None));
        assert_eq!(finished(raw(&doc! { "odd": 1 })), Err(()));
    }
}
