//! A job as the model's store keeps it. Made by the production law alone; the model adds no rule of its own.
//!
//! The law never looks at a clock, so all times are the same moment here; what is due and whose lease runs is told by
//! the counters of [`super::world::World`].

use bson::DateTime;
use lucid_core::{Command, LeaseChange, Transition, birth, invariant::violations, is_given_up, transition};
use lucid_ports::GIVEN_UP;
use lucid_schemas::{
    BackupSpec, Event, EventBody, Failure, Head, Job, JobId, Kind, Lease, ManifestName, Request, RestoreSpec, Spec,
    Stamp, State,
};
use std::{
    collections::hash_map::DefaultHasher,
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, OnceLock},
};

const MOMENT: DateTime = DateTime::from_millis(0);

/// A job, cheap to copy and to compare.
#[derive(Clone)]
pub struct Stored(Arc<Kept>);

struct Kept {
    job: Job,
    /// The same for equal jobs only: it covers all writes that made it.
    print: u64,
    /// As it was before the last write.
    before: Option<Stored>,
    verdict: OnceLock<Verdict>,
}

/// What can be said of a job by itself.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    /// It breaks no invariant.
    pub sound: bool,
    /// Some worker can bring it to its end from here.
    pub end_in_reach: bool,
}

impl Stored {
    /// A job that was just asked for.
    pub fn born(kind: Kind, max_attempts: i32) -> Self {
        let id = JobId::compose(kind, MOMENT, 1);
        let request = Request { max_attempts, keys: Vec::new(), ..Request::new(id, spec(kind), "client", None) };
        let request_hash = request.hash().expect("a request of plain values has a BSON form");
        let body = EventBody::Enqueued { request_hash, delay_ms: 0, run_at: None, priority: 0, waits: false };
        let first = Event { seq: 1, at: Stamp::At(MOMENT), by: "client".into(), write: "birth".into(), body };
        let job = Job { head: birth(&first), request, lease: None, progress: None, events: vec![first], fate: None };
        Self(Arc::new(Kept { job, print: 0, before: None, verdict: OnceLock::new() }))
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.0.job
    }

    /// The job after a transition that the store has taken.
    pub fn after(&self, made: &Transition) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.0.print, &made.write, made.version(), made.epoch()).hash(&mut hasher);
        made.events.iter().for_each(|event| (event.seq, event.body.name(), &event.by).hash(&mut hasher));
        let job = written(&self.0.job, made);
        Self(Arc::new(Kept { job, print: hasher.finish(), before: Some(self.clone()), verdict: OnceLock::new() }))
    }

    /// The same for jobs with equal histories only.
    pub fn print(&self) -> u64 {
        self.0.print
    }

    /// The job as it was at an earlier version.
    pub fn as_of(&self, version: i64) -> Self {
        match &self.0.before {
            Some(before) if self.job().head.version > version => before.as_of(version),
            _ => self.clone(),
        }
    }

    /// What can be said of it by itself.
    pub fn verdict(&self) -> Verdict {
        *self.0.verdict.get_or_init(|| Verdict {
            sound: violations(self.job()).is_empty(),
            end_in_reach: end_in_reach(self.job().clone()),
        })
    }
}

/// What every store does with a transition that it takes.
fn written(job: &Job, made: &Transition) -> Job {
    let mut job = job.clone();
    job.events.extend(made.events.iter().map(|event| Event { at: Stamp::At(MOMENT), ..event.clone() }));
    job.head = settled(made.head.clone());
    match &made.lease {
        LeaseChange::Keep => {}
        LeaseChange::Drop => job.lease = None,
        LeaseChange::Take { worker, .. } => {
            let (worker, token) = (worker.clone(), made.write.clone());
            job.lease = Some(Lease { worker, token, expires_at: Stamp::At(MOMENT) });
        }
    }
    job
}

fn settled(head: Head) -> Head {
    let settle = |stamp: Stamp| Stamp::At(stamp.resolve(MOMENT));
    Head {
        run_at: settle(head.run_at),
        rank_at: settle(head.rank_at),
        created_at: settle(head.created_at),
        started_at: head.started_at.map(settle),
        finished_at: head.finished_at.map(settle),
        ..head
    }
}

/// Time passes, and one more worker does what the law lets it do.
fn end_in_reach(mut job: Job) -> bool {
    for _ in 0..8 {
        let epoch = job.head.epoch;
        let held = job.lease.as_ref().is_some_and(|lease| lease.worker == "rescuer");
        let command = match job.head.state {
            State::Succeeded | State::Failed | State::Canceled => return true,
            State::Blocked => Command::Resume,
            State::Canceling if held && is_given_up(&job) => {
                let error = Failure { code: GIVEN_UP.into(), message: String::new(), retryable: false };
                Command::Fail { epoch, error, retry_in_ms: 1, out_of_time: false }
            }
            State::Canceling if held => Command::ConfirmCancel { epoch },
            State::Running | State::Committing if held => Command::Succeed { epoch, result: bson::doc! {} },
            State::Waiting | State::Queued | State::Running | State::Canceling | State::Committing => {
                Command::Claim { worker: "rescuer".into(), lease_ms: 1, slots: Vec::new() }
            }
        };
        let write = format!("rescue {}", job.head.version);
        let made = transition(&job, &command, "rescuer", &write)
            .or_else(|_| transition(&job, &Command::Expire, "rescuer", &write));
        match made {
            Ok(made) => job = written(&job, &made),
            Err(_) => return false,
        }
    }
    false
}

fn spec(kind: Kind) -> Spec {
    match kind {
        Kind::Restore => Spec::Restore(RestoreSpec {
            backup: JobId::compose(Kind::Backup, MOMENT, 0),
            manifest: ManifestName { key: "manifests/1".into(), hash: "hash".into() },
            database: "copy".into(),
            collections: None,
            replace: true,
            dry_run: false,
        }),
        Kind::Backup | Kind::Verify | Kind::Prune | Kind::Copy | Kind::Reencrypt | Kind::Monitor | Kind::Notify => {
            Spec::Backup(BackupSpec {
                database: "lucid".into(),
                collections: None,
                compression: true,
                encryption: true,
                require_consistent: false,
            })
        }
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.0.print == other.0.print
    }
}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.print.hash(state);
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.job().head;
        write!(f, "{} v{} e{} a{}", head.state, head.version, head.epoch, head.attempt)
    }
}
