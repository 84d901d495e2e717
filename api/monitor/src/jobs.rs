//! What the store tells: open jobs, workers, the newest backup and verification of each database. Asked again and again, in the background.

mod facts;

use self::facts::Shown;
use crate::seen::Told;
use bson::DateTime;
use lucid_core::rules::facts::Facts;
use lucid_ports::{Alerts, JobFilter, Place, Problems, ScheduleStore, Store, StoreError, Watch, WorkerCard, watched};
use lucid_schemas::{EventBody, Job, JobId, Kind, Spec, Stamp, State, VerifyLevel};
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// A worker that wasn't heard of for so long doesn't count as alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(30);
/// So many open jobs are counted.
const OPEN_MAX: u32 = 1_000;
/// The newest backup of each database is sought among so many that ended last, and so are verifications.
const ENDED_MAX: usize = 1_000;
const PAGE: u32 = 100;
/// A file system that takes longer to answer isn't there.
const FOLDER_PATIENCE: Duration = Duration::from_secs(5);
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
    /// The newest whole backup that is still there, by database.
    pub backups: BTreeMap<String, Backup>,
    /// When the newest backup ended, in seconds since 1970, and whether well; by database.
    pub attempts: BTreeMap<String, (f64, bool)>,
    /// The newest verification, by database and level.
    pub verifications: BTreeMap<(String, &'static str), Verification>,
    /// Space of repositories in folders, by name; none where the folder isn't there.
    pub repositories: BTreeMap<String, Option<Space>>,
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

/// The folder of a repository, looked at by one thread at a time: a file system may hang.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    looking: Arc<Semaphore>,
}

/// Space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Space {
    /// Bytes that are free for this account.
    pub free_bytes: f64,
    /// Bytes in all.
    pub total_bytes: f64,
}

impl Folder {
    /// The folder at this path.
    pub fn new(path: PathBuf) -> Self {
        Self { path, looking: Arc::new(Semaphore::new(1)) }
    }

    /// The space of its file system; none where it isn't there.
    async fn space(&self) -> Option<Space> {
        let permit = Arc::clone(&self.looking).try_acquire_owned().ok()?;
        let path = self.path.clone();
        let looking = spawn_blocking(move || {
            let told = statvfs(&path);
            drop(permit);
            told
        });
        let told = timeout(FOLDER_PATIENCE, looking).await.ok()?.ok()?.ok()?;
        #[allow(clippy::cast_precision_loss)] // Exact for 9 petabytes.
        let bytes = |blocks: u64| blocks as f64 * told.fragment_size() as f64;
        Some(Space { free_bytes: bytes(told.blocks_available()), total_bytes: bytes(told.blocks()) })
    }
}

impl Jobs {
    /// What the primary's clock shows now.
    pub fn now(&self) -> DateTime {
        let since_ms = i64::try_from(self.clock_at.elapsed().as_millis()).unwrap_or(i64::MAX);
        DateTime::from_millis(self.facts.now_ms.saturating_add(since_ms))
    }

    /// Nothing at all, told just now.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            at: Instant::now(),
            clock_at: Instant::now(),
            facts: Facts::default(),
            watch: Watch::default(),
            open: BTreeMap::new(),
            due_seconds: BTreeMap::new(),
            workers: 0,
            slots_busy: 0,
            slots_free: 0,
            able: BTreeMap::new(),
            backups: BTreeMap::new(),
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
    watched("watch over jobs", problems, stop, move || {
        let (source, folders, told, stop) = (Arc::clone(&source), folders.clone(), told.clone(), own.clone());
        async move {
            while !stop.is_cancelled() {
                // A call of the store isn't broken off: it is bounded by itself.
                let said = gather(&*source, &folders).await;
                drop(told.send_replace(said.map(Arc::new).map_err(|error| error.to_string())));
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = sleep(every) => {}
                }
            }
        }
    })
    .await;
}

