//! Schedules in the simulation: as one process sees them, and what must have become of them in the end.

use super::{
    stage::{BEGIN_MS, Stage, wall_clock},
    store::SimStore,
};
use async_trait::async_trait;
use bson::DateTime;
use lucid_ports::{
    ScheduleStore, Store, StoreError,
    schedules::{Advance, Edit, Edited, Look, NewSchedule},
};
use lucid_runtime::{Scheduler, SchedulerOptions};
use lucid_schemas::{
    BackupSpec, JobId, RepositoryName, Schedule, Spec,
    schedule::{Missed, Overlap, Terms},
};
use std::sync::Arc;

const MINUTE_MS: i64 = 60_000;
/// So many occurrences were missed before anything runs.
const MISSED: i64 = 2;
/// Of this schedule every occurrence is made up for.
const EACH: &str = "each";

/// The repository that scheduled jobs need.
pub fn repository() -> RepositoryName {
    RepositoryName { name: "main".into(), id: "main-id".into() }
}

fn terms(missed: Missed, overlap: Overlap) -> Terms {
    Terms {
        cron: "* * * * *".into(),
        timezone: "UTC".into(),
        spec: Spec::Backup(BackupSpec {
            database: "lucid".into(),
            collections: None,
            compression: true,
            encryption: true,
            require_consistent: false,
        }),
        repository: repository().name,
        max_attempts: 5,
        paused: false,
        missed,
        missed_limit: 24,
        overlap,
    }
}

fn last_minute_before(at_ms: i64) -> i64 {
    at_ms - at_ms.rem_euclid(MINUTE_MS)
}

/// Two schedules that have missed some occurrences when everything begins.
pub async fn prepare(stage: &Stage) -> Result<(), StoreError> {
    stage.twin.bind_repository(&repository()).await?;
    for (name, missed, overlap) in [(EACH, Missed::All, Overlap::Allow), ("alone", Missed::Once, Overlap::Skip)] {
        let mark_ms = last_minute_before(BEGIN_MS) - MISSED * MINUTE_MS;
        let new = NewSchedule {
            name: name.into(),
            terms: terms(missed, overlap),
            high_water: Some(DateTime::from_millis(mark_ms)),
            by: "client".into(),
            write: format!("create {name}"),
        };
        stage.twin.create_schedule(&new).await?;
    }
    Ok(())
}

/// Starts the scheduler of a node, in the runtime that is entered; it ends with that.
pub fn start(store: &Arc<SimStore>) {
    let options = SchedulerOptions {
        poll_ms: 2_000,
        // The store's clock jumps often in here.
        skew_limit_ms: i64::MAX,
        clock: Arc::new(wall_clock),
        ..SchedulerOptions::new(&store.process.name)
    };
    let (jobs, schedules): (Arc<dyn Store>, Arc<dyn ScheduleStore>) = (store.clone(), store.clone());
    drop(Scheduler::start(jobs, schedules, options));
}

/// Whether what was missed at the beginning has been dealt with.
pub fn caught_up(stage: &Stage) -> bool {
    let all = stage.twin.schedules();
    all.iter().all(|schedule| schedule.high_water.timestamp_millis() >= last_minute_before(BEGIN_MS))
}

/// What is wrong with the schedules once all is quiet.
pub fn violations(stage: &Stage) -> Vec<String> {
    let mut found = Vec::new();
    for schedule in stage.twin.schedules() {
        let mark_ms = schedule.high_water.timestamp_millis();
        if mark_ms < last_minute_before(BEGIN_MS) {
            found.push(format!("SIM-20: schedule '{}' has stood still since its beginning", schedule.name));
        }
        if schedule.name == EACH {
            let first_ms = last_minute_before(BEGIN_MS) - (MISSED - 1) * MINUTE_MS;
            let planned = (0..).map(|minute| first_ms + minute * MINUTE_MS).take_while(|at_ms| *at_ms <= mark_ms);
            let gone = planned
                .map(DateTime::from_millis)
                .filter(|at| stage.twin.document(&schedule.occurrence_id(*at)).is_none());
            found.extend(gone.map(|at| format!("SIM-20: the occurrence of {at} was dealt with, and has no job")));
        }
    }
    found
}

#[async_trait]
impl ScheduleStore for SimStore {
    async fn look(&self) -> Result<Look, StoreError> {
        self.pass("look", self.stage.twin.look()).await
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.pass("schedule", self.stage.twin.schedule(name)).await
    }

    async fn create_schedule(&self, new: &NewSchedule) -> Result<Option<Schedule>, StoreError> {
        self.pass("create_schedule", self.stage.twin.create_schedule(new)).await
    }

    async fn edit_schedule(&self, edit: &Edit) -> Result<Edited, StoreError> {
        self.pass("edit_schedule", self.stage.twin.edit_schedule(edit)).await
    }

    async fn advance_schedule(&self, advance: &Advance) -> Result<Option<Schedule>, StoreError> {
        self.pass("advance_schedule", async {
            let before = self.stage.twin.schedule(&advance.name).await?.map(|schedule| schedule.high_water);
            let after = self.stage.twin.advance_schedule(advance).await?;
            if after.as_ref().map(|schedule| schedule.high_water) != before {
                self.raised(advance);
            }
            Ok(after)
        })
        .await
    }

    async fn remove_schedule(&self, name: &str, version: Option<i64>) -> Result<bool, StoreError> {
        self.pass("remove_schedule", self.stage.twin.remove_schedule(name, version)).await
    }
}

impl SimStore {
    /// A mark was raised.
    fn raised(&self, advance: &Advance) {
        let job: Option<&JobId> = advance.outcome.job.as_ref();
        let what = job.map_or_else(|| "is left out".to_owned(), |job| format!("is {job}"));
        self.stage.note(&self.process.name, &format!("{} of {} {what}", advance.outcome.planned_at, advance.name));
        self.stage.ledger().count(if job.is_some() { "scheduled" } else { "occurrence left out" });
    }
}
