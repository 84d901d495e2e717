//! Members that hang, on plain sockets: what nobody answers on must hold up nobody.

use super::*;
use tokio::net::TcpListener;

/// Somebody who takes connections, and never says a word.
async fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_down_and_is_asked_by_one_task_at_a_time() {
    let (listener, address) = mute().await;
    let uri = format!("mongodb://ada:secret@{address},127.0.0.1:1/?replicaSet=rs0");
    let (_change, terms) = watch::channel(Terms::every(Duration::from_millis(50)));
    let sampler = Sampler::start(&uri, terms, Problems::default()).await.expect("a uri");
    let mut snapshot = sampler.snapshot();
    let settled = |snapshot: &Snapshot| snapshot.members.len() == 2 && snapshot.members.values().all(Option::is_some);
    timeout(Duration::from_secs(30), snapshot.wait_for(settled)).await.expect("in time").expect("open");
    let now = snapshot.borrow().clone();
    assert_eq!(now.answering().count(), 0);
    for sample in now.members.values().flatten() {
        let reason = sample.answer.as_ref().expect_err("nobody answers");
        assert!(!reason.contains("secret"), "{reason}");
    }
    assert_eq!(now.membership(), None, "nobody tells who is there, so those that were named stay");
    sampler.stop().await;
    drop(listener);
}

#[tokio::test]
async fn a_uri_that_cannot_be_read_is_refused_at_once() {
    let (_, terms) = watch::channel(Terms::every(Duration::from_secs(30)));
    let refused = Sampler::start("mongodb://", terms, Problems::default()).await;
    assert_eq!(refused.map(drop), Err(UriError));
}

#[tokio::test]
async fn who_slept_asks_again_before_it_says_that_nobody_answers() {
    let (listener, address) = mute().await;
    let seeds = Seeds::parse(&format!("mongodb://{address}/")).await.expect("a uri");
    let mut line = Line { address, client: None, pending: None, answered: None, heard: Instant::now() };
    let (bound, sleep) = (Duration::from_millis(100), SLIP * 2);
    let begun = Instant::now();
    // The only thread of this runtime: all that runs here sleeps.
    tokio::spawn(async move { std::thread::sleep(sleep) });
    line.ask(&seeds, bound).await.expect_err("nobody answers");
    assert!(begun.elapsed() >= sleep + bound, "it hasn't waited again: {:?}", begun.elapsed());
    drop(listener);
}
