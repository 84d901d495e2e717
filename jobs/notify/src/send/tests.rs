//! Each way of sending against a real other end: one that takes, refuses, hangs, or points elsewhere.

use super::*;
use crate::{
    kit::{Answer, MailServer, Receiver, config, hook},
    message::Notice,
};
use bson::DateTime;
use lucid_schemas::alert::{Fingerprint, Severity, What};

const QUICK: Sender = Sender::within(Duration::from_millis(300));

pub(super) fn message() -> Message {
    let labels = [("collection".to_owned(), "a\r\nBcc: x@evil.example".to_owned())].into();
    let notice = Notice {
        id: None,
        fingerprint: Fingerprint::of("rule", &labels),
        incident: "t1".into(),
        sequence: 1,
        what: What::Firing,
        rule: "rule".into(),
        labels,
        severity: Severity::Critical,
        severity_before: None,
        summary: plain("a\r\nBcc: x@evil.example ü"),
        value: None,
        starts_at: DateTime::from_millis(0),
        starts_at_uncertain: false,
        ends_at: None,
        resolved_by: None,
        is_silent: false,
        is_flapping: false,
    };
    Message::new("one", "all", DateTime::from_millis(1_736_388_090_500), None, vec![notice])
}

pub(super) fn one(text: &str) -> Channel {
    config(text).channel("one").expect("there").clone()
}

#[tokio::test]
async fn a_post_is_taken_where_the_answer_says_so() {
    let receiver = Receiver::start().await;
    let channel = one(&format!("{}authorization = \"Bearer 0d3c\"", hook("one", &receiver)));
    Sender::default().send(&channel, &message()).await.expect("taken");
    let asked = receiver.told();
    assert_eq!((asked.len(), asked[0].line.as_str()), (1, "POST /hook HTTP/1.1"));
    assert_eq!(asked[0].header("authorization"), Some("Bearer 0d3c"));
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    assert_eq!(asked[0].json(), body::webhook(&message()));
    for (status, is_refused) in [(500, false), (503, false), (429, false), (400, true), (401, true), (404, true)] {
        receiver.answer(Answer::Status(status));
        let error = Sender::default().send(&channel, &message()).await.expect_err("not taken");
        assert_eq!(matches!(error, SendError::Refused { .. }), is_refused, "{error}");
        let told = error.to_string();
        assert!(told.contains(&status.to_string()) && !told.contains("0d3c") && !told.contains("hook"), "{told}");
        let JobError::Failed(failure) = JobError::from(error) else { panic!("a failure") };
        assert!(failure.retryable);
    }
}

#[tokio::test]
async fn what_is_signed_proves_itself() {
    let receiver = Receiver::start().await;
    let secret = "0123456789abcdef";
    let channel = one(&format!("[channels.one]\nkind = \"signed\"\nurl = \"{}\"\nsecret = \"{secret}\"", receiver.url));
    Sender::default().send(&channel, &message()).await.expect("taken");
    let asked = receiver.told().remove(0);
    let timestamp: i64 = asked.header(TIMESTAMP_HEADER).expect("a time").parse().expect("a number");
    assert_eq!(timestamp, 1_736_388_090);
    let proof = body::signature(&Secret::new(secret), timestamp, asked.body.as_bytes());
    assert_eq!(asked.header(SIGNATURE_HEADER), Some(proof.as_str()));
    assert_eq!(asked.json(), body::own(&message()));
}

#[tokio::test]
async fn an_alertmanager_gets_a_list() {
    let receiver = Receiver::start().await;
    let url = receiver.url.replace("/hook", "");
    let channel = one(&format!("[channels.one]\nkind = \"alertmanager\"\nurl = \"{url}\""));
    Sender::default().send(&channel, &message()).await.expect("taken");
    let asked = receiver.told().remove(0);
    assert_eq!(asked.line, "POST /api/v2/alerts HTTP/1.1");
    assert_eq!(asked.json(), body::alertmanager(&message()));
}

#[tokio::test]
async fn nobody_is_waited_for_and_nobody_sends_us_elsewhere() {
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let channel = one(&hook("one", &receiver));
    receiver.answer(Answer::Never);
    let late = QUICK.send(&channel, &message()).await.expect_err("it hangs");
    assert!(matches!(&late, SendError::Away { reason, .. } if reason.contains("no answer within")), "{late}");
    receiver.answer(Answer::To(elsewhere.url.clone()));
    let pointed = QUICK.send(&channel, &message()).await.expect_err("it points elsewhere");
    assert!(matches!(&pointed, SendError::Refused { reason, .. } if reason.contains("307")), "{pointed}");
    assert!(elsewhere.told().is_empty(), "nothing was sent there");
    let closed = one("[channels.one]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/secret\"");
    let away = QUICK.send(&closed, &message()).await.expect_err("nobody listens");
    assert!(matches!(&away, SendError::Away { .. }) && !away.to_string().contains("secret"), "{away}");
}

#[tokio::test]
async fn a_heartbeat_is_a_get_or_a_post() {
    let receiver = Receiver::start().await;
    let text = format!("[heartbeat]\nurl = \"{}\"\nevery = \"5m\"", receiver.url);
    let heartbeat = config(&text).heartbeat.expect("there");
    QUICK.beat(&heartbeat.http, false).await.expect("taken");
    QUICK.beat(&heartbeat.http, true).await.expect("taken");
    let lines: Vec<_> = receiver.told().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /hook HTTP/1.1", "POST /hook HTTP/1.1"]);
}

fn mail_at(port: u16) -> Channel {
    one(&format!(
        "[channels.one]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
         from = \"Lucid Ops <lucid@example.org>\"\nto = [\"a@example.org\", \"b@example.org\"]"
    ))
}

#[tokio::test]
async fn a_mail_is_one_letter_to_all_its_readers() {
    let server = MailServer::start(false).await;
    Sender::default().send(&mail_at(server.port), &message()).await.expect("taken");
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    let (headers, text) = mails[0].split_once("\r\n\r\n").expect("headers and a text");
    assert!(headers.contains("To: a@example.org, b@example.org"), "{headers}");
    assert!(!headers.contains("\r\nBcc") && !text.contains("\r\nBcc"), "{headers}\n{text}");
    assert!(headers.contains("Content-Type: text/plain"), "{headers}");
}

#[tokio::test]
async fn a_mail_that_is_refused_or_not_taken_in_time_is_said_to_be() {
    let refusing = MailServer::start(true).await;
    let error = Sender::default().send(&mail_at(refusing.port), &message()).await.expect_err("refused");
    assert!(matches!(&error, SendError::Refused { reason, .. } if reason.contains("nobody of that name")), "{error}");
    assert!(refusing.mails().is_empty());
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = mute.local_addr().expect("an address").port();
    let error = QUICK.send(&mail_at(port), &message()).await.expect_err("it says nothing");
    assert!(matches!(&error, SendError::Away { .. }), "{error}");
}
