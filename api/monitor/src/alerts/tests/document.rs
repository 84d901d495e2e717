//! The requests in the document are answered as it says.

use super::world::{World, finding};
use lucid_core::alert::{Finding, Wanted, raise};
use lucid_ports::{Alerts, Raised};
use lucid_schemas::alert::Severity;
use serde_json::Value;

/// A fenced block: its language, and what is in it.
fn blocks(document: &str) -> Vec<(&str, &str)> {
    let fenced = document.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// Without what is another one each time: ids, times, and what is made of them.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let normal = |(name, value): (&String, &Value)| {
                let value = if name == "fingerprint" { "HASH".into() } else { normal(value) };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(normal).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(normal).collect()),
        Value::String(text) if text.starts_with("alert_") => "ALERT".into(),
        Value::String(text) if text.starts_with("silence_") => "SILENCE".into(),
        Value::String(text) if text.len() == 24 && text.ends_with('Z') && text.contains('T') => "TIME".into(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_the_document_is_answered_as_it_says() {
    let world = World::new();
    let overdue = Finding {
        sighting: lucid_core::alert::Sighting {
            value: Some(93_600.0),
            summary: "the newest whole backup of shop is 26 h old".into(),
            ..finding("backup_overdue", ("database", "shop"), Severity::Critical).sighting
        },
        notify: vec![Wanted { channel: "mail".into(), in_ms: 30_000 }],
        ..finding("backup_overdue", ("database", "shop"), Severity::Critical)
    };
    let raise = raise(&overdue, super::fence(), "monitor:a", "the first");
    assert!(matches!(world.store.raise_alert(&raise).await.expect("raised"), Raised::New(_)));
    let document = include_str!("../../../../alerts.md");
    let (mut silence, mut asked, mut compared) = (String::new(), 0, 0);
    let mut last = None::<Value>;
    for (language, text) in blocks(document) {
        if language == "json" {
            let said: Value = serde_json::from_str(text).expect(text);
            // What follows no request is no answer.
            if let Some(last) = last.take() {
                assert_eq!(normal(&last), normal(&said), "{last:#}");
                compared += 1;
            }
            continue;
        }
        if language != "http" {
            continue;
        }
        let (line, body) = text.split_once('\n').expect("a line");
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let path = path.replace("ALERT", overdue.id.as_str()).replace("SILENCE", &silence);
        let body = (!body.trim().is_empty()).then(|| serde_json::from_str::<Value>(body).expect(body));
        let (status, answer) = world.send(method, &path, body.as_ref(), Some(super::world::TOKEN)).await;
        assert!((200..300).contains(&status), "{line}: {status} {answer}");
        if silence.is_empty() {
            silence = answer["silence_id"].as_str().unwrap_or_default().to_owned();
        }
        (last, asked) = (Some(answer), asked + 1);
    }
    assert_eq!((asked, compared), (6, 4), "every example is tried");
}
