//! What only a server can be asked about alerts: what its validators refuse, what its view shows, and whom they wake.

use super::{Set, backup};
use bson::{DateTime, Document, doc};
use lucid_core::alert::{Command, Fence, Finding, Sighting, raise, transition};
use lucid_mongo::Connection;
use lucid_ports::{AlertOutcome, Alerts, Feed, History, News, Raised, Store, Subject, Wake};
use lucid_schemas::{
    alert::{Alert, AlertId, AlertState, Severity, Token},
    collections::{DEFINITIONS, MIGRATIONS, OPS, OPS_EVENTS},
};
use mongodb::Database;
use std::time::Duration;

async fn raised(connection: &Connection, about: &str) -> Alert {
    let finding = Finding {
        id: AlertId::compose(DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0),
        rule: "backup_overdue".into(),
        labels: [("database".to_owned(), about.to_owned())].into(),
        severity: Severity::Critical,
        starts_at: DateTime::now(),
        starts_at_uncertain: false,
        incident: None,
        previous: None,
        sighting: Sighting { value: None, summary: "none since".into(), rules_version: 1, times: 1, flapping: false },
        notify: Vec::new(),
    };
    let deadline = DateTime::from_millis(DateTime::now().timestamp_millis() + 300_000);
    let fence = Fence { token: Token { generation: 1, epoch: 1 }, deadline };
    match connection.store().raise_alert(&raise(&finding, fence, "monitor:a", &about.to_uppercase())).await {
        Ok(Raised::New(alert)) => *alert,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_alerts_have_keys_and_fields_of_their_own() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let alert = raised(&connection, "shop").await;
    let job = connection.store().enqueue(&backup(1)).await.expect("enqueued");
    let ops = database.collection::<Document>(OPS);
    let refused = async |id: &str, change: Document| {
        let mut document = ops.find_one(doc! { "_id": id }).await.expect("read").expect("there");
        document.insert("_id", format!("{id}0"));
        document.insert("unique_key", format!("{}0", document.get_str("unique_key").expect("a key")));
        let fits = ops.insert_one(document.clone()).await;
        fits.expect("what was stored is taken, under another key");
        document.extend(doc! { "_id": format!("{id}1"), "unique_key": "user/free" });
        document.extend(change);
        ops.insert_one(document).await.is_err_and(|error| error.to_string().contains("121"))
    };
    let (alert, job) = (alert.id().as_str(), job.id().as_str());
    for change in [
        doc! {},
        doc! { "unique_key": "alert/free", "run_at": DateTime::now() },
        doc! { "unique_key": "alert/free", "state": "running" },
        doc! { "unique_key": "alert/free", "kind": "alerts" },
    ] {
        assert!(refused(alert, change.clone()).await, "{change}");
        ops.delete_one(doc! { "_id": format!("{alert}0") }).await.expect("deleted");
    }
    for change in [doc! { "unique_key": "alert/free" }, doc! { "state": "raised" }, doc! { "kind": "alert" }] {
        assert!(refused(job, change.clone()).await, "{change}");
        ops.delete_one(doc! { "_id": format!("{job}0") }).await.expect("deleted");
    }
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_shows_events_of_both_classes() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let alert = raised(&connection, "shop").await;
    let known = Command::Acknowledge { for_ms: None, comment: "I look".into() };
    let known = transition(&alert, &known, "token:me", "known").expect("lawful");
    let outcome = connection.store().apply_alert(&known).await.expect("applied");
    assert!(matches!(outcome, AlertOutcome::Won(_)));
    let job = connection.store().enqueue(&backup(1)).await.expect("enqueued");
    let events = database.collection::<Document>(OPS_EVENTS);
    let shown = async |filter: Document| events.find_one(filter).await.expect("read").expect("shown");
    let of_alert = shown(doc! { "alert": alert.id().as_str(), "seq": 2_i64 }).await;
    let word = |shown: &Document, field: &str| shown.get_str(field).unwrap_or("none").to_owned();
    assert_eq!(
        ["class", "type", "job", "by"].map(|field| word(&of_alert, field)),
        ["alert", "acknowledged", "none", "token:me"]
    );
    let of_job = shown(doc! { "job": job.id().as_str() }).await;
    assert_eq!(["class", "type", "alert"].map(|field| word(&of_job, field)), ["job", "enqueued", "none"]);
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_is_woken_by_an_alert_and_the_history_tells_of_it_as_one() {
    let set = Set::start(1).await;
    let (connection, _) = set.database().await;
    let feed = connection.feed().await.expect("a feed");
    let history = connection.history(16).await.expect("a history");
    let (mut wakes, mut joined) = (feed.subscribe(), history.recent().join_now());
    let alert = raised(&connection, "shop").await;
    let over = Command::ResolveByHand { comment: String::new() };
    let over = transition(&alert, &over, "token:me", "over").expect("lawful");
    connection.store().apply_alert(&over).await.expect("applied");
    let job = connection.store().enqueue(&backup(0)).await.expect("enqueued");
    let patience = Duration::from_secs(30);
    let wake = tokio::time::timeout(patience, wakes.recv()).await.expect("in time").expect("a wake");
    assert!(matches!(&wake, Wake::Changed { id, .. } if id == job.id()), "{wake:?}");
    for state in [AlertState::Raised, AlertState::Resolved] {
        let news = tokio::time::timeout(patience, joined.news.recv()).await.expect("in time").expect("news");
        let News::Change(change) = &news else { panic!("{news:?}") };
        let Subject::Alert(changed) = &change.subject else { panic!("{news:?}") };
        assert_eq!((&changed.id, changed.state, changed.events.len()), (alert.id(), Some(state), 1), "{news:?}");
    }
    let news = tokio::time::timeout(patience, joined.news.recv()).await.expect("in time").expect("news");
    assert!(matches!(&news, News::Change(change) if change.job().is_some_and(|own| own.id == *job.id())), "{news:?}");
    feed.stop().await;
    history.stop().await;
    set.end().await;
}

/// As a program left it that knew of no alerts: its validator refuses them, until a program that does comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_up_before_there_were_alerts_takes_them() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let older = doc! { "$jsonSchema": { "required": ["spec", "epoch", "attempt", "run_at"] } };
    database.run_command(doc! { "collMod": OPS, "validator": older }).await.expect("changed");
    number(&database, DEFINITIONS - 1).await;
    connection.set_up().await.expect("set up");
    raised(&connection, "shop").await;
    let shapes = database.collection::<Document>(MIGRATIONS);
    let shape =
        async |id| shapes.find_one(doc! { "_id": id }).await.expect("read").expect("there").get_i32("schema").ok();
    assert_eq!(shape("definitions").await, Some(DEFINITIONS), "an older program leaves this alone");
    assert_eq!(shape("jobs").await, Some(lucid_schemas::JOB_SCHEMA), "and goes on with the jobs");
    set.end().await;
}

async fn number(database: &Database, definitions: i32) {
    let shapes = database.collection::<Document>(MIGRATIONS);
    let set = doc! { "$set": { "schema": definitions } };
    shapes.update_one(doc! { "_id": "definitions" }, set).await.expect("set");
}
