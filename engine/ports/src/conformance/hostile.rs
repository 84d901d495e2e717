//! Words that mean something to a server are just words when they come from outside.

use super::{
    kit::{Bench, LONG_MS, OVER_MS, bytes, claim, enqueue, repository, request},
    transitions::failure,
};
use bson::{Bson, Decimal128, Document, doc};
use lucid_core::Command;
use lucid_schemas::{EventBody, Kind, Progress, Spec};

const WORDS: [&str; 8] = ["$$NOW", "$$REMOVE", "$$ROOT", "$state", "$", "a.b", "", "{\"$set\": 1} \u{0} ü"];

/// Field names and values that a pipeline or an update would take for its own.
pub(super) fn documents() -> Vec<Document> {
    vec![
        doc! { "text": "$$NOW", "list": ["$$REMOVE", "$state", ["$$ROOT"]], "nested": { "text": "$lease" } },
        doc! { "a.b": 1, "a": { "b": 2 }, "c.": { ".d": "e" }, "": { "": "" } },
        doc! { "nested": { "$literal": 1 }, "list": [{ "$add": [1, 2] }, { "$cond": {} }] },
        doc! {
            "int": 1, "long": 1_i64, "double": 1.0, "negative_zero": -0.0, "none": Bson::Null,
            "decimal": "1.50".parse::<Decimal128>().map_or(Bson::Null, Bson::Decimal128),
            "low": Bson::MinKey, "high": Bson::MaxKey, "empty": {}, "nothing": [],
            "code": Bson::JavaScriptCode("$$NOW".into()), "at": bson::DateTime::MIN, "id": bson::oid::ObjectId::from_bytes([7; 12]),
            "mark": bson::Timestamp { time: 0, increment: 0 },
        },
    ]
}

pub(super) async fn requests_are_stored_literally(bench: Bench) {
    for word in WORDS {
        let mut asked = request(Kind::Backup);
        asked.requested_by = word.into();
        asked.unique_key = Some(format!("user/{word}"));
        asked.requires.repository = Some(repository(word));
        asked.requires.labels = vec![word.into()];
        if let Spec::Backup(spec) = &mut asked.spec {
            spec.database = word.into();
            spec.collections = Some(vec![word.into(), "$$NOW".into()]);
        }
        let mut enqueue = enqueue(asked.clone());
        enqueue.write = format!("{word}{}", enqueue.write);
        let job = bench.put(&enqueue).await;
        assert_eq!(job.request, asked, "{word:?}");
        assert_eq!((&job.events[0].by, &job.events[0].write), (&asked.requested_by, &enqueue.write));
    }
}

pub(super) async fn events_are_stored_literally(bench: Bench) {
    for word in WORDS {
        let job = bench.queued().await;
        let job = bench.make(&job, &claim(word, LONG_MS), word).await;
        assert_eq!(job.head.worker.as_deref(), Some(word));
        let lease = job.lease.clone().expect("a lease");
        assert_eq!(lease.worker, word);
        let progress = Progress { phase: word.into(), ..Progress::default() };
        let renewed = bench.store.renew(job.id(), 1, &lease.token, LONG_MS, Some(&progress)).await;
        assert!(renewed.is_ok(), "{renewed:?}");
        assert_eq!(bench.job(job.id()).await.progress.map(|progress| progress.phase).as_deref(), Some(word));
        let reason = Command::Release { epoch: 1, reason: word.into() };
        let job = bench.make(&job, &reason, word).await;
        let job = bench.make(&job, &claim("w", LONG_MS), "w").await;
        let mut error = failure(word, true);
        error.message = word.into();
        let failed = Command::Fail { epoch: 2, error: error.clone(), retry_in_ms: OVER_MS, out_of_time: false };
        let job = bench.make(&job, &failed, "w").await;
        assert_eq!(job.head.error, Some(error));
        let job = bench.make(&job, &claim("w", LONG_MS), "w").await;
        let swap = EventBody::SwapStarted { entries: 1, list_hash: word.into() };
        bench.make(&job, &Command::Commit { epoch: 3, fact: swap }, "w").await;
    }
    for result in documents() {
        let job = bench.running(LONG_MS).await;
        let job = bench.make(&job, &Command::Succeed { epoch: 1, result: result.clone() }, "w").await;
        let stored = bench.document(job.id()).await;
        assert_eq!(bytes(stored.get_document("result").expect("a result")), bytes(&result));
    }
}
