//! A node: a runtime of its own on one thread, with a clock of its own that runs only during its turns. So it can be
//! stopped between any two instructions, and it dies whole: its runtime is dropped with every task in it.

use super::{
    client,
    feed::SimFeed,
    handler::SimHandler,
    schedules,
    stage::{Death, Process, Stage},
    store::SimStore,
};
use crate::mutant::Mutant;
use lucid_ports::{Feed, Reach, Store};
use lucid_runtime::{Worker, WorkerHandle};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::{advance, sleep, timeout},
};

/// What runs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Who asks for jobs.
    Client,
    /// A worker, with its sweeper.
    Worker,
}

/// A node of the simulation.
pub struct Node {
    stage: Arc<Stage>,
    /// What runs on it.
    pub role: Role,
    number: usize,
    lives: usize,
    /// How far it has come, by the clock of the conductor.
    pub clock_ms: i64,
    /// So much of that it has not noticed yet: it was stopped.
    unnoticed_ms: u64,
    body: Option<Body>,
}

/// One life.
struct Body {
    runtime: Runtime,
    process: Arc<Process>,
    worker: Option<WorkerHandle>,
    stopping: Option<JoinHandle<bool>>,
}

impl Node {
    /// A node that hasn't started.
    pub fn new(stage: Arc<Stage>, role: Role, number: usize) -> Self {
        Self { stage, role, number, lives: 0, clock_ms: 0, unnoticed_ms: 0, body: None }
    }

    /// Its name in this life.
    pub fn name(&self) -> String {
        match self.role {
            Role::Client => "client".into(),
            Role::Worker => format!("worker-{}/{}", self.number, self.lives),
        }
    }

    /// Runs it for so long; a node that isn't alive is started first. Says whether it is still alive.
    pub fn turn(&mut self, turn_ms: u64) -> bool {
        if self.body.is_none() {
            self.start();
        }
        let Some(body) = &mut self.body else {
            return false;
        };
        if self.unnoticed_ms > 0 {
            body.runtime.block_on(advance(Duration::from_millis(self.unnoticed_ms)));
            self.unnoticed_ms = 0;
        }
        body.runtime.block_on(async {
            sleep(Duration::from_millis(turn_ms)).await;
            self.clock_ms = body.process.now_ms();
        });
        !body.process.is_dead() && body.stopping.as_ref().is_none_or(|stopping| !stopping.is_finished())
    }

    /// Nothing happens to it any more.
    pub fn calm_down(&self) {
        if let Some(body) = &self.body {
            body.process.spare();
        }
    }

    /// Stops it for so long, between two instructions.
    pub fn freeze(&mut self, for_ms: u64) {
        if self.body.is_some() {
            self.unnoticed_ms += for_ms;
            self.clock_ms += i64::try_from(for_ms).unwrap_or(0);
            self.stage.note(&self.name(), &format!("stands still for {for_ms} ms"));
        }
    }

    /// Cuts it off from the store for so long; it goes on by itself.
    pub fn cut_off(&mut self, for_ms: u64) {
        if let Some(body) = &self.body {
            self.stage.note(&body.process.name, &format!("is cut off for {for_ms} ms"));
            let _entered = body.runtime.enter();
            body.process.cut_off(for_ms);
        }
    }

    /// Ends this life; the next one begins after so long.
    pub fn die(&mut self, for_ms: u64) {
        if self.body.take().is_some() {
            self.stage.note(&self.name(), &format!("is dead for {for_ms} ms"));
            self.unnoticed_ms = 0;
            self.clock_ms += i64::try_from(for_ms).unwrap_or(0);
        }
    }

    /// Asks its worker to stop.
    pub fn drain(&mut self) {
        if let Some(body) = &mut self.body
            && let Some(worker) = body.worker.take()
        {
            self.stage.note(&body.process.name, "is asked to stop");
            body.stopping = Some(body.runtime.spawn(async move { worker.stop().await.is_ok() }));
        }
    }

    /// Stops its worker, and says whether it did so well and in time.
    pub fn ends_well(&mut self) -> bool {
        self.drain();
        let stopping = self.body.as_mut().and_then(|body| Some((body.stopping.take()?, body)));
        stopping.is_none_or(|(stopping, body)| {
            let patience = Duration::from_secs(60);
            matches!(body.runtime.block_on(async { timeout(patience, stopping).await }), Ok(Ok(true)))
        })
    }

    fn start(&mut self) {
        self.lives += 1;
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without I/O needs nothing of the system");
        let entered = runtime.enter();
        let process = self.birth();
        let store = Arc::new(SimStore::new(Arc::clone(&self.stage), Arc::clone(&process)));
        let worker = match self.role {
            Role::Client => {
                client::start(&store);
                None
            }
            Role::Worker => {
                let feed = SimFeed::start(Arc::clone(&self.stage), Arc::clone(&process));
                let handlers = SimHandler::all(&self.stage, &process);
                let options = self.stage.plan.options(&process.name);
                if self.stage.plan.schedules {
                    schedules::start(&store);
                }
                let reach = Reach { repositories: vec![schedules::repository()], ..Reach::default() };
                let store: Arc<dyn Store> = store;
                let feed: &dyn Feed = &feed;
                Some(Worker::start(store, feed, handlers, reach, options).expect("options that fit"))
            }
        };
        drop(entered);
        self.body = Some(Body { runtime, process, worker, stopping: None });
    }

    fn birth(&self) -> Arc<Process> {
        let ahead_ms = match self.stage.mutant {
            Some(Mutant::WorkersClock) if self.number == 1 => 3_600_000,
            _ => 0,
        };
        let process = Process::new(self.name(), self.clock_ms, ahead_ms, self.death());
        self.stage.tick(&process);
        self.stage.note(&process.name, "starts");
        process
    }
    /// How this life ends, where it is one of its calls that ends it.
    fn death(&self) -> Death {
        if let Some(death) = self.stage.death {
            let is_the_one = self.role == Role::Worker && self.number == 1 && self.lives == 1;
            return if is_the_one { death } else { Death::default() };
        }
        let dies = self.role == Role::Worker && self.stage.one_in(self.stage.faults().crash_at_call);
        let at_call = if dies { 1 + self.stage.below(60) } else { 0 };
        Death { at_call, after_effect: self.stage.one_in(2) }
    }
}
