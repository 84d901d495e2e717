//! Schedules in memory: the same as the statements on MongoDB.

use super::MemoryStore;
use crate::{
    StoreError,
    schedules::{Advance, Edit, Edited, Look, Mark, NewSchedule, ScheduleStore},
};
use async_trait::async_trait;
use lucid_schemas::schedule::Schedule;

#[async_trait]
impl ScheduleStore for MemoryStore {
    async fn look(&self) -> Result<Look, StoreError> {
        let held = self.held();
        let schedules = held.schedules.values().cloned().collect();
        Ok(Look { now: held.clock.now(), schedules, unreadable: Vec::new() })
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        Ok(self.held().schedules.get(name).cloned())
    }

    async fn create_schedule(&self, new: &NewSchedule) -> Result<Option<Schedule>, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let stored = held.schedules.entry(new.name.clone()).or_insert_with(|| Schedule {
            name: new.name.clone(),
            version: 1,
            terms: new.terms.clone(),
            high_water: new.high_water.unwrap_or(now),
            last: None,
            created_by: new.by.clone(),
            created_at: now,
            updated_by: new.by.clone(),
            updated_at: now,
            write: new.write.clone(),
        });
        Ok(Some(stored.clone()).filter(|stored| stored.write == new.write))
    }

    async fn edit_schedule(&self, edit: &Edit) -> Result<Edited, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let Some(stored) = held.schedules.get_mut(&edit.name) else {
            return Ok(Edited::Stale(None));
        };
        if stored.version == edit.version {
            stored.version += 1;
            stored.terms = edit.terms.clone();
            stored.high_water = match edit.mark {
                Mark::Keep => stored.high_water,
                Mark::Raise => stored.high_water.max(now),
                Mark::Set(mark) => mark,
            };
            stored.updated_by.clone_from(&edit.by);
            stored.updated_at = now;
            stored.write.clone_from(&edit.write);
        }
        Ok(Edited::of(edit, Some(stored.clone())))
    }

    async fn advance_schedule(&self, advance: &Advance) -> Result<Option<Schedule>, StoreError> {
        let mut held = self.held();
        if let Some(stored) = held.schedules.get_mut(&advance.name)
            && (stored.version, stored.created_at, stored.high_water)
                == (advance.version, advance.created_at, advance.from)
        {
            stored.high_water = advance.outcome.planned_at;
            stored.last = Some(advance.outcome.clone());
        }
        Ok(held.schedules.get(&advance.name).cloned())
    }

    async fn remove_schedule(&self, name: &str, version: Option<i64>) -> Result<bool, StoreError> {
        let mut held = self.held();
        let fits = |stored: &Schedule| version.is_none_or(|version| version == stored.version);
        let there = held.schedules.get(name).is_some_and(fits);
        if there {
            held.schedules.remove(name);
        }
        Ok(there)
    }
}
