//! What the members of the replica set say of themselves, as data: whoever asks them fills it in, whoever judges or shows reads it.
//!
//! Invariants: every figure may be missing, since servers of other versions, arbiters and users with fewer rights tell less; a member that
//! doesn't answer has no figures at all, so that nothing of it is taken for the present.

pub mod histogram;

pub use histogram::Histogram;

use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Numbers by name, such as connections by state; those that the server doesn't tell are absent.
pub type Counts = BTreeMap<&'static str, i64>;

/// What is known of all members at a moment. Clones are cheap.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By the address under which the set knows them: the newest sample; `None` before the first one has come or failed.
    pub members: BTreeMap<String, Option<Arc<Sample>>>,
    /// The collections, and when they were measured.
    pub collections: Option<Arc<Collections>>,
}

/// What is looked at, and how often. Whoever asks for monitoring anew may change it at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// From one look to the next.
    pub interval: Duration,
    /// The databases whose collections are measured; `None`: all.
    pub databases: Option<BTreeSet<String>>,
    /// Whether it is told how long operations on each collection take.
    pub latency_by_collection: bool,
}

impl Terms {
    /// Everything, but latencies by collection, with this interval.
    pub const fn every(interval: Duration) -> Self {
        Self { interval, databases: None, latency_by_collection: false }
    }

    /// Returns when the next look is due after one that began `since` then, as the terms are by then.
    pub async fn due(terms: &mut watch::Receiver<Self>, since: Instant) {
        loop {
            let next = since + terms.borrow_and_update().interval;
            tokio::select! {
                biased;
                () = sleep_until(next) => return,
                // Nobody changes them any more.
                changed = terms.changed() => if changed.is_err() { return sleep_until(next).await },
            }
        }
    }
}

/// One look at one member.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it ended.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// What the member said, or one sentence on why it said nothing.
    pub answer: Result<Member, String>,
}

/// What a member said.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Member {
    /// Who it is.
    pub hello: Hello,
    /// How it works.
    pub server: Option<Server>,
    /// How it sees the set.
    pub set: Option<Set>,
    /// Its oplog.
    pub oplog: Option<Oplog>,
    /// The file system of its data.
    pub disk: Option<Disk>,
    /// What it didn't tell, by part, and why.
    pub refused: BTreeMap<&'static str, String>,
}

/// Who a member is: what it tells everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Hello {
    /// Name of the set; none where it isn't in one.
    pub set: Option<String>,
    /// Whether it takes writes.
    pub is_primary: bool,
    /// Whether it holds no data.
    pub is_arbiter: bool,
    /// Version of the set's configuration that it has.
    pub config_version: Option<i64>,
    /// Addresses of all members that it knows of.
    pub peers: BTreeSet<String>,
}

/// How a member works: `serverStatus`. Counts begin with the server.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Server {
    /// Such as `7.0.14`.
    pub version: Option<String>,
    /// Seconds since it was started.
    pub uptime_seconds: Option<f64>,
    /// Connections of clients by state.
    pub connections: Counts,
    /// Connections ever made.
    pub connections_created: Option<i64>,
    /// Operations by type.
    pub operations: Counts,
    /// Replicated operations by type.
    pub replicated_operations: Counts,
    /// How long operations took, by class.
    pub latencies: BTreeMap<&'static str, Histogram>,
    /// How long of that they worked, without waiting for locks, tickets and flow control, by class; since 8.0.
    pub working: BTreeMap<&'static str, Histogram>,
    /// Operations that wait to begin, by `read` and `write`.
    pub queued: Counts,
    /// Clients that have an operation under way, by `read` and `write`.
    pub active: Counts,
    /// Read tickets of the storage engine by state.
    pub read_tickets: Counts,
    /// Write tickets of the storage engine by state.
    pub write_tickets: Counts,
    /// Open cursors by state.
    pub cursors: Counts,
    /// Cursors that nobody read on.
    pub cursors_timed_out: Option<i64>,
    /// Assertions by type.
    pub asserts: Counts,
    /// Documents inserted, updated, deleted, returned.
    pub documents: Counts,
    /// Index keys that queries looked at.
    pub keys_examined: Option<i64>,
    /// Documents that queries looked at.
    pub documents_examined: Option<i64>,
    /// Bytes received (`in`) and sent (`out`).
    pub network: Counts,
    /// Bytes of the cache: `used`, `dirty`, `max`.
    pub cache: Counts,
    /// Pages that threads of clients had to evict.
    pub app_evictions: Option<i64>,
    /// Seconds that the last checkpoint took.
    pub checkpoint_seconds: Option<f64>,
    /// Whether writes are slowed down as too few members have them.
    pub flow_control_lagged: Option<bool>,
    /// Bytes of memory.
    pub resident_bytes: Option<i64>,
    /// Documents that were deleted as their time was over.
    pub ttl_deleted: Option<i64>,
    /// Times that a page of memory had to be read from disk.
    pub page_faults: Option<i64>,
    /// Waits for write concerns: how many (`waits`), milliseconds (`waited_ms`), and those that ran out of time (`timeouts`).
    pub write_concern: Counts,
    /// Applying the oplog: entries that wait for it (`buffered`), entries ever applied (`applied`), milliseconds of that (`apply_ms`) and
    /// of fetching them (`fetch_ms`).
    pub applying: Counts,
}

