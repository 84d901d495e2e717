//! What the rules about members go by: the newest samples of a monitor, and what they show beside earlier ones.
//!
//! Every figure may be missing, as servers of other versions, arbiters, and users with fewer rights tell less; a rule that needs
//! it then says that nobody can tell.

use std::collections::{BTreeMap, BTreeSet};

/// What a look at the members has shown.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// The node of this monitor.
    pub monitor: String,
    /// The name of the set; none where nobody tells.
    pub set: Option<String>,
    /// Every member that is known, by address.
    pub members: BTreeMap<String, Member>,
    /// By how many elections the term has grown in the last hour, as far as the monitor has seen it.
    pub elections: Option<i64>,
    /// The nodes on which monitors live; none where the store doesn't tell.
    pub monitors: Option<BTreeSet<String>>,
}

/// A member of the set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Member {
    /// What it said.
    pub answer: Answer,
    /// Whether another member that answers finds it well; none where no other one tells.
    pub is_seen: Option<bool>,
    /// Its votes in elections.
    pub votes: Option<i64>,
}

/// What a member said when it was asked last.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Answer {
    /// It wasn't asked lately: nobody can tell.
    #[default]
    Unasked,
    /// Nothing, for this reason.
    Silence(String),
    /// This.
    Figures(Box<Figures>),
}

/// What a member tells of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Whether it takes writes.
    pub is_primary: bool,
    /// Whether it knows a primary that is well; none where it doesn't tell how it sees the set.
    pub knows_primary: Option<bool>,
    /// Whether it holds no data.
    pub is_arbiter: bool,
    /// Its state by number: 0 startup, 1 primary, 2 secondary, 3 recovering, 5 startup2, 7 arbiter, 9 rollback, 10 removed.
    pub state: Option<i64>,
    /// For how many seconds this monitor has seen it in that state.
    pub state_seconds: f64,
    /// Seconds behind the primary, or without one behind whoever is furthest, less what it lags behind on purpose.
    pub lag_seconds: Option<f64>,
    /// From the oldest to the newest entry of its oplog, in seconds.
    pub oplog_window_seconds: Option<f64>,
    /// How full its oplog is: percents of the size above which entries go.
    pub oplog_percent: Option<f64>,
    /// Percents of the connections that it takes.
    pub connections_percent: Option<f64>,
    /// Operations that wait to begin.
    pub queued: Option<f64>,
    /// Open cursors.
    pub cursors: Option<f64>,
    /// Cursors that nobody read on, a minute.
    pub cursors_timed_out_per_minute: Option<f64>,
    /// Percents of the storage engine's cache that are used.
    pub cache_percent: Option<f64>,
    /// Percents of it that aren't on disk yet.
    pub dirty_percent: Option<f64>,
    /// Pages that threads of clients had to evict, a second.
    pub app_evictions_per_second: Option<f64>,
    /// Whether writes are slowed down since too few members keep up.
    pub is_flow_controlled: Option<bool>,
    /// How long operations took lately, by class: `reads`, `writes`.
    pub latencies: BTreeMap<&'static str, Latency>,
    /// Percents of the file system of its data that are used.
    pub disk_percent: Option<f64>,
    /// Percents of it that will be used in a day if it goes on as in the last hours.
    pub disk_percent_tomorrow: Option<f64>,
    /// What it refused to tell, by part.
    pub refused: BTreeSet<String>,
}

/// How long operations took.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Latency {
    /// How many there were.
    pub operations: f64,
    /// Seconds within which 99 of 100 were done.
    pub p99_seconds: f64,
}

impl Members {
    /// The members that answer, by address.
    pub fn answering(&self) -> impl Iterator<Item = (&str, &Figures)> {
        self.members.iter().filter_map(|(address, member)| match &member.answer {
            Answer::Figures(figures) => Some((address.as_str(), &**figures)),
            Answer::Unasked | Answer::Silence(_) => None,
        })
    }

    /// Whether members were asked, and none answered.
    pub fn is_blind(&self) -> bool {
        let is_asked = |member: &Member| member.answer != Answer::Unasked;
        self.members.values().any(is_asked) && self.answering().next().is_none()
    }
}
