//! Silences in memory: the same as the statements on MongoDB.

use super::MemoryStore;
use crate::{NewSilence, SilenceLook, Silences, StoreError};
use async_trait::async_trait;
use lucid_schemas::silence::{Silence, SilenceId};

#[async_trait]
impl Silences for MemoryStore {
    async fn look_at_silences(&self) -> Result<SilenceLook, StoreError> {
        let held = self.held();
        let now = held.clock.now();
        let mut silences: Vec<_> = held.silences.values().filter(|silence| !silence.is_over(now)).cloned().collect();
        silences.sort_by(|one, other| (one.until, &one.id).cmp(&(other.until, &other.id)));
        Ok(SilenceLook { now, silences, unreadable: Vec::new() })
    }

    async fn silence(&self, id: &SilenceId) -> Result<Option<Silence>, StoreError> {
        Ok(self.held().silences.get(id).cloned())
    }

    async fn add_silence(&self, new: &NewSilence) -> Result<Silence, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let NewSilence { id, matchers, from, until, window, by, comment, write } = new.clone();
        let stored = held.silences.entry(new.id.clone()).or_insert_with(|| Silence {
            id,
            matchers,
            from: from.unwrap_or(now),
            until,
            window,
            by,
            comment,
            created_at: now,
            ended_at: None,
            ended_by: None,
            write,
        });
        if stored.write == new.write {
            Ok(stored.clone())
        } else {
            Err(StoreError::Rejected(format!("the silence id {} is taken", new.id)))
        }
    }

    async fn end_silence(&self, id: &SilenceId, by: &str) -> Result<Option<Silence>, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let Some(stored) = held.silences.get_mut(id) else { return Ok(None) };
        if !stored.is_over(now) {
            stored.ended_at = Some(now);
            stored.ended_by = Some(by.to_owned());
        }
        Ok(Some(stored.clone()))
    }

    async fn forget_silences(&self, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let mut held = self.held();
        let before = held.clock.now().timestamp_millis().saturating_sub(older_ms);
        let over_at = |silence: &Silence| silence.ended_at.map_or(silence.until, |ended| ended.min(silence.until));
        let old = held.silences.values().filter(|silence| over_at(silence).timestamp_millis() < before);
        let old: Vec<_> = old.map(|silence| silence.id.clone()).take(limit as usize).collect();
        held.silences.retain(|id, _| !old.contains(id));
        Ok(old.len() as u64)
    }
}
