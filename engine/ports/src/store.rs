//! Where jobs are kept. One transition is one atomic compare-and-set on one document.

use crate::WorkerCard;
use async_trait::async_trait;
use bson::{DateTime, Document};
use lucid_core::{LeaseChange, Transition, fold, invariant::gives_up_hold, slots::Occupied};
use lucid_schemas::{Event, EventBody, Fate, Job, JobId, Kind, Lease, Progress, RepositoryName, Request, State};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What went wrong with the store itself.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store can't be reached or has no primary; the write may or may not have happened.
    #[error("MongoDB can't be reached: {0}")]
    Unavailable(String),
    /// The server refuses what this program asks; trying again won't help.
    #[error("MongoDB refuses: {0}")]
    Rejected(String),
    /// A stored document can't be read.
    #[error(transparent)]
    Unreadable(#[from] std::sync::Arc<lucid_schemas::job::UnreadableJob>),
    /// A stored alert can't be read.
    #[error(transparent)]
    UnreadableAlert(#[from] std::sync::Arc<lucid_schemas::alert::UnreadableAlert>),
    /// An open job has the same unique key.
    #[error("job {open} with the same unique key '{}' is still open", lucid_schemas::unique_key::shown(key))]
    NotUnique {
        /// The key.
        key: String,
        /// The job that has it.
        open: JobId,
    },
    /// The name is bound to another repository.
    #[error(
        "the name '{name}' belongs to repository {bound}, but this worker found repository {found} there: \
         mount the right folder, or use another name"
    )]
    OtherRepository {
        /// The name.
        name: String,
        /// The id that it is bound to.
        bound: String,
        /// The id that was found.
        found: String,
    },
}

impl StoreError {
    /// Whether trying again may help.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Rejected(_)
            | Self::Unreadable(_)
            | Self::UnreadableAlert(_)
            | Self::NotUnique { .. }
            | Self::OtherRepository { .. } => false,
        }
    }
}

/// A job to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Enqueue {
    /// What is asked for.
    pub request: Request,
    /// Milliseconds until it is due; where the moment itself is asked for, about so many.
    pub delay_ms: i64,
    /// The moment at which it is due, by the primary's clock.
    pub run_at: Option<DateTime>,
    /// A fresh random name of this write: enqueueing twice with the same one makes one job.
    pub write: String,
}

/// What came of a compare-and-set.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It happened; this is the job as the transition left it, without what came later.
    Won(Box<Job>),
    /// Version or epoch had moved on, a guard didn't hold, or another job has one of the slots; nothing was changed. This
    /// is the job as it is, `None` where it doesn't exist.
    Lost(Option<Box<Job>>),
}

impl Outcome {
    /// What came of `transition`, read from the job as it is `afterwards`: the name of the write decides, so that an
    /// answer that was lost on the way changes nothing. Every store judges by this.
    pub fn of(transition: &Transition, afterwards: Option<Job>) -> Self {
        let Some(mut job) = afterwards else {
            return Self::Lost(None);
        };
        let Some(place) = job.events.iter().rposition(|event| event.write == transition.write) else {
            return Self::Lost(Some(Box::new(job)));
        };
        let moved_on = place + 1 < job.events.len();
        job.events.truncate(place + 1);
        // A later claim must not be taken for this one: its epoch is another worker's.
        if moved_on && let Some(head) = fold(&job.events) {
            let at = job.events[place].at;
            job.head = head;
            job.lease = match &transition.lease {
                LeaseChange::Keep => kept_lease(&job.events),
                LeaseChange::Drop => None,
                LeaseChange::Take { worker, lease_ms } => Some(Lease {
                    worker: worker.clone(),
                    token: transition.write.clone(),
                    expires_at: at.plus(*lease_ms),
                }),
            };
        }
        Self::Won(Box::new(job))
    }
}

/// The lease of whoever held the job at the end of these events. Renewals leave no event, so its end is not known: it is
/// said to be over.
fn kept_lease(events: &[Event]) -> Option<Lease> {
    let last = |event: &&Event| matches!(event.body, EventBody::Claimed { .. }) || gives_up_hold(&event.body);
    let claim = events.iter().rev().find(last).filter(|event| !gives_up_hold(&event.body))?;
    Some(Lease { worker: claim.by.clone(), token: claim.write.clone(), expires_at: claim.at })
}

/// What came of renewing a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// The lease runs on; the job's state tells whether a cancel was asked for.
    Renewed {
        /// Where the job stands.
        state: State,
    },
    /// The lease had ended, or another worker has the job: stop working at once.
    Lost,
}

