//! The table, `decide` and `evolve` say the same; random histories keep every invariant.

use super::*;
use crate::{
    Command, EVENTS_MAX, LeaseChange, Refusal, birth,
    invariant::violations,
    is_given_up,
    slots::{self, SlotPlan},
    transition,
};
use bson::{DateTime, doc};
use lucid_schemas::{
    After, BackupSpec, ConcurrencyKey, Event, EventBody, Failure, Job, Lease, ManifestName, Request, RestoreSpec, Spec,
    Stamp,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

const MAX_ATTEMPTS: i32 = 3;

fn request() -> Request {
    let spec = Spec::Backup(BackupSpec {
        database: "lucid".into(),
        collections: None,
        compression: true,
        encryption: true,
        require_consistent: false,
    });
    let id = "backup_20250109_020000_7k3fq2m8ab".parse().expect("an id");
    Request { max_attempts: MAX_ATTEMPTS, ..Request::new(id, spec, "api:test", None) }
}

/// A job that was just asked for.
pub fn born(request: Request) -> Job {
    let first = Event {
        seq: 1,
        at: Stamp::At(DateTime::from_millis(0)),
        by: "api:test".into(),
        write: "w1".into(),
        body: EventBody::Enqueued {
            request_hash: request.hash().expect("a hash"),
            delay_ms: 0,
            run_at: None,
            priority: request.priority,
            waits: request.after.is_some(),
        },
    };
    Job { head: birth(&first), request, lease: None, progress: None, events: vec![first], fate: None }
}

fn queued() -> Job {
    born(request())
}

/// One that needs its database to itself.
fn exclusive() -> Job {
    let keys = vec![ConcurrencyKey::exclusive("database:lucid")];
    born(Request { keys, ..request() })
}

fn waiting() -> Job {
    let job = "backup_20250109_010000_7k3fq2m8ab".parse().expect("an id");
    born(Request { after: Some(After { job, state: State::Succeeded }), ..request() })
}

/// What a store does with a transition, on a clock that stands still.
fn perform(job: &Job, command: &Command, by: &str) -> Result<Job, Refusal> {
    let now = DateTime::from_millis(job.head.version);
    let step = transition(job, command, by, &format!("w{}", job.head.version + 1))?;
    let mut next = job.clone();
    next.events.extend(step.events.into_iter().map(|event| Event { at: Stamp::At(event.at.resolve(now)), ..event }));
    next.head = crate::fold(&next.events).expect("a stream with a first event");
    match step.lease {
        LeaseChange::Keep => {}
        LeaseChange::Drop => next.lease = None,
        LeaseChange::Take { worker, lease_ms } => {
            next.lease = Some(Lease {
                worker,
                token: step.write,
                expires_at: Stamp::At(Stamp::NOW.plus(lease_ms).resolve(now)),
            });
        }
    }
    Ok(next)
}

fn failure(retryable: bool) -> Failure {
    Failure { code: "test".into(), message: "a test".into(), retryable }
}

/// The slots that a claim has to take.
fn slots_of(job: &Job) -> Vec<String> {
    match slots::plan(job, &slots::Occupied::new()) {
        SlotPlan::Take(slots) => slots,
        SlotPlan::Reserve(_) | SlotPlan::Wait { .. } => panic!("nobody occupies anything"),
    }
}

fn commands_on(job: &Job, epoch: i64) -> Vec<Command> {
    let slots = slots_of(job);
    let mut commands = commands(epoch);
    commands[0] = Command::Claim { worker: "w".into(), lease_ms: 1000, slots };
    commands
}

fn commands(epoch: i64) -> Vec<Command> {
    let cluster_time = bson::Timestamp { time: 1, increment: 1 };
    let swap = EventBody::SwapStarted { entries: 1, list_hash: "h".into() };
    vec![
        Command::Claim { worker: "w".into(), lease_ms: 1000, slots: Vec::new() },
        Command::Release { epoch, reason: "stop".into() },
        Command::Record { epoch, fact: EventBody::SnapshotTaken { cluster_time } },
        Command::Commit { epoch, fact: EventBody::CommitStarted {} },
        Command::Commit { epoch, fact: swap },
        Command::Succeed { epoch, result: doc! { "documents": 1 } },
        Command::Fail { epoch, error: failure(true), retry_in_ms: 10, out_of_time: false },
        Command::Fail { epoch, error: failure(false), retry_in_ms: 10, out_of_time: false },
        Command::ConfirmCancel { epoch },
        Command::RequestCancel,
        Command::Resume,
        Command::GiveUp { reason: "the other one counts".into() },
        Command::Expire,
        Command::Reserve { slots: vec!["database:lucid#0".into(), "database:lucid#1".into()] },
        Command::Reserve { slots: vec!["database:lucid#0".into(), "database:lucid#2".into()] },
        Command::ReturnSlots { retry_in_ms: 10 },
        Command::Settle { dependency: Some(State::Succeeded), result: None },
        Command::Settle { dependency: Some(State::Failed), result: None },
        Command::Settle { dependency: None, result: None },
        Command::Settle { dependency: Some(State::Running), result: None },
    ]
}

/// Every job that can be reached in a few steps, with every move that led there.
fn explore() -> (Vec<Job>, BTreeSet<Move>) {
    let mut seen: Vec<Job> = Vec::new();
    let mut moves = BTreeSet::new();
    let mut frontier = vec![queued(), exclusive(), waiting()];
    while let Some(job) = frontier.pop() {
        let full = |job: &Job| job.head.version >= EVENTS_MAX;
        let key = |job: &Job| {
            let (head, slots) = (&job.head, (job.request.keys.len(), job.head.holds.len()));
            let over = (is_given_up(job), full(job));
            (head.state, head.attempt, job.lease.is_some(), over, slots, job.request.after.is_some())
        };
        if job.head.epoch > 5 || seen.iter().any(|other| key(other) == key(&job)) {
            continue;
        }
        for command in commands_on(&job, job.head.epoch) {
            if let Ok(next) = perform(&job, &command, "w") {
                moves.insert(Move {
                    from: job.head.state,
                    command: command.name(),
                    event: next.events.last().expect("an event").body.name(),
                    to: next.head.state,
                });
                frontier.push(next);
            }
        }
        if !full(&job) {
            let mut long = job.clone();
            long.head.version = EVENTS_MAX;
            frontier.push(long);
        }
        seen.push(job);
    }
    (seen, moves)
}

#[test]
fn the_table_is_what_the_law_does() {
    let (_, moves) = explore();
    assert_eq!(moves, BTreeSet::from(MOVES));
}

#[test]
fn every_state_can_be_reached() {
    let (jobs, _) = explore();
    let reached: BTreeSet<_> = jobs.iter().map(|job| job.head.state).collect();
    assert_eq!(reached, BTreeSet::from(State::ALL));
}

#[test]
fn a_worker_of_an_older_epoch_can_do_nothing() {
    let (jobs, _) = explore();
    for job in jobs.iter().filter(|job| job.head.epoch > 0) {
        for command in commands(job.head.epoch - 1) {
            let names_no_epoch = matches!(
                command,
                Command::Claim { .. }
                    | Command::Reserve { .. }
                    | Command::ReturnSlots { .. }
                    | Command::Settle { .. }
                    | Command::RequestCancel
                    | Command::Resume
                    | Command::GiveUp { .. }
                    | Command::Expire
            );
            let outcome = transition(job, &command, "w", "write");
            assert!(
                names_no_epoch || matches!(outcome, Err(Refusal::Fenced { .. })),
                "{command:?} on {:?} gave {outcome:?}",
                job.head
            );
        }
    }
}

#[test]
fn a_worker_that_gave_the_job_back_can_do_nothing_more() {
    let claimed = perform(&queued(), &commands_on(&queued(), 0)[0], "w").expect("claimed");
    let commit = Command::Commit { epoch: 1, fact: EventBody::CommitStarted {} };
    let committing = perform(&claimed, &commit, "w").expect("committing");
    let release = Command::Release { epoch: 1, reason: "stop".into() };
    let released = perform(&committing, &release, "w").expect("released");
    let late = Command::Succeed { epoch: 1, result: doc! {} };
    assert!(matches!(perform(&released, &late, "w"), Err(Refusal::Fenced { .. })));
}

#[test]
fn past_the_point_of_no_return_a_job_is_never_failed_or_canceled() {
    let (jobs, _) = explore();
    for mut job in jobs {
        job.request.spec = Spec::Restore(RestoreSpec {
            backup: job.id().clone(),
            manifest: ManifestName { key: "k".into(), hash: "h".into() },
            database: "lucid".into(),
            collections: None,
            replace: false,
            dry_run: false,
        });
        if !matches!(job.head.state, State::Committing | State::Blocked) {
            continue;
        }
        for command in commands(job.head.epoch) {
            if let Ok(next) = perform(&job, &command, "w") {
                let after = next.head.state;
                assert!(!matches!(after, State::Failed | State::Canceled | State::Queued), "{command:?}: {after}");
            }
        }
    }
}

#[test]
fn a_full_stream_always_has_room_for_an_end() {
    let (jobs, _) = explore();
    for job in jobs.iter().filter(|job| job.head.version >= EVENTS_MAX && job.lease.is_some()) {
        let claim = &commands_on(job, 0)[0];
        assert!(matches!(perform(job, claim, "w"), Err(Refusal::StreamFull { .. })), "{:?}", job.head);
        let ended = perform(job, &Command::Expire, "w").expect("a sweeper may end it").head.state;
        assert!(ended.is_terminal() || ended == State::Blocked);
    }
}

/// An exclusive job that got stuck past its point of no return.
fn blocked() -> Job {
    let job = perform(&exclusive(), &commands_on(&exclusive(), 0)[0], "w").expect("claimed");
    let swap = EventBody::SwapStarted { entries: 1, list_hash: "h".into() };
    let job = perform(&job, &Command::Commit { epoch: 1, fact: swap }, "w").expect("committing");
    let stuck = Command::Fail { epoch: 1, error: failure(false), retry_in_ms: 10, out_of_time: false };
    perform(&job, &stuck, "w").expect("blocked")
}

#[test]
fn what_is_blocked_keeps_one_slot_and_takes_the_others_again_when_it_goes_on() {
    let job = blocked();
    assert_eq!((job.head.state, &job.head.holds), (State::Blocked, &vec!["database:lucid#1".to_owned()]));
    let job = perform(&job, &Command::Resume, "api").expect("goes on");
    let empty = Command::Claim { worker: "w".into(), lease_ms: 1, slots: Vec::new() };
    assert!(matches!(perform(&job, &empty, "w"), Err(Refusal::SlotsMissing { .. })), "not beside a backup");
    assert!(crate::may_claim(&job) && slots::lacks(&job));
    let reserve = Command::Reserve { slots: vec!["database:lucid#0".into()] };
    let waits = perform(&job, &reserve, "w").expect("reserved");
    let returned = perform(&waits, &Command::ReturnSlots { retry_in_ms: 10 }, "w").expect("given back");
    assert_eq!(returned.head.holds, job.head.holds, "others have a turn, and still nobody has the database to himself");
    let claimed = perform(&returned, &commands_on(&returned, 0)[0], "w2").expect("claimed");
    assert_eq!(violations(&claimed), vec![]);
    assert!(!slots::lacks(&claimed));
    // Programs before this one gave nothing back: what they blocked still has its slots.
    let mut old = blocked();
    old.events.pop();
    let body = EventBody::Blocked { error: failure(false), kept: None };
    old.events.push(Event {
        seq: 4,
        at: Stamp::At(DateTime::from_millis(3)),
        by: "w".into(),
        write: "w4".into(),
        body,
    });
    old.head = crate::fold(&old.events).expect("a head");
    assert_eq!(old.head.holds.len(), 8);
    let resumed = perform(&old, &Command::Resume, "api").expect("goes on");
    perform(&resumed, &empty, "w2").expect("with what it has");
}

#[test]
fn what_is_given_up_fails_whatever_becomes_of_cleaning_up() {
    let give_up = Command::GiveUp { reason: "enough".into() };
    assert!(matches!(perform(&queued(), &give_up, "api"), Err(Refusal::WrongState { .. })));
    let mut job = perform(&blocked(), &give_up, "api").expect("given up");
    assert_eq!((job.head.state, job.head.holds.len()), (State::Canceling, 1));
    assert!(matches!(perform(&job, &give_up, "api"), Err(Refusal::AlreadyCanceling)), "asking twice is asking once");
    let claim = Command::Claim { worker: "w".into(), lease_ms: 1000, slots: Vec::new() };
    let mut tries = 0;
    while job.head.state == State::Canceling {
        job = perform(&job, &claim, "w").expect("claimed, with no slots of others");
        let epoch = job.head.epoch;
        assert!(perform(&job, &Command::ConfirmCancel { epoch }, "w").is_err(), "it isn't as if nothing had been done");
        let released = Command::Release { epoch, reason: "stop".into() };
        assert_eq!(perform(&job, &released, "w").expect("released").head.state, State::Canceling);
        job = perform(&job, &fail(epoch, false), "w").expect("failed");
        tries += 1;
    }
    assert_eq!((job.head.state, tries, job.head.holds.len()), (State::Failed, 10, 0));
}

fn fail(epoch: i64, out_of_time: bool) -> Command {
    Command::Fail { epoch, error: failure(true), retry_in_ms: 10, out_of_time }
}

#[test]
fn failures_have_a_number_or_the_time_of_their_kind() {
    let patient = Request { max_attempts: lucid_schemas::request::DEFAULT_ATTEMPTS, ..request() };
    for (asked, last) in [(request(), MAX_ATTEMPTS), (patient, 40)] {
        let patient = asked.retry_ms().is_some();
        let mut job = born(asked);
        for attempt in 1..=last {
            job = perform(&job, &commands_on(&job, 0)[0], "w").expect("claimed");
            let over = transition(&job, &fail(attempt.into(), true), "w", "write").expect("lawful");
            let late = patient && attempt >= 5;
            assert_eq!(over.head.state == State::Failed, late || attempt == MAX_ATTEMPTS && !patient, "{attempt}");
            let more = transition(&job, &fail(attempt.into(), false), "w", "write").expect("lawful");
            assert_eq!(late, matches!(more.guards[..], [crate::Guard::Before(_)]), "{attempt}");
            assert_eq!(late, matches!(over.guards[..], [crate::Guard::NotBefore(_)]), "{attempt}");
            job = perform(&job, &fail(attempt.into(), false), "w").expect("failed");
        }
        assert_eq!(job.head.state, if patient { State::Queued } else { State::Failed });
    }
}

#[test]
fn losses_in_a_row_end_a_job_whatever_time_is_left() {
    let mut job = born(Request { max_attempts: lucid_schemas::request::DEFAULT_ATTEMPTS, ..request() });
    for attempt in 1..=8 {
        job = perform(&job, &commands_on(&job, 0)[0], "w").expect("claimed");
        job = perform(&job, &fail(attempt, false), "w").expect("failed");
    }
    for lost in 0..5 {
        job = perform(&job, &commands_on(&job, 0)[0], "w").expect("claimed, or taken over");
        assert_eq!((crate::losses(&job), crate::was_lost_twice(&job)), (lost, lost >= 1), "if this one is lost, too");
    }
    let again = perform(&job, &commands_on(&job, 0)[0], "w");
    assert!(matches!(again, Err(Refusal::AttemptsExhausted { .. })), "{again:?}");
    assert_eq!(perform(&job, &Command::Expire, "w").expect("ended").head.state, State::Failed);
}

proptest! {
    #[test]
    fn random_histories_keep_every_invariant(
        which in 0_usize..3,
        steps in prop::collection::vec((0_usize..20, 0_i64..2), 1..60),
    ) {
        let mut job = vec![queued(), exclusive(), waiting()].swap_remove(which);
        for (choice, back) in steps {
            let command = commands_on(&job, job.head.epoch - back).swap_remove(choice);
            let by = if matches!(command, Command::Claim { .. }) {
                format!("w{}", job.head.epoch + 1)
            } else {
                format!("w{}", job.head.epoch)
            };
            let ended = job.head.state.is_terminal();
            if let Ok(next) = perform(&job, &command, &by) {
                prop_assert!(!ended, "{command:?} moved a job that had ended");
                prop_assert_eq!(violations(&next), vec![]);
                job = next;
            }
        }
    }
}
