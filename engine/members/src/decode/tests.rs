//! Figures out of documents of 6.0 (from a real server), 7.0, 8.0 and 8.2 (as their manuals say).

use super::*;
use bson::doc;
use lucid_ports::members::Hello;
use serde_json::{Map, Value};

/// A fixture, part by part.
fn fixture(text: &str) -> impl Fn(&str) -> Option<Document> {
    let parts: Map<String, Value> = serde_json::from_str(text).expect("JSON");
    move |part| {
        let part = parts.get(part)?.as_object()?.clone();
        Some(Document::try_from(part).expect("extended JSON"))
    }
}

fn counted<const N: usize>(wanted: [(&'static str, i64); N]) -> Counts {
    wanted.into()
}

#[test]
fn a_real_6_0_tells_everything_but_working_time() {
    let part = fixture(include_str!("../../fixtures/6.0.5.json"));
    let Server {
        version,
        uptime_seconds,
        connections,
        connections_created,
        operations,
        replicated_operations,
        latencies,
        working,
        queued,
        active,
        read_tickets,
        write_tickets,
        cursors,
        cursors_timed_out,
        asserts,
        documents,
        keys_examined,
        documents_examined,
        network,
        cache,
        app_evictions,
        checkpoint_seconds,
        flow_control_lagged,
        resident_bytes,
        ttl_deleted,
        page_faults,
        write_concern,
        applying,
    } = server(&part("serverStatus").expect("a part"));
    assert_eq!((version.as_deref(), uptime_seconds), (Some("6.0.5"), Some(19.0)));
    assert_eq!(connections, counted([("current", 12), ("available", 15_988), ("active", 5)]));
    assert_eq!((connections_created, operations["insert"], operations.len()), (Some(31), 503, 6));
    assert_eq!((replicated_operations["insert"], queued["read"], active["write"]), (0, 0, 0));
    let counts: Vec<_> = latencies.iter().map(|(class, histogram)| (*class, histogram.count)).collect();
    assert_eq!(counts, [("commands", 355), ("reads", 98), ("transactions", 0), ("writes", 1)]);
    assert_eq!(latencies["writes"].sum_us, 45_593);
    assert!(working.is_empty());
    assert_eq!(read_tickets, counted([("used", 0), ("available", 128), ("total", 128)]));
    assert_eq!(write_tickets, read_tickets);
    assert_eq!((cursors["total"], cursors_timed_out, asserts["user"]), (2, Some(0), 76));
    assert_eq!(documents, counted([("inserted", 503), ("updated", 0), ("deleted", 0), ("returned", 1_566)]));
    assert_eq!((keys_examined, documents_examined), (Some(2), Some(1_566)));
    assert_eq!(network, counted([("in", 201_019), ("out", 640_000)]));
    assert_eq!(cache, counted([("used", 558_499), ("dirty", 531_728), ("max", 268_435_456)]));
    assert_eq!((app_evictions, checkpoint_seconds), (Some(0), Some(0.009)));
    assert_eq!((flow_control_lagged, resident_bytes), (Some(false), Some(134 << 20)));
    // The sample doesn't have these sections.
    assert_eq!((ttl_deleted, page_faults, write_concern, applying), (None, None, Counts::new(), Counts::new()));
}

#[test]
fn a_real_6_0_tells_of_its_set_its_oplog_and_its_disk() {
    let part = fixture(include_str!("../../fixtures/6.0.5.json"));
    let config = part("replSetGetConfig");
    let Hello { set: name, is_primary, is_arbiter, config_version, peers } =
        hello(&part("hello").expect("a part"), config.as_ref());
    assert_eq!((name.as_deref(), is_primary, is_arbiter, config_version), (Some("rs0"), true, false, Some(1)));
    assert_eq!(peers.len(), 3);
    let view = set(&part("replSetGetStatus").expect("a part"), config.as_ref());
    assert_eq!((view.state, view.term, view.elected_at), (Some(1), Some(1), Some(1_796_039_176.0)));
    let second = &view.members["pi-2:27017"];
    assert_eq!((second.state, second.is_healthy, second.votes), (Some(2), Some(true), Some(1)));
    assert_eq!((second.applied_at, second.heard_at), (Some(1_796_039_191.287), Some(1_796_039_191.026)));
    assert_eq!((view.members["pi-1:27017"].elected_at, second.elected_at), (Some(1_796_039_176.0), None));
    let entry = |t| doc! { "ts": bson::Timestamp { time: t, increment: 1 } };
    let told = oplog(Some(&entry(100)), Some(&entry(160)), part("oplog").as_ref());
    assert_eq!((told.oldest_at, told.newest_at), (Some(100.0), Some(160.0)));
    assert_eq!((told.bytes, told.max_bytes), (Some(162_325), Some(512 << 20)));
    let disk = disk(&part("dbStats").expect("a part"));
    assert_eq!((disk.used_bytes, disk.total_bytes), (Some(214_108_155_904), Some(270_553_174_016)));
    let users = collection("lucid", "users", &part("collection").expect("a part")).expect("it has storage");
    assert_eq!(users.documents, 500);
    assert!(users.bytes > 0 && users.storage_bytes > 0 && users.index_bytes > 0);
}

#[test]
fn a_7_0_tells_large_numbers_hidden_members_and_delays() {
    let part = fixture(include_str!("../../fixtures/7.0.json"));
    let status = server(&part("serverStatus").expect("a part"));
    assert_eq!((status.connections_created, status.operations["insert"]), (Some(5_000_000_000), 3_000_000_000));
    assert_eq!(
        (status.queued, status.active),
        (counted([("read", 3), ("write", 2)]), counted([("read", 2), ("write", 1)]))
    );
    assert_eq!(status.write_tickets, counted([("used", 2), ("available", 6), ("total", 8)]));
    assert_eq!(status.checkpoint_seconds, Some(0.25));
    assert_eq!(status.latencies["reads"].count, 5);
    assert!(!status.latencies.contains_key("writes"), "a sum without buckets is no histogram");
    assert_eq!((status.resident_bytes, status.cache), (None, Counts::new()), "what it doesn't tell is absent");
    let config = part("replSetGetConfig");
    let hello_alone = hello(&part("hello").expect("a part"), None);
    assert_eq!(hello_alone.peers.len(), 4, "without the configuration a hidden one isn't known");
    assert_eq!(hello(&part("hello").expect("a part"), config.as_ref()).peers.len(), 5);
    let view = set(&part("replSetGetStatus").expect("a part"), config.as_ref());
    let hidden = &view.members["pi-5:27017"];
    assert_eq!((hidden.is_hidden, hidden.delay_seconds, hidden.votes), (true, 3_600, Some(0)));
    let lags: Vec<_> = view.lags().collect();
    assert_eq!(lags, [("pi-1:27017", 0.0), ("pi-5:27017", 10.0)], "arbiters and those that never applied have none");
}

#[test]
fn an_8_0_tells_queues_in_their_new_place_and_working_time() {
    let part = fixture(include_str!("../../fixtures/8.0.json"));
    let status = server(&part("serverStatus").expect("a part"));
    assert_eq!(status.queued, counted([("read", 4), ("write", 17)]), "not those of globalLock");
    assert_eq!(status.read_tickets, counted([("used", 2), ("available", 3), ("total", 5)]));
    assert_eq!(status.connections["queuedForEstablishment"], 2);
    assert_eq!(status.checkpoint_seconds, Some(0.031));
    assert_eq!((status.latencies["reads"].count, status.working["reads"].count), (2, 2), "buckets count, not `ops`");
}

#[test]
fn an_8_2_tells_all_of_it() {
    let part = fixture(include_str!("../../fixtures/8.2.json"));
    let status = server(&part("serverStatus").expect("a part"));
    assert_eq!(status.queued, counted([("read", 1), ("write", 2)]));
    assert_eq!(status.write_tickets, counted([("used", 2), ("available", 5), ("total", 7)]));
    assert_eq!((status.ttl_deleted, status.page_faults, status.checkpoint_seconds), (Some(11), Some(5), Some(0.021)));
    assert_eq!(status.write_concern, counted([("waits", 6), ("waited_ms", 18), ("timeouts", 1)]));
    let applying = [("buffered", 3), ("applied", 9), ("apply_ms", 2), ("fetch_ms", 1_200)];
    assert_eq!(status.applying, counted(applying), "the buffer that is applied from, where there are two");
    assert_eq!((status.working.len(), status.latencies.len()), (4, 4));
}

#[test]
fn nonsense_is_absent() {
    let odd = doc! {
        "version": 8, "uptime": "long", "connections": [1, 2], "mem": { "resident": f64::NAN },
        "opLatencies": { "reads": { "histogram": [{ "micros": -1, "count": 1 }, 7, { "micros": 2 }], "latency": 5 } },
    };
    let status = server(&odd);
    let nothing = Histogram::new([], 5);
    assert_eq!(status, Server { latencies: [("reads", nothing)].into(), ..Server::default() });
    assert_eq!(hello(&doc! { "hosts": "pi-1", "setVersion": "x" }, Some(&odd)), Hello::default());
    assert_eq!(collection("lucid", "view", &doc! { "ns": "lucid.view" }), None);
}

#[test]
fn a_member_that_was_removed_knows_nobody() {
    let config = doc! { "config": { "members": [{ "host": "pi-1:27017" }] } };
    let removed = hello(&doc! { "setName": "rs0", "setVersion": 4, "isWritablePrimary": false }, Some(&config));
    assert!(removed.peers.is_empty());
}
