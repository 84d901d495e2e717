//! What is looked for, as data: filters and sorts of the hot path, each served by an index (a test explains them all).

use crate::{
    alerts,
    pipeline::{guard_expression, literal},
};
use bson::{Bson, DateTime, Document, doc};
use lucid_core::{Command, EVENTS_MAX, Guard, decide};
use lucid_ports::{AlertFilter, JobFilter, Reach};
use lucid_schemas::{
    JOB_SCHEMA, Job, JobId, Kind, State, VerifyLevel,
    alert::Fingerprint,
    collections::{
        CLAIMED_BY_LEASE_END, ENDED, HOLDS, NEEDED, NEWEST_JOBS, NEWEST_OF_KIND, NOTIFY_DUE, OPS, QUEUED_BY_RANK,
        QUEUED_BY_TIME, SAME_ALERTS, UNDER_WAY, UNIQUE_KEY, WAITING_FOR, WAITING_SINCE,
    },
    job::{AGING_MS, PRIORITY_LOWEST},
    kind::ALERT,
    request::{DEFAULT_ATTEMPTS, NEEDS},
};
use std::collections::BTreeMap;

/// How much later than it is due the rank of a job of the lowest priority is.
const PRIORITY_SPAN_MS: i64 = AGING_MS * -(PRIORITY_LOWEST as i64);

/// A search of the hot path. The index is named: a planner that has seen an empty collection may otherwise take one that
/// leads through every job there ever was.
#[derive(Debug, Clone)]
pub struct Search {
    pub filter: Document,
    pub sort: Document,
    pub index: &'static str,
}

/// Queued jobs in reach.
fn queued(reach: &Reach) -> Document {
    let mut filter = doc! { "state": State::Queued.as_str() };
    filter.extend(in_reach(reach));
    filter
}

