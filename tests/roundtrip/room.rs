//! The data disk of the set that is restored into is small: what doesn't fit is refused or stopped, and mongod lives.

use super::world::{World, named, restore, verify};
use bson::{Binary, Document, doc, spec::BinarySubtype};
use lucid_embedded::Mongod;
use lucid_ports::{Ending, Handler, JobError};
use lucid_schemas::{Kind, Spec, State, VerifyLevel};
use mongodb::Client;
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const DISK_MB: u32 = 560;
const ROWS: i32 = 200;
const ROW_BYTES: usize = 1_000_000;

/// A set of one member whose data lie on a disk of its own, in a mount namespace that nobody else sees.
struct SmallSet {
    mongod: Child,
    uri: String,
}

impl SmallSet {
    async fn start(scratch: &Path) -> Self {
        let program = Mongod::find().await.expect("a mongod");
        let data = scratch.join("small");
        std::fs::create_dir(&data).expect("a mount point");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let script = format!(
            "mount -t tmpfs -o size={DISK_MB}m tmpfs {data} && exec {program} --replSet rs0 --oplogSize 50 --dbpath {data} --port {port} \
             --bind_ip 127.0.0.1 --nounixsocket --wiredTigerCacheSizeGB 0.25 --setParameter diagnosticDataCollectionEnabled=false",
            data = data.display(),
            program = program.path().display(),
        );
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
        let mongod = command.spawn().expect("started");
        let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=20000");
        let admin = Client::with_uri_str(&uri).await.expect("a client").database("admin");
        let members = doc! { "_id": "rs0", "members": [{ "_id": 0, "host": format!("127.0.0.1:{port}") }] };
        admin.run_command(doc! { "replSetInitiate": members }).await.expect("initiated");
        while !admin
            .run_command(doc! { "hello": 1 })
            .await
            .expect("an answer")
            .get_bool("isWritablePrimary")
            .expect("told")
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { mongod, uri: format!("mongodb://127.0.0.1:{port}/?replicaSet=rs0") }
    }

    fn lives(&mut self) -> bool {
        self.mongod.try_wait().expect("asked").is_none()
    }
}

impl Drop for SmallSet {
    fn drop(&mut self) {
        let _ = self.mongod.kill();
        let _ = self.mongod.wait();
    }
}

/// Bytes that nothing compresses.
fn noise(seed: i32) -> Binary {
    let mut state = u64::from(seed.unsigned_abs()) + 0x9E37_79B9_7F4A_7C15;
    let mut bytes = Vec::with_capacity(ROW_BYTES);
    while bytes.len() < ROW_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    Binary { subtype: BinarySubtype::Generic, bytes }
}

fn no_space(outcome: Result<Document, JobError>) -> String {
    let Err(JobError::Failed(failure)) = outcome else { panic!("it must be refused: {outcome:?}") };
    assert_eq!((failure.code.as_str(), failure.retryable), ("no_space", false), "{}", failure.message);
    failure.message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_does_not_fit_is_refused_or_stopped_and_mongod_lives() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    let database = world.client.database(&source);
    let rows = database.collection("rows");
    for first in (0..ROWS).step_by(10) {
        let some = (first..first + 10).map(|id| doc! { "_id": id, "noise": noise(id) });
        rows.insert_many(some).await.expect("inserted");
    }
    database.collection("few").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    world.client.database("admin").run_command(doc! { "fsync": 1 }).await.expect("written");
    let (backup, _) = world.back_up(&source).await;
    let (mut manifest, _) = world.repository.read_manifest(&named(&backup).1.key).await.expect("a manifest");
    let stored = |name: &str| {
        let entry = manifest.collections.iter().find(|entry| entry.name == name).expect("there");
        entry.stored.map(|stored| stored.storage_bytes)
    };
    assert!(stored("rows").is_some_and(|bytes| bytes > 190_000_000) && stored("few").is_none());

    let mut small = SmallSet::start(&world.folder.with_file_name("")).await;
    let world = world.at_another_set(&small.uri).await;
    let Spec::Restore(spec) = restore(&backup, "target") else { unreachable!("it is a restore") };
    let ask = |collections: Option<Vec<String>>, dry_run| {
        world.job(Spec::Restore(lucid_schemas::RestoreSpec { collections, dry_run, ..spec.clone() }))
    };
    // What is known not to fit is refused before anything is loaded; what fits isn't.
    for dry_run in [true, false] {
        let job = ask(None, dry_run);
        let message = no_space(world.run(&job, &job.claim()).await);
        assert!(message.contains("MB are to be restored") && message.contains("127.0.0.1:"), "{message}");
    }
    let job = world.job(verify(&backup, VerifyLevel::Drill));
    no_space(world.run(&job, &job.claim()).await);
    let job = ask(Some(vec!["few".into()]), false);
    world.run(&job, &job.claim()).await.expect("room for that");

    // A backup of before doesn't say what it takes: it is loaded, and stopped in time.
    for entry in &mut manifest.collections {
        entry.stored = None;
    }
    let Spec::Restore(into) = restore(&backup, "other") else { unreachable!("it is a restore") };
    let job = world.job(Spec::Restore(into));
    let (handler, claim) = (world.salvaging(manifest), job.claim());
    let message = no_space(handler.run(&claim).await);
    assert!(message.contains("loading was stopped"), "{message}");
    job.end(State::Failed, None);
    world.handler(Kind::Restore).abandon(&claim, Ending::Failed).await;
    assert!(world.staging("other").await.is_empty(), "what it had loaded goes");
    let rows = world.client.database("target").collection::<Document>("few");
    assert_eq!(rows.count_documents(doc! {}).await.expect("mongod answers"), 1);
    assert!(small.lives());
    world.stop().await;
}
