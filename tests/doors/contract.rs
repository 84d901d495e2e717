//! The contract, and what only a server with indexes and validators can be asked for.

use super::{LONG_MS, Set, backup, claim, make, reach};
use bson::{Document, doc};
use lucid_core::{Command, transition};
use lucid_mongo::explainable_queries;
use lucid_ports::{
    JobFilter, Outcome, Store,
    conformance::{Bench, agree, agree_on_alerts, run_all},
};
use lucid_schemas::collections::{OPS, OPS_EVENTS, WORKERS, indexes, validators};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn mongodb_keeps_the_contract() {
    let set = Set::start(1).await;
    run_all(|| set.bench()).await;
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_twin_and_mongodb_agree_on_whole_documents() {
    let set = Set::start(1).await;
    for seed in 0..10 {
        agree(&Bench::twin(), &set.bench().await, seed, 50).await;
        agree_on_alerts(&Bench::twin(), &set.bench().await, seed, 40).await;
    }
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_look_for_is_found_by_index() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let store = connection.store();
    for number in 0..40 {
        let job = store.enqueue(&backup(number)).await.expect("enqueued");
        match number % 4 {
            0 => {}
            1 => drop(make(&*store, &job, &Command::RequestCancel, "api").await),
            2 => drop(make(&*store, &job, &claim("w", LONG_MS), "w").await),
            _ => drop(make(&*store, &job, &claim("w", -LONG_MS), "w").await),
        }
    }
    for (name, command, index) in explainable_queries(&reach()) {
        let explained = database.run_command(doc! { "explain": command, "verbosity": "queryPlanner" }).await;
        let explained = explained.expect("explained").to_string();
        assert!(explained.contains("IXSCAN") || index == "_id_", "{name}: {explained}");
        assert!(explained.contains(&format!("\"indexName\": \"{index}\"")), "{name} by {index}: {explained}");
        assert!(!explained.contains("COLLSCAN"), "{name}: {explained}");
    }
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_somebody_dropped_stops_nothing() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let store = connection.store();
    let job = store.enqueue(&backup(0)).await.expect("enqueued");
    let lost = store.enqueue(&backup(1)).await.expect("enqueued");
    make(&*store, &lost, &claim("w", -LONG_MS), "w").await;
    database.collection::<Document>(OPS).drop_indexes().await.expect("dropped");
    let found: Vec<_> = store.claimable(&reach(), 5).await.expect("found").iter().map(|job| job.id().clone()).collect();
    assert_eq!(found, [lost.id().clone(), job.id().clone()]);
    store.next_due_in(&reach()).await.expect("told");
    store.occupied().await.expect("told");
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn set_up_is_repeatable_at_once_and_over_what_was_there() {
    let set = Set::start(1).await;
    let (connection, database) = set.bare().await;
    // What an earlier version may have left: no validator, another view, an index more.
    database.create_collection(OPS).await.expect("created");
    database.create_collection(OPS_EVENTS).view_on("elsewhere").await.expect("created");
    let many = (0..8).map(|_| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.set_up().await })
    });
    for done in futures::future::join_all(many).await {
        done.expect("no panic").expect("set up");
    }
    connection.set_up().await.expect("set up once more");
    for definition in indexes() {
        let names = database.collection::<Document>(definition.collection).list_index_names().await.expect("listed");
        let name = definition.index.get_str("name").expect("a name").to_owned();
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    for definition in validators() {
        let refused = database.collection(definition.collection).insert_one(doc! { "odd": true }).await;
        assert!(refused.is_err(), "{} takes anything", definition.collection);
    }
    let store = connection.store();
    let job = store.enqueue(&backup(0)).await.expect("enqueued");
    make(&*store, &job, &claim("w", LONG_MS), "w").await;
    let events = database.collection::<Document>(OPS_EVENTS);
    let claimed = events.find_one(doc! { "job": job.id().as_str(), "seq": 2_i64 }).await.expect("read");
    let claimed = claimed.expect("the view shows every event");
    let word = |field| claimed.get_str(field).unwrap_or_default().to_owned();
    assert_eq!((word("type"), word("by")), ("claimed".to_owned(), "w".to_owned()));
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_without_whose_they_are_are_refused_once_the_last_older_worker_is_gone() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let job = connection.store().enqueue(&backup(0)).await.expect("enqueued");
    let jobs = database.collection::<Document>(OPS);
    let ask_as_before = async |number: i32| {
        let mut older = jobs.find_one(doc! { "_id": job.id().as_str() }).await.expect("read").expect("there");
        older.extend(
            doc! { "_id": format!("backup_20240101_00000{number}"), "unique_key": format!("nightly-{number}") },
        );
        jobs.insert_one(older).await
    };
    ask_as_before(0).await.expect_err("no older program is about");
    // An older worker is started again beside this program, as in an upgrade of one node after the other.
    let workers = database.collection::<Document>(WORKERS);
    let card = doc! { "_id": "pi2/1", "version": "0.1.0", "capacity": 2, "running": 0, "kinds": ["backup"], "repositories": [], "labels": [], "seen_at": bson::DateTime::now() };
    workers.insert_one(card).await.expect("announced");
    connection.set_up().await.expect("set up");
    ask_as_before(1).await.expect("its schedules go on");
    assert!(jobs.insert_one(doc! { "odd": true }).await.is_err(), "all else is checked as ever");
    // It was killed, and the primary's clock was ahead when it was heard of last.
    let ahead = bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() + 30 * 86_400_000);
    workers.update_one(doc! { "_id": "pi2/1" }, doc! { "$set": { "seen_at": ahead } }).await.expect("written");
    connection.set_up().await.expect("set up");
    ask_as_before(2).await.expect_err("from now on keys say whose they are");
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_later_program_hides_no_other() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let store = connection.store();
    let jobs = database.collection::<Document>(OPS);
    let mut ids = BTreeSet::new();
    for number in 0..3 {
        let lost = store.enqueue(&backup(number)).await.expect("enqueued");
        let lost = make(&*store, &lost, &claim("w", -LONG_MS), "w").await;
        ids.insert(lost.id().clone());
        ids.insert(store.enqueue(&backup(number + 10)).await.expect("enqueued").id().clone());
        // Later programs come first in every order.
        for state in ["queued", "running"] {
            let mut later = jobs.find_one(doc! { "_id": lost.id().as_str() }).await.expect("read").expect("there");
            later.extend(doc! {
                "_id": format!("zz_{state}_{number}"), "schema": lucid_schemas::JOB_SCHEMA + 1, "state": state, "rank_at": bson::DateTime::MIN,
                "unique_key": format!("user/later-{state}-{number}"), "created_at": bson::DateTime::MAX,
                "lease": { "worker": "w", "token": "t", "expires_at": bson::DateTime::from_millis(0) },
            });
            jobs.insert_one(later).await.expect("inserted");
        }
    }
    let found = store.claimable(&reach(), 4).await.expect("looked for");
    let found: BTreeSet<_> = found.iter().map(|job| job.id().clone()).collect();
    assert!(found.len() == 4 && found.is_subset(&ids), "{found:?}");
    assert_eq!(store.expired(10).await.expect("looked for"), []);
    let filter = JobFilter { limit: 50, ..Default::default() };
    let listed = store.list(&filter).await.expect("listed");
    assert_eq!(listed.jobs.len(), ids.len(), "the list shows what can be read");
    let later = "zz_queued_0".parse().expect("an id");
    let unreadable = store.load(&later).await.expect_err("unreadable").to_string();
    assert!(unreadable.contains("upgrade this node"), "{unreadable}");
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_whole_is_not_appended_to() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let store = connection.store();
    let job = store.enqueue(&backup(0)).await.expect("enqueued");
    let job = make(&*store, &job, &claim("w", LONG_MS), "w").await;
    let next = transition(&job, &Command::RequestCancel, "api", "late").expect("lawful");
    let jobs = database.collection::<Document>(OPS);
    let id = doc! { "_id": job.id().as_str() };
    jobs.update_one(id.clone(), doc! { "$pop": { "events": 1 } }).await.expect("damaged");
    let damaged = jobs.find_one(id.clone()).await.expect("read");
    assert!(matches!(store.apply(&next).await, Ok(Outcome::Lost(Some(_)))));
    assert_eq!(jobs.find_one(id).await.expect("read"), damaged, "left as it is, for people to look at");
    set.end().await;
}
