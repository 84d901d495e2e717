//! All job documents, page by page.

use crate::{MongoStore, query, read};
use async_trait::async_trait;
use bson::{Document, doc};
use lucid_ports::{Archive, StoreError};
use lucid_schemas::collections::OPS;
use mongodb::options::FindOptions;

#[async_trait]
impl Archive for MongoStore {
    async fn page(&self, after: Option<&str>, limit: u32) -> Result<Vec<Document>, StoreError> {
        let options = FindOptions::builder().sort(doc! { "_id": 1 }).limit(i64::from(limit)).build();
        read::find(self.ops(), OPS, query::following(after), options).await
    }
}