async fn gather(store: &dyn Source, folders: &BTreeMap<String, Folder>) -> Result<Jobs, StoreError> {
    let workers = store.workers(ALIVE_WITHIN).await?;
    let backups = ended(store, Kind::Backup).await?;
    let verifications = ended(store, Kind::Verify).await?;
    let filter = JobFilter { states: OPEN.to_vec(), limit: OPEN_MAX, ..JobFilter::default() };
    let open = store.list(&filter).await?.jobs;
    let look = store.look().await?;
    let (clock_at, now) = (Instant::now(), look.now.timestamp_millis());
    let mut repositories = BTreeMap::new();
    for (name, folder) in folders {
        repositories.insert(name.clone(), folder.space().await);
    }
    let sum = |slots: fn(&WorkerCard) -> i32| workers.iter().map(slots).map(i64::from).sum::<i64>();
    let busy = sum(|worker| worker.running);
    let able = |kind: &Kind| count(workers.iter().filter(|worker| worker.reach.kinds.contains(kind)));
    let able: BTreeMap<Kind, i64> = Kind::ALL.into_iter().map(|kind| (kind, able(&kind))).collect();
    let shown = Shown {
        look: &look,
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
        due_seconds: due(&open, now),
        open: by_kind_and_state(&open),
        workers: count(workers.iter().filter(|worker| worker.runs_jobs_of_people())),
        slots_busy: busy,
        slots_free: (sum(|worker| worker.capacity) - busy).max(0),
        able,
        verifications: newest_verifications(&verifications, &databases(&backups)),
        attempts: newest_attempts(&backups),
        backups: newest_whole(&backups),
        repositories,
    })
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
            let known = longest.entry(job.kind()).or_default();
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

/// The database of each backup.
fn databases(backups: &[Job]) -> BTreeMap<&JobId, &str> {
    backups.iter().filter_map(|job| Some((job.id(), backed_up(job)?.0))).collect()
}

/// The database of a backup, and whether all of it was wanted.
fn backed_up(job: &Job) -> Option<(&str, bool)> {
    match &job.request.spec {
        Spec::Backup(spec) => Some((&spec.database, spec.collections.is_none())),
        Spec::Restore(_)
        | Spec::Verify(_)
        | Spec::Prune(_)
        | Spec::Copy(_)
        | Spec::Reencrypt(_)
        | Spec::Monitor(_)
        | Spec::Notify(_) => None,
    }
}

fn newest_whole(backups: &[Job]) -> BTreeMap<String, Backup> {
    let mut newest = BTreeMap::new();
    for job in backups.iter().filter(|job| job.head.state == State::Succeeded && job.fate.is_none()) {
        if let Some((database, true)) = backed_up(job) {
            newest.entry(database.to_owned()).or_insert_with(|| told(job));
        }
    }
    newest
}

fn told(job: &Job) -> Backup {
    let read_at = job.events.iter().rev().find_map(|event| match &event.body {
        EventBody::SnapshotTaken { cluster_time } => Some(f64::from(cluster_time.time)),
        _ => None,
    });
    let figure = |name: &str| job.head.result.as_ref().and_then(|result| result.get_i64(name).ok());
    Backup {
        job: job.id().to_string(),
        read_at: read_at.or_else(|| moment(job.head.finished_at)),
        took_seconds: moment(job.head.finished_at).zip(moment(job.head.started_at)).map(|(end, begun)| end - begun),
        raw_bytes: figure("raw_bytes"),
        stored_bytes: figure("stored_bytes"),
    }
}

fn newest_attempts(backups: &[Job]) -> BTreeMap<String, (f64, bool)> {
    let mut newest = BTreeMap::new();
    for job in backups {
        if let (Some((database, true)), Some(ended_at)) = (backed_up(job), moment(job.head.finished_at)) {
            newest.entry(database.to_owned()).or_insert((ended_at, job.head.state == State::Succeeded));
        }
    }
    newest
}

fn newest_verifications(
    verifications: &[Job],
    databases: &BTreeMap<&JobId, &str>,
) -> BTreeMap<(String, &'static str), Verification> {
    let mut newest = BTreeMap::new();
    for job in verifications {
        let Spec::Verify(spec) = &job.request.spec else { continue };
        let (Some(database), Some(ended_at)) = (databases.get(&spec.backup), moment(job.head.finished_at)) else {
            continue;
        };
        let (job, is_success) = (job.id().to_string(), job.head.state == State::Succeeded);
        let key = ((*database).to_owned(), level(spec.level));
        newest.entry(key).or_insert(Verification { job, ended_at, is_success });
    }
    newest
}

const fn level(level: VerifyLevel) -> &'static str {
    match level {
        VerifyLevel::Structure => "structure",
        VerifyLevel::Data => "data",
        VerifyLevel::Drill => "drill",
    }
}

#[cfg(test)]
mod tests;