/// Queued jobs in reach that are due, and don't wait for slots in vain; best first.
pub fn due(reach: &Reach) -> Search {
    let mut filter = queued(reach);
    // Who is due has a rank before now, but for the lowest priorities: that bounds what the index is read for.
    let rank = doc! { "$lte": ["$rank_at", { "$add": ["$$NOW", PRIORITY_SPAN_MS] }] };
    filter.insert("$expr", doc! { "$and": [rank, guard_expression(Guard::Due)] });
    if !reach.paused.is_empty() {
        let kinds = stored_kinds(reach).into_iter();
        let begun: Vec<&str> = kinds.filter(|kind| !reach.paused.contains(kind)).map(Kind::as_str).collect();
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
    Search { filter, sort: doc! { "rank_at": 1 }, index: QUEUED_BY_RANK }
}

/// Jobs that a worker holds, or held.
fn held() -> Document {
    let states = [State::Running, State::Canceling, State::Committing].map(State::as_str);
    // The index is one of open jobs that were claimed once, which these all are.
    doc! { "state": { "$in": states.as_slice() }, "open": true, "worker": { "$exists": true } }
}

fn held_in_reach(reach: &Reach) -> Document {
    let mut filter = held();
    filter.extend(in_reach(reach));
    filter
}

fn first_lease_end(filter: Document) -> Search {
    Search { filter, sort: doc! { "lease.expires_at": 1 }, index: CLAIMED_BY_LEASE_END }
}

/// Held jobs in reach that may be taken over, and a few that may not, see [`lucid_core::may_claim`]; the longest lost first.
pub fn lost(reach: &Reach) -> Search {
    let attempts_left = doc! { "$or": [
        { "$ne": ["$state", State::Running.as_str()] },
        { "$lt": ["$attempt", "$max_attempts"] },
        // How many of them were losses, the events tell: whoever reads them judges.
        { "$eq": ["$max_attempts", DEFAULT_ATTEMPTS] },
    ] };
    // A commit, or a clean-up, that was put off has no lease. What has one is judged by that alone.
    let held_or_due = doc! { "$or": [
        { "$eq": ["$state", State::Running.as_str()] },
        { "$gt": ["$lease", Bson::Null] },
        guard_expression(Guard::Due),
    ] };
    let mut filter = held_in_reach(reach);
    filter.insert("$expr", doc! { "$and": [held_or_due, guard_expression(Guard::LeaseOver), attempts_left] });
    first_lease_end(filter)
}

/// Whether the law says of a held job that was found that a sweeper ends it.
pub fn may_expire(job: &Job) -> bool {
    decide(job, &Command::Expire).is_ok()
}

/// Held jobs that no claim may take over any more, with a few that one may, see [`may_expire`], and whose lease is over.
pub fn expired() -> Search {
    let attempts_used_up = doc! { "$and": [
        { "$eq": ["$state", State::Running.as_str()] },
        { "$gte": ["$attempt", "$max_attempts"] },
    ] };
    let stream_full = doc! { "$gte": ["$version", EVENTS_MAX] };
    let mut filter = held();
    filter.insert("schema", readable());
    filter.insert("kind", doc! { "$in": known_kinds() });
    filter.insert(
        "$expr",
        doc! { "$and": [guard_expression(Guard::LeaseOver), { "$or": [attempts_used_up, stream_full] }] },
    );
    first_lease_end(filter)
}

/// Jobs that occupy slots of concurrency keys.
pub fn occupied() -> Search {
    Search { filter: doc! { "holds": { "$exists": true } }, sort: doc! {}, index: HOLDS }
}

/// Jobs that wait for another one; the longest waiting first.
pub fn waiting(on: Option<&JobId>) -> Search {
    let mut filter = doc! { "state": State::Waiting.as_str(), "schema": readable(), "kind": { "$in": known_kinds() } };
    let index = match on {
        Some(on) => {
            filter.insert("after.job", on.as_str());
            WAITING_FOR
        }
        None => WAITING_SINCE,
    };
    Search { filter, sort: doc! { "created_at": 1 }, index }
}

/// Open jobs that need backups, of whatever kind and shape.
pub fn needed() -> Search {
    let filter = doc! { "open": true, NEEDS: { "$exists": true } };
    Search { filter, sort: doc! {}, index: NEEDED }
}

/// The same that programs stored which didn't say so yet; what later ones store does.
pub fn needed_of_before() -> Search {
    let filter = doc! {
        "kind": { "$in": known_kinds() }, "open": true, NEEDS: { "$exists": false }, "spec.backup": { "$exists": true },
    };
    Search { filter, sort: doc! {}, index: NEWEST_OF_KIND }
}

/// Backups of a cluster that succeeded into a repository, and of which nothing else has become.
pub fn made(repository: &str, cluster: &str) -> Search {
    let filter = doc! {
        "kind": Kind::Backup.as_str(), "state": State::Succeeded.as_str(), "fate": { "$exists": false },
        "requires.repository.id": repository, "result.cluster": cluster,
    };
    Search { filter, sort: doc! {}, index: NEWEST_OF_KIND }
}

/// Jobs that ended for so long that they may go; the oldest first.
pub fn forgettable(kind: Kind, state: State, older_ms: i64) -> Search {
    let filter = doc! {
        "state": state.as_str(),
        "kind": kind.as_str(),
        "finished_at": { "$exists": true },
        "$expr": { "$lt": ["$finished_at", { "$subtract": ["$$NOW", older_ms] }] },
    };
    Search { filter, sort: doc! { "finished_at": 1 }, index: ENDED }
}

/// The open job that has a unique key.
pub fn open_with_key(key: &str) -> Search {
    Search { filter: doc! { "open": true, "unique_key": key }, sort: doc! { "_id": 1 }, index: UNIQUE_KEY }
}

/// Shapes that this program reads. What a later program wrote is for later programs.
fn readable() -> Document {
    doc! { "$gte": 1, "$lte": JOB_SCHEMA }
}

fn known_kinds() -> Vec<&'static str> {
    Kind::ALL.iter().map(|kind| kind.as_str()).collect()
}

