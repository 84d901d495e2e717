//! A model of monitors beside the law: two evaluators see the same world, each through its own gaps; the claim to write goes from one
//! to the other at any step; whoever lost it goes on for a while without knowing. Rounds are the real ones, on the twin of the store.

mod chance;
mod check;
mod gate;
mod sender;

use self::{
    chance::Chance,
    check::{Found, History, always, finally},
    gate::{Gate, Mutant},
    sender::{Heard, tell},
};
use super::*;
use bson::DateTime;
use lucid_core::{
    alert::{Command, transition},
    rules::{Evaluator, Parameters, Reading, Rule, Standing, Verdict},
};
use lucid_notify::{Channels, Direct, Sender};
use lucid_ports::{AlertFilter, ContextError, Detail, memory::MemoryStore};
use lucid_schemas::{
    EventBody, Head, Stamp,
    alert::{Fingerprint, Severity},
};
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Waker},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

static LAG: Rule = Rule { id: "lag", for_ms: 500, subject: &["member"], ..Rule::PLAIN };
const MEMBERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

const BEGAN_MS: i64 = 1_800_000_000_000;
const STEPS: usize = 1_500;
const ROUND_MS: i64 = 1_000;

type Actor = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The claim as a monitor knows it, whether it has it still or not.
struct Claim(Job, CancellationToken);

impl Claim {
    /// Whoever has it is called after it.
    fn new(epoch: i64) -> Self {
        let id = JobId::compose(Kind::Monitor, DateTime::from_millis(BEGAN_MS), 1);
        let spec = MonitorSpec { generation: 1, ..MonitorSpec::every(1) };
        let head = Head { epoch, worker: Some(format!("w{epoch}")), ..Head::born(Stamp::NOW) };
        let request = spec.request(id, "monitor:one");
        let job = Job { request, head, lease: None, progress: None, events: Vec::new(), fate: None };
        Self(job, CancellationToken::new())
    }
}

#[async_trait]
impl JobContext for Claim {
    fn job(&self) -> Job {
        self.0.clone()
    }
    fn stop(&self) -> &CancellationToken {
        &self.1
    }
    fn lease_left(&self) -> Duration {
        // His clock has stood still with him.
        Duration::from_secs(1)
    }
    fn report(&self, _: Progress) {}
    async fn record(&self, _: EventBody) -> Result<(), ContextError> {
        Ok(())
    }
    async fn commit(&self, _: EventBody) -> Result<(), ContextError> {
        Ok(())
    }
    async fn put_detail(&self, _: &str, _: Document) -> Result<String, ContextError> {
        Ok(String::new())
    }
    async fn detail(&self, _: &str) -> Result<Option<Detail>, ContextError> {
        Ok(None)
    }
}

/// One process: what it remembers, and the claim that it believes to have.
struct Process {
    evaluator: Evaluator,
    newest: Option<Arc<Evaluation>>,
    claim: Option<i64>,
    /// How many more rounds it writes before it learns that the claim is another one's.
    unaware: u64,
    round: Option<Actor>,
}

impl Process {
    fn new() -> Self {
        let evaluator = Evaluator::new(Parameters::default());
        Self { evaluator, newest: None, claim: None, unaware: 0, round: None }
    }
}

struct Model {
    chance: Chance,
    store: Arc<MemoryStore>,
    gate: Arc<Gate>,
    desk: Desk,
    now_ms: i64,
    /// Which members lag.
    lags: BTreeMap<&'static str, bool>,
    processes: [Process; 2],
    epoch: i64,
    found: Vec<(i64, Fingerprint, Found)>,
    heard: Arc<Mutex<Heard>>,
    sender: Option<Actor>,
    /// How often the claim went over while a round was under way.
    takeovers: usize,
}

