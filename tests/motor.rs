//! The motor on a real store: workers in this process, handlers that do what the test wants.

use crate::support::World;
use async_trait::async_trait;
use bson::{DateTime, Document, doc};
use lucid_core::{Command, invariant::violations, transition};
use lucid_embedded::Options;
use lucid_mongo::{Connection, MongoFeed};
use lucid_ports::{Ending, Enqueue, Handler, JobContext, JobError, Outcome, Reach, Store};
use lucid_runtime::{Worker, WorkerHandle, WorkerOptions};
use lucid_schemas::{After, BackupSpec, Code, EventBody, Job, JobId, Kind, Request, Spec, State};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// What a handler does in one attempt.
#[derive(Debug, Clone)]
enum Act {
    Succeed,
    Fail {
        retryable: bool,
    },
    Panic,
    /// Works until it is told to stop.
    Wait,
    /// Passes the point of no return, then fails.
    CommitThenFail {
        retryable: bool,
    },
}

/// What a handler tells the test.
#[derive(Debug, PartialEq)]
enum Said {
    Started { epoch: i64 },
    Abandoned { ending: Ending },
}

struct Scripted {
    acts: Mutex<VecDeque<Act>>,
    said: mpsc::UnboundedSender<Said>,
}

#[async_trait]
impl Handler for Scripted {
    fn kind(&self) -> Kind {
        Kind::Backup
    }

    async fn run(&self, context: &dyn JobContext) -> Result<Document, JobError> {
        let epoch = context.job().head.epoch;
        let _ = self.said.send(Said::Started { epoch });
        let act = self.acts.lock().expect("no panic while locked").pop_front().unwrap_or(Act::Succeed);
        let failed = |retryable| {
            let make = if retryable { JobError::retryable } else { JobError::permanent };
            Err(make(Code::SwapStuck, "as the test wants".to_owned()))
        };
        match act {
            Act::Succeed => Ok(doc! { "$where": "a value that begins with $", "nested": { "a.b": 1 } }),
            Act::Fail { retryable } => failed(retryable),
            Act::Panic => panic!("as the test wants"),
            Act::Wait => {
                context.stop().cancelled().await;
                Err(JobError::Stopped)
            }
            Act::CommitThenFail { retryable } => {
                if context.job().head.state == State::Running {
                    context.commit(EventBody::CommitStarted {}).await?;
                }
                failed(retryable)
            }
        }
    }

    async fn abandon(&self, _context: &dyn JobContext, ending: Ending) {
        let _ = self.said.send(Said::Abandoned { ending });
    }
}

/// One store and one worker after another.
struct Stage {
    store: Arc<dyn Store>,
    feed: Arc<MongoFeed>,
    heard: mpsc::UnboundedReceiver<Said>,
    say: mpsc::UnboundedSender<Said>,
    world: World,
}

impl Stage {
    async fn set() -> Self {
        let world = World::bare(Options::new).await;
        let connection: Connection = lucid_mongo::connect(&world.uri(), "lucid_ops").await.expect("connected");
        connection.set_up().await.expect("set up");
        connection.set_up().await.expect("set up once more");
        let (say, heard) = mpsc::unbounded_channel();
        Self { store: connection.store(), feed: connection.feed().await.expect("a feed"), heard, say, world }
    }

    fn worker(&self, name: &str, acts: &[Act]) -> WorkerHandle {
        let handler = Scripted { acts: Mutex::new(acts.iter().cloned().collect()), said: self.say.clone() };
        let options = WorkerOptions::new(name).with_lease_ms(3_000);
        Worker::start(Arc::clone(&self.store), &*self.feed, vec![Arc::new(handler)], Reach::default(), options)
            .expect("a worker")
    }

    async fn enqueue(&self, max_attempts: i32) -> JobId {
        self.enqueue_after(max_attempts, None).await
    }

