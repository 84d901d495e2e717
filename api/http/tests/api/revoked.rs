//! A token over a port: what it is told, when that ends, and what becomes of whoever guesses.

use crate::served::Served;
use lucid_client::sse::Messages;
use lucid_http::KEPT;
use lucid_ports::Tokens;
use lucid_schemas::access::Role;
use std::{
    io::{BufReader, Read},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

const PATIENCE: Duration = Duration::from_secs(30);

/// A request with this header: status, `Retry-After`, body.
async fn ask(served: &Served, path: &str, authorization: &str) -> (u16, Option<String>, String) {
    let (url, authorization) = (format!("http://{}{path}", served.address), authorization.to_owned());
    let asked = spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(url).header("authorization", authorization).call().expect("an answer");
        let later = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        (answer.status().as_u16(), later, answer.body_mut().read_to_string().expect("text"))
    });
    asked.await.expect("no panic")
}

/// What the stream of all events tells whoever shows this; it hangs up when the stream ends.
async fn listen(served: &Served, authorization: &str) -> Receiver<String> {
    let (url, authorization) = (format!("http://{}/events", served.address), authorization.to_owned());
    let reader = spawn_blocking(move || {
        let answer = ureq::get(url).header("authorization", authorization).call().expect("an answer");
        let reader: Box<dyn Read + Send> = Box::new(answer.into_body().into_reader());
        reader
    });
    let (reader, (say, told)) = (reader.await.expect("no panic"), channel());
    std::thread::spawn(move || {
        let mut messages = Messages::new(BufReader::new(reader));
        while let Ok(Some(message)) = messages.read() {
            if say.send(message.data).is_err() {
                return;
            }
        }
    });
    told
}

#[actix_web::test]
async fn a_stream_tells_what_its_token_is_for_and_ends_with_it() {
    let served = Served::start().await;
    let shop = served.world.token("shop", Role::Viewer, &["shop"], None).await;
    let all = served.world.token("all", Role::Viewer, &[], None).await;
    let (told_shop, told_all) = (listen(&served, &shop).await, listen(&served, &all).await);
    let hidden = served.world.backup_of("lucid").await;
    served.world.alert().await;
    let seen = served.world.backup_of("shop").await;
    let first = spawn_blocking(move || (told_shop.recv_timeout(PATIENCE).expect("told"), told_shop));
    let (first, told_shop) = first.await.expect("no panic");
    assert!(first.contains(seen.as_str()), "what came before is about another database, or about none: {first}");
    assert!(told_all.recv_timeout(PATIENCE).expect("told").contains(hidden.as_str()));

    served.world.store.twin.revoke_token(&"shop".parse().expect("a name"), "me").await.expect("asked");
    let begun = Instant::now();
    let ended = spawn_blocking(move || while told_shop.recv().is_ok() {});
    tokio::time::timeout(PATIENCE, ended).await.expect("the stream ends").expect("no panic");
    assert!(begun.elapsed() < PATIENCE);
    let later = served.world.backup_of("lucid").await;
    let goes_on = spawn_blocking(move || {
        loop {
            let told = told_all.recv_timeout(PATIENCE).expect("the other stream goes on");
            if told.contains(later.as_str()) {
                return;
            }
        }
    });
    goes_on.await.expect("no panic");
    served.stopped().await;
}

#[actix_web::test]
async fn whoever_guesses_is_slowed_and_told_of_and_nobody_with_a_right_token_is_locked_out() {
    let served = Served::start().await;
    let right = served.world.token("right", Role::Viewer, &[], None).await;
    let guess = format!("Bearer lucid-token-right.{}", "0".repeat(64));
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let (status, later, body) = ask(&served, "/jobs", &guess).await;
        assert_eq!(later.is_some(), status == 429, "{status} {body}");
        assert!(!body.contains("000000"), "{body}");
        statuses.push(status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429]);
    tokio::time::sleep(KEPT).await;
    let (status, _, body) = ask(&served, "/health", &right).await;
    assert!(matches!(status, 200 | 503), "{status} {body}");
    assert!(body.contains("tokens that aren't ours") && body.contains("127.0.0.1"), "{body}");
    assert_eq!(ask(&served, "/jobs", &right).await.0, 200);
    served.stopped().await;
}