/// How a member sees the set: `replSetGetStatus` with `replSetGetConfig`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Set {
    /// Its own state by number: 1 primary, 2 secondary, 3 recovering, 5 startup2, 7 arbiter, 9 rollback, 10 removed.
    pub state: Option<i64>,
    /// The term of the newest election that it knows of.
    pub term: Option<i64>,
    /// When the primary was elected, in seconds since 1970.
    pub elected_at: Option<f64>,
    /// Every member, by address.
    pub members: BTreeMap<String, Peer>,
}

/// A member as another one sees it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Peer {
    /// State by number.
    pub state: Option<i64>,
    /// Whether it answers.
    pub is_healthy: Option<bool>,
    /// When what it applied last was written, in seconds since 1970.
    pub applied_at: Option<f64>,
    /// Seconds that it lags behind on purpose.
    pub delay_seconds: i64,
    /// Seconds that a heartbeat takes to it and back.
    pub ping_seconds: Option<f64>,
    /// Whether clients don't see it.
    pub is_hidden: bool,
    /// Its votes in elections.
    pub votes: Option<i64>,
    /// When it was elected, where it is the primary, in seconds since 1970.
    pub elected_at: Option<f64>,
    /// When a heartbeat of it came last, in seconds since 1970; none of oneself.
    pub heard_at: Option<f64>,
}

/// The oplog of a member.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Oplog {
    /// When its oldest entry was made, in seconds since 1970.
    pub oldest_at: Option<f64>,
    /// When its newest entry was made.
    pub newest_at: Option<f64>,
    /// Bytes of entries.
    pub bytes: Option<i64>,
    /// Bytes above which old entries go.
    pub max_bytes: Option<i64>,
}

/// The file system of a member's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Disk {
    /// Bytes in use.
    pub used_bytes: Option<i64>,
    /// Bytes in all.
    pub total_bytes: Option<i64>,
}

/// Sizes of collections.
#[derive(Debug, Clone, Default)]
pub struct Collections {
    /// When the measuring ended.
    pub at: Option<Instant>,
    /// The member that was asked.
    pub member: String,
    /// Every database there is, whether its collections were measured or not.
    pub databases: BTreeSet<String>,
    /// The largest, largest first.
    pub largest: Vec<Collection>,
    /// How many there are besides.
    pub dropped: u64,
}

/// The size of one collection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Collection {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Bytes of documents, uncompressed.
    pub bytes: i64,
    /// Bytes on disk.
    pub storage_bytes: i64,
    /// Of those, bytes that can be used again.
    pub free_bytes: i64,
    /// Bytes of indexes on disk.
    pub index_bytes: i64,
    /// Number of documents.
    pub documents: i64,
    /// How long operations on it took at the member that was asked, by class; empty unless somebody wants to know.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub latencies: BTreeMap<&'static str, Histogram>,
}

impl Snapshot {
    /// The members that answer, by address.
    pub fn answering(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().filter_map(|(address, sample)| {
            let member = sample.as_ref()?.answer.as_ref().ok()?;
            Some((address.as_str(), member))
        })
    }

    /// The view of the set to go by: the primary's, or without one that of the newest term.
    pub fn view(&self) -> Option<&Set> {
        let rank = |member: &Member| (member.hello.is_primary, member.set.as_ref().and_then(|set| set.term));
        self.answering().map(|(_, member)| member).max_by_key(|member| rank(member))?.set.as_ref()
    }

    /// The addresses of all members, by the newest configuration that one of them has; none where nobody tells.
    pub fn membership(&self) -> Option<&BTreeSet<String>> {
        let hellos = self.answering().map(|(_, member)| &member.hello).filter(|hello| !hello.peers.is_empty());
        hellos.max_by_key(|hello| hello.config_version).map(|hello| &hello.peers)
    }
}

