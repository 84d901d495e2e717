//! Schedulers on the twin, in virtual time: the twin's clock and this node's go with it, apart as far as a test wants.

use super::{Scheduler, SchedulerHandle, SchedulerOptions};
use async_trait::async_trait;
use bson::DateTime;
use lucid_core::{Command, transition};
use lucid_ports::{
    Enqueue, JobFilter, ScheduleStore, Store, StoreError,
    memory::MemoryStore,
    schedules::{Advance, Edit, Edited, Look, Mark, NewSchedule},
};
use lucid_schemas::{
    BackupSpec, Job, RepositoryName, Schedule, Spec,
    schedule::{Missed, Overlap, Terms},
};
use std::{
    collections::BTreeSet,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The twin behind a door that can be slow, or shut.
struct Door {
    twin: Arc<MemoryStore>,
    look_ms: AtomicU64,
    advance_ms: AtomicU64,
    /// So many of the next marks get lost.
    marks_lost: AtomicU64,
}

const NEVER: u64 = u64::MAX;

async fn wait(ms: &AtomicU64) {
    match ms.load(Ordering::SeqCst) {
        NEVER => pending().await,
        0 => {}
        ms => sleep(Duration::from_millis(ms)).await,
    }
}

#[async_trait]
impl ScheduleStore for Door {
    async fn look(&self) -> Result<Look, StoreError> {
        let seen = self.twin.look().await;
        wait(&self.look_ms).await;
        seen
    }
    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.twin.schedule(name).await
    }
    async fn create_schedule(&self, new: &NewSchedule) -> Result<Option<Schedule>, StoreError> {
        self.twin.create_schedule(new).await
    }
    async fn edit_schedule(&self, edit: &Edit) -> Result<Edited, StoreError> {
        self.twin.edit_schedule(edit).await
    }
    async fn advance_schedule(&self, advance: &Advance) -> Result<Option<Schedule>, StoreError> {
        wait(&self.advance_ms).await;
        let lost = self.marks_lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lost.is_ok() {
            return Err(StoreError::Unavailable("no primary".into()));
        }
        self.twin.advance_schedule(advance).await
    }
    async fn remove_schedule(&self, name: &str, version: Option<i64>) -> Result<bool, StoreError> {
        self.twin.remove_schedule(name, version).await
    }
}

struct World {
    twin: Arc<MemoryStore>,
    door: Arc<Door>,
    /// How far this node's clock is ahead.
    skew_ms: Arc<AtomicI64>,
}

fn at(time: &str) -> DateTime {
    DateTime::parse_rfc3339_str(format!("2026-11-24T{time}:00Z")).expect("a time")
}

impl World {
    /// It is ten in the morning, and time goes on.
    async fn new() -> Self {
        let twin = Arc::new(MemoryStore::at(at("10:00")));
        twin.bind_repository(&RepositoryName { name: "main".into(), id: "id".into() }).await.expect("bound");
        let ticking = Arc::clone(&twin);
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                ticking.advance(Duration::from_secs(1));
            }
        });
        let door = Door {
            twin: Arc::clone(&twin),
            look_ms: AtomicU64::new(0),
            advance_ms: AtomicU64::new(0),
            marks_lost: AtomicU64::new(0),
        };
        Self { twin, door: Arc::new(door), skew_ms: Arc::default() }
    }

    fn scheduler(&self, name: &str) -> SchedulerHandle {
        let (twin, skew_ms) = (Arc::clone(&self.twin), Arc::clone(&self.skew_ms));
        let clock = move || DateTime::from_millis(twin.now().timestamp_millis() + skew_ms.load(Ordering::SeqCst));
        let options = SchedulerOptions { clock: Arc::new(clock), ..SchedulerOptions::new(name) };
        Scheduler::start(self.twin.clone(), self.door.clone(), options)
    }

    /// A schedule of every ten minutes, wanted from ten o'clock on.
    async fn schedule(&self, missed: Missed, overlap: Overlap) -> Schedule {
        let new = NewSchedule { terms: terms(missed, overlap), ..new() };
        self.twin.create_schedule(&new).await.expect("asked").expect("made")
    }

    async fn stored(&self) -> Schedule {
        self.twin.schedule("often").await.expect("asked").expect("there")
    }

    async fn edit(&self, mark: Mark, change: impl FnOnce(&mut Terms)) {
        let Schedule { name, version, mut terms, .. } = self.stored().await;
        change(&mut terms);
        let edit = Edit { name, version, terms, mark, by: "test".into(), write: format!("edit-{version}") };
        assert!(matches!(self.twin.edit_schedule(&edit).await, Ok(Edited::Done(_))));
    }

    async fn jobs(&self) -> Vec<Job> {
        let filter = JobFilter { limit: 1_000, ..JobFilter::default() };
        self.twin.list(&filter).await.expect("listed").jobs
    }

    /// The planned times of all jobs, in order, as their ids tell.
    async fn made(&self) -> Vec<String> {
        let times: Vec<_> = self.jobs().await.iter().map(|job| job.id().as_str()[16..20].to_owned()).collect();
        let once: BTreeSet<_> = times.iter().cloned().collect();
        assert_eq!(times.len(), once.len(), "an occurrence has two jobs: {times:?}");
        once.into_iter().collect()
    }
}

