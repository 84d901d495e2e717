//! [`MongoCatalog`]: names of collections and views, for early checks of requests.

use crate::{
    detached::{READ_BOUND, detached},
    error::store_error,
};
use async_trait::async_trait;
use bson::doc;
use lucid_ports::{Catalog, StoreError};
use mongodb::Client;

/// The databases of the replica set.
#[derive(Debug, Clone)]
pub struct MongoCatalog {
    client: Client,
}

impl MongoCatalog {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Catalog for MongoCatalog {
    async fn collections(&self, database: &str) -> Result<Vec<String>, StoreError> {
        let database = self.client.database(database);
        detached(READ_BOUND, async move {
            let listed =
                database.list_collection_names().filter(doc! { "name": { "$not": { "$regex": "^system\\." } } });
            let mut names = listed.await.map_err(|error| store_error(&error))?;
            names.sort();
            Ok(names)
        })
        .await
    }
}
