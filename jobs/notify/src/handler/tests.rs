//! Notify jobs as the engine runs them: what they tell, and how they fail.

use super::*;
use crate::kit::{Answer, File, Receiver, hook};
use bson::DateTime;
use lucid_core::{
    alert::{Fence, Finding, Sighting, raise},
    fold,
};
use lucid_ports::{ContextError, Detail, Raised, memory::MemoryStore};
use lucid_schemas::{
    EventBody, Failure, Job, Progress,
    alert::{AlertId, Severity, Token},
    kinds::NotifyResult,
    zones::installed,
};
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::CancellationToken;

/// A claim of a notify job, of which a handler needs no more than this.
struct Claim {
    job: Job,
    stop: CancellationToken,
}

#[async_trait]
impl JobContext for Claim {
    fn job(&self) -> Job {
        self.job.clone()
    }

    fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    fn lease_left(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn report(&self, _: Progress) {}

    async fn record(&self, _: EventBody) -> Result<(), ContextError> {
        Err(ContextError::Stop("not here".into()))
    }

    async fn commit(&self, _: EventBody) -> Result<(), ContextError> {
        Err(ContextError::Stop("not here".into()))
    }

    async fn put_detail(&self, _: &str, _: Document) -> Result<String, ContextError> {
        Err(ContextError::Stop("not here".into()))
    }

    async fn detail(&self, _: &str) -> Result<Option<Detail>, ContextError> {
        Ok(None)
    }
}

/// Keeps one rule quiet.
struct Quiet(&'static str);

#[async_trait]
impl Hush for Quiet {
    async fn look(&self) -> Result<Hushed, StoreError> {
        let rule = self.0;
        Ok(Box::new(move |alert| alert.origin.rule == rule))
    }
}

async fn claim(store: &Arc<MemoryStore>, channel: &str) -> Claim {
    let spec = NotifySpec { channel: channel.into(), group: "all".into() };
    let id = lucid_schemas::JobId::compose(Kind::Notify, store.now(), 7);
    let enqueue =
        lucid_ports::Enqueue { request: spec.request(id, "monitor"), delay_ms: 0, run_at: None, write: "w".into() };
    let job = store.enqueue(&enqueue).await.expect("enqueued");
    assert!(fold(&job.events).is_some());
    Claim { job, stop: CancellationToken::new() }
}

async fn handler(store: &Arc<MemoryStore>, text: &str) -> NotifyHandler {
    let channels = Channels::open(File::new(text).path(), installed()).expect("fine");
    for rule in ["backup_failed", "hushed"] {
        let labels = BTreeMap::new();
        let subject = crate::config::Subject { rule, labels: &labels, severity: Severity::Critical };
        let notify = channels.current().wanted(&subject);
        let finding = Finding {
            id: AlertId::compose(store.now(), rule.len() as u64),
            rule: rule.into(),
            labels,
            severity: Severity::Critical,
            starts_at: store.now(),
            starts_at_uncertain: false,
            incident: None,
            previous: None,
            sighting: Sighting { value: None, summary: "x".into(), rules_version: 1, times: 1, flapping: false },
            notify,
        };
        let fence = Fence { token: Token { generation: 1, epoch: 1 }, deadline: DateTime::MAX };
        assert!(matches!(store.raise_alert(&raise(&finding, fence, "monitor", rule)).await, Ok(Raised::New(_))));
    }
    NotifyHandler {
        store: store.clone(),
        alerts: store.clone(),
        hush: Arc::new(Quiet("hushed")),
        channels,
        sender: Sender::within(Duration::from_millis(300)),
    }
}

fn told(run: Result<Document, JobError>) -> NotifyResult {
    bson::deserialize_from_document(run.expect("told")).expect("a result")
}

fn failure(run: Result<Document, JobError>) -> Failure {
    match run {
        Err(JobError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_notify_job_tells_what_is_due_and_fails_so_that_it_is_tried_again() {
    let (store, receiver) = (Arc::new(MemoryStore::new()), Receiver::start().await);
    let handler = handler(&store, &hook("one", &receiver)).await;
    let claim = claim(&store, "one").await;
    for (answer, code) in [
        (Answer::Status(500), "channel_away"),
        (Answer::Never, "channel_away"),
        (Answer::Status(403), "channel_refuses"),
        (Answer::To("http://127.0.0.1:1/".into()), "channel_refuses"),
    ] {
        receiver.answer(answer);
        let failed = failure(handler.run(&claim).await);
        assert_eq!((failed.code.as_str(), failed.retryable), (code, true), "{}", failed.message);
    }
    receiver.answer(Answer::Status(200));
    receiver.told();
    let result = told(handler.run(&claim).await);
    assert_eq!((result.messages, result.firing), (1, 1), "what is hushed isn't told");
    assert_eq!(receiver.told().len(), 1);
    assert_eq!(told(handler.run(&claim).await).messages, 0, "nothing is due");
}

#[tokio::test]
async fn a_channel_that_this_node_has_no_more_is_left_to_others() {
    let (store, receiver) = (Arc::new(MemoryStore::new()), Receiver::start().await);
    let handler = handler(&store, &hook("one", &receiver)).await;
    let failed = failure(handler.run(&claim(&store, "two").await).await);
    assert_eq!((failed.code.as_str(), failed.retryable), ("channel_unknown", true));
    let stopped = claim(&Arc::new(MemoryStore::new()), "one").await;
    stopped.stop.cancel();
    assert!(matches!(handler.run(&stopped).await, Err(JobError::Stopped)));
    assert!(receiver.told().is_empty(), "who must stop sends nothing");
}
