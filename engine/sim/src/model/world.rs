//! The state of the model: one job in a store with a clock, and workers who know more or less about it.

use super::{
    actor::{Actor, Order},
    stored::Stored,
};
use crate::mutant::Mutant;
use lucid_core::{Guard, LeaseChange, Transition, evolve, transition};
use lucid_ports::Outcome;
use lucid_schemas::{EventBody, Job, Lease, Stamp};

/// How many ticks a lease lasts.
pub const LEASE_TICKS: u8 = 2;

/// One state.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// The job.
    pub stored: Stored,
    /// Ticks until its lease ends.
    pub lease_left: u8,
    /// Ticks until it is due.
    pub due_in: u8,
    /// The workers.
    pub actors: Vec<Actor>,
    /// Whether states are compared whole, see [`super::sameness`].
    pub exact: bool,
    /// The epoch that was told that it has succeeded.
    pub acknowledged: Option<i64>,
    /// What must not have happened.
    pub broken: Option<&'static str>,
}

/// The name of a worker.
pub fn name(worker: usize) -> String {
    format!("w{worker}")
}

impl World {
    /// What a worker would write, by the law and by what it believes.
    pub fn prepared(&self, worker: usize, mutant: Option<Mutant>) -> Option<Transition> {
        let Actor::Sending { order, epoch, base, begun, .. } = &self.actors[worker] else {
            return None;
        };
        let name = name(worker);
        let write = format!("{name} {order:?} {begun}");
        transition(&believed(base.job(), *epoch, &name, mutant), &order.command(&name, *epoch), &name, &write).ok()
    }

    /// A worker's write arrives; the worker hears of it or doesn't. `None` where nothing changes.
    pub fn deliver(&mut self, worker: usize, heard: bool, mutant: Option<Mutant>) -> Option<()> {
        let next = self.prepared(worker, mutant)?;
        let taken = self.take(worker, &next, mutant);
        if !heard {
            return taken.then_some(());
        }
        let outcome = Outcome::of(&next, Some(self.stored.job().clone()));
        let Actor::Sending { order, epoch, base, begun, .. } = self.actors[worker].clone() else {
            return None;
        };
        self.actors[worker] = match outcome {
            Outcome::Won(won) => self.won(order, epoch, &won, next.write),
            // A guard didn't hold.
            Outcome::Lost(Some(job)) if job.head.version == base.job().head.version => Actor::Idle,
            Outcome::Lost(_) => self.again(worker, order, epoch, begun, mutant),
        };
        Some(())
    }

    /// The compare-and-set; says whether the job was changed.
    fn take(&mut self, worker: usize, next: &Transition, mutant: Option<Mutant>) -> bool {
        let job = self.stored.job().clone();
        let over = self.lease_left == 0 || job.lease.is_none();
        let own_clock = mutant == Some(Mutant::WorkersClock) && worker == 1;
        let guarded = next.guards.iter().all(|guard| match guard {
            Guard::Due => self.due_in == 0,
            Guard::LeaseOver => over || own_clock,
            // The job has no keys, and a number of attempts that alone counts.
            Guard::ReservationOver | Guard::Before(_) | Guard::NotBefore(_) => false,
        });
        let version = job.head.version == next.version() || mutant == Some(Mutant::NoVersion);
        let epoch = job.head.epoch == next.epoch() || (mutant == Some(Mutant::NoFence) && next.epoch() > 0);
        let known = job.events.iter().any(|event| event.write == next.write);
        if !(guarded && version && epoch) || known {
            return false;
        }
        self.judge(worker, &job, next, over);
        let mut next = next.clone();
        if mutant == Some(Mutant::NoFence) {
            next.head = next.events.iter().fold(job.head, evolve);
        }
        self.write(&next);
        if let Actor::Sending { landed, .. } = &mut self.actors[worker] {
            *landed = Some(self.stored.clone());
        }
        true
    }

