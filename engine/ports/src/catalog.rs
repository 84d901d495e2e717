//! What the replica set holds, as far as requests are checked against it before they become jobs.

use crate::StoreError;
use async_trait::async_trait;

/// The databases of the replica set. A hint for early, friendly errors: handlers check again when they run.
#[async_trait]
pub trait Catalog: Send + Sync + 'static {
    /// Names of the collections and views of a database, sorted; empty where there is no such database.
    async fn collections(&self, database: &str) -> Result<Vec<String>, StoreError>;
}
