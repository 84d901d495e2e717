//! All jobs there are, one page after the other: for audit and export.

use crate::StoreError;
use async_trait::async_trait;
use bson::Document;

/// All jobs, as they are stored: a document that can't be read must not go unseen.
#[async_trait]
pub trait Archive: Send + Sync + 'static {
    /// At most `limit` job documents whose ids follow `after`, in the order of their ids: by kind, then oldest first.
    /// A job that changes meanwhile may appear as it was or as it is; none appears twice or is left out.
    async fn page(&self, after: Option<&str>, limit: u32) -> Result<Vec<Document>, StoreError>;
}
