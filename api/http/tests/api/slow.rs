//! Clients that send half a body and wait: others are served meanwhile, and they are turned away in the end.

use crate::served::Served;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use tokio::task::spawn_blocking;

/// More than bodies are received at once.
const CLIENTS: usize = 200;
/// Nothing here takes so long unless it takes for ever.
const PATIENCE: Duration = Duration::from_secs(20);

fn half_a_request(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let head =
        "POST /backup HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

fn status(mut stream: &TcpStream) -> String {
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Until the server closes.
fn rest(mut stream: TcpStream) -> usize {
    stream.read_to_end(&mut Vec::new()).expect("closed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let served = Served::start_with(|options| options.body_within = Duration::from_millis(200)).await;
    let address = served.address;
    let ended = spawn_blocking(move || {
        let stream = half_a_request(address);
        let status = status(&stream);
        rest(stream);
        status
    });
    assert_eq!(ended.await.expect("no panic"), "HTTP/1.1 408");
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_bodies_keep_nobody_else_out() {
    let served = Served::start_with(|options| options.body_within = Duration::from_hours(1)).await;
    let address = served.address;
    let half_sent = spawn_blocking(move || (0..CLIENTS).map(|_| half_a_request(address)).collect::<Vec<_>>());
    let half_sent = half_sent.await.expect("no panic");
    // Those that found no place are told so.
    let last = half_sent.last().expect("some").try_clone().expect("the same connection");
    assert_eq!(spawn_blocking(move || status(&last)).await.expect("no panic"), "HTTP/1.1 503");
    let health = served.call(|client| client.health()).await.expect("it answers others");
    assert_eq!(health.status, lucid_schemas::http::Status::Unknown);
    drop(half_sent);
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_and_a_place_that_is_free_again_is_taken() {
    let served = Served::start_with(|options| {
        options.connections_max = 8;
        options.body_within = Duration::from_millis(200);
    })
    .await;
    let address = served.address;
    let half_sent = spawn_blocking(move || (0..64).map(|_| half_a_request(address)).collect::<Vec<_>>());
    let half_sent = half_sent.await.expect("no panic");
    let health = served.call(|client| client.health()).await.expect("it answers in its turn");
    assert_eq!(health.status, lucid_schemas::http::Status::Unknown);
    drop(half_sent);
    served.stopped().await;
}
