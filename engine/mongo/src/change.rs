//! What a change of a job's or an alert's document tells of its events.
//!
//! An update that appends shows as `events.N`, one field for each event; where the server finds the difference too
//! large for that, as a whole array or a whole document. Of a whole one, those with the write of the last are new.

use crate::stream::transitions;
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use lucid_ports::{Change, Changed, Numbered, ResumeToken, Subject};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// Births and transitions, with what is needed of them: neither lease nor progress, nor spec or result.
pub fn pipeline() -> Vec<Document> {
    // By position and not by pieces of the name: a piece may end within a character of some other field's name.
    let of_events = doc! { "$eq": [{ "$indexOfBytes": ["$$field.k", "events"] }, 0] };
    let wanted = doc! { "$or": [{ "$in": ["$$field.k", ["state", "version"]] }, of_events] };
    let fields = doc! { "$objectToArray": "$updateDescription.updatedFields" };
    let updated = doc! { "$arrayToObject": { "$filter": { "input": fields, "as": "field", "cond": wanted } } };
    let project = doc! { "$project": {
        "documentKey": 1,
        "updated": updated,
        "fullDocument.state": 1,
        "fullDocument.version": 1,
        "fullDocument.events": 1,
    } };
    vec![transitions(), project]
}

/// The change; `None` where it is neither one of a job nor of an alert.
pub fn parse(raw: &RawDocumentBuf) -> Option<Change> {
    let token: ResumeToken = raw.get_document("_id").ok()?.get_str("_data").ok()?.parse().ok()?;
    let id = raw.get_document("documentKey").ok()?.get_str("_id").ok()?;
    // The pipeline leaves one of the two empty.
    let told = [raw.get_document("updated"), raw.get_document("fullDocument")];
    let told = told.into_iter().flatten().find(|told| told.get("version").is_ok_and(|version| version.is_some()))?;
    // No id is both.
    let job = || changed(id, told).map(Subject::Job);
    let subject = job().or_else(|| changed(id, told).map(Subject::Alert))?;
    Some(Change { token, subject })
}

fn changed<I: FromStr, S: FromStr, E>(id: &str, told: &RawDocument) -> Option<Changed<I, S, E>>
where
    E: Numbered + Clone + DeserializeOwned,
{
    let (id, version) = (id.parse().ok()?, whole_number(told)?);
    let state = told.get_str("state").ok().and_then(|word| word.parse().ok());
    let events: Vec<E> = events(told, version).unwrap_or_default();
    let changed = Changed { id, state, version, events: Vec::new() };
    let events = changed.events_in(&events).to_vec();
    Some(Changed { events, ..changed })
}

fn whole_number(told: &RawDocument) -> Option<i64> {
    let version = told.get("version").ok()??;
    version.as_i64().or_else(|| version.as_i32().map(i64::from))
}

/// The events that the change tells, in order up to `version`; `None` where it doesn't, or where one can't be read.
fn events<E: Numbered + DeserializeOwned>(told: &RawDocument, version: i64) -> Option<Vec<E>> {
    let told = Document::try_from(told).ok()?;
    let stored = match told.get("events") {
        Some(Bson::Array(events)) => events.clone(),
        _ => appended(&told),
    };
    let events: Vec<E> =
        stored.into_iter().map(|event| bson::deserialize_from_bson(event).ok()).collect::<Option<_>>()?;
    let numbers = events.iter().map(Numbered::seq);
    let first = version - i64::try_from(events.len()).ok()? + 1;
    numbers.eq(first..=version).then_some(events)
}

/// The values of `events.N`, by N.
fn appended(told: &Document) -> Vec<Bson> {
    let mut appended: Vec<(usize, &Bson)> =
        told.iter().filter_map(|(name, value)| Some((name.strip_prefix("events.")?.parse().ok()?, value))).collect();
    appended.sort_by_key(|(place, _)| *place);
    appended.into_iter().map(|(_, value)| value.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::DateTime;
    use lucid_ports::JobChange;

    fn event(seq: i64, write: &str) -> Document {
        let at = DateTime::from_millis(1_736_388_000_000);
        doc! { "seq": seq, "at": at, "type": "commit_started", "by": "w", "write": write, "data": {} }
    }

    fn told(how: Document) -> Option<JobChange> {
        let mut change = doc! { "_id": { "_data": "82AB" }, "documentKey": { "_id": "backup_x" } };
        change.extend(how);
        parse(&RawDocumentBuf::try_from(&change).expect("a document"))?.job().cloned()
    }

    fn numbers(change: &JobChange) -> Vec<i64> {
        change.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn new_events_are_found_in_every_form_of_a_change() {
        let all = [event(1, "a"), event(2, "b"), event(3, "c"), event(4, "c")];
        let of_job = doc! { "state": "committing", "version": 4_i64, "events": all.as_slice() };
        let appended = doc! { "version": 4_i64, "events.3": event(4, "c"), "events.2": event(3, "c") };
        for (form, how) in [
            ("differences", doc! { "updated": appended, "fullDocument": {} }),
            ("a whole array", doc! { "updated": of_job.clone() }),
            ("a whole document", doc! { "updated": null, "fullDocument": of_job }),
        ] {
            let change = told(how).expect("a change");
            assert_eq!((numbers(&change), change.version), (vec![3, 4], 4), "{form}");
        }
    }

    #[test]
    fn what_is_not_told_whole_is_not_told() {
        let strange = doc! { "seq": 10_i64, "type": "of a later program" };
        for updated in [
            doc! { "version": 10_i64 },
            doc! { "version": 10_i64, "events.9.data": { "a": 1 } },
            doc! { "version": 10_i64, "events.8": event(9, "c") },
            doc! { "version": 10_i64, "events.7": event(8, "c"), "events.9": event(10, "c") },
            doc! { "version": 10_i64, "events.9": strange },
            doc! { "version": 10_i64, "events": [event(9, "c"), "no event"] },
        ] {
            let change = told(doc! { "updated": updated.clone() }).expect("a change");
            assert_eq!((numbers(&change), change.version), (vec![], 10), "{updated}");
        }
        assert_eq!(told(doc! { "operationType": "drop" }), None);
    }
}
