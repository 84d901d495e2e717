//! Whether two databases hold the same: every document byte for byte, options, indexes, views.
//!
//! UUIDs differ by nature and are ignored. The order of documents counts where it is content: in capped collections.
//! Of time-series collections the measurements are compared, not the buckets in which a server happens to keep them, and
//! not the order of a measurement's fields, which a server does not keep.

use crate::{
    Error, Result,
    catalog::{Entry, entries, index_list},
};
use bson::{Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use mongodb::{Client, Database, raw_batch_cursor::RawBatchCursor};
use std::{collections::BTreeSet, collections::VecDeque, fmt};

/// One difference between two databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The collection or view.
    pub collection: String,
    /// What differs, the first thing found.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.collection, self.what)
    }
}

/// What was compared of one collection or view.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// `collection`, `capped`, `clustered`, `timeseries` or `view`.
    pub kind: &'static str,
    /// How many documents were compared.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many indexes were compared.
    pub indexes: usize,
    /// The first difference.
    pub difference: Option<Difference>,
}

/// All differences between two databases, at most one per collection.
pub async fn compare(client: &Client, source: &str, target: &str) -> Result<Vec<Difference>> {
    Ok(compare_each(client, source, target).await?.into_iter().filter_map(|compared| compared.difference).collect())
}

/// Compares every collection and view that either database has, in the order of names.
pub async fn compare_each(client: &Client, source: &str, target: &str) -> Result<Vec<Compared>> {
    let (source, target) = (client.database(source), client.database(target));
    let (left, right) = (entries(&source).await?, entries(&target).await?);
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut all = Vec::new();
    for name in names {
        let mut compared = Compared {
            name: name.clone(),
            kind: left.get(name).or(right.get(name)).map_or("collection", Entry::kind),
            documents: 0,
            bytes: 0,
            indexes: 0,
            difference: None,
        };
        let what = match (left.get(name), right.get(name)) {
            (Some(left), Some(right)) => differs((&source, left), (&target, right), &mut compared).await?,
            (Some(_), None) => Some(format!("is missing in {}", target.name())),
            (None, _) => Some(format!("is in {} only", target.name())),
        };
        compared.difference = what.map(|what| Difference { collection: name.clone(), what });
        all.push(compared);
    }
    Ok(all)
}

type Side<'a> = (&'a Database, &'a Entry);

async fn differs(left: Side<'_>, right: Side<'_>, compared: &mut Compared) -> Result<Option<String>> {
    if left.1.definition != right.1.definition {
        let [left, right] = [left.1, right.1].map(Entry::show);
        return Ok(Some(format!("options differ: {left} against {right}")));
    }
    if left.1.kind() == "view" {
        return Ok(None);
    }
    let (mine, theirs) = (index_list(left.0, left.1).await?, index_list(right.0, right.1).await?);
    compared.indexes = mine.len();
    if let Some(name) = mine.keys().chain(theirs.keys()).find(|name| mine.get(*name) != theirs.get(*name)) {
        return Ok(Some(format!("index {name} differs: {:?} against {:?}", mine.get(name), theirs.get(name))));
    }
    documents_differ(left, right, compared).await
}

async fn documents_differ(left: Side<'_>, right: Side<'_>, compared: &mut Compared) -> Result<Option<String>> {
    let (mut left, mut right) = (Reader::open(left).await?, Reader::open(right).await?);
    loop {
        // Both servers' batches are asked for at once.
        let (mine, theirs) = futures::join!(left.next(), right.next());
        let (mine, theirs) = match (mine?, theirs?) {
            (None, None) => return Ok(None),
            (Some(mine), Some(theirs)) => (mine, theirs),
            (Some(mine), None) => return Ok(Some(format!("ends before the document with _id {}", id(&mine)))),
            (None, Some(theirs)) => return Ok(Some(format!("goes on with the document with _id {}", id(&theirs)))),
        };
        if mine.as_bytes() != theirs.as_bytes() {
            let place = compared.documents + 1;
            let at = mine.as_bytes().iter().zip(theirs.as_bytes()).take_while(|(mine, theirs)| mine == theirs).count();
            let (mine, theirs) = (id(&mine), id(&theirs));
            return Ok(Some(if mine == theirs {
                format!("the document with _id {mine} (number {place}) differs from byte {at} on")
            } else {
                format!("document number {place} has _id {mine} against {theirs}")
            }));
        }
        compared.documents += 1;
        compared.bytes += u64::try_from(mine.as_bytes().len()).unwrap_or(0);
    }
}

fn id(document: &RawDocumentBuf) -> String {
    document.get("_id").ok().flatten().map_or_else(|| "none".to_owned(), |id| format!("{id:?}"))
}

/// A collection's documents one after the other, as they came over the wire.
struct Reader {
    what: String,
    cursor: RawBatchCursor,
    waiting: VecDeque<RawDocumentBuf>,
    is_measurements: bool,
}

impl Reader {
    async fn open((database, entry): Side<'_>) -> Result<Self> {
        let what = format!("reading {}.{}", database.name(), entry.name);
        let collection = database.collection::<Document>(&entry.name);
        let order = if entry.kind() == "capped" {
            doc! { "$natural": 1 }
        } else {
            doc! { "_id": 1 }
        };
        let cursor = collection.find(doc! {}).sort(order).allow_disk_use(true).batch();
        let cursor = cursor.await.map_err(Error::server(&*what))?;
        Ok(Self { what, cursor, waiting: VecDeque::new(), is_measurements: entry.kind() == "timeseries" })
    }

    async fn next(&mut self) -> Result<Option<RawDocumentBuf>> {
        while self.waiting.is_empty() {
            let Some(batch) = self.cursor.try_next().await.map_err(Error::server(&*self.what))? else {
                return Ok(None);
            };
            for document in batch.doc_slices().map_err(Error::server(&*self.what))? {
                let document = document.map_err(|source| Error::Reply { what: self.what.clone(), source })?;
                let document = document.as_document().map(ToOwned::to_owned);
                self.waiting.extend(document.map(
                    |document| {
                        if self.is_measurements { by_name(&document) } else { document }
                    },
                ));
            }
        }
        Ok(self.waiting.pop_front())
    }
}

/// The same document with its fields in the order of their names.
fn by_name(document: &RawDocumentBuf) -> RawDocumentBuf {
    let Ok(mut fields) = document.iter().collect::<std::result::Result<Vec<_>, _>>() else {
        return document.clone();
    };
    fields.sort_by_key(|(name, _)| *name);
    fields.into_iter().collect()
}
