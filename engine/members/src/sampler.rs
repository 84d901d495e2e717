//! Looking again and again, and who is there to be looked at.
//!
//! Driver futures are never dropped half-way: each look is a task of its own that runs to its end, and whoever waits for it stops waiting
//! when its time is over. The next look at that member begins when the last one has ended.

use crate::{
    direct::{Seeds, UriError},
    look::look,
    sizes::sizes,
};
use lucid_ports::{
    Problems,
    members::{Member, Sample, Snapshot, Terms},
    watched,
};
use mongodb::Client;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// An answer is waited for as long as the interval, within these.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// A look that hangs for longer is given up, with its connection.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(2);
/// A busy machine is late by less.
const SLIP: Duration = Duration::from_secs(1);
/// Collections grow slowly, and measuring many takes the server some time.
const SIZES_EVERY_AT_LEAST: Duration = Duration::from_secs(30);
/// Sizes that are older by so many rounds are no longer told.
const SIZES_ROUNDS_KEPT: u32 = 3;

/// The sampling, under way.
#[derive(Debug)]
pub struct Sampler {
    snapshot: watch::Receiver<Snapshot>,
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl Sampler {
    /// Begins, with the members that the connection string names; the others are found through those that answer. New terms are followed
    /// at once.
    ///
    /// # Errors
    /// Where the connection string can't be read. Members that can't be reached are no error.
    pub async fn start(uri: &str, terms: watch::Receiver<Terms>, problems: Problems) -> Result<Self, UriError> {
        let seeds = Seeds::parse(uri).await?;
        let (sender, snapshot) = watch::channel(Snapshot::default());
        let shared = Arc::new(Shared { seeds, terms, sender, problems: problems.clone() });
        let stop = CancellationToken::new();
        let own = stop.clone();
        let watching = watched("sampler", problems, stop.clone(), move || Arc::clone(&shared).keep(own.clone()));
        Ok(Self { snapshot, stop, done: tokio::spawn(watching) })
    }

    /// What is known, as it becomes known.
    pub fn snapshot(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }

    /// Stops it. Looks that are under way end by themselves.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(broken) = self.done.await {
            tracing::error!(%broken, "the sampler broke off, which is a defect");
        }
    }
}

/// What all tasks share.
struct Shared {
    seeds: Seeds,
    terms: watch::Receiver<Terms>,
    sender: watch::Sender<Snapshot>,
    problems: Problems,
}

impl Shared {
    /// How long an answer is waited for.
    fn bound(&self) -> Duration {
        let (shortest, longest) = PATIENCE;
        self.terms.borrow().interval.clamp(shortest, longest)
    }

    /// Keeps one task for each member of the set, and one for the sizes.
    async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut news = self.sender.subscribe();
        let mut wanted: BTreeSet<String> = self.seeds.addresses().collect();
        let mut kept: BTreeMap<String, DropGuard> = BTreeMap::new();
        let measuring = stop.child_token();
        self.begin("measuring of collections", &measuring, Self::measure);
        let _measuring = measuring.drop_guard();
        loop {
            kept.retain(|address, _| wanted.contains(address));
            self.sender.send_if_modified(|snapshot| {
                snapshot.members.retain(|address, _| wanted.contains(address));
                for address in &wanted {
                    snapshot.members.entry(address.clone()).or_default();
                }
                // The tasks tell what is new.
                false
            });
            for address in &wanted {
                if !kept.contains_key(address) {
                    let own = stop.child_token();
                    let watched = address.clone();
                    self.begin("watch over a member", &own, move |shared, stop| shared.watch(watched.clone(), stop));
                    kept.insert(address.clone(), own.drop_guard());
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = news.changed() => if changed.is_err() { return },
            }
            if let Some(membership) = news.borrow_and_update().membership() {
                wanted.clone_from(membership);
            }
        }
    }

    /// Starts a task that is begun again where it breaks off.
    fn begin<F>(
        self: &Arc<Self>,
        name: &'static str,
        stop: &CancellationToken,
        mut work: impl FnMut(Arc<Self>, CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (shared, own) = (Arc::clone(self), stop.clone());
        let begin = move || work(Arc::clone(&shared), own.clone());
        tokio::spawn(watched(name, self.problems.clone(), stop.clone(), begin));
    }

    /// Looks at one member until `stop`.
    async fn watch(self: Arc<Self>, address: String, stop: CancellationToken) {
        let mut line = Line { address, client: None, pending: None, answered: None, heard: Instant::now() };
        let mut terms = self.terms.clone();
        loop {
            let begun = Instant::now();
            let answer = line.ask(&self.seeds, self.bound()).await;
            line.note(&answer);
            let sample = Arc::new(Sample { at: Instant::now(), took: begun.elapsed(), answer });
            self.sender.send_if_modified(|snapshot| {
                // It may have left the set meanwhile.
                snapshot.members.get_mut(&line.address).map(|place| *place = Some(sample)).is_some()
            });
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = Terms::due(&mut terms, begun) => {}
            }
        }
    }

