//! The primary steps down in the middle of a backup and of a restore: both end well, and no document is lost by going on
//! at another member.

use crate::support::{World, data};
use bson::doc;
use serde_json::json;
use std::time::Duration;

const DOCUMENTS: u32 = 40_000;

#[tokio::test(flavor = "multi_thread")]
async fn backup_and_restore_survive_a_step_down() {
    let world = World::start_with(|dir| data::with_fail_points(dir).members(3)).await;
    data::rows(&world, "much", DOCUMENTS).await;
    data::slow_down(&world, "getMore", 500).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);

    let backup = api.accepted("/backup", &json!({ "database": "much" }));
    api.await_job(&backup, Duration::from_secs(60), data::copying).await;
    world.deployment.step_down().await.expect("another primary");
    let done = api.succeeded(&backup).await;
    assert_eq!(done.result.expect("a result")["documents"], DOCUMENTS);
    let verify = api.accepted("/verify", &json!({ "backup": backup }));
    api.succeeded(&verify).await;

    data::slow_down(&world, "insert", 500).await;
    let restore = api.accepted("/restore", &json!({ "backup": backup, "database": "again" }));
    api.await_job(&restore, Duration::from_secs(60), data::copying).await;
    world.deployment.step_down().await.expect("another primary");
    api.succeeded(&restore).await;
    let client = world.client();
    let restored = client.database("again").collection::<bson::Document>("rows");
    assert_eq!(restored.count_documents(doc! {}).await.expect("a count"), u64::from(DOCUMENTS));
    assert_eq!(lucid_sample::compare(&client, "much", "again").await.expect("compared"), vec![]);
}
