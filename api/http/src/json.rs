//! BSON as plain JSON: numbers are numbers, dates are RFC 3339 in UTC with milliseconds.

use bson::{Bson, DateTime, Document};
use chrono::SecondsFormat;
use lucid_schemas::{Stamp, alert::AlertEvent, http::EventView};
use serde_json::{Value, json};

/// A document. Values that JSON has no word for keep their relaxed extended JSON form.
pub fn document(document: Document) -> Value {
    Value::Object(document.into_iter().map(|(name, value)| (name, plain(value))).collect())
}

/// A stored time.
pub fn time(stamp: Stamp) -> String {
    stamp.stored().map(date).unwrap_or_default()
}

/// A date.
pub fn date(at: DateTime) -> String {
    at.to_chrono().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An event of an alert.
pub fn alert_event(event: &AlertEvent) -> EventView {
    EventView {
        seq: event.seq,
        at: time(event.at),
        kind: event.body.name().into(),
        by: event.by.clone(),
        data: document(event.body.data().unwrap_or_default()),
    }
}

fn plain(value: Bson) -> Value {
    match value {
        Bson::Document(inner) => document(inner),
        Bson::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        Bson::Int64(number) => number.into(),
        Bson::DateTime(at) => date(at).into(),
        Bson::Timestamp(at) => json!({ "t": at.time, "i": at.increment }),
        Bson::ObjectId(id) => id.to_hex().into(),
        other => other.into_relaxed_extjson(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{Timestamp, doc};

    #[test]
    fn values_read_as_people_and_programs_expect() {
        let shown = document(doc! {
            "small": 5, "large": i64::MAX, "share": 0.5, "yes": true, "nothing": null,
            "at": DateTime::from_millis(1_736_388_000_000),
            "cluster": Timestamp { time: 1_736_388_000, increment: 7 },
            "list": [{ "name": "ä$" }],
        });
        assert_eq!(
            shown,
            json!({
                "small": 5, "large": i64::MAX, "share": 0.5, "yes": true, "nothing": null,
                "at": "2025-01-09T02:00:00.000Z",
                "cluster": { "t": 1_736_388_000, "i": 7 },
                "list": [{ "name": "ä$" }],
            })
        );
    }
}