/// A pipeline, and the index that it begins with.
pub type Pipeline = (Vec<Document>, &'static str);

/// Milliseconds until each next moment at which there may be something to claim: a queued job comes due, one that was put
/// off does, a lease ends.
pub fn next_moments(reach: &Reach) -> [Pipeline; 3] {
    let soonest = |matching: Document, field: &str, index| {
        let path = format!("${field}");
        let pipeline = vec![
            doc! { "$match": matching },
            doc! { "$match": { "$expr": { "$gt": [&path, "$$NOW"] } } },
            doc! { "$sort": { field: 1 } },
            doc! { "$limit": 1 },
            doc! { "$project": { "in_ms": { "$subtract": [path, "$$NOW"] } } },
        ];
        (pipeline, index)
    };
    [
        soonest(queued(reach), "run_at", QUEUED_BY_TIME),
        soonest(held_in_reach(reach), "run_at", CLAIMED_BY_LEASE_END),
        soonest(held_in_reach(reach), "lease.expires_at", CLAIMED_BY_LEASE_END),
    ]
}

/// How many open jobs there are in each state; what may be many, by an index alone.
pub fn count_open() -> Vec<Document> {
    let count = |filter: Document| {
        vec![doc! { "$match": filter }, doc! { "$group": { "_id": "$state", "jobs": { "$sum": 1_i64 } } }]
    };
    let and = |filter| doc! { "$unionWith": { "coll": OPS, "pipeline": count(filter) } };
    let states: Vec<&str> = UNDER_WAY.iter().map(|state| state.as_str()).collect();
    let mut pipeline = count(doc! { "state": State::Queued.as_str() });
    pipeline.push(and(doc! { "state": State::Waiting.as_str() }));
    pipeline.push(and(doc! { "state": { "$in": states }, "open": true, "worker": { "$exists": true } }));
    pipeline
}

/// Order of lists.
pub fn newest_first() -> Document {
    doc! { "created_at": -1, "_id": -1 }
}

/// A list's filter, without its page.
pub fn listed(filter: &JobFilter) -> Document {
    // Alerts have none.
    let of_jobs = || doc! { "run_at": { "$exists": true } };
    let mut matching = filter.kind.map_or_else(of_jobs, |kind| doc! { "kind": kind.as_str() });
    match filter.states.as_slice() {
        [] => {}
        [state] => drop(matching.insert("state", state.as_str())),
        states => {
            let words: Vec<_> = states.iter().map(|state| state.as_str()).collect();
            matching.insert("state", doc! { "$in": words });
        }
    }
    if !filter.states.is_empty() && filter.states.iter().all(|state| state.is_terminal()) {
        // Lets the index of what ended serve where those states are rare.
        matching.insert("finished_at", doc! { "$exists": true });
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

/// Jobs whose ids follow this one, whatever type they are of, and whatever a hand has made of them; alerts are none.
pub fn following(after: Option<&str>) -> Document {
    let mut filter = doc! { "kind": { "$ne": ALERT } };
    if let Some(after) = after {
        // Outside of an expression, strings are compared with strings only.
        filter.insert("$expr", doc! { "$gt": ["$_id", literal(after)] });
    }
    filter
}

/// The kinds of jobs in reach as they are stored: a drill is a verification.
fn stored_kinds(reach: &Reach) -> Vec<Kind> {
    let drills = reach.kinds.contains(&Kind::Restore) && !reach.kinds.contains(&Kind::Verify);
    reach.kinds.iter().copied().chain(drills.then_some(Kind::Verify)).collect()
}

/// The verifications that aren't in reach though others are: drills for who may not restore, and all but drills for who may nothing else.
fn other_verifications(reach: &Reach) -> Option<Document> {
    let drill = VerifyLevel::Drill.as_str();
    let level: Bson = match (reach.kinds.contains(&Kind::Verify), reach.kinds.contains(&Kind::Restore)) {
        (true, false) => drill.into(),
        (false, true) => doc! { "$ne": drill }.into(),
        (true, true) | (false, false) => return None,
    };
    Some(doc! { "kind": Kind::Verify.as_str(), "spec.level": level })
}

fn in_reach(reach: &Reach) -> Document {
    let kinds: Vec<Bson> = stored_kinds(reach).into_iter().map(|kind| kind.as_str().into()).collect();
    let repositories: Vec<Bson> = reach
        .repositories
        .iter()
        .map(|repository| doc! { "name": &repository.name, "id": &repository.id }.into())
        .collect();
    let labels: Vec<Bson> = reach.labels.iter().map(|label| label.as_str().into()).collect();
    // What a copy goes to; no other kind has such a field.
    let mut none = vec![doc! { "spec.to": { "$exists": true, "$nin": &repositories } }];
    none.extend(other_verifications(reach));
    doc! {
        "schema": readable(),
        "kind": { "$in": kinds },
        "$or": [
            { "requires.repository": { "$exists": false } },
            { "requires.repository": { "$in": repositories } },
        ],
        "$nor": none,
        "requires.labels": { "$not": { "$elemMatch": { "$nin": labels } } },
    }
}

/// The queries of the hot path by name, as commands, with the index that has to serve: for the test that explains them.
pub fn explainable_queries(reach: &Reach) -> Vec<(&'static str, Document, &'static str)> {
    let search = |search: Search| {
        let Search { filter, sort, index } = search;
        (doc! { "find": OPS, "filter": filter, "sort": sort, "limit": 5, "hint": index }, index)
    };
    let list = |filter: &JobFilter| doc! { "find": OPS, "filter": listed(filter), "sort": newest_first(), "limit": 5 };
    let parking = Reach { full: vec!["cluster".into()], taken: vec!["cluster".into()], ..reach.clone() };
    let backups = JobFilter { kind: Some(Kind::Backup), ..JobFilter::default() };
    let id = JobId::compose(Kind::Backup, DateTime::MIN, 0);
    let searches = [
        ("due", due(reach)),
        ("due, some parked", due(&parking)),
        ("occupied", occupied()),
        ("waiting", waiting(None)),
        ("dependents", waiting(Some(&id))),
        ("needed", needed()),
        ("needed, of before", needed_of_before()),
        ("made", made("0a", "cluster")),
        ("forgettable", forgettable(Kind::Verify, State::Succeeded, 1)),
        ("lost", lost(reach)),
        ("expired", expired()),
        ("unique key", open_with_key("key")),
    ];
    let mut all: Vec<_> = searches
        .into_iter()
        .map(|(name, sought)| {
            let (command, index) = search(sought);
            (name, command, index)
        })
        .collect();
    for (name, (pipeline, index)) in ["next queued", "next try", "next lease end"].into_iter().zip(next_moments(reach))
    {
        all.push((name, doc! { "aggregate": OPS, "pipeline": pipeline, "cursor": {}, "hint": index }, index));
    }
    let page = doc! { "find": OPS, "filter": following(Some("backup_x")), "sort": { "_id": 1 }, "limit": 5 };
    all.extend([
        ("open jobs", doc! { "aggregate": OPS, "pipeline": count_open(), "cursor": {} }, QUEUED_BY_RANK),
        ("page of all jobs", page, "_id_"),
        ("list", list(&JobFilter::default()), NEWEST_JOBS),
        ("list of a kind", list(&backups), NEWEST_OF_KIND),
    ]);
    all.extend(explainable_queries_of_alerts());
    all
}

fn explainable_queries_of_alerts() -> [(&'static str, Document, &'static str); 4] {
    let list = |filter: &AlertFilter| {
        let (filter, index) = alerts::listed(filter);
        doc! { "find": OPS, "filter": filter, "sort": newest_first(), "limit": 5, "hint": index }
    };
    let same = Some(Fingerprint::of("rule", &BTreeMap::new()));
    let open = doc! { "open": true, "unique_key": alerts::any_key() };
    let open = doc! { "find": OPS, "filter": open, "sort": { "unique_key": 1 }, "hint": UNIQUE_KEY };
    let due = doc! { "aggregate": OPS, "pipeline": alerts::due(5), "cursor": {}, "hint": NOTIFY_DUE };
    [
        ("open alerts", open, UNIQUE_KEY),
        ("due alerts", due, NOTIFY_DUE),
        ("list of alerts", list(&AlertFilter::default()), NEWEST_OF_KIND),
        ("alerts about the same", list(&AlertFilter { fingerprint: same, ..AlertFilter::default() }), SAME_ALERTS),
    ]
}
