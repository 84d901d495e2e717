//! The server on a port, called by the project's own client.

use crate::served::Served;
use lucid_client::{Client, ClientError, JobQuery, Silent, Sink, watch};
use lucid_schemas::http::{BackupBody, JobView, VerifyBody};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        atomic::Ordering,
        mpsc::{Sender, channel},
    },
};
use tokio::task::spawn_blocking;

fn body(database: &str) -> BackupBody {
    BackupBody { database: database.into(), ..BackupBody::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_and_api_speak_the_same_language() {
    let served = Served::start().await;
    let job = served.call(|client| client.backup(&body("lucid"))).await.expect("accepted");
    let id = job.job_id.clone();
    served.world.succeed(&id.parse().expect("an id")).await;
    let watched = id.clone();
    let ended = served.call(move |client| watch(&client, &watched, &mut Silent)).await.expect("watched");
    assert_eq!(ended.state, "succeeded");
    let verify = VerifyBody { backup: id.clone(), level: Some("structure".into()), ..VerifyBody::default() };
    let verify = served.call(move |client| client.verify(&verify)).await.expect("accepted");
    let canceled = served.call(move |client| client.cancel(&verify.job_id)).await.expect("canceled");
    assert_eq!(canceled.state, "canceled");
    let (jobs, backups, backup, events, health) = served
        .call(move |client| {
            let query = JobQuery { limit: Some(1), ..JobQuery::default() };
            (
                client.jobs(&query).expect("jobs"),
                client.backups(&query).expect("backups"),
                client.backup_job(&id).expect("a backup"),
                client.events(&id).expect("events"),
                client.health().expect("health"),
            )
        })
        .await;
    assert_eq!((jobs.jobs.len(), jobs.next.is_some()), (1, true));
    assert_eq!((backups.backups.len(), backups.next), (1, None));
    assert_eq!((backup.documents, events.events.len()), (Some(120_000), 3));
    assert_eq!(health.status, lucid_schemas::http::Status::Unknown);
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_reach_the_person_who_asked() {
    let served = Served::start().await;
    let error = served.call(|client| client.backup(&body("a$b"))).await.expect_err("refused");
    assert!(error.is_usage(), "{error:?}");
    assert!(error.to_string().contains("\n  database: must not contain '$'"), "{error}");
    let error = served.call(|client| client.resume("backup_x")).await.expect_err("refused");
    assert!(error.to_string().contains("there is no job 'backup_x'"), "{error}");
    served.world.store.away.store(true, Ordering::SeqCst);
    let error = served.call(|client| client.jobs(&JobQuery::default())).await.expect_err("refused");
    assert!(matches!(&error, ClientError::Refused(problem) if problem.status == 503) && error.is_unreachable());
    let health = served.call(|client| client.health()).await.expect("a service that is down answers");
    assert_eq!(health.status, lucid_schemas::http::Status::Unknown);
    served.stopped().await;
}

/// Passes on what a watcher is told.
struct Told(Sender<String>);

impl Sink for Told {
    fn show(&mut self, job: &JobView) {
        let _ = self.0.send(job.state.clone());
    }
    fn trouble(&mut self, error: &ClientError) {
        let _ = self.0.send(error.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_outlasts_an_election() {
    let served = Served::start().await;
    let id = served.world.backup().await;
    let (sender, told) = channel();
    let url = format!("http://{}", served.address);
    let watched = id.to_string();
    let watching = spawn_blocking(move || watch(&Client::new(&url)?, &watched, &mut Told(sender)));
    let heard = spawn_blocking(move || (told.recv(), told));
    let (first, told) = heard.await.expect("no panic");
    assert_eq!(first.as_deref(), Ok("queued"));
    served.world.store.away.store(true, Ordering::SeqCst);
    let said_unavailable = move || told.iter().any(|text| text.contains("no primary"));
    assert!(spawn_blocking(said_unavailable).await.expect("no panic"));
    served.world.store.away.store(false, Ordering::SeqCst);
    served.world.succeed(&id).await;
    let ended = watching.await.expect("no panic").expect("watched to its end");
    assert_eq!(ended.state, "succeeded");
    served.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_a_stop() {
    let served = Served::start().await;
    let address = served.address;
    let connect = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.write_all(b"HEAD /health HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        stream
    });
    let open = connect.await.expect("no panic");
    served.stopped().await;
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_body_is_refused_unread() {
    let served = Served::start().await;
    let address = served.address;
    let answer = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("connected");
        let head = "POST /backup HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                    content-length: 1000000000\r\n\r\n{";
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert_eq!(answer.await.expect("no panic"), "HTTP/1.1 413");
    served.stopped().await;
}
