//! Nothing is tried for the first time after the point of no return: what the server would refuse then is found before, in dry run and
//! drill as well.

use super::{
    context::Stored,
    sample::{assert_same, contents, indexes, series},
    world::{World, named, restore, verify},
};
use bson::{Document, RawDocumentBuf, doc};
use lucid_ports::{Handler, JobError};
use lucid_schemas::{Spec, State, VerifyLevel};
use mongodb::Database;

async fn command(database: &Database, command: Document) {
    database.run_command(command).await.expect("the command succeeds");
}

fn some(backup: &Stored, database: &str, names: &[&str], dry_run: bool) -> Spec {
    let Spec::Restore(mut spec) = restore(backup, database) else { unreachable!("it is a restore") };
    spec.collections = Some(names.iter().map(|name| (*name).to_owned()).collect());
    spec.dry_run = dry_run;
    Spec::Restore(spec)
}

fn texts(document: &Document, field: &str) -> Vec<String> {
    let values = document.get_array(field).expect("told").iter();
    values.map(|value| value.as_str().expect("a text").to_owned()).collect()
}

async fn leaves_no_scratch(world: &World) {
    let names = world.client.list_database_names().await.expect("names");
    assert!(!names.iter().any(|name| name.starts_with("__lucid")), "{names:?}");
}

/// Expiry that `createIndexes` takes and `collMod` refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_expiry_that_cannot_be_set_afterwards_comes_back_with_its_index() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    let database = world.client.database(&source);
    for (name, kind) in [("text", "text"), ("weighted", "text"), ("hashed", "hashed"), ("places", "2dsphere")] {
        let mut index = doc! { "key": { "a": kind }, "name": "special", "expireAfterSeconds": 0 };
        if name == "weighted" {
            index.insert("weights", doc! { "z": 3, "b": 7 });
        }
        command(&database, doc! { "createIndexes": name, "indexes": [index] }).await;
    }
    command(&database, doc! { "createIndexes": "all", "indexes": [{ "key": { "$**": "text" }, "name": "all", "expireAfterSeconds": 5 }] }).await;
    let old = bson::DateTime::from_millis(0);
    let words = database.collection("text");
    words.insert_many((0..20).map(|n| doc! { "_id": n, "a": "word", "at": old })).await.expect("inserted");
    let (backup, _) = world.back_up(&source).await;
    let drill = world.job(verify(&backup, VerifyLevel::Drill));
    let drilled = world.run(&drill, &drill.claim()).await.expect("whole");
    assert!(!drilled.contains_key("expiry_left_off"), "{drilled}");
    for place in [&target, &source] {
        let result = world.restore(&backup, place).await.expect("nothing of it is refused");
        assert_eq!(texts(&result, "expiry_left_off"), [""; 0]);
        assert_same(&contents(&world.client, &source).await, &contents(&world.client, place).await);
    }
    leaves_no_scratch(&world).await;
    world.stop().await;
}

/// Expiry that this server doesn't take at all, as older ones did.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_expiry_that_the_server_refuses_is_left_off_and_told_before() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    let database = world.client.database(&source);
    let of = |key: Document, name: &str| doc! { "key": key, "name": name };
    let built = [of(doc! { "a": 1, "b": 1 }, "both"), of(doc! { "c": 1 }, "below"), of(doc! { "d": 1 }, "fine")];
    command(&database, doc! { "createIndexes": "rows", "indexes": built.to_vec() }).await;
    database.collection("rows").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    let (backup, _) = world.back_up(&source).await;
    let (mut manifest, _) = world.repository.read_manifest(&named(&backup).1.key).await.expect("a manifest");
    for index in &mut manifest.collections[0].indexes {
        let mut document = Document::try_from(&*index).expect("BSON");
        let seconds = match document.get_str("name").expect("a name") {
            "both" | "fine" => 100,
            "below" => -1,
            _ => continue,
        };
        document.insert("expireAfterSeconds", seconds);
        *index = RawDocumentBuf::try_from(&document).expect("BSON");
    }
    let left_off = ["rows (index both)", "rows (index below)"];
    for dry_run in [true, false] {
        let job = world.job(some(&backup, &target, &["rows"], dry_run));
        let handler = world.salvaging(manifest.clone());
        let mut result = handler.run(&job.claim()).await.expect("no reason to give up");
        let mut told = texts(&result, "expiry_left_off");
        told.sort();
        assert_eq!(told, [left_off[1], left_off[0]], "{result}");
        result.remove("expiry_left_off");
    }
    let restored = indexes(&world.client.database(&target), "rows").await;
    let expiring = restored.iter().map(|index| Document::from_reader(&index[..]).expect("BSON"));
    let expiring: Vec<_> = expiring.filter(|index| index.contains_key("expireAfterSeconds")).collect();
    assert_eq!((restored.len(), expiring.len()), (4, 1));
    assert_eq!(expiring[0].get_str("name").expect("a name"), "fine");
    leaves_no_scratch(&world).await;
    world.stop().await;
}

