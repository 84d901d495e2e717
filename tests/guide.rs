//! deploy/operations.md, as written: its blocks are run on a set of three members whose nodes deploy/install has set up, and then it is as
//! it says.

mod site;

use crate::{alerts::until, support::data};
use bson::{Document, doc};
use mongodb::Client;
use serde_json::json;
use site::Site;

const DOCUMENTS: u32 = 3_000;

/// What is in the database that is backed up.
async fn contents(client: &Client) -> Vec<Document> {
    use futures::TryStreamExt;
    let rows = client.database("lucid").collection::<Document>("rows");
    rows.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("a cursor").try_collect().await.expect("documents")
}

async fn is_let_in(uri: &str) -> bool {
    let client = Client::with_uri_str(uri).await.expect("a client");
    client.database("admin").run_command(doc! { "connectionStatus": 1 }).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_keys_nodes_and_whole_sets_are_replaced_as_the_guide_says() {
    let mut site = Site::found().await;
    data::fill(&site.administrator(), "lucid", 0..DOCUMENTS).await;
    let api = site.api();
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;

    let before = site.secret("restore.uri");
    site.section("Give a service a new password", 0).await;
    let after = site.secret("restore.uri");
    assert!(is_let_in(&after).await && !is_let_in(&before).await, "the old password is of no use");
    let restore = api.accepted("/restore", &json!({ "backup": backup, "database": "again" }));
    api.succeeded(&restore).await;

    let old_key = site.keep_a_copy_of("deploy/secrets/repository.key");
    site.section("Give the repository a new key", 0).await;
    assert!(!site.repository_opens_with(&old_key), "the old key opens nothing");
    let verify = api.accepted("/verify", &json!({ "backup": backup }));
    api.succeeded(&verify).await;

    let lost = (site.deployment.primary().await.expect("a primary") + 1) % 3;
    site.lose(lost).await;
    let meanwhile = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&meanwhile).await;
    site.section("A node is lost", 0).await;
    until("whole again", async || {
        let direct = Client::with_uri_str(site.uri_of(lost)).await.expect("a client");
        match contents_or_none(&direct).await {
            Some(documents) if documents == u64::from(DOCUMENTS) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    let expected = contents(&site.administrator()).await;
    let last = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&last).await;
    site.lose_everything().await;
    site.section("All nodes are lost", 0).await;
    assert!(contents(&site.administrator()).await == expected, "every document is back");
    site.section("All nodes are lost", 1).await;
}

/// How many documents a member has, where it tells.
async fn contents_or_none(member: &Client) -> Option<u64> {
    let rows = member.database("lucid").collection::<Document>("rows");
    rows.count_documents(doc! {}).await.ok()
}
