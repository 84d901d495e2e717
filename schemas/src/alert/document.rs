//! An alert as it is stored, field by field: shared by all stores, so that none forgets one.

use super::{ALERT_SCHEMA, Alert, AlertEvent, AlertHead, Due, Origin, Seen, Token};
use crate::{Stamp, job::FieldValue, kind::ALERT, unique_key};
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use serde::Deserialize;

/// An alert document that this program can't read.
#[derive(Debug, thiserror::Error)]
#[error("alert document {id} can't be read: {reason}")]
pub struct UnreadableAlert {
    /// The `_id` of the document, as far as it could be read.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Origin {
    /// The fields that never change, in stored order.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn to_document(&self) -> Result<Document, bson::error::Error> {
        let mut document = doc! {
            "_id": self.id.as_str(),
            "schema": ALERT_SCHEMA,
            "kind": ALERT,
            "rule": &self.rule,
            "labels": bson::serialize_to_document(&self.labels)?,
            "fingerprint": self.fingerprint.as_str(),
            "unique_key": unique_key::of_alert(&self.fingerprint),
            "starts_at": self.starts_at,
        };
        if self.starts_at_uncertain {
            document.insert("starts_at_uncertain", true);
        }
        if let Some(incident) = &self.incident {
            document.insert("incident", incident);
        }
        if let Some(previous) = &self.previous {
            document.insert("previous", previous.as_str());
        }
        Ok(document)
    }
}

impl Alert {
    /// Every field that changes, with the value to store, in stored order; without the events.
    pub fn fields(&self) -> Vec<(&'static str, FieldValue)> {
        let AlertHead { state, version, severity, severity_changed_at, acknowledged_by, acknowledged_until, .. } =
            &self.head;
        let AlertHead { notified, created_at, resolved_at, resolved_by, .. } = &self.head;
        let Seen { last_seen_at, value, occurrences, summary, rules_version, silent_since, flapping } = &self.seen;
        let Token { generation, epoch } = self.token;
        let literal = |value: Bson| FieldValue::Literal(value);
        let perhaps = |value: Option<Bson>| value.map_or(FieldValue::Absent, FieldValue::Literal);
        let stamp = |stamp: &Option<Stamp>| stamp.map_or(FieldValue::Absent, FieldValue::Stamp);
        vec![
            ("state", literal(state.as_str().into())),
            ("open", literal(state.is_open().into())),
            ("version", literal((*version).into())),
            ("severity", literal(severity.as_str().into())),
            ("severity_changed_at", stamp(severity_changed_at)),
            ("acknowledged_by", perhaps(acknowledged_by.as_ref().map(|name| name.as_str().into()))),
            ("acknowledged_until", stamp(acknowledged_until)),
            ("notified", perhaps((!notified.is_empty()).then(|| notified.clone().into()))),
            ("created_at", FieldValue::Stamp(*created_at)),
            ("resolved_at", stamp(resolved_at)),
            ("resolved_by", perhaps(resolved_by.map(|how| how.as_str().into()))),
            ("last_seen_at", FieldValue::Stamp(*last_seen_at)),
            ("value", perhaps(value.map(Bson::Double))),
            ("occurrences", literal((*occurrences).into())),
            ("summary", literal(summary.as_str().into())),
            ("rules_version", literal((*rules_version).into())),
            ("silent_since", stamp(silent_since)),
            ("flapping", perhaps(flapping.then(|| true.into()))),
            // Absent where empty, so that an index of what is due holds nothing else.
            ("notify", if self.notify.is_empty() { FieldValue::Absent } else { notices(&self.notify) }),
            ("token", literal(doc! { "generation": generation, "epoch": epoch }.into())),
            ("touches", literal(self.touches.into())),
            ("write", literal(self.write.as_str().into())),
        ]
    }

    /// Reads a stored document.
    ///
    /// # Errors
    /// Where the document isn't an alert of a known schema.
    pub fn from_document(document: &Document) -> Result<Self, UnreadableAlert> {
        let unreadable = |reason: String| {
            let id = document.get("_id").map_or_else(|| "without _id".into(), ToString::to_string);
            UnreadableAlert { id, reason }
        };
        let raw = RawDocumentBuf::try_from(document).map_err(|error| unreadable(error.to_string()))?;
        Self::from_raw(&raw)
    }

    /// The same of a document as it came from the server.
    ///
    /// # Errors
    /// Where the document isn't an alert of a known schema.
    pub fn from_raw(raw: &RawDocument) -> Result<Self, UnreadableAlert> {
        let unreadable = |reason: String| {
            let id = raw.get_str("_id").map_or_else(|_| "without _id".into(), str::to_owned);
            UnreadableAlert { id, reason }
        };
        match (raw.get_str("kind"), raw.get_i32("schema")) {
            (Ok(ALERT), Ok(ALERT_SCHEMA)) => read(raw).map_err(|error| unreadable(error.to_string())),
            (Ok(ALERT), Ok(other)) => {
                Err(unreadable(format!("its schema is {other}, this program knows {ALERT_SCHEMA}: upgrade this node")))
            }
            (Ok(ALERT), Err(_)) => Err(unreadable("it has no schema number".into())),
            (kind, _) => Err(unreadable(format!("its kind is {}, not {ALERT}", kind.unwrap_or("missing")))),
        }
    }
}

/// Reads a document of the present shape, one part after the other.
fn read(raw: &RawDocument) -> Result<Alert, bson::error::Error> {
    #[derive(Deserialize)]
    struct Rest {
        #[serde(default)]
        notify: Vec<Due>,
        token: Token,
        touches: i64,
        write: String,
        events: Vec<AlertEvent>,
    }
    let rest: Rest = bson::deserialize_from_slice(raw.as_bytes())?;
    Ok(Alert {
        origin: bson::deserialize_from_slice(raw.as_bytes())?,
        head: bson::deserialize_from_slice(raw.as_bytes())?,
        seen: bson::deserialize_from_slice(raw.as_bytes())?,
        notify: rest.notify,
        token: rest.token,
        touches: rest.touches,
        write: rest.write,
        events: rest.events,
    })
}

fn notices(notify: &[Due]) -> FieldValue {
    let fields = |due: &Due| {
        vec![
            ("channel", FieldValue::Literal(due.channel.as_str().into())),
            ("what", FieldValue::Literal(due.what.as_str().into())),
            ("due_at", FieldValue::Stamp(due.due_at)),
            ("begun", FieldValue::Literal(due.begun.into())),
        ]
    };
    FieldValue::Objects(notify.iter().map(fields).collect())
}
