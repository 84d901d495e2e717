//! Who shows tokens that aren't ours, again and again: he is answered late, then told to come back later; and somebody is told of him.
//!
//! Invariants: a token that is right lets its holder in, whatever others have shown from elsewhere under its name; memory is bounded. Secrets have 256
//! bits, so this isn't what keeps them from being guessed: it spares the store, and it shows.

use crate::ApiError;
use lucid_ports::Problems;
use lucid_schemas::access::TokenName;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

/// So many failures are anybody's.
const FREE: u32 = 5;
/// One of them is forgotten after so long: about as many a minute go on being anybody's.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(12);
/// How long whoever has failed more often waits for each answer.
const DELAY: Duration = Duration::from_secs(1);
/// So many wait at once at most.
const WAITING_MAX: usize = 16;
/// So many addresses and names are told apart; those beyond are one.
const KNOWN_MAX: usize = 4_096;
/// No failure for so long: it is over.
const CALM_AFTER: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_secs(10);
const SUBJECT: &str = "tokens that were refused";

/// The failures at one port. Clones share them.
#[derive(Debug, Clone)]
pub struct Throttle {
    failures: Arc<Mutex<HashMap<Whose, Failures>>>,
    waiting: Arc<Semaphore>,
    problems: Problems,
}

/// What failures are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Peer(IpAddr),
    Name(TokenName),
    Others,
}

/// How often, as of a time.
#[derive(Debug, Clone, Copy)]
struct Failures {
    number: u32,
    at: Instant,
}

