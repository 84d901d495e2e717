//! What is looked for, as data: filters and sorts of the hot path, each served by an index (a test explains them all).

use crate::pipeline::{guard_expression, literal};
use bson::{Bson, DateTime, Document, doc};
use lucid_core::{EVENTS_MAX, Guard};
use lucid_ports::{JobFilter, Reach};
use lucid_schemas::{
    JOB_SCHEMA, JobId, Kind, State,
    collections::OPS,
    job::{AGING_MS, PRIORITY_LOWEST},
};

/// How much later than it is due the rank of a job of the lowest priority is.
const PRIORITY_SPAN_MS: i64 = AGING_MS * -(PRIORITY_LOWEST as i64);

/// Queued jobs in reach.
pub fn queued(reach: &Reach) -> Document {
    let mut filter = doc! { "open": true, "state": State::Queued.as_str() };
    filter.extend(in_reach(reach));
    filter
}

/// Queued jobs in reach that are due, and don't wait for slots in vain.
pub fn due(reach: &Reach) -> Document {
    let mut filter = queued(reach);
    // Who is due has a rank before now, but for the lowest priorities: that bounds what the index is read for.
    let rank = doc! { "$lte": ["$rank_at", { "$add": ["$$NOW", PRIORITY_SPAN_MS] }] };
    filter.insert("$expr", doc! { "$and": [rank, guard_expression(Guard::Due)] });
    if !reach.paused.is_empty() {
        let begun: Vec<&str> =
            reach.kinds.iter().filter(|kind| !reach.paused.contains(kind)).map(|kind| kind.as_str()).collect();
        filter.insert("kind", doc! { "$in": begun });
    }
    let parked = |keys: &[String], exclusive: Document| {
        doc! { "keys": { "$elemMatch": { "key": { "$in": keys }, "exclusive": exclusive } } }
    };
    if !(reach.full.is_empty() && reach.taken.is_empty()) {
        let parked = [parked(&reach.full, doc! { "$ne": true }), parked(&reach.taken, doc! { "$eq": true })];
        let goes_on = doc! { "$or": [{ "holds": { "$exists": true } }, { "$nor": parked.to_vec() }] };
        filter.insert("$and", vec![goes_on]);
    }
    filter
}

/// Jobs in reach that a worker holds, or held.
pub fn held(reach: &Reach) -> Document {
    let states = [State::Running, State::Canceling, State::Committing].map(State::as_str);
    let mut filter = doc! { "open": true, "state": { "$in": states.as_slice() } };
    filter.extend(in_reach(reach));
    filter
}

/// Of those, the ones that may be taken over.
pub fn lost(reach: &Reach) -> Document {
    let attempts_left = doc! { "$or": [
        { "$ne": ["$state", State::Running.as_str()] },
        { "$lt": ["$attempt", "$max_attempts"] },
    ] };
    let mut filter = held(reach);
    let lease_over = guard_expression(Guard::LeaseOver);
    filter.insert("$expr", doc! { "$and": [guard_expression(Guard::Due), lease_over, attempts_left] });
    filter
}

/// Held jobs that no claim may take over any more, and whose lease is over.
pub fn expired() -> Document {
    let states = [State::Running, State::Canceling, State::Committing].map(State::as_str);
    let attempts_used_up = doc! { "$and": [
        { "$eq": ["$state", State::Running.as_str()] },
        { "$gte": ["$attempt", "$max_attempts"] },
    ] };
    let stream_full = doc! { "$gte": ["$version", EVENTS_MAX] };
    doc! {
        "schema": readable(),
        "open": true,
        "state": { "$in": states.as_slice() },
        "$expr": { "$and": [guard_expression(Guard::LeaseOver), { "$or": [attempts_used_up, stream_full] }] },
    }
}

/// Jobs that occupy slots of concurrency keys.
pub fn occupied() -> Document {
    doc! { "holds": { "$exists": true } }
}

/// Jobs that wait for another one.
pub fn waiting(on: Option<&JobId>) -> Document {
    let mut filter = doc! { "open": true, "state": State::Waiting.as_str(), "schema": readable() };
    if let Some(on) = on {
        filter.insert("after.job", on.as_str());
    }
    filter
}

/// Jobs that ended for so long that they may go.
pub fn forgettable(kind: Kind, state: State, older_ms: i64) -> Document {
    doc! {
        "state": state.as_str(),
        "kind": kind.as_str(),
        "open": false,
        "$expr": { "$lt": ["$finished_at", { "$subtract": ["$$NOW", older_ms] }] },
    }
}

/// Shapes that this program reads. What a later program wrote is for later programs.
fn readable() -> Document {
    doc! { "$gte": 1, "$lte": JOB_SCHEMA }
}

/// The soonest of `matching` whose `field` is still to come, as milliseconds from now.
pub fn soonest(matching: Document, field: &str) -> Vec<Document> {
    let path = format!("${field}");
    vec![
        doc! { "$match": matching },
        doc! { "$match": { "$expr": { "$gt": [&path, "$$NOW"] } } },
        doc! { "$sort": { field: 1 } },
        doc! { "$limit": 1 },
        doc! { "$project": { "in_ms": { "$subtract": [path, "$$NOW"] } } },
    ]
}

