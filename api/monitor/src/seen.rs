//! What is known at a moment: whatever is shown is a function of it.

use crate::{
    Lock,
    host::{self, Host},
    jobs::Jobs,
    open::{AlertSource, Found},
    process::Process,
};
use lucid_notify::channels::Sends;
use lucid_ports::{
    Problems, Reached,
    members::{Member, Snapshot, Terms},
};
use prometheus::Registry;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// So many intervals after a look, what it found isn't the present any more.
const INTERVALS_FRESH: u32 = 3;
/// A look may take a while, however short the interval is.
const FRESH_AT_LEAST: Duration = Duration::from_secs(10);

/// What the store told last, or one sentence on why it tells nothing.
pub type Told = Result<Arc<Jobs>, String>;

/// Where what is known comes from. Clones share it.
#[derive(Debug, Clone)]
pub struct Monitor {
    /// The members of the set.
    pub snapshot: watch::Receiver<Snapshot>,
    /// The jobs.
    pub jobs: watch::Receiver<Told>,
    /// The machine.
    pub host: watch::Receiver<host::Told>,
    /// What is wrong at this process, by all who find it.
    pub problems: Problems,
    /// From one look to the next, where no monitor job says otherwise.
    pub interval: Duration,
    /// What is looked at, and how often, now.
    pub terms: watch::Receiver<Terms>,
    /// How far the change stream of this process has come.
    pub stream: Reached,
    /// The alerts.
    pub alerts: AlertSource,
    /// Whether the metrics have the names of the exporter of Percona, too.
    pub compat: bool,
    /// What else this process counts about itself.
    pub registry: Registry,
    /// Who may read the metrics at the port of Prometheus.
    pub lock: Lock,
}

/// What is known at a moment.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What is looked at, and how often.
    pub terms: Terms,
    /// The members; `None` for one that was looked at too long ago, or never.
    pub members: Snapshot,
    /// The jobs.
    pub jobs: Told,
    /// The cluster time up to which the change stream of this process has told everything, in seconds since 1970.
    pub stream_at: Option<f64>,
    /// What came of sending over each channel of this node.
    pub sends: BTreeMap<String, Sends>,
    /// What is wrong and isn't written yet, or can't be.
    pub found: Vec<Found>,
    /// The machine that this runs on.
    pub host: Option<Arc<Host>>,
    /// What is wrong at this process, a sentence each.
    pub problems: Vec<String>,
    /// This process.
    pub process: Process,
}

impl Monitor {
    /// What is known now. Waits for nobody.
    pub fn seen(&self) -> Seen {
        let terms = self.terms.borrow().clone();
        let fresh = (terms.interval * INTERVALS_FRESH).max(FRESH_AT_LEAST);
        let members = with_fresh_alone(self.snapshot.borrow().clone(), fresh);
        let told = self.jobs.borrow().clone();
        let jobs = told.and_then(|jobs| jobs.if_younger(self.interval));
        let host = self.host.borrow().clone().filter(|(at, _)| at.elapsed() <= fresh).map(|(_, host)| host);
        let found = self.alerts.open().map(|open| open.found.clone()).unwrap_or_default();
        let problems = self.problems.sentences();
        let (stream_at, sends) = (self.stream.seconds().map(f64::from), self.alerts.channels().sends());
        Seen { terms, members, jobs, stream_at, sends, found, host, problems, process: Process::read() }
    }
}

fn with_fresh_alone(mut snapshot: Snapshot, fresh: Duration) -> Snapshot {
    for place in snapshot.members.values_mut() {
        place.take_if(|sample| sample.at.elapsed() > fresh);
    }
    snapshot
}

impl Seen {
    /// The members that answer, by address.
    pub fn answering(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.answering()
    }

    /// The name of the set; empty where there is none, or nobody tells.
    pub fn set_name(&self) -> String {
        let name = self.answering().find_map(|(_, member)| member.hello.set.clone());
        name.unwrap_or_default()
    }

    /// Seconds since the newest look at any member.
    pub fn looked_seconds_ago(&self) -> Option<f64> {
        let newest: Option<Instant> = self.members.members.values().flatten().map(|sample| sample.at).max();
        newest.map(|at| at.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use lucid_ports::members::Sample;

    /// A sample of just now.
    pub fn sample(answer: Result<Member, String>) -> Arc<Sample> {
        Arc::new(Sample { at: Instant::now(), took: Duration::from_millis(7), answer })
    }

    /// What is seen of these members, and nothing of any jobs.
    pub fn seen<const N: usize>(members: [(&str, Result<Member, String>); N]) -> Seen {
        let members = members.into_iter().map(|(address, answer)| (address.to_owned(), Some(sample(answer)))).collect();
        let members = Snapshot { members, collections: None };
        Seen {
            terms: Terms::every(Duration::from_secs(30)),
            stream_at: None,
            sends: BTreeMap::new(),
            found: Vec::new(),
            members,
            jobs: Err("not asked yet".into()),
            host: None,
            problems: Vec::new(),
            process: Process::default(),
        }
    }

    #[test]
    fn what_is_too_old_is_left_out() {
        let mut all = seen([("a:1", Ok(Member::default())), ("b:1", Ok(Member::default()))]).members;
        let old = Sample {
            at: Instant::now() - Duration::from_secs(91),
            took: Duration::ZERO,
            answer: Ok(Member::default()),
        };
        all.members.insert("b:1".into(), Some(Arc::new(old)));
        let left = with_fresh_alone(all, Duration::from_secs(90));
        assert_eq!(left.answering().map(|(address, _)| address).collect::<Vec<_>>(), ["a:1"]);
        assert_eq!(left.members.len(), 2, "it is known, but nothing of it");
    }
}