impl Failures {
    fn now(self) -> u32 {
        let forgotten = self.at.elapsed().as_secs() / FORGOTTEN_AFTER.as_secs();
        self.number.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

/// Leave to have a token looked at.
#[derive(Debug)]
pub(crate) struct Turn {
    is_late: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Throttle {
    /// Of a port that tells of it among these problems.
    pub fn new(problems: Problems) -> Self {
        Self { failures: Arc::default(), waiting: Arc::new(Semaphore::new(WAITING_MAX)), problems }
    }

    /// Waits for the turn of somebody from there who shows a token of this name.
    pub(crate) async fn turn(&self, peer: Option<IpAddr>, name: Option<&TokenName>) -> Result<Turn, ApiError> {
        let by_peer = self.exceeds(&peer_of(peer));
        let by_name = name.is_some_and(|name| self.exceeds(&Whose::Name(name.clone())));
        // Who fails under the name of somebody else makes that one wait, and no more.
        let place = if by_peer {
            let crowded = |_| too_many();
            Some(Arc::clone(&self.waiting).try_acquire_owned().map_err(crowded)?)
        } else {
            None
        };
        if by_peer || by_name {
            sleep(DELAY).await;
        }
        Ok(Turn { is_late: by_peer, _place: place })
    }

    /// It was none of ours: what he is told instead of `refused`.
    pub(crate) fn failed(
        &self,
        turn: &Turn,
        peer: Option<IpAddr>,
        name: Option<&TokenName>,
        refused: ApiError,
    ) -> ApiError {
        let number = self.count(peer_of(peer));
        let by_name = name.map_or(0, |name| self.count(Whose::Name(name.clone())));
        if number.max(by_name) > FREE {
            let from = peer.map_or_else(|| "somewhere".to_owned(), |peer| peer.to_string());
            let called = name.map(|name| format!(" called '{name}'")).unwrap_or_default();
            tracing::warn!(from, name = called, "tokens that aren't ours are shown again and again");
            self.problems.set(
                SUBJECT,
                format!(
                    "tokens that aren't ours were shown again and again, last from {from}{called}: somebody guesses, or a client has one that \
                     was revoked or is over (`lucid-ops token list`)"
                ),
            );
        }
        if turn.is_late { too_many() } else { refused }
    }

    /// Says no more of it once it is over; returns never.
    pub async fn watch(self) {
        loop {
            sleep(LOOK_EVERY).await;
            let mut failures = self.failures();
            failures.retain(|_, failures| failures.at.elapsed() < CALM_AFTER);
            if failures.values().all(|failures| failures.number <= FREE) {
                self.problems.clear(SUBJECT);
            }
        }
    }

    fn exceeds(&self, whose: &Whose) -> bool {
        let failures = self.failures();
        let found =
            failures.get(whose).or_else(|| failures.get(&Whose::Others).filter(|_| failures.len() >= KNOWN_MAX));
        found.is_some_and(|failures| failures.now() >= FREE)
    }

    fn count(&self, whose: Whose) -> u32 {
        let mut failures = self.failures();
        if failures.len() >= KNOWN_MAX && !failures.contains_key(&whose) {
            failures.retain(|_, failures| failures.now() > 0);
        }
        let whose = if failures.len() >= KNOWN_MAX && !failures.contains_key(&whose) { Whose::Others } else { whose };
        let at = Instant::now();
        let counted = failures.entry(whose).or_insert(Failures { number: 0, at });
        *counted = Failures { number: counted.now().saturating_add(1), at };
        counted.number
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<Whose, Failures>> {
        // Each change of the map is one step.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has one address of IPv6 has the 64 bits behind its net.
fn peer_of(peer: Option<IpAddr>) -> Whose {
    match peer.map(|peer| peer.to_canonical()) {
        None => Whose::Others,
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            Whose::Peer(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        Some(address @ IpAddr::V4(_)) => Whose::Peer(address),
    }
}

fn too_many() -> ApiError {
    let seconds = FORGOTTEN_AFTER.as_secs();
    ApiError::TooMany { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> (Throttle, Problems) {
        let problems = Problems::default();
        (Throttle::new(problems.clone()), problems)
    }

    fn peer(last: u32) -> IpAddr {
        IpAddr::V4((0xc000_0200 + last).into())
    }

    async fn fail(throttle: &Throttle, peer: IpAddr, name: Option<&TokenName>) -> ApiError {
        let peer = Some(peer);
        match throttle.turn(peer, name).await {
            Ok(turn) => throttle.failed(&turn, peer, name, ApiError::Unauthorized("no".into())),
            Err(refused) => refused,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_again_and_again_waits_and_is_told_when_to_come_back() {
        let (throttle, problems) = throttle();
        for number in 0..FREE {
            let begun = Instant::now();
            assert!(matches!(fail(&throttle, peer(1), None).await, ApiError::Unauthorized(_)), "{number}");
            assert!(begun.elapsed() < DELAY);
        }
        assert_eq!(problems.sentences(), Vec::<String>::new(), "a mistake or two is none of anybody's business");
        let begun = Instant::now();
        assert!(matches!(fail(&throttle, peer(1), None).await, ApiError::TooMany { .. }));
        assert!(begun.elapsed() >= DELAY);
        assert!(problems.sentences()[0].contains("192.0.2.1"), "{problems:?}");
        assert!(matches!(fail(&throttle, peer(2), None).await, ApiError::Unauthorized(_)), "others don't wait for him");
        tokio::time::advance(FORGOTTEN_AFTER * (FREE + 1)).await;
        assert!(matches!(fail(&throttle, peer(1), None).await, ApiError::Unauthorized(_)), "it is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_fails_under_a_name_locks_its_holder_out_from_nowhere_else() {
        let (throttle, problems) = throttle();
        let name: TokenName = "nightly".parse().expect("a name");
        for number in 0..40 {
            fail(&throttle, peer(number), Some(&name)).await;
        }
        assert!(problems.sentences()[0].contains("'nightly'"), "{problems:?}");
        let begun = Instant::now();
        throttle.turn(Some(peer(77)), Some(&name)).await.expect("he has his turn");
        assert!(begun.elapsed() <= DELAY * 2, "a second later");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_few_and_what_is_known_is_bounded() {
        let (throttle, _) = throttle();
        for _ in 0..=FREE {
            fail(&throttle, peer(1), None).await;
        }
        let many = (0..100).map(|_| throttle.turn(Some(peer(1)), None));
        let turns = futures::future::join_all(many).await;
        assert_eq!(turns.iter().filter(|turn| turn.is_ok()).count(), WAITING_MAX);
        drop(turns);
        let many = u32::try_from(KNOWN_MAX).expect("few");
        for number in 0..=many + FREE {
            fail(&throttle, peer(number), None).await;
        }
        assert!(matches!(fail(&throttle, peer(1_000_000), None).await, ApiError::TooMany { .. }), "the crowd is one");
        for number in 0..3 * many {
            fail(&throttle, peer(number), None).await;
            assert!(throttle.failures().len() <= KNOWN_MAX + 1);
        }
        let six = |text: &str| peer_of(text.parse().ok());
        assert_eq!(six("2001:db8::1"), six("2001:db8::ffff:1"));
        assert_ne!(six("2001:db8::1"), six("2001:db8:0:1::1"));
        assert_eq!(six("::ffff:192.0.2.1"), six("192.0.2.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_over_when_nobody_fails_any_more() {
        let (throttle, problems) = throttle();
        tokio::spawn(throttle.clone().watch());
        for _ in 0..=FREE {
            fail(&throttle, peer(1), None).await;
        }
        sleep(LOOK_EVERY * 2).await;
        assert_eq!(problems.sentences().len(), 1);
        sleep(CALM_AFTER + LOOK_EVERY * 2).await;
        assert_eq!(problems.sentences(), Vec::<String>::new());
    }
}