/// What a worker can run: decides which jobs it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// Kinds by whose rights it runs jobs, see [`lucid_schemas::Spec::runs_as`]: a drill counts as a restore.
    pub kinds: Vec<Kind>,
    /// Repositories that it has opened.
    pub repositories: Vec<RepositoryName>,
    /// Labels that it carries.
    pub labels: Vec<String>,
    /// Concurrency keys of which nobody can share a slot now: jobs that wait for one needn't be shown.
    pub full: Vec<String>,
    /// Concurrency keys that somebody else has, or reserves, for himself: the same for jobs that want that, too.
    pub taken: Vec<String>,
    /// Kinds of which no new job is to be begun.
    pub paused: Vec<Kind>,
}

impl Reach {
    /// Whether a job with these needs can run here.
    pub fn covers(&self, request: &Request) -> bool {
        let requires = &request.requires;
        let repository_reached = requires.repository.as_ref().is_none_or(|needed| self.repositories.contains(needed));
        let second_reached = request.spec.second_repository().is_none_or(|needed| self.repositories.contains(needed));
        self.kinds.contains(&request.spec.runs_as())
            && repository_reached
            && second_reached
            && requires.labels.iter().all(|label| self.labels.contains(label))
    }

    /// Whether a queued job isn't to be begun now: its kind is paused, or it waits for slots of keys that it can't have. One
    /// that has reserved some is looked at for the others.
    pub fn parks(&self, job: &Job) -> bool {
        if self.paused.contains(&job.kind()) {
            return true;
        }
        job.head.holds.is_empty()
            && job.request.keys.iter().any(|key| {
                let keys = if key.exclusive { &self.taken } else { &self.full };
                keys.contains(&key.key)
            })
    }
}

/// A place in a list: that of a job, whether it is still there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When the job was asked for.
    pub created_at: DateTime,
    /// The job.
    pub id: JobId,
}

impl Place {
    /// Where a job stands.
    pub fn of(job: &Job) -> Self {
        Self { created_at: job.head.created_at.stored().unwrap_or(DateTime::MAX), id: job.id().clone() }
    }
}

/// Which jobs a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// In one of these states; in any where empty.
    pub states: Vec<State>,
    /// Asked for at this time or later.
    pub since: Option<DateTime>,
    /// Asked for before this time.
    pub until: Option<DateTime>,
    /// Requires this label of its worker.
    pub label: Option<String>,
    /// Has this text in its id, its database, its error's message, or the name of who asked for it; letters A to Z
    /// match in either case.
    pub text: Option<String>,
    /// After this place in the list's order (newest first).
    pub after: Option<Place>,
    /// At most so many; 0 means none.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListPage {
    /// Newest first, by `created_at`, then id.
    pub jobs: Vec<Job>,
    /// Whether there are more.
    pub more: bool,
}

/// A list that is too large for an event: kept first, then named by its hash in the event.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// The job.
    pub job: JobId,
    /// Which list of the job, such as `swap`.
    pub name: String,
    /// SHA-256 (hex) of the data's BSON bytes.
    pub hash: String,
    /// The list.
    pub data: Document,
}

/// A kind whose jobs aren't claimed for now. Those that run go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The kind.
    pub kind: Kind,
    /// Who asked.
    pub by: String,
    /// Why, for people.
    pub reason: String,
    /// Since when, by the primary's clock; ignored when written.
    pub at: Option<DateTime>,
}

/// How long an idempotency key is remembered, in milliseconds.
pub const IDEMPOTENCY_MS: i64 = 86_400_000;

/// An idempotency key, and the one job that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundKey {
    /// The key as the client sent it.
    pub key: String,
    /// Hash (hex) of the request that it came with first.
    pub fingerprint: String,
    /// The job's id.
    pub job: JobId,
    /// The name of the write that enqueues the job: whoever comes with the key enqueues it with that.
    pub write: String,
}

