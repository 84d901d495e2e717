//! Which of the workers tries first for a job, so that not all of them do.
//!
//! Every worker puts the live ones in an order of its own for each job (rendezvous hashing) and tries the later, the
//! further back it stands itself; by then the feed has mostly told that another one has the job. A hint, never the
//! truth: with an outdated list two may try at once, and the store decides.
//!
//! A worker without a free slot stands back. Only among those that are busy it counts, as long as it goes on claiming:
//! where jobs are short, everybody looks full whenever he is asked.

use crate::backoff::spread;
use lucid_ports::{Reach, WorkerCard};
use lucid_schemas::JobId;
use std::time::Duration;

/// Longer than a claim takes until the feed tells of it.
const STEP: Duration = Duration::from_millis(15);
/// The last in the order don't wait for everybody: the first ones may be dead, or have no room.
const LONGEST: Duration = Duration::from_millis(90);

/// How much longer busy workers wait: they all compete for the machines, and tell of their claims later.
const BUSY_FACTOR: u32 = 16;

/// The live workers, as one of them sees them.
#[derive(Debug)]
pub struct Fleet {
    own: String,
    others: Vec<Other>,
}

#[derive(Debug)]
struct Other {
    name: String,
    reach: Reach,
    full: bool,
    claimed: i64,
    /// Whether it has claimed something since the card before.
    claims: bool,
}

impl Fleet {
    /// A worker that knows of no other.
    pub const fn alone(own: String) -> Self {
        Self { own, others: Vec::new() }
    }

    /// Learns who lives, and who is full.
    pub fn learn(&mut self, cards: Vec<WorkerCard>) {
        let before = std::mem::take(&mut self.others);
        let other = |card: WorkerCard| {
            let claimed = card.counts.get("claimed").copied().unwrap_or(0);
            let before = before.iter().find(|other| other.name == card.name).map_or(0, |other| other.claimed);
            let (full, claims) = (card.running >= card.capacity, claimed > before);
            Other { name: card.name, reach: card.reach, full, claimed, claims }
        };
        self.others = cards.into_iter().filter(|card| card.name != self.own).map(other).collect();
    }

    fn rivals(&self, busy: bool) -> impl Iterator<Item = &Other> {
        self.others.iter().filter(move |other| !other.full || (busy && other.claims))
    }

    /// How many workers may try, this one among them, which is busy or not.
    pub fn size(&self, busy: bool) -> usize {
        self.rivals(busy).count() + 1
    }

    /// How long this worker waits before it tries for a job.
    pub fn delay(&self, job: &JobId, busy: bool) -> Duration {
        let kind = job.kind();
        let weight = |worker: &str| spread(&format!("{worker}/{job}"));
        let own = weight(&self.own);
        let rivals = self.rivals(busy).filter(|other| kind.is_none_or(|kind| other.reach.kinds.contains(&kind)));
        let before = rivals.filter(|other| weight(&other.name) > own).count();
        let delay = (STEP * u32::try_from(before).unwrap_or(u32::MAX)).min(LONGEST);
        if busy { delay * BUSY_FACTOR } else { delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::DateTime;
    use lucid_schemas::Kind;
    use std::collections::BTreeMap;

    fn card(name: &str, running: i32) -> WorkerCard {
        let reach = Reach { kinds: vec![Kind::Verify], ..Reach::default() };
        WorkerCard {
            name: name.into(),
            version: "1".into(),
            capacity: 2,
            running,
            reach,
            clock_skew_ms: None,
            counts: BTreeMap::new(),
            problems: Vec::new(),
            seen_at: None,
        }
    }

    fn fleet(own: &str, all: &[WorkerCard]) -> Fleet {
        let mut fleet = Fleet::alone(own.into());
        fleet.learn(all.to_vec());
        fleet
    }

    #[test]
    fn one_worker_is_first_for_each_job_and_every_worker_for_some() {
        let all: Vec<_> = (0..4).map(|number| card(&format!("w{number}"), 0)).collect();
        let fleets: Vec<_> = all.iter().map(|card| fleet(&card.name, &all)).collect();
        let mut first = [0; 4];
        for chance in 0..400 {
            let job = JobId::compose(Kind::Verify, DateTime::from_millis(0), chance);
            let mut delays: Vec<_> = fleets.iter().map(|fleet| fleet.delay(&job, false)).collect();
            first[delays.iter().position(Duration::is_zero).expect("somebody tries at once")] += 1;
            delays.sort();
            assert_eq!(delays, [0, 1, 2, 3].map(|rank| STEP * rank));
        }
        assert!(first.iter().all(|jobs| *jobs > 60), "{first:?}");
    }

    #[test]
    fn nobody_waits_for_a_worker_that_cannot() {
        let backup = |chance| JobId::compose(Kind::Backup, DateTime::from_millis(0), chance);
        let verify = |chance| JobId::compose(Kind::Verify, DateTime::from_millis(0), chance);
        let full = fleet("me", &[card("me", 2), card("full", 2)]);
        let other = fleet("me", &[card("other", 0)]);
        for chance in 0..20 {
            assert!(full.delay(&verify(chance), false).is_zero() && other.delay(&backup(chance), false).is_zero());
        }
        assert!((0..20).all(|chance| full.delay(&verify(chance), true).is_zero()), "it is at work on something long");
        let mut full = full;
        full.learn(vec![WorkerCard { counts: [("claimed".to_owned(), 1)].into(), ..card("full", 2) }]);
        let waits = (0..20).filter(|chance| !full.delay(&verify(*chance), true).is_zero()).count();
        assert!((1..20).contains(&waits), "a busy one may have caught the other between two jobs: {waits}");
    }
}
