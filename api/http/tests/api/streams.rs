//! Live streams on a port: what a client is told, where he goes on after a break, and when a stream ends.

use crate::{served::Served, world::failure};
use bson::Document;
use lucid_client::sse::{Message, Messages};
use lucid_core::Command;
use lucid_ports::Store;
use lucid_schemas::{JobId, Progress};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// How often a job that waits is read although nothing tells of it.
const SAFETY_EVERY: Duration = Duration::from_secs(10);

/// A stream that is read on a thread of its own.
struct Stream {
    told: Receiver<(Message, Option<String>)>,
}

impl Stream {
    async fn open(served: &Served, path: &str, last_id: Option<&str>) -> Self {
        match Self::try_open(served, path, last_id).await {
            Ok(stream) => stream,
            Err((status, body)) => panic!("{path}: {status} {body}"),
        }
    }

    async fn try_open(served: &Served, path: &str, last_id: Option<&str>) -> Result<Self, (u16, Value)> {
        let (url, last_id) = (format!("http://{}{path}", served.address), last_id.map(str::to_owned));
        let open = move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut request = agent.get(url).header("accept", "text/event-stream");
            if let Some(id) = last_id {
                request = request.header("last-event-id", id);
            }
            let mut answer = request.call().expect("an answer");
            if answer.status() != 200 {
                return Err((answer.status().as_u16(), answer.body_mut().read_json().expect("a problem")));
            }
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            let reader: Box<dyn Read + Send> = Box::new(answer.into_body().into_reader());
            Ok(reader)
        };
        let reader = tokio::task::spawn_blocking(open).await.expect("no panic")?;
        let (say, told) = channel();
        std::thread::spawn(move || {
            let mut messages = Messages::new(BufReader::new(reader));
            while let Ok(Some(message)) = messages.read() {
                let id = messages.last_id().map(str::to_owned);
                if say.send((message, id)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { told })
    }

    /// The next message and the id that it leaves; `None` at the end of the stream.
    fn next(&self) -> Option<(Message, Option<String>)> {
        match self.told.recv_timeout(PATIENCE) {
            Ok(told) => Some(told),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing is told"),
        }
    }

    /// The next message, which must be of this type; its data and id.
    fn expect(&self, event: &str) -> (Value, Option<String>) {
        let (message, id) = self.next().unwrap_or_else(|| panic!("the stream ends before '{event}'"));
        assert_eq!(message.event, event, "{message:?}");
        (serde_json::from_str(&message.data).expect("JSON"), id)
    }

    fn ends(&self) {
        assert_eq!(self.next(), None, "the stream has ended");
    }
}

async fn renew(served: &Served, id: &JobId, documents: i64) {
    let store = &served.world.store;
    let job = store.load(id).await.expect("read").expect("there");
    let (lease, progress) = (job.lease.expect("a lease"), Progress { documents, ..Progress::default() });
    store.renew(id, job.head.epoch, &lease.token, 60_000, Some(&progress)).await.expect("renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_told_from_its_birth_to_its_end() {
    let served = Served::start().await;
    let id = served.world.backup().await;
    let stream = Stream::open(&served, &format!("/jobs/{id}/events"), None).await;
    let (born, place) = stream.expect("enqueued");
    assert_eq!(
        (born["seq"].as_i64(), born["by"].as_str(), place.as_deref()),
        (Some(1), Some("token:local@pi-1"), Some("1"))
    );
    let epoch = served.world.claim(&id).await;
    stream.expect("claimed");
    renew(&served, &id, 7).await;
    let (progress, place) = stream.expect("progress");
    assert_eq!((progress["documents"].as_i64(), place.as_deref()), (Some(7), Some("2")), "progress has no place");
    renew(&served, &id, 8).await;
    assert_eq!(stream.expect("progress").0["documents"], 8);
    let fails = Command::Fail { epoch, error: failure(false), retry_in_ms: 0, out_of_time: false };
    served.world.store.act(&id, &fails).await;
    assert_eq!(stream.expect("failed").0["data"]["error"]["message"], "the disk is full");
    assert_eq!(stream.expect("end").0["state"], "failed");
    stream.ends();
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_goes_on_after_the_last_event() {
    let served = Served::start().await;
    let id = served.world.good_backup().await;
    let path = format!("/jobs/{id}/events");
    let stream = Stream::open(&served, &path, Some("1")).await;
    assert_eq!(stream.expect("claimed").1.as_deref(), Some("2"));
    stream.expect("succeeded");
    stream.expect("end");
    stream.ends();
    // The header is what a browser sends when it comes back to the same address.
    let stream = Stream::open(&served, &format!("{path}?after=1"), Some("2")).await;
    stream.expect("succeeded");
    let stream = Stream::open(&served, &path, Some("3")).await;
    stream.expect("end");
    let list = served.world.get(&format!("{path}?after=2")).await;
    assert_eq!(list.body["events"].as_array().map(Vec::len), Some(1), "{}", list.body);
    for (path, last_id, blamed) in
        [(format!("{path}?after=-1"), None, "after"), (path.clone(), Some("x"), "Last-Event-ID")]
    {
        let Err((status, problem)) = Stream::try_open(&served, &path, last_id).await else { panic!("accepted") };
        assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some(blamed)), "{problem}");
    }
    served.stopped().await;
}

/// A job that ends without that anybody is told of it: before and after.
async fn silent_end(served: &Served) -> (JobId, Document) {
    let twin = &served.world.store.twin;
    let id = served.world.backup().await;
    let before = twin.document(&id).expect("there");
    served.world.succeed(&id).await;
    let after = twin.document(&id).expect("there");
    twin.tamper(before);
    (id, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_history_does_not_tell_is_read() {
    let served = Served::start().await;
    let twin = &served.world.store.twin;
    for is_gap_told in [true, false] {
        let (id, after) = silent_end(&served).await;
        let path = format!("/jobs/{id}/events");
        let streams = [Stream::open(&served, &path, None).await, Stream::open(&served, &path, None).await];
        for stream in &streams {
            stream.expect("enqueued");
        }
        let ended = Instant::now();
        twin.tamper(after);
        if is_gap_told {
            twin.forget_history();
        }
        for stream in &streams {
            stream.expect("claimed");
            stream.expect("succeeded");
            stream.expect("end");
            stream.ends();
        }
        // Where a gap is told, nobody waits for the slow look that is the last resort.
        assert!(!is_gap_told || ended.elapsed() < SAFETY_EVERY / 2, "after {:?}", ended.elapsed());
    }
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_come_back_to_a_place_where_nothing_had_happened_yet() {
    let served = Served::start().await;
    served.world.backup().await;
    let connection = connect(&served, "/events").await;
    let place = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(connection).lines().map(|line| line.expect("text"));
        lines.find_map(|line| line.strip_prefix("id: ").map(str::to_owned)).expect("a place")
    });
    let place = place.await.expect("no panic");
    let missed = served.world.backup().await;
    let again = Stream::open(&served, "/events", Some(&place)).await;
    assert_eq!(again.expect("enqueued").0["job_id"].as_str(), Some(missed.as_str()));
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_jobs_are_told_in_order_from_any_place() {
    let served = Served::start().await;
    let earlier = served.world.backup().await;
    let stream = Stream::open(&served, "/events", None).await;
    let first = served.world.good_backup().await;
    let mut places = Vec::new();
    for event in ["enqueued", "claimed", "succeeded"] {
        let (told, place) = stream.expect(event);
        assert_eq!(told["job_id"].as_str(), Some(first.as_str()), "nothing from before: {earlier}");
        places.push(place.expect("a place"));
    }
    // From what is held here, and from further back; then on with what happens.
    let mut later = Vec::new();
    for more in [1, 30] {
        for _ in 0..more {
            later.push(served.world.backup().await.to_string());
        }
        let again = Stream::open(&served, "/events", Some(&places[1])).await;
        assert_eq!(again.expect("succeeded").1.as_ref(), Some(&places[2]));
        for id in &later {
            assert_eq!(again.expect("enqueued").0["job_id"].as_str(), Some(id.as_str()));
        }
        later.push(served.world.backup().await.to_string());
        assert_eq!(again.expect("enqueued").0["job_id"].as_str(), later.last().map(String::as_str));
    }
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_told_among_the_jobs_and_can_be_had_alone() {
    let served = Served::start().await;
    let all = Stream::open(&served, "/events", None).await;
    let alone = Stream::open(&served, "/events?class=alert", None).await;
    let over = Stream::open(&served, "/events?state=resolved,failed", None).await;
    let jobs = Stream::open(&served, "/events?class=job", None).await;
    let alert = served.world.alert().await;
    let (told, place) = all.expect("raised");
    assert_eq!((&told["class"], &told["alert_id"]), (&json!("alert"), &json!(alert.id().as_str())), "{told}");
    assert_eq!((&told["state"], &told["data"]["severity"]), (&json!("raised"), &json!("critical")), "{told}");
    served.world.resolve(&alert).await;
    let job = served.world.backup().await;
    assert_eq!(all.expect("resolved").0["data"]["how"], "operator");
    let (told, _) = all.expect("enqueued");
    assert_eq!((&told["class"], &told["job_id"]), (&json!("job"), &json!(job.as_str())));
    for event in ["raised", "resolved"] {
        assert_eq!(alone.expect(event).0["class"], "alert");
    }
    assert_eq!(over.expect("resolved").0["alert_id"], alert.id().as_str());
    assert_eq!(jobs.expect("enqueued").0["job_id"], job.as_str(), "nothing of an alert before");
    let again = Stream::open(&served, "/events", place.as_deref()).await;
    again.expect("resolved");
    for (query, field) in [("class=ops", "class"), ("state=over", "state")] {
        let Err((status, problem)) = Stream::try_open(&served, &format!("/events?{query}"), None).await else {
            panic!("{query} is accepted")
        };
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{problem}");
    }
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_leaves_out_what_nobody_asked_for() {
    let served = Served::start().await;
    let ended = Stream::open(&served, "/events?state=succeeded,failed&kind=backup", None).await;
    let none = Stream::open(&served, "/events?kind=restore", None).await;
    let first = served.world.good_backup().await;
    served.world.backup().await;
    let second = served.world.good_backup().await;
    for id in [first, second] {
        let (told, _) = ended.expect("succeeded");
        assert_eq!((told["job_id"].as_str(), told["state"].as_str()), (Some(id.as_str()), Some("succeeded")));
    }
    served.stopped().await;
    ended.ends();
    none.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_history_is_said_and_followed_by_a_clean_start() {
    let served = Served::start().await;
    let stream = Stream::open(&served, "/events", None).await;
    served.world.backup().await;
    let (_, place) = stream.expect("enqueued");
    served.world.store.twin.forget_history();
    stream.expect("reset");
    let later = served.world.backup().await;
    assert_eq!(stream.expect("enqueued").0["job_id"].as_str(), Some(later.as_str()));
    for place in [place.as_deref().expect("a place"), "FFFF"] {
        let again = Stream::open(&served, "/events", Some(place)).await;
        let (told, fresh) = again.expect("reset");
        assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("fetch")), "{told}");
        let next = served.world.backup().await;
        assert_eq!(again.expect("enqueued").0["job_id"].as_str(), Some(next.as_str()));
        assert!(fresh.expect("a place").as_str() > "0", "it can be come back to");
    }
    let Err((status, problem)) = Stream::try_open(&served, "/events", Some("a token?")).await else {
        panic!("accepted")
    };
    assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some("Last-Event-ID")), "{problem}");
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_do_not_hold_up_a_stop() {
    let served = Served::start().await;
    let id = served.world.backup().await;
    let paths = [format!("/jobs/{id}/events"), "/events".to_owned()];
    let streams = futures::future::join_all(paths.iter().map(|path| Stream::open(&served, path, None))).await;
    streams[0].expect("enqueued");
    let begun = Instant::now();
    served.stopped().await;
    // Connections that are still at work would be waited for during five seconds.
    assert!(begun.elapsed() < Duration::from_secs(4), "stopped after {:?}", begun.elapsed());
    streams.iter().for_each(Stream::ends);
}

/// Opens a stream by hand, so that the connection is gone once this is dropped.
async fn connect(served: &Served, path: &str) -> TcpStream {
    let (address, path) = (served.address, path.to_owned());
    let connect = move || {
        let mut connection = TcpStream::connect(address).expect("connected");
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
        connection.write_all(head.as_bytes()).expect("sent");
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
        connection
    };
    tokio::task::spawn_blocking(connect).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_everything_with_it() {
    let served = Served::start().await;
    let id = served.world.backup().await;
    let listeners = || served.world.store.twin.listeners();
    let job = connect(&served, &format!("/jobs/{id}/events")).await;
    let all = connect(&served, "/events").await;
    assert_eq!(listeners(), 2);
    drop((job, all));
    let begun = Instant::now();
    while listeners() > 0 {
        assert!(begun.elapsed() < PATIENCE * 2, "{} still listen", listeners());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_places_of_clients_that_vanished_are_free_for_who_comes_next() {
    let served = Served::start_with_places(6).await;
    let id = served.world.backup().await;
    let path = format!("/jobs/{id}/events");
    let mut open = Vec::new();
    for path in [&path, &path, &path, "/events", "/events", "/events"] {
        open.push(connect(&served, path).await);
    }
    let Err((status, _)) = Stream::try_open(&served, "/events", None).await else { panic!("all of them listen") };
    assert_eq!(status, 503);
    drop(open);
    // The next heartbeat is far away.
    let (first, second) = (Stream::open(&served, &path, None).await, Stream::open(&served, "/events", None).await);
    first.expect("enqueued");
    drop((first, second));
    served.stopped().await;
}
