//! Whose turn it is: what the worker claims at once, and what it leaves to others first.

use super::{Worker, looking::LOOK_AGAIN};
use crate::claims::Known;
use lucid_schemas::JobId;
use std::time::Duration;
use tokio::time::Instant;

/// A job that is left to others for a moment.
pub(super) struct Later {
    pub at: Instant,
    since: Instant,
    /// Whether a look found it: then another look tells whether it is still there, of many at once.
    pub found: bool,
}

/// How soon a job that wants to be alone is looked for again.
const ALONE_AGAIN: Duration = Duration::from_secs(1);
/// For so long it is left to workers that are idle.
const ALONE_AFTER: Duration = Duration::from_secs(30);

/// A job that wants to be alone.
pub(super) struct WantsAlone {
    id: JobId,
    /// Since when it was found again and again.
    since: Instant,
    seen: Instant,
}

impl WantsAlone {
    /// Whether it was found a moment ago, so that nobody has taken it since.
    fn is_current(&self, id: &JobId, now: Instant) -> bool {
        self.id == *id && now - self.seen < ALONE_AGAIN * 5
    }
}

impl Worker {
    /// Whether handlers end one after the other here, or more waits than can be looked at: then others may be as busy, it
    /// says little that they look full, and there is no hurry to take what is theirs.
    pub(super) fn busy(&self) -> bool {
        self.seats.ahead() > 0 || !self.asks_due
    }

    /// Claims at once, or after those who stand before this worker in the job's order.
    pub(super) fn claim_in_turn(&mut self, id: JobId, known: Known) {
        if self.held.contains_key(&id) || self.claims.contains(&id) {
            // A try that is under way may have seen it before it changed.
            self.look_in(LOOK_AGAIN);
            return;
        }
        let delay = self.fleet.delay(&id, self.busy());
        if delay.is_zero() {
            self.claim(id, known);
        } else {
            self.metrics.wakes_left_to_others.count();
            let found = matches!(known, Known::Found(_));
            let since = Instant::now();
            self.later.insert(id, Later { at: since + delay, since, found });
        }
    }

    pub(super) fn claim(&mut self, id: JobId, known: Known) {
        if self.held.contains_key(&id) || self.claims.contains(&id) {
            return;
        }
        if self.makes_room_for_another(&id) {
            return;
        }
        let has_room = self.seats.room() > 0;
        match has_room.then(|| self.seats.seat()).flatten() {
            Some(seat) => self.claims.begin(id, known, seat),
            None => self.leave(),
        }
    }

    /// A job that wants to be alone was found, and others have seats here.
    pub(super) fn not_alone(&mut self, id: &JobId) {
        let now = Instant::now();
        let known = self.wants_alone.take().filter(|wants| wants.is_current(id, now));
        if known.is_none() {
            let after_s = ALONE_AFTER.as_secs();
            tracing::warn!(
                job = %id,
                after_s,
                "two workers in a row were lost under this job: it waits for one that runs nothing else; unless another takes it, this \
                 one begins no more jobs after that time, until it can"
            );
        }
        let since = known.map_or(now, |wants| wants.since);
        self.wants_alone = Some(WantsAlone { id: id.clone(), since, seen: now });
        self.look_in(ALONE_AGAIN);
    }

    /// Whether nothing else is begun, so that a job which no idle worker has taken for a while comes to be alone here.
    fn makes_room_for_another(&self, id: &JobId) -> bool {
        let now = Instant::now();
        let wants = self.wants_alone.as_ref().filter(|wants| wants.id != *id && wants.is_current(&wants.id, now));
        wants.is_some_and(|wants| now - wants.since >= ALONE_AFTER)
    }

    /// A job that could be claimed stays where it is for now.
    pub(super) fn leave(&mut self) {
        self.left = true;
        self.promising = true;
    }

    /// Turns to what was left to others, and may still be there.
    pub(super) fn take_turns(&mut self, now: Instant) {
        let due = self.later.iter().filter(|(_, later)| later.at <= now && !later.found);
        let due: Vec<(JobId, Instant)> = due.map(|(id, later)| (id.clone(), later.since)).collect();
        for (id, since) in due {
            self.later.remove(&id);
            self.claim(id, Known::Left(since));
        }
        if !self.later.values().any(|later| later.at <= now) {
            return;
        }
        if self.seats.room() == 0 {
            // The look that follows when there is room finds them again.
            self.later.retain(|_, later| later.at > now);
            self.leave();
        } else if self.looks.is_empty() {
            self.look();
        }
    }
}
