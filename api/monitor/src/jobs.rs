//! What the store tells: open jobs, workers, the newest backup and verification of each database. Asked again and again, in the background.

mod backups;
pub mod ended;
mod facts;
mod fleet;
mod folder;
pub mod plans;

pub use ended::Counted;
pub use fleet::Fleet;
pub use folder::{Folder, Identify, Space};
pub use plans::Planned;

use self::{
    backups::{databases, newest_attempts, newest_verifications, newest_whole, usual},
    ended::Tally,
    facts::Shown,
    plans::Plans,
};
use crate::seen::Told;
use bson::DateTime;
use lucid_core::rules::facts::Facts;
use lucid_ports::{Alerts, JobFilter, Place, Problems, ScheduleStore, Store, StoreError, Watch, WorkerCard, watched};
use lucid_schemas::{Job, Kind, MonitorSpec, Spec, Stamp, State};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// A worker that wasn't heard of for so long doesn't count as alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(30);
/// So many open jobs are counted.
const OPEN_MAX: u32 = 1_000;
/// The newest backup of each database is sought among so many that ended last, and so are verifications.
const ENDED_MAX: usize = 1_000;
const PAGE: u32 = 100;
/// What is usual for a backup is the median of so many.
const USUAL_OF: usize = 10;
/// The store may take as long to answer.
const STORE_PATIENCE: Duration = Duration::from_secs(90);
const OPEN: [State; 6] =
    [State::Waiting, State::Queued, State::Running, State::Canceling, State::Committing, State::Blocked];

/// What the store tells.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// When it was told.
    pub at: Instant,
    /// When the clock of the primary was read that the facts go by.
    pub clock_at: Instant,
    /// What the rules go by.
    pub facts: Facts,
    /// The workers of live monitors.
    pub monitors: BTreeSet<String>,
    /// What the condition of all of it is judged by.
    pub watch: Watch,
    /// Open jobs, by kind and state.
    pub open: BTreeMap<(Kind, State), i64>,
    /// For how many seconds the queued job is due that is due for longest, by kind.
    pub due_seconds: BTreeMap<Kind, f64>,
    /// Live workers that run more than what monitors ask for.
    pub workers: i64,
    /// Their slots that are taken.
    pub slots_busy: i64,
    /// Their slots that aren't.
    pub slots_free: i64,
    /// Live workers by kind of job that they run; every kind is there.
    pub able: BTreeMap<Kind, i64>,
    /// How live workers are, all together.
    pub fleet: Fleet,
    /// Jobs that ended since this process has watched.
    pub counted: Counted,
    /// Schedules.
    pub planned: Planned,
    /// By how many seconds this machine's clock is ahead of the primary's; half the way of the question is taken for each direction.
    pub clock_offset_seconds: Option<f64>,
    /// The newest whole backup that is still there, by database.
    pub backups: BTreeMap<String, Backup>,
    /// What is usual for whole backups of a database, of the newest ten.
    pub usual: BTreeMap<String, Usual>,
    /// When the newest backup ended, in seconds since 1970, and whether well; by database.
    pub attempts: BTreeMap<String, (f64, bool)>,
    /// The newest verification, by database and level.
    pub verifications: BTreeMap<(String, &'static str), Verification>,
    /// Space of repositories in folders, by name; where the repository isn't there, what is instead.
    pub repositories: BTreeMap<String, Result<Space, String>>,
}

/// What is usual for backups of a database: medians.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Usual {
    /// Bytes of documents.
    pub raw_bytes: Option<f64>,
    /// Seconds from a claim to the end.
    pub took_seconds: Option<f64>,
}

/// A whole backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backup {
    /// Its job.
    pub job: String,
    /// The instant that it shows, in seconds since 1970.
    pub read_at: Option<f64>,
    /// Seconds from its claim to its end.
    pub took_seconds: Option<f64>,
    /// Bytes of documents.
    pub raw_bytes: Option<i64>,
    /// Bytes added to the repository.
    pub stored_bytes: Option<i64>,
}

/// A verification.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// Its job.
    pub job: String,
    /// When it ended, in seconds since 1970.
    pub ended_at: f64,
    /// Whether the backup is whole.
    pub is_success: bool,
}

/// What is asked: jobs, schedules and alerts.
pub trait Source: Store + ScheduleStore + Alerts {}