    async fn enqueue_after(&self, max_attempts: i32, after: Option<After>) -> JobId {
        let (chance, _) = uuid::Uuid::new_v4().as_u64_pair();
        let spec = Spec::Backup(BackupSpec {
            database: "$lucid".into(),
            collections: None,
            compression: true,
            encryption: true,
            require_consistent: false,
        });
        let id = JobId::compose(Kind::Backup, DateTime::now(), chance);
        let request = Request { max_attempts, after, keys: Vec::new(), ..Request::new(id, spec, "api:test", None) };
        let write = uuid::Uuid::new_v4().to_string();
        let enqueue = Enqueue { request, delay_ms: 0, run_at: None, write };
        let first = self.store.enqueue(&enqueue).await.expect("enqueued");
        let second = self.store.enqueue(&enqueue).await.expect("enqueued once more, which is the same");
        assert_eq!(first.events[0], second.events[0]);
        first.id().clone()
    }

    async fn load(&self, id: &JobId) -> Job {
        self.store.load(id).await.expect("readable").expect("there")
    }

    /// Waits for a state; every job on the way keeps the invariants.
    async fn until(&self, id: &JobId, state: State) -> Job {
        let begun = Instant::now();
        loop {
            let job = self.load(id).await;
            assert_eq!(violations(&job), vec![]);
            if job.head.state == state {
                return job;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "not {state}: {job:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn hear(&mut self) -> Said {
        tokio::time::timeout(Duration::from_secs(30), self.heard.recv()).await.expect("in time").expect("a handler")
    }

    async fn ask(&self, id: &JobId, command: &Command) {
        let job = self.load(id).await;
        let next = transition(&job, command, "api:test", &uuid::Uuid::new_v4().to_string()).expect("lawful");
        assert!(matches!(self.store.apply(&next).await, Ok(Outcome::Won(_))));
    }
}

fn names(job: &Job) -> Vec<&'static str> {
    job.events.iter().map(|event| event.body.name()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_until_the_attempts_are_used_up() {
    let mut stage = Stage::set().await;
    let worker = stage.worker("w", &[Act::Fail { retryable: true }, Act::Panic, Act::Succeed]);
    let id = stage.enqueue(3).await;
    let job = stage.until(&id, State::Succeeded).await;
    assert_eq!(
        names(&job),
        ["enqueued", "claimed", "attempt_failed", "claimed", "attempt_failed", "claimed", "succeeded"]
    );
    let result = job.head.result.expect("a result");
    assert_eq!(result.get_str("$where").ok(), Some("a value that begins with $"), "nothing of it was evaluated");
    assert_eq!(job.head.error, None, "an old error doesn't outlive success");
    assert_eq!(stage.hear().await, Said::Started { epoch: 1 });
    assert_eq!(stage.hear().await, Said::Abandoned { ending: Ending::Failed });
    worker.stop().await.expect("stopped");

    let worker = stage.worker("w2", &[Act::Fail { retryable: true }, Act::Fail { retryable: true }]);
    let id = stage.enqueue(2).await;
    let job = stage.until(&id, State::Failed).await;
    assert_eq!(names(&job), ["enqueued", "claimed", "attempt_failed", "claimed", "failed"]);
    worker.stop().await.expect("stopped");

    let worker = stage.worker("w3", &[Act::Fail { retryable: false }]);
    let id = stage.enqueue(5).await;
    let job = stage.until(&id, State::Failed).await;
    assert_eq!(names(&job), ["enqueued", "claimed", "failed"], "a permanent failure isn't tried again");
    worker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_canceled_at_once_and_cleaned_up() {
    let mut stage = Stage::set().await;
    let worker = stage.worker("w", &[Act::Wait]);
    let id = stage.enqueue(5).await;
    assert_eq!(stage.hear().await, Said::Started { epoch: 1 });
    let asked = Instant::now();
    stage.ask(&id, &Command::RequestCancel).await;
    let job = stage.until(&id, State::Canceled).await;
    assert!(asked.elapsed() < Duration::from_secs(1), "by the feed, not by the next heartbeat or poll");
    assert_eq!(names(&job), ["enqueued", "claimed", "cancel_requested", "canceled"]);
    assert_eq!(stage.hear().await, Said::Abandoned { ending: Ending::Canceled });
    worker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_past_its_point_of_no_return_is_carried_through_or_blocked() {
    let mut stage = Stage::set().await;
    let worker = stage.worker(
        "w",
        &[Act::CommitThenFail { retryable: true }, Act::CommitThenFail { retryable: false }, Act::Succeed],
    );
    let id = stage.enqueue(1).await;
    let job = stage.until(&id, State::Blocked).await;
    assert_eq!(names(&job), ["enqueued", "claimed", "commit_started", "attempt_failed", "claimed", "blocked"]);
    assert_eq!(stage.hear().await, Said::Started { epoch: 1 });
    assert_eq!(stage.hear().await, Said::Started { epoch: 2 }, "nothing is abandoned past that point");
    stage.ask(&id, &Command::Resume).await;
    let job = stage.until(&id, State::Succeeded).await;
    assert_eq!(names(&job)[6..], ["resumed", "claimed", "succeeded"]);
    worker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_worker_gives_its_job_to_the_next() {
    let mut stage = Stage::set().await;
    let first = stage.worker("first", &[Act::Wait]);
    let id = stage.enqueue(1).await;
    assert_eq!(stage.hear().await, Said::Started { epoch: 1 });
    first.stop().await.expect("stopped");
    let job = stage.load(&id).await;
    assert_eq!((job.head.state, job.head.attempt), (State::Queued, 0), "an interrupted attempt doesn't count");
    let second = stage.worker("second", &[]);
    let job = stage.until(&id, State::Succeeded).await;
    assert_eq!(names(&job), ["enqueued", "claimed", "released", "claimed", "succeeded"]);
    second.stop().await.expect("stopped");
    assert_eq!(stage.store.workers(Duration::from_secs(60)).await.expect("readable"), vec![], "both have left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_worker_was_lost_on_its_last_attempt_fails() {
    let stage = Stage::set().await;
    let id = stage.enqueue(1).await;
    // A worker that claims and is never heard of again.
    let claim = Command::Claim { worker: "lost".into(), lease_ms: 300, slots: Vec::new() };
    stage.ask(&id, &claim).await;
    let worker = stage.worker("w", &[]);
    let job = stage.until(&id, State::Failed).await;
    assert_eq!(job.head.error.expect("an error").code, "worker_lost");
    worker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waiting_job_that_a_hand_has_changed_keeps_no_other_waiting() {
    let stage = Stage::set().await;
    let first = stage.enqueue(1).await;
    let after = After { job: first.clone(), state: State::Succeeded };
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let id = stage.enqueue_after(1, Some(after.clone())).await;
        assert_eq!(stage.load(&id).await.head.state, State::Waiting);
        waiting.push(id);
    }
    let jobs = stage.world.client().database("lucid_ops").collection::<Document>("ops");
    let hand = doc! { "$set": { "priority": 7, "requested_by": "a hand" } };
    jobs.update_one(doc! { "_id": waiting[0].as_str() }, hand).await.expect("changed");
    let foreign = doc! { "_id": "compact_20250109_020000_7k3fq2m8ab", "schema": 2, "kind": "compact", "spec": {}, "state": "waiting",
    "open": true, "version": 1_i64, "epoch": 0_i64, "attempt": 0, "run_at": DateTime::now(), "created_at": DateTime::now(),
    "after": { "job": first.as_str(), "state": "succeeded" },
    "events": [{ "seq": 1_i64, "at": DateTime::now(), "type": "enqueued", "by": "later", "write": "w" }] };
    jobs.insert_one(foreign).await.expect("inserted");
    let worker = stage.worker("w/1", &[Act::Succeed, Act::Succeed, Act::Succeed, Act::Succeed]);
    for id in [&first, &waiting[1], &waiting[2]] {
        stage.until(id, State::Succeeded).await;
    }
    worker.stop().await.expect("nothing broke off");
}
