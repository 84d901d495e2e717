//! The model for the checker: which actions there are in a state, and what has to be true of every one.

use super::{
    actor::{Actor, Order},
    stored::Stored,
    world::World,
};
use crate::mutant::Mutant;
use lucid_core::{Command, is_given_up, transition};
use lucid_schemas::{EventBody, Kind, State};
use stateright::{Model, Property};

/// The bounds of a search, and the safeguard that is missing, if any.
#[derive(Debug, Clone)]
pub struct Search {
    pub kind: Kind,
    pub workers: usize,
    pub max_attempts: i32,
    /// No state beyond so many claims.
    pub epochs: i64,
    /// No state beyond so many events.
    pub events: i64,
    /// Whether states are compared whole, see [`super::sameness`].
    pub exact: bool,
    pub mutant: Option<Mutant>,
}

/// One thing that may happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Time passes.
    Tick,
    /// A worker decides to ask for something.
    Begin(usize, Order),
    /// Its write arrives, and it hears of that.
    Answered(usize),
    /// Its write arrives, and the answer is lost.
    Unanswered(usize),
    /// It renews its lease.
    Renew(usize),
    /// Somebody wants the job to end.
    Cancel,
    /// An operator lets it go on.
    Resume,
    /// An operator gives it up.
    GiveUp,
}

impl Model for Search {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            stored: Stored::born(self.kind, self.max_attempts),
            lease_left: 0,
            due_in: 1,
            actors: vec![Actor::Idle; self.workers],
            exact: self.exact,
            acknowledged: None,
            broken: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.lease_left > 0 || world.due_in > 0 {
            actions.push(Action::Tick);
        }
        for worker in 0..world.actors.len() {
            match &world.actors[worker] {
                Actor::Idle => actions.extend(Order::FREE.map(|order| Action::Begin(worker, order))),
                Actor::Holding { .. } => {
                    actions.extend(Order::HELD.map(|order| Action::Begin(worker, order)));
                    actions.push(Action::Renew(worker));
                }
                Actor::Sending { .. } => actions.extend([Action::Answered(worker), Action::Unanswered(worker)]),
            }
        }
        actions.extend([Action::Cancel, Action::Resume, Action::GiveUp]);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Tick => {
                next.lease_left = world.lease_left.saturating_sub(1);
                next.due_in = world.due_in.saturating_sub(1);
            }
            Action::Begin(worker, order) => self.begin(&mut next, worker, order)?,
            Action::Answered(worker) => next.deliver(worker, true, self.mutant)?,
            Action::Unanswered(worker) => next.deliver(worker, false, self.mutant)?,
            Action::Renew(worker) => next.renew(worker)?,
            Action::Cancel => ask(&mut next, &Command::RequestCancel)?,
            Action::Resume => ask(&mut next, &Command::Resume)?,
            Action::GiveUp => ask(&mut next, &Command::GiveUp { reason: "enough".into() })?,
        }
        Some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        let head = &world.stored.job().head;
        head.epoch <= self.epochs && head.version <= self.events
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Self::PROMISES[0], |_, world: &World| world.stored.verdict().sound),
            Property::always(Self::PROMISES[1], |_, world: &World| world.broken.is_none()),
            Property::always(Self::PROMISES[2], |_, world: &World| writers(world) <= 1),
            Property::always(Self::PROMISES[3], |_, world: &World| success_stays(world)),
            Property::always(Self::PROMISES[4], |_, world: &World| world.stored.verdict().end_in_reach),
            Property::sometimes("succeeded", |_, world: &World| is(world, State::Succeeded)),
            Property::sometimes("failed", |_, world: &World| is(world, State::Failed)),
            Property::sometimes("canceled", |_, world: &World| is(world, State::Canceled)),
            Property::sometimes("blocked", |_, world: &World| is(world, State::Blocked)),
            Property::sometimes("given up", |_, world: &World| is_given_up(world.stored.job())),
            Property::sometimes("taken over", |_, world: &World| taken_over(world)),
            Property::sometimes("two believe to hold it", |_, world: &World| believers(world) >= 2),
        ]
    }
}

impl Search {
    /// What is true of every state.
    pub const PROMISES: [&str; 5] = [
        "the law's invariants",
        "only its holder changes a job",
        "one worker at most may write",
        "an acknowledged success stays",
        "an end is in reach",
    ];

    /// A worker decides to ask for something that the law would allow by what it knows.
    fn begin(&self, world: &mut World, worker: usize, order: Order) -> Option<()> {
        let (epoch, base) = match &world.actors[worker] {
            Actor::Idle => (0, world.stored.clone()),
            Actor::Holding { epoch, seen, .. } => (*epoch, seen.clone()),
            Actor::Sending { .. } => return None,
        };
        let begun = base.job().head.version;
        world.actors[worker] = Actor::Sending { order, epoch, base, begun, landed: None };
        world.prepared(worker, self.mutant).map(|_| ())
    }
}

/// A person asks; from a fresh look, so that it is one action.
fn ask(world: &mut World, command: &Command) -> Option<()> {
    let job = world.stored.job();
    let write = format!("{} {}", command.name(), job.head.version);
    let next = transition(job, command, "client", &write).ok()?;
    world.write(&next);
    Some(())
}

fn is(world: &World, state: State) -> bool {
    world.stored.job().head.state == state
}

fn taken_over(world: &World) -> bool {
    let takeover = |body: &EventBody| matches!(body, EventBody::Claimed { takeover: true, .. });
    world.stored.job().events.iter().any(|event| takeover(&event.body))
}

fn believers(world: &World) -> usize {
    world.actors.iter().filter(|actor| epoch_of(actor) > 0).count()
}

fn epoch_of(actor: &Actor) -> i64 {
    match actor {
        Actor::Idle => 0,
        Actor::Sending { epoch, .. } | Actor::Holding { epoch, .. } => *epoch,
    }
}

/// Workers whose writes the store would take as the holder's.
fn writers(world: &World) -> usize {
    let job = world.stored.job();
    let holds = |actor: &&Actor| job.lease.is_some() && epoch_of(actor) == job.head.epoch;
    world.actors.iter().filter(holds).count()
}

fn success_stays(world: &World) -> bool {
    let head = &world.stored.job().head;
    world.acknowledged.is_none_or(|epoch| {
        let result = head.result.as_ref().and_then(|result| result.get_i64("epoch").ok());
        head.state == State::Succeeded && result == Some(epoch)
    })
}
