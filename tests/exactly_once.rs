//! Two APIs and three workers on one replica set of three: every job runs exactly once.

use crate::support::{Api, World};
use bson::{Document, doc};
use futures::TryStreamExt;
use lucid_core::invariant::violations;
use lucid_schemas::{EventBody, Job, State, collections::OPS, names::DEFAULT_OPS_DATABASE};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

const JOBS: usize = 200;

async fn jobs(world: &World) -> Vec<Job> {
    let ops = world.client().database(DEFAULT_OPS_DATABASE).collection::<Document>(OPS);
    let documents: Vec<Document> = ops.find(doc! {}).await.expect("a cursor").try_collect().await.expect("documents");
    documents.iter().map(|document| Job::from_document(document).expect("a job")).collect()
}

fn enqueue(api: &Api, count: usize) -> Vec<String> {
    let body = json!({ "database": "tiny" });
    (0..count).map(|_| api.accepted("/backup", &body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_jobs_through_two_apis_run_exactly_once_on_three_workers() {
    let world = World::start(3).await;
    let tiny = world.client().database("tiny").collection::<Document>("pair");
    tiny.insert_many([doc! { "_id": 1 }, doc! { "_id": 2 }]).await.expect("two documents");
    let workers: Vec<_> = (0..3).map(|_| world.worker(&["--slots", "4"])).collect();
    let apis = [world.api(), world.api()];

    let asked: Vec<_> = apis
        .iter()
        .map(|(_, api)| {
            let api = api.clone();
            std::thread::spawn(move || enqueue(&api, JOBS / 2))
        })
        .collect();
    let asked: BTreeSet<String> = asked.into_iter().flat_map(|thread| thread.join().expect("enqueued")).collect();
    assert_eq!(asked.len(), JOBS);
    for id in &asked {
        apis[0].1.await_job(id, Duration::from_secs(120), |job| job.state == "succeeded").await;
    }

    let jobs = jobs(&world).await;
    assert_eq!(jobs.iter().map(|job| job.id().to_string()).collect::<BTreeSet<_>>(), asked);
    let mut ran_on = BTreeSet::new();
    for job in &jobs {
        assert_eq!(violations(job), vec![]);
        assert_eq!(job.head.state, State::Succeeded);
        let claims: Vec<_> =
            job.events.iter().filter(|event| matches!(event.body, EventBody::Claimed { .. })).collect();
        let ends = job.events.iter().filter(|event| matches!(event.body, EventBody::Succeeded { .. }));
        assert_eq!((claims.len(), ends.count()), (1, 1), "{:#?}", job.events);
        ran_on.insert(claims[0].by.clone());
    }
    assert_eq!(ran_on.len(), workers.len(), "every worker had a share: {ran_on:?}");
    for (worker, _) in workers {
        assert!(worker.stop().success());
    }
}