    /// Makes a transition true.
    pub fn write(&mut self, next: &Transition) {
        self.stored = self.stored.after(next);
        match next.lease {
            LeaseChange::Keep => {}
            LeaseChange::Drop => self.lease_left = 0,
            LeaseChange::Take { .. } => self.lease_left = LEASE_TICKS,
        }
        if next.events.iter().any(|event| matches!(event.body, EventBody::AttemptFailed { .. })) {
            self.due_in = 1;
        }
    }

    /// Is this write allowed, by what the model knows beside the law?
    fn judge(&mut self, worker: usize, job: &Job, next: &Transition, over: bool) {
        let Actor::Sending { order, epoch, .. } = &self.actors[worker] else {
            return;
        };
        if job.head.state.is_terminal() {
            self.broken = Some("the job went on after its end");
        } else if Order::HELD.contains(order) && *epoch != job.head.epoch {
            self.broken = Some("a fenced worker changed the job");
        } else if !over && matches!(next.lease, LeaseChange::Take { .. }) {
            self.broken = Some("a lease was taken that still ran");
        }
    }

    /// A worker hears that its write was made.
    fn won(&mut self, order: Order, epoch: i64, won: &Job, write: String) -> Actor {
        let seen = self.stored.as_of(won.head.version);
        match order {
            Order::Claim => Actor::Holding { epoch: won.head.epoch, token: write, seen },
            Order::Record | Order::Commit => {
                let token = self.token_of(epoch);
                Actor::Holding { epoch, token, seen }
            }
            Order::Succeed => {
                self.acknowledged = Some(epoch);
                Actor::Idle
            }
            Order::Expire | Order::FailOnce | Order::FailForGood | Order::ConfirmCancel | Order::Release => Actor::Idle,
        }
    }

    /// Somebody was faster: the worker decides again, as `step` does.
    fn again(&self, worker: usize, order: Order, epoch: i64, begun: i64, mutant: Option<Mutant>) -> Actor {
        let base = self.stored.clone();
        let mut tried = self.clone();
        tried.actors[worker] = Actor::Sending { order, epoch, base: base.clone(), begun, landed: None };
        if tried.prepared(worker, mutant).is_some() {
            return tried.actors.swap_remove(worker);
        }
        let job = base.job();
        if epoch > 0 && job.head.epoch == epoch && job.lease.is_some() {
            let token = self.token_of(epoch);
            return Actor::Holding { epoch, token, seen: base };
        }
        Actor::Idle
    }

    /// A heartbeat: `None` where nothing changes.
    pub fn renew(&mut self, worker: usize) -> Option<()> {
        let Actor::Holding { epoch, token, .. } = &self.actors[worker] else {
            return None;
        };
        let job = self.stored.job();
        let runs = job.head.epoch == *epoch
            && job.lease.as_ref().is_some_and(|lease| lease.token == *token)
            && self.lease_left > 0;
        if !runs {
            self.actors[worker] = Actor::Idle;
        } else if self.lease_left == LEASE_TICKS {
            return None;
        } else {
            self.lease_left = LEASE_TICKS;
        }
        Some(())
    }

    /// The name of the write that claimed an epoch.
    fn token_of(&self, epoch: i64) -> String {
        let claim = |body: &EventBody| matches!(body, EventBody::Claimed { epoch: claimed, .. } if *claimed == epoch);
        let events = &self.stored.job().events;
        events.iter().find(|event| claim(&event.body)).map(|event| event.write.clone()).unwrap_or_default()
    }
}

/// Without the fence, a worker sees its own epoch in every job.
fn believed(job: &Job, epoch: i64, worker: &str, mutant: Option<Mutant>) -> Job {
    let mut job = job.clone();
    if mutant == Some(Mutant::NoFence) && epoch > 0 {
        job.head.epoch = epoch;
        let expires_at = Stamp::At(bson::DateTime::from_millis(0));
        job.lease.get_or_insert_with(|| Lease { worker: worker.to_owned(), token: String::new(), expires_at });
    }
    job
}
