//! What Alertmanager posts to a webhook, version 4, so that whatever takes that takes ours.

use super::{annotations, common, labels, link, time};
use crate::message::{Message, Notice};
use serde_json::{Value, json};

/// What Alertmanager writes where there is no time yet.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The body.
pub fn webhook(message: &Message) -> Value {
    let word = |is_over: bool| if is_over { "resolved" } else { "firing" };
    let alert = |notice: &Notice| {
        json!({
            "status": word(notice.is_over()),
            "labels": labels(notice),
            "annotations": annotations(notice),
            "startsAt": time(notice.starts_at),
            "endsAt": notice.ends_at.filter(|_| notice.is_over()).map_or_else(|| NEVER.into(), time),
            "generatorURL": link(message, notice),
            "fingerprint": notice.fingerprint.to_string(),
        })
    };
    json!({
        "version": "4",
        "groupKey": format!("lucid-ops/{}/{}", message.channel, message.group),
        "truncatedAlerts": message.left_out,
        "status": word(message.is_over()),
        "receiver": message.channel,
        "groupLabels": { "group": message.group },
        "commonLabels": common(message.notices.iter().map(labels)),
        "commonAnnotations": common(message.notices.iter().map(annotations)),
        "externalURL": message.link.as_deref().unwrap_or_default(),
        "alerts": message.notices.iter().map(alert).collect::<Vec<_>>(),
    })
}
