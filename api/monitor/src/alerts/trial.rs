//! Trying a channel of this node: whoever is to be told is told that this is a test, and then that it is over.

use crate::Monitor;
use actix_web::{HttpResponse, web};
use bson::DateTime;
use lucid_http::{Answer, ApiError, Body, Caller, shortened};
use lucid_notify::{
    Sender,
    message::{Message, Notice},
};
use lucid_schemas::{
    alert::{Fingerprint, ResolvedBy, Severity, What},
    http::{TestBody, TestView},
};
use std::collections::BTreeMap;

/// No rule finds this.
const RULE: &str = "channel_test";

/// `POST /alerts/test`: nothing is written; what a channel is told of incidents is over at once.
pub(crate) async fn test(monitor: web::Data<Monitor>, caller: Caller, body: Body<TestBody>) -> Answer {
    let config = monitor.alerts.channels().current();
    let name = body.0.channel;
    let Some(channel) = config.channel(&name) else {
        let known: Vec<_> = config.channels().map(|channel| channel.name.as_str()).collect();
        let known = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
        return Err(ApiError::NotFound(format!("this node has no channel '{}': {known}", shortened(&name))));
    };
    let now = DateTime::now();
    for what in [What::Firing, What::Resolved] {
        let message =
            Message::new(&channel.name, RULE, now, None, vec![notice(&channel.name, &caller.name, what, now)]);
        let sent = Sender::default().send(channel, &message).await;
        sent.map_err(|error| ApiError::Untold(format!("{error}; the test said '{what}'")))?;
    }
    tracing::info!(channel = channel.name, by = caller.name, "a channel was tried");
    Ok(HttpResponse::Ok().json(TestView { channel: channel.name.clone(), sent: 2 }))
}

fn notice(channel: &str, by: &str, what: What, now: DateTime) -> Notice {
    let labels = BTreeMap::from([("channel".to_owned(), channel.to_owned())]);
    let is_over = what == What::Resolved;
    Notice {
        id: None,
        fingerprint: Fingerprint::of(RULE, &labels),
        incident: format!("test-{}", now.timestamp_millis()),
        sequence: if is_over { 2 } else { 1 },
        what,
        rule: RULE.into(),
        labels,
        severity: Severity::Warning,
        severity_before: None,
        summary: format!("this is a test of channel {channel}, asked for by {by}: nothing is wrong"),
        value: None,
        starts_at: now,
        starts_at_uncertain: false,
        ends_at: is_over.then_some(now),
        resolved_by: is_over.then_some(ResolvedBy::Operator),
        is_silent: false,
        is_flapping: false,
    }
}
