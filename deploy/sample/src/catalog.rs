//! What a server says about the collections of a database, without what differs by nature.

use crate::{Error, Result};
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::Database;
use std::collections::BTreeMap;

/// One collection or view.
#[derive(Debug)]
pub(crate) struct Entry {
    pub name: String,
    /// Its type, options and `_id` index, as bytes: the order of fields counts in a pipeline.
    pub definition: Vec<u8>,
    kind: &'static str,
}

impl Entry {
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub fn show(&self) -> String {
        Document::from_reader(&*self.definition)
            .map_or_else(|error| error.to_string(), |definition| definition.to_string())
    }
}

/// The collections and views by name; not the server's own (`system.`), which only mirror the others.
pub(crate) async fn entries(database: &Database) -> Result<BTreeMap<String, Entry>> {
    let all = list(database, doc! { "listCollections": 1 }).await?;
    let all: Vec<Entry> =
        all.into_iter().filter_map(entry).filter(|entry| !entry.name.starts_with("system.")).collect();
    if all.is_empty() {
        return Err(Error::Empty { database: database.name().to_owned() });
    }
    Ok(all.into_iter().map(|entry| (entry.name.clone(), entry)).collect())
}

fn entry(mut listed: Document) -> Option<Entry> {
    let name = listed.get_str("name").ok()?.to_owned();
    let kind = listed.get_str("type").ok()?.to_owned();
    let options = listed.get_document("options").ok()?;
    let kind = match &*kind {
        "view" => "view",
        "timeseries" => "timeseries",
        _ if options.get_bool("capped").unwrap_or(false) => "capped",
        _ if options.contains_key("clusteredIndex") => "clustered",
        _ => "collection",
    };
    for ignored in ["name", "info"] {
        listed.remove(ignored);
    }
    if let Some(Bson::Document(index)) = listed.get_mut("idIndex") {
        index.remove("ns");
    }
    let definition = bson::serialize_to_vec(&listed).ok()?;
    Some(Entry { name, definition, kind })
}

/// The indexes by name: the key as bytes, for its order counts, and everything else, whose order does not.
pub(crate) async fn index_list(database: &Database, entry: &Entry) -> Result<BTreeMap<String, (Vec<u8>, Document)>> {
    let all = list(database, doc! { "listIndexes": &entry.name }).await?;
    let index = |mut index: Document| {
        index.remove("ns");
        let key = index.get_document("key").ok().and_then(|key| bson::serialize_to_vec(key).ok()).unwrap_or_default();
        (index.get_str("name").unwrap_or_default().to_owned(), (key, index))
    };
    Ok(all.into_iter().map(index).collect())
}

async fn list(database: &Database, command: Document) -> Result<Vec<Document>> {
    let verb = command.keys().next().cloned().unwrap_or_default();
    let what = format!("{verb} of {}", database.name());
    let cursor = database.run_cursor_command(command).await.map_err(Error::server(&*what))?;
    cursor.try_collect().await.map_err(Error::server(what))
}
