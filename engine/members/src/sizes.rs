//! The sizes of collections, and how long operations on them take.

use crate::{
    decode,
    direct::{Unanswered, latencies, storage},
};
use bson::doc;
use lucid_ports::members::{Collection, Collections, Terms};
use mongodb::Client;
use std::{cmp::Reverse, collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// More aren't measured: with so many, each round would cost the server too much.
const MEASURED_MAX: usize = 5_000;
/// Of so many collections, the largest, sizes are told.
const TOLD_MAX: usize = 500;
/// Of so many of these, how long operations take: each is some sixty series of Prometheus.
const LATENCIES_MAX: usize = 50;
/// Differs from member to member, and the oplog has figures of its own.
const LOCAL: &str = "local";

/// Measures the collections of the databases that are wanted, one after the other, and keeps the largest.
///
/// # Errors
/// One sentence on why it can't be done. What is refused of single databases and collections is left out: they may be gone meanwhile.
pub async fn sizes(client: Client, terms: Terms, bound: Duration) -> Result<Collections, String> {
    let said = |error: mongodb::error::Error| Unanswered::from(error).reason();
    let databases = client.list_database_names().await.map_err(said)?.into_iter().collect();
    let (measured, dropped) = measured(&client, &databases, &terms, bound).await?;
    let mut found = Collections { databases, ..largest(measured, TOLD_MAX, dropped) };
    if terms.latency_by_collection {
        for collection in found.largest.iter_mut().take(LATENCIES_MAX) {
            match latencies(&client.database(&collection.database), &collection.name, bound).await {
                Ok(stats) => collection.latencies = decode::latencies(&stats),
                Err(Unanswered::Refused(_)) => {}
                Err(Unanswered::Silent(reason)) => return Err(reason),
            }
        }
    }
    Ok(Collections { at: Some(Instant::now()), ..found })
}

/// The collections of the databases that are wanted, and how many there are beside those that could be measured.
async fn measured(
    client: &Client,
    databases: &BTreeSet<String>,
    terms: &Terms,
    bound: Duration,
) -> Result<(Vec<Collection>, u64), String> {
    let is_wanted =
        |name: &&String| *name != LOCAL && terms.databases.as_ref().is_none_or(|wanted| wanted.contains(*name));
    let (mut measured, mut dropped) = (Vec::new(), 0);
    for name in databases.iter().filter(is_wanted) {
        let database = client.database(name);
        // A time series is measured by its own name, not by that of its buckets; views have no size.
        let sized = doc! { "type": { "$ne": "view" }, "name": { "$not": { "$regex": "^system\\." } } };
        let collections = match database.list_collection_names().filter(sized).await.map_err(Unanswered::from) {
            Ok(collections) => collections,
            Err(Unanswered::Refused(_)) => continue,
            Err(Unanswered::Silent(reason)) => return Err(reason),
        };
        for collection in collections {
            if measured.len() >= MEASURED_MAX {
                dropped += 1;
                continue;
            }
            match storage(&database, &collection, bound).await {
                Ok(stats) => measured.extend(decode::collection(name, &collection, &stats)),
                Err(Unanswered::Refused(_)) => {}
                Err(Unanswered::Silent(reason)) => return Err(reason),
            }
        }
    }
    Ok((measured, dropped))
}

/// The `most` largest on disk, largest first; the others are counted.
fn largest(mut measured: Vec<Collection>, most: usize, dropped: u64) -> Collections {
    measured.sort_by_key(|collection| Reverse(collection.storage_bytes.saturating_add(collection.index_bytes)));
    let over = measured.len().saturating_sub(most);
    measured.truncate(most);
    let dropped = dropped + u64::try_from(over).unwrap_or(u64::MAX);
    Collections { largest: measured, dropped, ..Collections::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_stay_and_the_others_are_counted() {
        let collection = |name: &str, storage_bytes, index_bytes| Collection {
            name: name.into(),
            storage_bytes,
            index_bytes,
            ..Collection::default()
        };
        let measured = vec![collection("a", 1, 0), collection("b", 5, 5), collection("c", 9, 0), collection("d", 0, 2)];
        let Collections { largest, dropped, .. } = largest(measured, 2, 7);
        assert_eq!(largest.iter().map(|kept| kept.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(dropped, 9);
    }
}
