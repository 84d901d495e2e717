//! Our own form, signed: for whoever writes the other end.

use super::{link, time};
use crate::{
    message::{Message, Notice},
    secret::Secret,
};
use hmac::{Hmac, KeyInit, Mac};
use lucid_schemas::alert::ResolvedBy;
use serde_json::{Value, json};
use sha2::Sha256;
use std::fmt::Write;

/// The body.
pub fn own(message: &Message) -> Value {
    let alert = |notice: &Notice| {
        json!({
            "dedup_key": notice.dedup_key(),
            "sequence": notice.sequence,
            "what": notice.what.as_str(),
            "id": notice.id,
            "fingerprint": notice.fingerprint.to_string(),
            "incident": notice.incident,
            "rule": notice.rule,
            "labels": notice.labels,
            "severity": notice.severity.as_str(),
            "summary": notice.summary,
            "value": notice.value,
            "starts_at": time(notice.starts_at),
            "starts_at_uncertain": notice.starts_at_uncertain,
            "ends_at": notice.ends_at.map(time),
            "resolved_by": notice.resolved_by.map(ResolvedBy::as_str),
            "silent": notice.is_silent,
            "flapping": notice.is_flapping,
            "link": link(message, notice),
        })
    };
    json!({
        "version": 1,
        "channel": message.channel,
        "group": message.group,
        "sent_at": time(message.sent_at),
        "left_out": message.left_out,
        "alerts": message.notices.iter().map(alert).collect::<Vec<_>>(),
    })
}

/// What proves that a body is ours and was sent at that time (seconds since 1970): `v1=` and, in hex, the HMAC-SHA256 over
/// `<timestamp>.<body>`.
pub fn signature(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    let mut text = String::from("v1=");
    // HMAC takes keys of every length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) {
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}