fn terms(missed: Missed, overlap: Overlap) -> Terms {
    Terms {
        cron: "*/10 * * * *".into(),
        timezone: "UTC".into(),
        spec: Spec::Backup(BackupSpec {
            database: "lucid".into(),
            collections: None,
            compression: true,
            encryption: true,
            require_consistent: false,
        }),
        repository: "main".into(),
        max_attempts: 5,
        paused: false,
        missed,
        missed_limit: 3,
        overlap,
    }
}

fn new() -> NewSchedule {
    NewSchedule {
        name: "often".into(),
        terms: terms(Missed::Once, Overlap::Allow),
        high_water: None,
        by: "test".into(),
        write: "made".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn ten_schedulers_make_each_occurrence_once_and_in_time() {
    let world = World::new().await;
    let schedule = world.schedule(Missed::Once, Overlap::Allow).await;
    let schedulers: Vec<_> = (0..10).map(|number| world.scheduler(&format!("s{number}"))).collect();
    sleep(HOUR + Duration::from_secs(5)).await;
    assert_eq!(world.made().await, ["1010", "1020", "1030", "1040", "1050", "1100"]);
    for job in world.jobs().await {
        let planned_ms = (job.head.created_at.stored().expect("stored").timestamp_millis() / 600_000) * 600_000;
        assert_eq!(*job.id(), schedule.occurrence_id(DateTime::from_millis(planned_ms)), "made in its ten minutes");
        let late_ms = job.head.created_at.stored().expect("stored").timestamp_millis() - planned_ms;
        assert!(late_ms <= 2_000, "{late_ms} ms late");
        assert_eq!(job.request.requested_by, "schedule:often");
    }
    let after = world.stored().await;
    assert_eq!((after.high_water, after.version), (at("11:00"), 1));
    assert_eq!(after.last.and_then(|last| last.job), Some(schedule.occurrence_id(at("11:00"))));
    for scheduler in schedulers {
        let status = *scheduler.status().borrow();
        assert!(status.scheduling && status.skew_ms.is_some_and(|skew_ms| skew_ms.abs() < 1_000), "{status:?}");
        scheduler.stop().await.expect("stopped");
    }
    sleep(HOUR).await;
    assert_eq!(world.made().await.len(), 6, "who is stopped makes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_two_writes_makes_neither_two_jobs_nor_none() {
    let world = World::new().await;
    world.schedule(Missed::Once, Overlap::Skip).await;
    world.door.marks_lost.store(1, Ordering::SeqCst);
    let crashed = world.scheduler("crashes");
    sleep(10 * MINUTE + Duration::from_secs(1)).await;
    crashed.stop().await.expect("stopped");
    assert_eq!((world.made().await, world.stored().await.high_water), (vec!["1010".to_owned()], at("10:00")));
    let next = world.scheduler("next");
    sleep(MINUTE).await;
    let after = world.stored().await;
    assert_eq!((world.made().await.len(), after.high_water), (1, at("10:10")));
    assert_eq!(after.last.expect("an outcome").job.as_ref(), Some(world.jobs().await[0].id()));
    next.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn paused_is_paused_and_resumed_makes_up_for_nothing() {
    let world = World::new().await;
    world.schedule(Missed::All, Overlap::Allow).await;
    let scheduler = world.scheduler("s");
    sleep(15 * MINUTE).await;
    world.edit(Mark::Keep, |terms| terms.paused = true).await;
    sleep(HOUR).await;
    assert_eq!(world.made().await, ["1010"]);
    world.edit(Mark::Raise, |terms| terms.paused = false).await;
    sleep(10 * MINUTE).await;
    assert_eq!(world.made().await, ["1010", "1120"]);
    scheduler.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn an_open_job_keeps_the_next_one_away_where_that_is_wanted() {
    let world = World::new().await;
    world.schedule(Missed::Once, Overlap::Skip).await;
    let scheduler = world.scheduler("s");
    sleep(31 * MINUTE).await;
    assert_eq!(world.made().await, ["1010"], "the first one still waits for a worker");
    let after = world.stored().await;
    assert_eq!(after.high_water, at("10:30"), "what is left out has been dealt with");
    let last = after.last.expect("an outcome");
    assert_eq!((last.planned_at, last.job), (at("10:30"), None));
    let first = world.jobs().await[0].id().to_string();
    assert!(last.skipped.expect("a reason").contains(&first), "it says which job");
    world.edit(Mark::Keep, |terms| terms.overlap = Overlap::Allow).await;
    sleep(10 * MINUTE).await;
    assert_eq!(world.made().await, ["1010", "1040"]);
    scheduler.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn missed_ones_that_may_not_overlap_wait_for_each_other() {
    let world = World::new().await;
    world.schedule(Missed::All, Overlap::Skip).await;
    sleep(31 * MINUTE).await;
    let scheduler = world.scheduler("s");
    for made in 1..=3 {
        sleep(MINUTE / 2).await;
        let jobs = world.jobs().await;
        assert_eq!(jobs.len(), made, "one after the other");
        let open = jobs.iter().find(|job| !job.head.state.is_terminal()).expect("one is open");
        let end = transition(open, &Command::RequestCancel, "test", &format!("end {made}")).expect("lawful");
        world.twin.apply(&end).await.expect("ended");
    }
    assert_eq!(world.made().await, ["1010", "1020", "1030"]);
    scheduler.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn after_hours_without_a_scheduler_the_policy_decides() {
    for (missed, made) in
        [(Missed::Skip, vec![]), (Missed::Once, vec!["1430"]), (Missed::All, vec!["1410", "1420", "1430"])]
    {
        let world = World::new().await;
        world.schedule(missed, Overlap::Allow).await;
        sleep(4 * HOUR + 36 * MINUTE).await;
        let schedulers = [world.scheduler("a"), world.scheduler("b")];
        sleep(MINUTE).await;
        assert_eq!(world.made().await, made, "{missed}");
        let after = world.stored().await;
        assert_eq!(after.high_water, at("14:30"), "{missed}");
        assert_eq!(after.last.expect("an outcome").skipped.is_some(), missed == Missed::Skip);
        for scheduler in schedulers {
            scheduler.stop().await.expect("stopped");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_with_a_wrong_clock_schedules_nothing_until_it_is_right() {
    for skew_ms in [7_200_000, -7_200_000, 31_500, -31_500] {
        let world = World::new().await;
        world.schedule(Missed::Once, Overlap::Allow).await;
        world.skew_ms.store(skew_ms, Ordering::SeqCst);
        let scheduler = world.scheduler("s");
        sleep(15 * MINUTE).await;
        let status = *scheduler.status().borrow();
        assert_eq!((status.skew_ms, status.scheduling), (Some(skew_ms), false));
        assert_eq!((world.made().await.len(), world.stored().await.high_water), (0, at("10:00")));
        world.skew_ms.store(29_000, Ordering::SeqCst);
        sleep(MINUTE).await;
        assert!(scheduler.status().borrow().scheduling);
        assert_eq!(world.made().await, ["1010"]);
        scheduler.stop().await.expect("stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_the_primary_that_jumps_makes_nothing_twice() {
    let world = World::new().await;
    world.schedule(Missed::Once, Overlap::Allow).await;
    let scheduler = world.scheduler("s");
    sleep(21 * MINUTE).await;
    assert_eq!(world.made().await, ["1010", "1020"]);
    world.twin.set_now(at("10:05"));
    sleep(20 * MINUTE).await;
    assert_eq!(world.made().await, ["1010", "1020"], "back: what was made isn't made again");
    world.twin.set_now(at("10:29"));
    sleep(2 * MINUTE).await;
    assert_eq!(world.made().await, ["1010", "1020", "1030"], "and then it goes on");
    world.twin.set_now(at("15:05"));
    sleep(MINUTE).await;
    assert_eq!(world.made().await, ["1010", "1020", "1030", "1500"], "forward: the policy decides");
    scheduler.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn nobody_goes_by_a_plan_that_has_grown_old() {
    let world = World::new().await;
    world.schedule(Missed::All, Overlap::Allow).await;
    sleep(2 * HOUR).await;
    // As if the process had been stopped right after its look.
    world.door.look_ms.store(20_000, Ordering::SeqCst);
    let scheduler = world.scheduler("s");
    sleep(Duration::from_secs(1)).await;
    assert!(world.twin.remove_schedule("often", None).await.expect("asked"));
    sleep(5 * MINUTE).await;
    assert_eq!(world.made().await.len(), 0);
    scheduler.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn an_edit_ends_a_plan_at_once() {
    let world = World::new().await;
    world.schedule(Missed::All, Overlap::Allow).await;
    world.door.advance_ms.store(2_000, Ordering::SeqCst);
    sleep(2 * HOUR).await;
    let scheduler = world.scheduler("s");
    sleep(Duration::from_secs(1)).await;
    world.edit(Mark::Keep, |terms| terms.paused = true).await;
    sleep(5 * MINUTE).await;
    assert_eq!(world.made().await, ["1140"]);
    scheduler.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn one_bad_schedule_does_not_hold_up_the_others() {
    let world = World::new().await;
    // What another program may have left: it sorts before the good one.
    let bad = Terms { timezone: "Mars/Olympus".into(), ..terms(Missed::Once, Overlap::Allow) };
    let nowhere = Terms { repository: "nowhere".into(), ..terms(Missed::Once, Overlap::Allow) };
    for (name, terms) in [("a-bad", bad), ("b-nowhere", nowhere)] {
        let new = NewSchedule { name: name.into(), terms, ..new() };
        world.twin.create_schedule(&new).await.expect("asked").expect("made");
    }
    let good = world.schedule(Missed::Once, Overlap::Allow).await;
    // The id of its first job is taken by somebody else's.
    let taken = good.request(
        good.occurrence_id(at("10:10")),
        "else".into(),
        RepositoryName { name: "main".into(), id: "id".into() },
    );
    let asked = Enqueue { request: taken, delay_ms: 0, run_at: None, write: "else".into() };
    world.twin.enqueue(&asked).await.expect("enqueued");
    let late = NewSchedule { name: "z-late".into(), ..new() };
    let late = world.twin.create_schedule(&late).await.expect("asked").expect("made");
    let scheduler = world.scheduler("s");
    sleep(11 * MINUTE).await;
    assert!(world.jobs().await.iter().any(|job| *job.id() == late.occurrence_id(at("10:10"))));
    let nowhere = world.twin.schedule("b-nowhere").await.expect("asked").expect("there");
    let reason = nowhere.last.expect("an outcome").skipped.expect("left out");
    assert!(reason.contains("repository 'nowhere'"), "{reason}");
    scheduler.stop().await.expect("stopped");
}

#[tokio::test(start_paused = true)]
async fn it_stops_at_once_even_where_the_store_does_not_answer() {
    let world = World::new().await;
    world.door.look_ms.store(NEVER, Ordering::SeqCst);
    let scheduler = world.scheduler("s");
    sleep(MINUTE).await;
    let stopped = timeout(Duration::from_millis(1), scheduler.stop()).await;
    stopped.expect("at once").expect("stopped");
}
