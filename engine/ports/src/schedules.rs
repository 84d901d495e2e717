//! Where schedules are kept. Edits and the high-water mark are compare-and-sets; all time is the store's own clock.

use crate::StoreError;
use async_trait::async_trait;
use bson::DateTime;
use lucid_schemas::schedule::{Outcome, Schedule, Terms};

/// One look at everything, at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// What the primary's clock showed.
    pub now: DateTime,
    /// Every schedule that this program can read, in order of their names.
    pub schedules: Vec<Schedule>,
    /// One sentence on each of the others.
    pub unreadable: Vec<String>,
}

/// A schedule to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSchedule {
    /// Its name.
    pub name: String,
    /// What is wanted.
    pub terms: Terms,
    /// Occurrences planned until then are not wanted; now where absent.
    pub high_water: Option<DateTime>,
    /// Who makes it.
    pub by: String,
    /// A fresh random name of this write.
    pub write: String,
}

/// What an edit does to the high-water mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    Keep,
    /// Raises it to now: what was planned before isn't wanted.
    Raise,
    /// Sets it, up or down: the one way to lower it.
    Set(DateTime),
}

impl Mark {
    /// What an edit from one to the other does unless told otherwise: what was planned under other times, or while the
    /// schedule rested, isn't made up for.
    pub fn after(before: &Terms, now: &Terms) -> Self {
        if !before.same_times(now) || (before.paused && !now.paused) { Self::Raise } else { Self::Keep }
    }
}

/// A change of what a person has set.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The schedule.
    pub name: String,
    /// The version that the edit builds on.
    pub version: i64,
    /// What is wanted from now on.
    pub terms: Terms,
    /// What becomes of the high-water mark.
    pub mark: Mark,
    /// Who edits.
    pub by: String,
    /// A fresh random name of this write.
    pub write: String,
}

/// What came of an edit.
#[derive(Debug, Clone, PartialEq)]
pub enum Edited {
    /// It happened; this is the schedule after it.
    Done(Box<Schedule>),
    /// The version had moved on, and nothing was changed. This is the schedule as it is; `None` where there is none.
    Stale(Option<Box<Schedule>>),
}

impl Edited {
    /// What came of `edit`, read from the schedule as it is `afterwards`: the name of the write decides. Every store
    /// judges by this.
    pub fn of(edit: &Edit, afterwards: Option<Schedule>) -> Self {
        match afterwards {
            Some(schedule) if schedule.write == edit.write => Self::Done(Box::new(schedule)),
            other => Self::Stale(other.map(Box::new)),
        }
    }
}

/// Raises the high-water mark over an occurrence that has been dealt with.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// The schedule.
    pub name: String,
    /// Its making: one of the same name that was made later is another.
    pub created_at: DateTime,
    /// The version that the plan was read from.
    pub version: i64,
    /// The mark that the plan was read from.
    pub from: DateTime,
    /// What came of the occurrence; its planned time is the new mark.
    pub outcome: Outcome,
}

/// Where schedules are kept. What these answers promise is durable on a majority.
#[async_trait]
pub trait ScheduleStore: Send + Sync + 'static {
    /// Every schedule, and the clock.
    async fn look(&self) -> Result<Look, StoreError>;

    /// One schedule.
    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError>;

    /// Makes a schedule; `None` where one of that name is there already. Asked again with the same `write`, and while
    /// nobody has edited it, it answers with the same schedule.
    async fn create_schedule(&self, new: &NewSchedule) -> Result<Option<Schedule>, StoreError>;

    /// Edits a schedule.
    async fn edit_schedule(&self, edit: &Edit) -> Result<Edited, StoreError>;

    /// Raises the mark where nothing has changed since the plan was read, and gives the schedule as it is afterwards;
    /// `None` where there is none.
    async fn advance_schedule(&self, advance: &Advance) -> Result<Option<Schedule>, StoreError>;

    /// Removes a schedule, of this version where one is given; false where there is none. Its jobs stay.
    async fn remove_schedule(&self, name: &str, version: Option<i64>) -> Result<bool, StoreError>;
}