impl<T: Store + ScheduleStore + Alerts> Source for T {}

/// What is followed from one look to the next.
#[derive(Debug, Default)]
struct Followed {
    tally: Tally,
    plans: Plans,
}

impl Jobs {
    /// What the primary's clock shows now.
    pub fn now(&self) -> DateTime {
        let since_ms = i64::try_from(self.clock_at.elapsed().as_millis()).unwrap_or(i64::MAX);
        DateTime::from_millis(self.facts.now_ms.saturating_add(since_ms))
    }

    /// On what terms the newest monitor job is held: whoever holds it is taken for silent who keeps longer intervals.
    pub fn terms(&self) -> Option<&MonitorSpec> {
        self.watch.monitors.iter().find_map(|job| match &job.request.spec {
            Spec::Monitor(spec) => Some(spec),
            _ => None,
        })
    }

    /// From one round to the next on these terms.
    pub fn interval(&self) -> Option<Duration> {
        self.terms().and_then(|terms| u64::try_from(terms.interval_seconds).ok()).map(Duration::from_secs)
    }

    /// Nothing at all, told just now.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            at: Instant::now(),
            clock_at: Instant::now(),
            facts: Facts::default(),
            watch: Watch::default(),
            monitors: BTreeSet::new(),
            open: BTreeMap::new(),
            due_seconds: BTreeMap::new(),
            workers: 0,
            slots_busy: 0,
            slots_free: 0,
            able: BTreeMap::new(),
            fleet: Fleet::default(),
            counted: Counted::default(),
            planned: Planned::default(),
            clock_offset_seconds: None,
            backups: BTreeMap::new(),
            usual: BTreeMap::new(),
            attempts: BTreeMap::new(),
            verifications: BTreeMap::new(),
            repositories: BTreeMap::new(),
        }
    }

    /// These, unless they are too old to be the present.
    pub(crate) fn if_younger(self: Arc<Self>, interval: Duration) -> Told {
        let age = self.at.elapsed();
        if age <= interval * 3 + STORE_PATIENCE {
            return Ok(self);
        }
        Err(format!("it hasn't answered for {} s", age.as_secs()))
    }
}

/// Between two looks where no monitor has said anything yet.
const SOON: Duration = Duration::from_secs(2);

/// Asks the store every `every` until `stop`; tells what it says, or why it doesn't.
pub async fn ask(
    source: Arc<dyn Source>,
    folders: BTreeMap<String, Folder>,
    every: Duration,
    told: watch::Sender<Told>,
    problems: Problems,
    stop: CancellationToken,
) {
    let own = stop.clone();
    let followed = Arc::new(Mutex::new(Followed::default()));
    watched("watch over jobs", problems, stop, move || {
        let (source, folders, told, stop) = (Arc::clone(&source), folders.clone(), told.clone(), own.clone());
        let followed = Arc::clone(&followed);
        async move {
            while !stop.is_cancelled() {
                // A call of the store isn't broken off: it is bounded by itself.
                let said = gather(&*source, &folders, &mut *followed.lock().await).await;
                let wanted = said.as_ref().ok().and_then(Jobs::interval);
                // Until a monitor has said something, the next look mustn't be far: it is said to be unknown meanwhile.
                let has_heard =
                    said.as_ref().map_or(true, |jobs| jobs.watch.condition(jobs.now()).evaluated_at.is_some());
                drop(told.send_replace(said.map(Arc::new).map_err(|error| error.to_string())));
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = sleep(if has_heard { wanted.map_or(every, |wanted| wanted.min(every)) } else { every.min(SOON) }) => {}
                }
            }
        }
    })
    .await;
}