/// Where jobs are kept. What these answers promise is durable on a majority.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Stores a new job. Asked again with the same `write` it answers with the same job.
    async fn enqueue(&self, enqueue: &Enqueue) -> Result<Job, StoreError>;

    /// Stores many new jobs, each as [`enqueue`](Self::enqueue) does: some may be stored and others refused. The
    /// answers come in the same order; of a job that was there already, as it was born.
    async fn enqueue_many(&self, enqueues: &[Enqueue]) -> Vec<Result<Job, StoreError>> {
        let mut answers = Vec::with_capacity(enqueues.len());
        for enqueue in enqueues {
            answers.push(self.enqueue(enqueue).await);
        }
        answers
    }

    /// The job, as the primary has it on a majority.
    async fn load(&self, id: &JobId) -> Result<Option<Job>, StoreError>;

    /// Ids that begin with `prefix`, in order, at most `limit`.
    async fn ids_with_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<JobId>, StoreError>;

    /// Makes the transition true, or reports that another one was.
    async fn apply(&self, transition: &Transition) -> Result<Outcome, StoreError>;

    /// Renews the lease that `write` took, from now on for `lease_ms`, and stores the progress, if any.
    async fn renew(
        &self,
        id: &JobId,
        epoch: i64,
        write: &str,
        lease_ms: i64,
        progress: Option<&Progress>,
    ) -> Result<Renewal, StoreError>;

    /// Jobs that `reach` could claim now (due, or their lease is over), best first. A hint: the claim decides.
    async fn claimable(&self, reach: &Reach, limit: u32) -> Result<Vec<Job>, StoreError>;

    /// How long until the next job that isn't claimable yet may become so: `run_at` or a lease's end. `None`: unknown.
    async fn next_due_in(&self, reach: &Reach) -> Result<Option<Duration>, StoreError>;

    /// Occupied slots of concurrency keys, and who has them.
    async fn occupied(&self) -> Result<Occupied, StoreError>;

    /// Jobs that wait for another one: for this one, or for any, oldest first.
    async fn waiting(&self, on: Option<&JobId>, limit: u32) -> Result<Vec<Job>, StoreError>;

    /// Keeps new claims of a kind from being made, on every node, until [`Self::unpause`]; again replaces who and why.
    async fn pause(&self, pause: &Pause) -> Result<(), StoreError>;

    /// Lets claims of a kind be made again; whether it was paused.
    async fn unpause(&self, kind: Kind) -> Result<bool, StoreError>;

    /// The kinds that are paused.
    async fn paused(&self) -> Result<Vec<Pause>, StoreError>;

    /// Binds an idempotency key to a request for [`IDEMPOTENCY_MS`], unless it is bound: answers with what it is bound to.
    async fn bind_key(&self, bound: &BoundKey) -> Result<BoundKey, StoreError>;

    /// What an idempotency key is bound to.
    async fn bound_key(&self, key: &str) -> Result<Option<BoundKey>, StoreError>;

    /// The backups, by their jobs, that open jobs need, each with one such job. Of jobs of every kind and shape: one that a later program
    /// wrote, which this one can't read, needs its backup all the same.
    async fn needed(&self) -> Result<BTreeMap<String, String>, StoreError>;

    /// Deletes jobs of a kind that ended in `state` more than `older_ms` ago, with their lists, and frees what they say:
    /// at most `limit`, none that an open job waits for. How many there were.
    async fn forget(&self, kind: Kind, state: State, older_ms: i64, limit: u32) -> Result<u64, StoreError>;

    /// Notes what became of a backup, unless something is noted, or the job isn't a backup that succeeded.
    async fn note_fate(&self, backup: &JobId, fate: &Fate) -> Result<(), StoreError>;

    /// Keys of manifests in a repository, by its id, that backups of this cluster succeeded with, and of which nothing else has become.
    async fn manifests(&self, repository: &str, cluster: &str) -> Result<BTreeSet<String>, StoreError>;

    /// Held jobs that no claim may take over any more (no attempts left, or a full stream), and whose lease is over.
    async fn expired(&self, limit: u32) -> Result<Vec<Job>, StoreError>;

    /// A page of jobs.
    async fn list(&self, filter: &JobFilter) -> Result<ListPage, StoreError>;

    /// How many open jobs there are, by state.
    async fn open_jobs(&self) -> Result<BTreeMap<State, i64>, StoreError>;

    /// Keeps a list; once more with the same name replaces it.
    async fn put_detail(&self, detail: &Detail) -> Result<(), StoreError>;

    /// A kept list.
    async fn detail(&self, job: &JobId, name: &str) -> Result<Option<Detail>, StoreError>;

    /// Presents a worker, and says that it lives.
    async fn announce(&self, card: &WorkerCard) -> Result<(), StoreError>;

    /// Forgets a worker that stops.
    async fn depart(&self, name: &str) -> Result<(), StoreError>;

    /// Workers heard of within `within`, by the primary's clock.
    async fn workers(&self, within: Duration) -> Result<Vec<WorkerCard>, StoreError>;

    /// Binds a repository's name to its id, for good.
    ///
    /// # Errors
    /// [`StoreError::OtherRepository`] where the name is bound to another id.
    async fn bind_repository(&self, repository: &RepositoryName) -> Result<(), StoreError>;

    /// The id of this cluster: random, made by whoever asks first, and kept for good with the jobs. Letters, digits and `-`.
    async fn cluster(&self) -> Result<String, StoreError>;

    /// All bound names.
    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError>;

    /// What the primary's clock shows.
    async fn clock(&self) -> Result<DateTime, StoreError>;

    /// One sentence on the store's health; an error where it has no primary.
    async fn ping(&self) -> Result<String, StoreError>;
}
