//! Samples of the members of a real set: all of them are found and tell everything; one that hangs holds up nobody.

use crate::support::World;
use lucid_embedded::{Options, Signal};
use lucid_members::Sampler;
use lucid_ports::{
    Problems,
    members::{Snapshot, Terms},
};
use std::time::{Duration, Instant};
use tokio::{sync::watch, time::timeout};

const WITHIN: Duration = Duration::from_secs(60);

async fn until(snapshot: &mut watch::Receiver<Snapshot>, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
    if let Ok(found) = timeout(WITHIN, snapshot.wait_for(wanted)).await {
        return found.expect("the sampler runs").clone();
    }
    panic!("not as wanted: {:#?}", snapshot.borrow())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_is_found_and_one_that_hangs_holds_up_nobody() {
    let mut world = World::bare(|dir| Options::new(dir).members(3)).await;
    let users = world.client().database("lucid").collection("users");
    users.insert_many((0..200).map(|number| bson::doc! { "_id": number })).await.expect("inserted");
    let (change, terms) = watch::channel(Terms::every(Duration::from_secs(1)));
    // Of one member alone, whatever its role: the others are found through it.
    let uri = world.deployment.uri_of(1).expect("a member");
    let sampler = Sampler::start(&uri, terms, Problems::default()).await.expect("a uri");
    let mut snapshot = sampler.snapshot();
    let all = until(&mut snapshot, |now| now.answering().count() == 3 && now.collections.is_some()).await;
    for (address, member) in all.answering() {
        assert!(member.refused.is_empty(), "{address}: {:?}", member.refused);
        let server = member.server.as_ref().expect("a status");
        assert!(server.latencies["commands"].count > 0 && server.version.is_some(), "{address}");
        assert!(server.connections["current"] > 0 && server.resident_bytes > Some(0), "{address}");
        assert!(member.disk.and_then(|disk| disk.total_bytes) > Some(0), "{address}");
        let oplog = member.oplog.expect("an oplog");
        assert!(oplog.newest_at >= oplog.oldest_at && oplog.oldest_at.is_some() && oplog.max_bytes > Some(0));
    }
    assert_eq!(all.answering().filter(|(_, member)| member.hello.is_primary).count(), 1);
    assert_eq!(all.view().expect("a view").lags().count(), 3);
    let collections = all.collections.expect("measured");
    let found =
        collections.largest.iter().find(|found| (found.database.as_str(), found.name.as_str()) == ("lucid", "users"));
    assert!(found.is_some_and(|users| users.documents == 200 && users.bytes > 0), "{collections:?}");

    // Other terms are followed at once, though the next measuring would be far.
    let own = world.client().database("shop").collection("rows");
    own.insert_one(bson::doc! { "_id": 1 }).await.expect("inserted");
    let databases = Some(["shop".to_owned()].into());
    change.send_modify(|terms| (terms.databases, terms.latency_by_collection) = (databases, true));
    let of_shop = |now: &Snapshot| {
        let of = |found: &lucid_ports::members::Collections| found.largest.iter().all(|one| one.database == "shop");
        now.collections.as_deref().is_some_and(|found| of(found) && found.databases.contains("lucid"))
    };
    let collections = until(&mut snapshot, of_shop).await.collections.expect("measured");
    let [rows] = &collections.largest[..] else { panic!("{collections:?}") };
    assert_eq!(rows.name, "rows");
    assert!(rows.latencies["writes"].count > 0, "{rows:?}");

    let frozen = (world.deployment.primary().await.expect("a primary") + 1) % 3;
    let port = world.deployment.members()[frozen].port;
    let address = format!("127.0.0.1:{port}");
    world.deployment.kill(frozen, Signal::SIGSTOP).await.expect("stopped");
    let silent = |now: &Snapshot| now.members[&address].as_ref().is_some_and(|sample| sample.answer.is_err());
    until(&mut snapshot, silent).await;
    // Meanwhile the others are looked at as often as before.
    let begun = Instant::now();
    let others = |now: &Snapshot| {
        let fresh = |sample: &lucid_ports::members::Sample| sample.at.into_std() > begun && sample.answer.is_ok();
        now.members.values().flatten().filter(|sample| fresh(sample)).count() == 2
    };
    until(&mut snapshot, others).await;
    assert!(silent(&snapshot.borrow()), "it still hangs");
    world.deployment.kill(frozen, Signal::SIGCONT).await.expect("continued");
    until(&mut snapshot, |now| now.answering().count() == 3).await;
    sampler.stop().await;
}
