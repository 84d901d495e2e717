//! The sizes of all collections.

use crate::{
    decode,
    direct::{Unanswered, storage},
};
use bson::doc;
use lucid_ports::members::{Collection, Collections};
use mongodb::Client;
use std::{cmp::Reverse, time::Duration};
use tokio::time::Instant;

/// More aren't measured: with so many, each round would cost the server too much.
const MEASURED_MAX: usize = 5_000;
/// Differs from member to member, and the oplog has figures of its own.
const LOCAL: &str = "local";

/// Measures the collections of every database, one after the other, and keeps the `most` largest.
///
/// # Errors
/// One sentence on why it can't be done. What is refused of single databases and collections is left out: they may be gone meanwhile.
pub async fn sizes(client: Client, most: usize, bound: Duration) -> Result<Collections, String> {
    let said = |error: mongodb::error::Error| Unanswered::from(error).reason();
    let mut names = client.list_database_names().await.map_err(said)?;
    names.retain(|name| name != LOCAL);
    let (mut measured, mut dropped) = (Vec::new(), 0);
    for name in names {
        let database = client.database(&name);
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
                Ok(stats) => measured.extend(decode::collection(&name, &collection, &stats)),
                Err(Unanswered::Refused(_)) => {}
                Err(Unanswered::Silent(reason)) => return Err(reason),
            }
        }
    }
    Ok(Collections { at: Some(Instant::now()), ..largest(measured, most, dropped) })
}

/// The `most` largest on disk, largest first; the others are counted.
fn largest(mut measured: Vec<Collection>, most: usize, dropped: u64) -> Collections {
    measured.sort_by_key(|collection| Reverse(collection.storage_bytes.saturating_add(collection.index_bytes)));
    let over = measured.len().saturating_sub(most);
    measured.truncate(most);
    Collections { at: None, largest: measured, dropped: dropped + u64::try_from(over).unwrap_or(u64::MAX) }
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
