//! When the worker looks at the store, and what it makes of what it sees.

use super::Worker;
use crate::{
    attempt::abandon,
    backoff::spread,
    claims::{Known, SLOTS_FREED},
    look::{Look, Seen},
    moment::Moment,
};
use lucid_ports::Ending;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinError, time::Instant};

/// Until a look after one that brought nothing, though something may be left.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Worker {
    /// Whatever waits for slots of concurrency keys may have them now.
    pub(super) fn slots_freed(&mut self) {
        if self.gate.is_awaited() {
            self.look_in(SLOTS_FREED);
        }
    }

    pub(super) fn look_in(&mut self, wait: Duration) {
        self.next_look = self.next_look.min(Instant::now() + wait);
    }

    /// Once enough is free that a look pays: at least half of what may be claimed ahead.
    pub(super) fn look_if_worth_it(&mut self) {
        if self.seats.room() <= self.seats.ahead() / 2 {
            return;
        }
        if self.promising {
            self.look();
        } else {
            self.look_in(LOOK_AGAIN);
        }
    }

    /// Looks at the store, unless a look is under way: then another one follows it.
    pub(super) fn look(&mut self) {
        if !self.looks.is_empty() {
            self.left = true;
            return;
        }
        let now = Instant::now();
        self.next_look = now + self.poll_wait();
        (self.left, self.promising) = (false, false);
        self.metrics.looks.count();
        // What the end of a lease leads to may be a claim or a sweep; while there is a lot to claim, that can wait.
        let sweeps = self.asks_due || now >= self.next_sweep;
        if sweeps {
            self.next_sweep = now + Duration::from_millis(self.options.poll_ms / 2);
        }
        let look = Look {
            sweep_as: sweeps.then(|| self.options.name.clone()),
            wanted: self.seats.room() * self.fleet.size(self.busy()),
            known: self.claims.len(),
            asks_due: self.asks_due,
        };
        self.looks.spawn(look.at(Arc::clone(&self.store), Arc::clone(&self.gate)));
    }

    pub(super) fn seen(&mut self, seen: Result<Seen, JoinError>) {
        let seen = seen.unwrap_or_else(|broken| {
            tracing::error!(%broken, "a look at the store broke off");
            Seen { failed: true, ..Seen::default() }
        });
        for job in seen.swept {
            if let Some(handler) = self.handlers.get(&job.kind()).map(Arc::clone) {
                let claim = self.claim_of(job, Moment::now());
                tokio::spawn(async move { abandon(&claim, &handler, Ending::Fenced).await });
            }
        }
        let now = Instant::now();
        self.left |= seen.more;
        self.asks_due = !seen.more;
        for job in seen.jobs {
            let id = job.id().clone();
            match self.later.get(&id) {
                Some(later) if later.at > now => {}
                Some(_) => {
                    self.later.remove(&id);
                    self.claim(id, Known::Found(Box::new(job)));
                }
                None => self.claim_in_turn(id, Known::Found(Box::new(job))),
            }
        }
        if seen.failed {
            self.later
                .values_mut()
                .filter(|later| later.found)
                .for_each(|later| later.at = later.at.max(now + LOOK_AGAIN));
        }
        // What this look hasn't found any more is another worker's, or is found by the next one.
        self.later.retain(|_, later| !later.found || later.at > now);
        if let Some(due_in) = seen.due_in {
            self.look_in(due_in);
        }
        if self.left {
            self.look_if_worth_it();
        }
    }

    /// Until the safety poll; spread, so that workers don't look all at once.
    pub(super) fn poll_wait(&mut self) -> Duration {
        self.polls += 1;
        let poll_ms = self.options.poll_ms;
        let jitter_ms = spread(&format!("{}/{}", self.options.name, self.polls)) % (poll_ms / 5 + 1);
        Duration::from_millis(poll_ms - poll_ms / 10 + jitter_ms)
    }
}