impl Set {
    /// Seconds by which each member that holds data is behind, by address: behind the primary, or without one behind whoever is
    /// furthest; less what it lags behind on purpose.
    pub fn lags(&self) -> impl Iterator<Item = (&str, f64)> {
        const PRIMARY: i64 = 1;
        let is_primary = |peer: &&Peer| peer.state == Some(PRIMARY);
        let furthest = || self.members.values().filter_map(|peer| peer.applied_at).reduce(f64::max);
        let head = self.members.values().find(is_primary).and_then(|peer| peer.applied_at).or_else(furthest);
        self.members.iter().filter_map(move |(address, peer)| {
            #[allow(clippy::cast_precision_loss)] // A delay of ages is still whole.
            let behind = head? - peer.applied_at? - peer.delay_seconds as f64;
            Some((address.as_str(), behind.max(0.0)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: &[(&str, i64, Option<f64>, i64)]) -> Set {
        let peer = |(address, state, applied_at, delay_seconds): &(&str, i64, Option<f64>, i64)| {
            let (state, applied_at, delay_seconds) = (Some(*state), *applied_at, *delay_seconds);
            ((*address).to_owned(), Peer { state, applied_at, delay_seconds, ..Peer::default() })
        };
        Set { members: members.iter().map(peer).collect(), ..Set::default() }
    }

    #[test]
    fn lag_is_behind_the_primary_or_without_one_behind_the_furthest() {
        let with =
            set(&[("a", 1, Some(100.0), 0), ("b", 2, Some(97.0), 0), ("c", 2, Some(101.0), 0), ("d", 7, None, 0)]);
        assert_eq!(with.lags().collect::<Vec<_>>(), [("a", 0.0), ("b", 3.0), ("c", 0.0)]);
        let without = set(&[("a", 8, Some(90.0), 0), ("b", 2, Some(97.0), 0), ("c", 2, Some(101.0), 0)]);
        assert_eq!(without.lags().collect::<Vec<_>>(), [("a", 11.0), ("b", 4.0), ("c", 0.0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_due_by_the_newest_terms() {
        let (change, mut terms) = watch::channel(Terms::every(Duration::from_secs(3_600)));
        let begun = Instant::now();
        let asked = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            change.send_replace(Terms::every(Duration::from_secs(20)));
        };
        tokio::join!(Terms::due(&mut terms, begun), asked);
        assert_eq!(begun.elapsed().as_secs(), 20);
        drop(change);
        Terms::due(&mut terms, Instant::now()).await;
        assert_eq!(begun.elapsed().as_secs(), 40, "nobody changes them any more");
    }

    #[test]
    fn a_delay_on_purpose_is_no_lag() {
        let delayed = set(&[("a", 1, Some(5_000.0), 0), ("b", 2, Some(1_390.0), 3_600)]);
        assert_eq!(delayed.lags().collect::<Vec<_>>(), [("a", 0.0), ("b", 10.0)]);
    }

    fn answers(address: &str, member: Member) -> (String, Option<Arc<Sample>>) {
        let sample = Sample { at: Instant::now(), took: Duration::ZERO, answer: Ok(member) };
        (address.to_owned(), Some(Arc::new(sample)))
    }

    #[test]
    fn the_newest_configuration_and_the_primarys_view_count() {
        let peers = |peers: &[&str]| peers.iter().map(|peer| (*peer).to_owned()).collect::<BTreeSet<_>>();
        let member = |is_primary, config_version, term, addresses: &[&str]| Member {
            hello: Hello {
                is_primary,
                config_version: Some(config_version),
                peers: peers(addresses),
                ..Hello::default()
            },
            set: Some(Set { term: Some(term), ..Set::default() }),
            ..Member::default()
        };
        let mut snapshot = Snapshot::default();
        assert!(snapshot.membership().is_none() && snapshot.view().is_none());
        snapshot.members.extend([
            answers("a", member(true, 3, 6, &["a", "b"])),
            answers("b", member(false, 4, 7, &["a", "b", "c"])),
            // It was removed, and knows nobody any more.
            answers("d", Member { hello: Hello { config_version: Some(9), ..Hello::default() }, ..Member::default() }),
            ("c".to_owned(), None),
        ]);
        assert_eq!(snapshot.membership(), Some(&peers(&["a", "b", "c"])));
        assert_eq!(snapshot.view().and_then(|set| set.term), Some(6), "the primary's");
        snapshot.members.remove("a");
        assert_eq!(snapshot.view().and_then(|set| set.term), Some(7), "the newest");
    }
}