/// Views that are fine for themselves, but not beside those that are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_view_that_the_target_refuses_is_found_before_anything_changes() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    let database = world.client.database(&source);
    database.collection("rows").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    command(&database, doc! { "create": "below", "viewOn": "rows" }).await;
    command(&database, doc! { "create": "v", "viewOn": "below" }).await;
    let (backup, _) = world.back_up(&source).await;
    let there = world.client.database(&target);
    there.collection("rows").insert_one(doc! { "_id": "mine" }).await.expect("inserted");
    for (kind, words) in [("cycle", "cycle"), ("depth", "depth"), ("collation", "collation")] {
        match kind {
            "cycle" => command(&there, doc! { "create": "below", "viewOn": "v" }).await,
            "depth" => {
                command(&there, doc! { "create": "below", "viewOn": "deep0" }).await;
                for n in 0..19 {
                    let (name, on) = (format!("deep{n}"), format!("deep{}", n + 1));
                    command(&there, doc! { "create": name, "viewOn": on }).await;
                }
            }
            _ => command(&there, doc! { "create": "below", "viewOn": "rows", "collation": { "locale": "de" } }).await,
        }
        let before = contents(&world.client, &target).await;
        let plan = world.job(some(&backup, &target, &["rows", "v"], true));
        let plan = world.run(&plan, &plan.claim()).await.expect("a plan");
        let problems = texts(&plan, "problems");
        assert!(problems.len() == 1 && problems[0].contains("'v'") && problems[0].contains(words), "{problems:?}");
        let job = world.job(some(&backup, &target, &["rows", "v"], false));
        let Err(JobError::Failed(failure)) = world.run(&job, &job.claim()).await else { panic!("{kind}: refused") };
        assert_eq!((failure.code.as_str(), job.job().head.state), ("view_refused", State::Running), "{kind}");
        assert!(!failure.message.contains("__lucid"), "{}", failure.message);
        assert_same(&before, &contents(&world.client, &target).await);
        // All of it together goes well: then `below` is what it was.
        if kind == "cycle" {
            let whole = world.job(some(&backup, &target, &["rows", "below", "v"], true));
            let whole = world.run(&whole, &whole.claim()).await.expect("a plan");
            assert_eq!(texts(&whole, "problems"), [""; 0]);
        }
        there.collection::<Document>("below").drop().await.expect("dropped");
    }
    leaves_no_scratch(&world).await;
    world.stop().await;
}

/// A view is put in the way while the documents are loaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_view_that_came_meanwhile_is_found_before_the_point_of_no_return() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    let database = world.client.database(&source);
    database.collection("rows").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    command(&database, doc! { "create": "v", "viewOn": "other" }).await;
    let (backup, _) = world.back_up(&source).await;
    let job = world.job(some(&backup, &target, &["rows", "v"], false));
    let mut claim = job.claim();
    let there = world.client.database(&target);
    claim.at_phase = Box::new(move |phase| {
        if phase == "preflight" {
            super::world::wait_for(command(&there, doc! { "create": "other", "viewOn": "v" }));
        }
    });
    let Err(JobError::Failed(failure)) = world.run(&job, &claim).await else { panic!("refused") };
    assert_eq!((failure.code.as_str(), job.job().head.state), ("view_refused", State::Running));
    leaves_no_scratch(&world).await;
    world.stop().await;
}

/// The buckets of a time-series collection are exchanged in place, so its target's own indexes stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_that_meets_another_one_of_the_target_is_found_before_anything_changes() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    let database = world.client.database(&source);
    series(&database, "metrics").await;
    let (backup, _) = world.back_up(&source).await;
    let by_sensor = indexes(&database, "metrics").await;
    for (key, name) in [(doc! { "m.s": -1 }, "by_sensor"), (doc! { "m.s": 1, "t": -1 }, "other_name")] {
        command(&database, doc! { "dropIndexes": "metrics", "index": "by_sensor" }).await;
        let index = doc! { "key": key, "name": name };
        command(&database, doc! { "createIndexes": "metrics", "indexes": [index] }).await;
        let before = contents(&world.client, &source).await;
        for dry_run in [true, false] {
            let job = world.job(some(&backup, &source, &["metrics"], dry_run));
            let message = match world.run(&job, &job.claim()).await {
                Ok(plan) => texts(&plan, "problems").join(" "),
                Err(JobError::Failed(failure)) => {
                    assert_eq!((failure.code.as_str(), job.job().head.state), ("index_in_the_way", State::Running));
                    failure.message
                }
                Err(stopped) => panic!("{stopped:?}"),
            };
            assert!(message.contains("'by_sensor'") && message.contains("'metrics'"), "{message}");
        }
        assert_same(&before, &contents(&world.client, &source).await);
        command(&database, doc! { "dropIndexes": "metrics", "index": name }).await;
        // As the next turn drops it again.
        world.restore(&backup, &source).await.expect("nothing is in the way");
        assert_eq!(indexes(&database, "metrics").await, by_sensor);
    }
    leaves_no_scratch(&world).await;
    world.stop().await;
}