/// How many open jobs there are in each state.
pub fn count_open() -> Vec<Document> {
    vec![
        // The state is named so that the index on it serves.
        doc! { "$match": { "open": true, "state": { "$exists": true } } },
        doc! { "$group": { "_id": "$state", "jobs": { "$sum": 1_i64 } } },
    ]
}

/// The open job that has a unique key.
pub fn open_with_key(key: &str) -> Document {
    doc! { "open": true, "unique_key": key }
}

/// Order of claims.
pub fn best_first() -> Document {
    doc! { "rank_at": 1 }
}

/// Order of takeovers.
pub fn lost_first() -> Document {
    doc! { "lease.expires_at": 1 }
}

/// Order of lists.
pub fn newest_first() -> Document {
    doc! { "created_at": -1, "_id": -1 }
}

/// A list's filter, without its page.
pub fn listed(filter: &JobFilter) -> Document {
    let mut matching = Document::new();
    if let Some(kind) = filter.kind {
        matching.insert("kind", kind.as_str());
    }
    match filter.states.as_slice() {
        [] => {}
        [state] => drop(matching.insert("state", state.as_str())),
        states => {
            let words: Vec<_> = states.iter().map(|state| state.as_str()).collect();
            matching.insert("state", doc! { "$in": words });
        }
    }
    let bounds = [("$gte", filter.since), ("$lt", filter.until)];
    let created_at: Document =
        bounds.into_iter().filter_map(|(bound, at)| Some((bound.to_owned(), at?.into()))).collect();
    if !created_at.is_empty() {
        matching.insert("created_at", created_at);
    }
    if let Some(label) = &filter.label {
        matching.insert("requires.labels", label);
    }
    if let Some(text) = &filter.text {
        matching.insert("$expr", has_text(text));
    }
    matching
}

/// Whether one of the fields that are searched has this text in it. It is data: compared, never read as a pattern.
fn has_text(text: &str) -> Document {
    let sought = literal(text.to_ascii_lowercase());
    let has = |field: &str| {
        // What a hand has put there may be of any type.
        let is_text = doc! { "$eq": [{ "$type": field }, "string"] };
        let lower = doc! { "$toLower": { "$cond": [is_text, field, ""] } };
        Bson::from(doc! { "$gte": [{ "$indexOfBytes": [lower, &sought] }, 0] })
    };
    let fields = ["$_id", "$spec.database", "$error.message", "$requested_by"];
    doc! { "$or": fields.map(has).to_vec() }
}

/// Jobs whose ids follow this one, whatever type they are of.
pub fn following(after: Option<&str>) -> Document {
    // Outside of an expression, strings are compared with strings only.
    after.map_or_else(Document::new, |after| doc! { "$expr": { "$gt": ["$_id", literal(after)] } })
}

fn in_reach(reach: &Reach) -> Document {
    let kinds: Vec<Bson> = reach.kinds.iter().map(|kind| kind.as_str().into()).collect();
    let repositories: Vec<Bson> = reach
        .repositories
        .iter()
        .map(|repository| doc! { "name": &repository.name, "id": &repository.id }.into())
        .collect();
    let labels: Vec<Bson> = reach.labels.iter().map(|label| label.as_str().into()).collect();
    doc! {
        "schema": readable(),
        "kind": { "$in": kinds },
        "$or": [
            { "requires.repository": { "$exists": false } },
            { "requires.repository": { "$in": repositories } },
        ],
        "requires.labels": { "$not": { "$elemMatch": { "$nin": labels } } },
    }
}

/// The queries of the hot path by name, as commands: for the test that explains them.
pub fn explainable_queries(reach: &Reach) -> Vec<(&'static str, Document)> {
    let find = |filter: Document, sort: Document| doc! { "find": OPS, "filter": filter, "sort": sort, "limit": 5 };
    let aggregate = |pipeline: Vec<Document>| doc! { "aggregate": OPS, "pipeline": pipeline, "cursor": {} };
    let failed_backups = JobFilter { kind: Some(Kind::Backup), states: vec![State::Failed], ..JobFilter::default() };
    let parking = Reach { full: vec!["cluster".into()], taken: vec!["cluster".into()], ..reach.clone() };
    let id = JobId::compose(Kind::Backup, DateTime::MIN, 0);
    vec![
        ("due", find(due(reach), best_first())),
        ("due, some parked", find(due(&parking), best_first())),
        ("occupied", doc! { "find": OPS, "filter": occupied() }),
        ("waiting", find(waiting(None), doc! { "created_at": 1 })),
        ("dependents", find(waiting(Some(&id)), doc! { "created_at": 1 })),
        ("forgettable", find(forgettable(Kind::Verify, State::Succeeded, 1), doc! { "finished_at": 1 })),
        ("lost", find(lost(reach), lost_first())),
        ("expired", find(expired(), lost_first())),
        ("next queued", aggregate(soonest(queued(reach), "run_at"))),
        ("next try", aggregate(soonest(held(reach), "run_at"))),
        ("next lease end", aggregate(soonest(held(reach), "lease.expires_at"))),
        ("unique key", find(open_with_key("key"), doc! { "_id": 1 })),
        ("open jobs", aggregate(count_open())),
        ("page of all jobs", find(following(Some("backup_x")), doc! { "_id": 1 })),
        ("list", find(listed(&JobFilter::default()), newest_first())),
        ("list of a kind in a state", find(listed(&failed_backups), newest_first())),
    ]
}
