//! What an Alertmanager takes at `/api/v2/alerts`.

use super::{annotations, labels, link, time};
use crate::message::{Message, Notice};
use bson::DateTime;
use lucid_schemas::alert::Severity;
use serde_json::{Value, json};

/// An Alertmanager takes an alert for resolved that has no end and of which it hears nothing for five minutes. Ours end when we say so;
/// this is only for the case that we never can.
const OPEN_MS: i64 = 30 * 24 * 3_600_000;

/// The body.
pub fn alertmanager(message: &Message) -> Value {
    let mut alerts = Vec::new();
    for notice in &message.notices {
        let ends_at = match notice.ends_at {
            Some(at) if notice.is_over() => at,
            _ if notice.is_over() => message.sent_at,
            _ => DateTime::from_millis(message.sent_at.timestamp_millis() + OPEN_MS),
        };
        alerts.push(alert(message, notice, notice.severity, ends_at));
        // Its labels are what an alert is there, and the severity is one: what it was before is over.
        if let Some(before) = notice.severity_before {
            alerts.push(alert(message, notice, before, message.sent_at));
        }
    }
    alerts.into()
}

fn alert(message: &Message, notice: &Notice, severity: Severity, ends_at: DateTime) -> Value {
    let mut labels = labels(notice);
    labels.insert("severity".into(), severity.as_str().into());
    json!({
        "labels": labels,
        "annotations": annotations(notice),
        "startsAt": time(notice.starts_at),
        "endsAt": time(ends_at),
        "generatorURL": link(message, notice),
    })
}
