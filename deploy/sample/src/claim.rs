//! Whose database it is: a sample carries a marker, and only a marked one is dropped.

use crate::{Error, Result};
use bson::{Document, doc};
use mongodb::{Client, Database};

/// Collection with the one document that marks a sample; made first, so that half a sample is marked too.
pub(crate) const MARKER: &str = "lucid_sample";

/// Makes sure that the database is empty but for the marker: drops an earlier sample, or anything if `force`.
pub async fn prepare(client: &Client, name: &str, force: bool) -> Result<Database> {
    if matches!(name, "admin" | "local" | "config") {
        return Err(Error::Reserved { database: name.to_owned() });
    }
    let database = client.database(name);
    let what = format!("preparing database {name}");
    let collections = database.list_collection_names().await.map_err(Error::server(&*what))?;
    let marker = database.collection::<Document>(MARKER);
    let is_marked = marker.find_one(doc! { "_id": "marker" }).await.map_err(Error::server(&*what))?.is_some();
    if !collections.is_empty() && !is_marked && !force {
        return Err(Error::NotOurs { database: name.to_owned() });
    }
    database.drop().await.map_err(Error::server(&*what))?;
    let mark = doc! { "_id": "marker", "is": "a sample database of Lucid Ops, free to be dropped" };
    marker.insert_one(mark).await.map_err(Error::server(what))?;
    Ok(database)
}