async fn gather(
    store: &dyn Source,
    folders: &BTreeMap<String, Folder>,
    followed: &mut Followed,
) -> Result<Jobs, StoreError> {
    let workers = store.workers(ALIVE_WITHIN).await?;
    let backups = ended(store, Kind::Backup).await?;
    let verifications = ended(store, Kind::Verify).await?;
    let filter = JobFilter { states: OPEN.to_vec(), limit: OPEN_MAX, ..JobFilter::default() };
    let open = store.list(&filter).await?.jobs;
    let asked = DateTime::now().timestamp_millis();
    let look = store.look().await?;
    let (clock_at, now) = (Instant::now(), look.now.timestamp_millis());
    let half_way = asked.midpoint(DateTime::now().timestamp_millis());
    let planned = followed.plans.look(store, &look).await?;
    let counted = followed.tally.look(store, look.now, &open).await?;
    let repositories = repositories(store, folders).await?;
    let sum = |slots: fn(&WorkerCard) -> i32| workers.iter().map(slots).map(i64::from).sum::<i64>();
    let busy = sum(|worker| worker.running);
    let able = |kind: &Kind| count(workers.iter().filter(|worker| worker.reach.kinds.contains(kind)));
    let able: BTreeMap<Kind, i64> = Kind::ALL.into_iter().map(|kind| (kind, able(&kind))).collect();
    let monitors = workers.iter().filter(|card| card.reach.kinds.contains(&Kind::Monitor));
    let shown = Shown {
        look: &look,
        plans: &followed.plans,
        open: &open,
        backups: &backups,
        verifications: &verifications,
        able: &able,
        workers: &workers,
        repositories: &repositories,
    };
    Ok(Jobs {
        at: Instant::now(),
        clock_at,
        facts: facts::facts(&shown),
        watch: Watch::look(store, store).await?,
        monitors: monitors.map(|card| card.name.clone()).collect(),
        due_seconds: due(&open, now),
        open: by_kind_and_state(&open),
        workers: count(workers.iter().filter(|worker| worker.runs_jobs_of_people())),
        slots_busy: busy,
        slots_free: (sum(|worker| worker.capacity) - busy).max(0),
        able,
        fleet: Fleet::of(&workers, look.now),
        counted,
        planned,
        clock_offset_seconds: Some(seconds(half_way - now)),
        verifications: newest_verifications(&verifications, &databases(&backups)),
        attempts: newest_attempts(&backups),
        usual: usual(&backups),
        backups: newest_whole(&backups),
        repositories,
    })
}

async fn repositories(
    store: &dyn Store,
    folders: &BTreeMap<String, Folder>,
) -> Result<BTreeMap<String, Result<Space, String>>, StoreError> {
    let bound = store.repositories().await?;
    let mut found = BTreeMap::new();
    for (name, folder) in folders {
        let id = bound.iter().find(|bound| bound.name == *name).map(|bound| bound.id.as_str());
        found.insert(name.clone(), folder.space(id).await);
    }
    Ok(found)
}

/// Jobs of a kind that ended well or badly, newest first.
async fn ended(store: &dyn Source, kind: Kind) -> Result<Vec<Job>, StoreError> {
    let mut all: Vec<Job> = Vec::new();
    loop {
        let filter = JobFilter {
            kind: Some(kind),
            states: vec![State::Succeeded, State::Failed],
            after: all.last().map(Place::of),
            limit: PAGE,
            ..JobFilter::default()
        };
        let page = store.list(&filter).await?;
        all.extend(page.jobs);
        if !page.more || all.len() >= ENDED_MAX {
            return Ok(all);
        }
    }
}

fn count<T>(all: impl Iterator<Item = T>) -> i64 {
    i64::try_from(all.count()).unwrap_or(i64::MAX)
}

fn by_kind_and_state(open: &[Job]) -> BTreeMap<(Kind, State), i64> {
    let mut counts = BTreeMap::new();
    for job in open {
        *counts.entry((job.kind(), job.head.state)).or_default() += 1;
    }
    counts
}

fn due(open: &[Job], now_ms: i64) -> BTreeMap<Kind, f64> {
    let mut longest: BTreeMap<Kind, f64> = BTreeMap::new();
    for job in open.iter().filter(|job| job.head.state == State::Queued) {
        let due = job.head.run_at.stored().map(|at| seconds(now_ms.saturating_sub(at.timestamp_millis())));
        if let Some(age) = due.filter(|age| *age >= 0.0) {
            let known = longest.entry(job.request.spec.runs_as()).or_default();
            *known = known.max(age);
        }
    }
    longest
}

fn seconds(ms: i64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Exact for any date of these millennia.
    let ms = ms as f64;
    ms / 1_000.0
}

fn moment(stamp: Option<Stamp>) -> Option<f64> {
    stamp.and_then(Stamp::stored).map(|at| seconds(at.timestamp_millis()))
}

#[cfg(test)]
mod tests;