impl Model {
    fn new(seed: u64, mutant: Mutant, channels: &Channels) -> Self {
        let mut chance = Chance::new(seed);
        let store = Arc::new(MemoryStore::at(DateTime::from_millis(BEGAN_MS)));
        let gate = Arc::new(Gate::new(store.clone(), mutant, chance.split()));
        let desk = Desk {
            store: store.clone(),
            alerts: gate.clone(),
            silences: store.clone(),
            evaluations: watch::channel(None).1,
            teller: Teller {
                channels: channels.clone(),
                hush: Arc::new(tell::Quiet { silences: store.clone(), alerts: store.clone() }),
                rounds: watch::channel(None).0,
                direct: Direct::new(channels.clone(), Sender::default()),
            },
            chain: Chain::new(store.clone(), store.clone(), "monitor:one".into()),
            problems: Problems::default(),
        };
        Self {
            chance,
            store,
            gate,
            desk,
            now_ms: BEGAN_MS,
            lags: MEMBERS.map(|member| (member, false)).into(),
            processes: [Process::new(), Process::new()],
            epoch: 0,
            found: Vec::new(),
            heard: Arc::default(),
            sender: None,
            takeovers: 0,
        }
    }

    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        self.store.set_now(DateTime::from_millis(self.now_ms));
    }

    /// A process looks, and judges what it sees.
    fn evaluate(&mut self, which: usize) {
        let sees_nothing = self.chance.one_in(20) && self.gate.is_shaky();
        let mut readings = vec![Reading::unknown(&LAG)];
        if !sees_nothing {
            readings = MEMBERS.map(|member| self.reading(member)).into();
        }
        let process = &mut self.processes[which];
        let judged = process.evaluator.round(self.now_ms, Some(&readings));
        for (about, judged) in &judged {
            let found = match judged.standing {
                Standing::Open { .. } => Found::Wrong,
                Standing::Over(_) => Found::Right,
                Standing::Undecided | Standing::Unseen => continue,
            };
            self.found.push((self.now_ms, about.clone(), found));
        }
        let is_cold = self.gate.mutant != Mutant::NeverCold && !process.evaluator.is_warm(self.now_ms, &[&LAG]);
        process.newest = Some(Arc::new(Evaluation {
            at: Instant::now(),
            primary_at: Some(DateTime::from_millis(self.now_ms)),
            judged,
            cold: is_cold.then_some(&LAG).into_iter().collect(),
            rules: vec![&LAG],
            can_write: true,
            term: None,
            clock_ms: self.now_ms,
        }));
    }

    fn reading(&mut self, member: &str) -> Reading {
        let verdict = match self.lags[member] {
            _ if self.chance.one_in(15) && self.gate.is_shaky() => Verdict::Unknown,
            true => {
                let severity = if self.chance.one_in(3) { Severity::Critical } else { Severity::Warning };
                Verdict::Wrong { severity, value: None, summary: format!("{member} is behind") }
            }
            false => Verdict::Right,
        };
        Reading { rule: &LAG, labels: [("member".to_owned(), member.to_owned())].into(), verdict }
    }

    /// A process that believes to have the claim begins to write what it has found.
    fn begin(&mut self, which: usize) {
        let process = &mut self.processes[which];
        let (Some(epoch), Some(evaluation)) = (process.claim, process.newest.take()) else { return };
        if epoch != self.epoch {
            match process.unaware.checked_sub(1) {
                Some(left) => process.unaware = left,
                None => return process.claim = None,
            }
        }
        let desk = self.desk.clone();
        process.round = Some(Box::pin(async move {
            let (handler, claim) = (MonitorHandler::new(desk), Claim::new(epoch));
            let Spec::Monitor(spec) = &claim.0.request.spec else { return };
            let token = Token { generation: spec.generation, epoch };
            // What fails is made up for by the next round.
            drop(handler.round(&claim, token, spec, &evaluation, false, &mut MonitorResult::default()).await);
        }));
    }

    /// One process gets the claim, whatever the other one is about to do.
    fn take_over(&mut self) {
        self.takeovers += usize::from(self.processes.iter().any(|process| process.round.is_some()));
        self.epoch += 1;
        let which = usize::from(self.chance.one_in(2));
        self.processes[which].claim = Some(self.epoch);
        self.processes[1 - which].unaware = self.chance.below(30);
    }

    fn step(&mut self) {
        let ms = if self.chance.one_in(80) { 5_000 } else { 1 + self.chance.below(40) };
        self.pass(i64::try_from(ms).expect("short"));
        let which = usize::from(self.chance.one_in(2));
        match self.chance.below(40) {
            0 | 39 => {
                let member = self.chance.below(MEMBERS.len() as u64);
                let member = MEMBERS[usize::try_from(member).expect("few")];
                self.lags.entry(member).and_modify(|lags| *lags = !*lags);
            }
            1 => self.take_over(),
            2 if self.chance.one_in(8) => self.processes[which] = Process::new(),
            3 if self.chance.one_in(4) => self.person(),
            // Whoever sends dies.
            4 if self.chance.one_in(4) => self.sender = None,
            5..12 => self.evaluate(which),
            12..18 if self.processes[which].round.is_none() => self.begin(which),
            18..24 => self.send(),
            _ => poll(&mut self.processes[which].round),
        }
    }

    /// Somebody at a keyboard.
    fn person(&mut self) {
        let alerts = now(self.store.open_alerts()).expect("read");
        let Some(alert) = alerts.first() else { return };
        let comment = String::new();
        let command = match self.chance.below(3) {
            0 => Command::Acknowledge { for_ms: None, comment },
            1 => Command::Acknowledge { for_ms: Some(5_000), comment },
            _ => Command::ResolveByHand { comment },
        };
        let next = transition(alert, &command, "me", &format!("p{}", self.now_ms));
        let _ = next.map(|next| now(self.store.apply_alert(&next)));
    }

    /// Whoever sends notices goes on, or begins.
    fn send(&mut self) {
        let (gate, heard) = (self.gate.clone(), self.heard.clone());
        self.sender.get_or_insert_with(|| Box::pin(async move { drop(tell(&gate, &heard).await) }));
        poll(&mut self.sender);
    }

    /// All is well, nothing fails, and whoever has the claim goes on until nothing changes any more; what is wrong then.
    fn settle(&mut self) -> Vec<String> {
        self.gate.shaky.store(false, std::sync::atomic::Ordering::Relaxed);
        self.lags = MEMBERS.map(|member| (member, false)).into();
        let mut late: Vec<Option<Actor>> = self.processes.iter_mut().map(|process| process.round.take()).collect();
        self.take_over();
        let holder = self.processes.iter().position(|process| process.claim == Some(self.epoch)).expect("one");
        for _ in 0..60 {
            self.pass(60 * ROUND_MS);
            for which in [0, 1] {
                self.evaluate(which);
            }
            self.begin(holder);
            while self.processes[holder].round.is_some() {
                poll(&mut self.processes[holder].round);
            }
            self.send();
            while self.sender.is_some() {
                poll(&mut self.sender);
            }
        }
        let before = self.history();
        for round in &mut late {
            while round.is_some() {
                poll(round);
            }
        }
        let changes = self.history().alerts != before.alerts;
        changes.then(|| "what came an hour late has changed something".to_owned()).into_iter().collect()
    }

    fn history(&self) -> History {
        let all = AlertFilter { limit: u32::MAX, ..AlertFilter::default() };
        let alerts = now(self.store.list_alerts(&all)).expect("read").alerts;
        let Heard { told, begun } = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        History { alerts, found: self.found.clone(), told, begun }
    }
}

/// One turn.
fn poll(actor: &mut Option<Actor>) {
    let done = |actor: &mut Actor| actor.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    actor.take_if(done);
}

/// What needs no turn of anybody else.
fn now<T>(call: impl Future<Output = T>) -> T {
    match std::pin::pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("the twin answers at once"),
    }
}

/// What is wrong with a life of this seed, and what it has met.
fn live(seed: u64, mutant: Mutant, channels: &Channels) -> (Vec<String>, Model) {
    let mut model = Model::new(seed, mutant, channels);
    for _ in 0..STEPS {
        model.step();
    }
    let mut wrong = always(&model.history());
    if wrong.is_empty() {
        wrong = model.settle();
        wrong.extend(finally(&model.history()));
    }
    (wrong, model)
}

mod tests;
