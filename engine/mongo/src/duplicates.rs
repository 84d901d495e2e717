//! What stands in the way of a unique index: which jobs have the same key, or the same slot.

use crate::read;
use bson::{Bson, Document, doc};
use lucid_ports::StoreError;
use lucid_schemas::collections::{HOLDS, UNIQUE_KEY};
use mongodb::Database;

/// So many are named; when they are gone, others may follow.
const NAMED_MAX: i64 = 5;

/// The duplicates under a unique index of jobs, and what to do about them, as one sentence.
pub async fn named(ops: &Database, index: &str) -> Result<String, StoreError> {
    let (matching, field, advice) = match index {
        UNIQUE_KEY => (
            doc! { "open": true, "unique_key": { "$exists": true } },
            "unique_key",
            "end all but one of them with `lucid-ops jobs cancel`",
        ),
        HOLDS => (doc! { "holds": { "$exists": true } }, "holds", "they free it when they end"),
        _ => return Ok("jobs have the same value".into()),
    };
    let path = format!("${field}");
    let pipeline = vec![
        doc! { "$match": matching },
        // What isn't an array is taken as one of one.
        doc! { "$unwind": &path },
        doc! { "$group": { "_id": path, "jobs": { "$push": { "$toString": "$_id" } } } },
        doc! { "$match": { "jobs.1": { "$exists": true } } },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$limit": NAMED_MAX },
    ];
    let found = read::aggregate(ops, pipeline, None).await?;
    let said: Vec<String> = found.iter().map(|group| one(group, field)).collect();
    Ok(format!("{}; {advice}", said.join("; ")))
}

fn one(group: &Document, field: &str) -> String {
    let jobs: Vec<&str> = group.get_array("jobs").into_iter().flatten().filter_map(Bson::as_str).collect();
    let value = group
        .get("_id")
        .map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let what = if field == "holds" { "have the slot" } else { "are open with the unique key" };
    format!("{} {what} '{value}'", jobs.join(" and "))
}
