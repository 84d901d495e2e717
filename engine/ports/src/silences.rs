//! Where silences are kept: each written once and ended once. All time is the store's own clock.

use crate::StoreError;
use async_trait::async_trait;
use bson::DateTime;
use lucid_schemas::silence::{Matcher, Silence, SilenceId, Window};

/// A silence to be made. Whoever asks has checked what it says, and how far ahead it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSilence {
    /// Its id.
    pub id: SilenceId,
    /// What it is about.
    pub matchers: Vec<Matcher>,
    /// From when on; now where absent.
    pub from: Option<DateTime>,
    /// Until when.
    pub until: DateTime,
    /// In which parts of that time.
    pub window: Option<Window>,
    /// Who wants it.
    pub by: String,
    /// Why, for people.
    pub comment: String,
    /// A fresh random name of this write.
    pub write: String,
}

/// The silences that aren't over, and the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct SilenceLook {
    /// What the primary's clock showed.
    pub now: DateTime,
    /// Those that aren't over and that this program can read, by when they end, then by id.
    pub silences: Vec<Silence>,
    /// One sentence on each of the others: what they silence is heard.
    pub unreadable: Vec<String>,
}

/// Where silences are kept. What these answers promise is durable on a majority.
#[async_trait]
pub trait Silences: Send + Sync + 'static {
    /// Every silence that isn't over, and the clock.
    async fn look_at_silences(&self) -> Result<SilenceLook, StoreError>;

    /// One silence, over or not.
    async fn silence(&self, id: &SilenceId) -> Result<Option<Silence>, StoreError>;

    /// Makes a silence. Asked again with the same `write`, it answers with the same one.
    async fn add_silence(&self, new: &NewSilence) -> Result<Silence, StoreError>;

    /// Ends a silence now; one that is over stays as it is. `None` where there is none.
    async fn end_silence(&self, id: &SilenceId, by: &str) -> Result<Option<Silence>, StoreError>;

    /// Deletes those that were over longer ago than this, `limit` at most; how many that were.
    async fn forget_silences(&self, older_ms: i64, limit: u32) -> Result<u64, StoreError>;
}