    /// Measures collections until `stop`.
    async fn measure(self: Arc<Self>, stop: CancellationToken) {
        let (mut news, mut terms) = (self.sender.subscribe(), self.terms.clone());
        let mut last: Option<(String, Client)> = None;
        let mut trouble: Option<String> = None;
        loop {
            let wanted = terms.borrow_and_update().clone();
            let every = wanted.interval.max(SIZES_EVERY_AT_LEAST);
            let measured = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                measured = self.measured(&mut news, &mut last, wanted) => measured,
            };
            self.sender.send_modify(|snapshot| match measured {
                Ok(collections) => {
                    if trouble.take().is_some() {
                        tracing::info!("collections are measured again");
                    }
                    snapshot.collections = Some(Arc::new(collections));
                }
                Err(reason) => {
                    // Once for each reason: a right that is missing is missing for ever.
                    if trouble.as_ref() != Some(&reason) {
                        tracing::warn!(
                            reason,
                            "collections can't be measured: their sizes are left out until they can"
                        );
                        trouble = Some(reason);
                    }
                    let too_old = |at: Instant| at.elapsed() > every * SIZES_ROUNDS_KEPT;
                    if snapshot.collections.as_ref().is_some_and(|known| known.at.is_none_or(too_old)) {
                        snapshot.collections = None;
                    }
                }
            });
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(every) => {}
                // Somebody wants other ones.
                Ok(()) = terms.changed() => {}
            }
        }
    }

    /// Measures on the primary, or without one on any member that has data; waits for one that answers.
    async fn measured(
        &self,
        news: &mut watch::Receiver<Snapshot>,
        last: &mut Option<(String, Client)>,
        wanted: Terms,
    ) -> Result<lucid_ports::members::Collections, String> {
        let able = |snapshot: &Snapshot| {
            let able = snapshot.answering().filter(|(_, member)| !member.hello.is_arbiter);
            able.max_by_key(|(_, member)| member.hello.is_primary).map(|(address, _)| address.to_owned())
        };
        let found = news.wait_for(|snapshot| able(snapshot).is_some()).await;
        let address = found.ok().and_then(|snapshot| able(&snapshot)).ok_or("no member answers")?;
        let client = match last {
            Some((known, client)) if *known == address => client.clone(),
            _ => {
                let client = self.seeds.direct(&address, self.bound())?;
                last.insert((address.clone(), client)).1.clone()
            }
        };
        let work = tokio::spawn(sizes(client, wanted, self.bound()));
        let measured = work.await.map_err(|broken| format!("the measuring broke off: {broken}"))??;
        Ok(lucid_ports::members::Collections { member: address, ..measured })
    }
}

/// The connection to one member, and what hangs on it.
struct Line {
    address: String,
    client: Option<Client>,
    /// The look that wasn't waited for any longer, and when it began.
    pending: Option<(Instant, JoinHandle<Result<Member, String>>)>,
    answered: Option<bool>,
    /// When it was heard last; when it was to be, where it never was.
    heard: Instant,
}

impl Line {
    /// A look, waited for within `bound`; none is begun while the last one hangs.
    async fn ask(&mut self, seeds: &Seeds, bound: Duration) -> Result<Member, String> {
        // What has ended meanwhile is of the past: looked anew.
        if let Some((since, look)) = self.pending.take()
            && !look.is_finished()
        {
            let silent = since.elapsed();
            if silent < GIVEN_UP_AFTER {
                self.pending = Some((since, look));
            } else {
                self.client = None;
            }
            return Err(format!("no answer for {} s", self.heard.elapsed().as_secs()));
        }
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(seeds.direct(&self.address, bound)?).clone(),
        };
        let begun = Instant::now();
        let answer = self.look(client.clone(), bound).await;
        // Who slept meanwhile has waited for nobody: that its time is over proves nothing.
        if answer.is_err() && begun.elapsed() > bound + SLIP {
            return self.look(client, bound).await;
        }
        answer
    }

    async fn look(&mut self, client: Client, bound: Duration) -> Result<Member, String> {
        let begun = Instant::now();
        let mut look = tokio::spawn(look(client, bound));
        match timeout(bound, &mut look).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(broken)) => Err(format!("the look at it broke off: {broken}")),
            Err(_) => {
                self.pending = Some((begun, look));
                Err(format!("no answer within {} s", bound.as_secs()))
            }
        }
    }

    /// Logs when it falls silent, and when it is back.
    fn note(&mut self, answer: &Result<Member, String>) {
        let before = self.answered.replace(answer.is_ok());
        if answer.is_ok() {
            self.heard = Instant::now();
        }
        match answer {
            Err(reason) if before != Some(false) => {
                tracing::warn!(member = self.address, reason, "member doesn't answer: its figures are left out");
            }
            Ok(_) if before == Some(false) => tracing::info!(member = self.address, "member answers again"),
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
