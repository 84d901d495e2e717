//! Loading the sample database.

use crate::{
    Error, Result,
    batch::{Inserter, insert},
    claim::prepare,
    contents,
    random::Random,
    shapes, types,
};
use bson::{Document, RawArrayBuf, RawDocumentBuf, Timestamp, doc, rawdoc};
use mongodb::{Client, Database};

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// How many collections, the marker among them, views not.
    pub collections: usize,
    /// How many documents and measurements.
    pub documents: u64,
    /// Why this server did not take some of the odd documents; the others are there.
    pub refused: Vec<String>,
}

/// Makes the sample database with at least `documents` documents; an earlier sample of the name is dropped.
pub async fn load(client: &Client, database: &str, documents: u64) -> Result<Loaded> {
    fill(&prepare(client, database, false).await?, documents).await
}

/// Fills a database that [`prepare`] has made.
pub async fn fill(database: &Database, documents: u64) -> Result<Loaded> {
    let share = |percent: u64| documents * percent / 100;
    let [sessions, authentication, metrics, audit, blocks] = [30, 20, 15, 10, 5].map(share);
    let transactions = documents - sessions - authentication - metrics - audit - blocks;
    let collections = contents::collections(audit);
    for options in &collections {
        run(database, options.clone()).await?;
    }
    let mut inserted = 1; // the marker
    inserted += many(database, "sessions", 0..sessions, shapes::session).await?;
    inserted += many(database, "authentication", 0..authentication, shapes::authentication).await?;
    inserted += many(database, "transactions", 0..transactions, shapes::transaction).await?;
    inserted += many(database, "metrics", 0..metrics, shapes::metric).await?;
    inserted += many(database, "audit_log", 0..audit, shapes::audit).await?;
    inserted += many(database, "blocks", (0..blocks).rev(), shapes::block).await?;
    inserted += many(database, "accounts", 0..100, account).await?;
    inserted += many(database, "names", 0..100, name).await?;
    inserted += many(database, "reports/2025 Ω.archive", 0..10, shapes::audit).await?;
    inserted += many(database, "large", 0..1, |_| types::largest()).await?;
    let mut refused = Vec::new();
    for (collection, odd) in [("types", types::documents()), ("keyed", types::keyed())] {
        let count = u64::try_from(odd.len()).unwrap_or(0);
        let reasons = insert(database, collection, odd.iter().map(|document| &**document).collect(), false).await?;
        inserted += count.saturating_sub(u64::try_from(reasons.len()).unwrap_or(0));
        refused.extend(reasons);
    }
    inserted += zero_timestamps(database).await?;
    for (collection, indexes) in contents::indexes() {
        run(database, doc! { "createIndexes": collection, "indexes": indexes }).await?;
    }
    for view in contents::views() {
        run(database, view).await?;
    }
    Ok(Loaded { collections: collections.len() + 1, documents: inserted, refused })
}

/// Inserts the documents with these numbers, in this order.
async fn many(
    database: &Database,
    collection: &str,
    numbers: impl Iterator<Item = u64>,
    shape: impl Fn(u64) -> RawDocumentBuf,
) -> Result<u64> {
    let mut inserter = Inserter::new(database, collection);
    for number in numbers {
        inserter.push(&shape(number)).await?;
    }
    inserter.finish().await
}

/// An account; the last one is what the validator would refuse, as documents older than their validator are.
fn account(number: u64) -> RawDocumentBuf {
    let random = &mut Random::of(7, number);
    let id = i64::try_from(number).unwrap_or(i64::MAX);
    if number == 99 {
        return rawdoc! { "_id": id, "owner": "", "balance": "unknown", "note": "older than the validator" };
    }
    rawdoc! { "_id": id, "owner": random.sentence(2), "balance": shapes::cents(random.below(1_000_000)), "note": random.token() }
}

/// A name in a collection whose default collation ignores case and accents, so that these `_id`s must differ in letters.
fn name(number: u64) -> RawDocumentBuf {
    let random = &mut Random::of(8, number);
    let id = format!("N{number:03}é");
    rawdoc! { "_id": if number.is_multiple_of(2) { id.to_lowercase() } else { id }, "name": random.sentence(2) }
}

/// An insert would put the time into them, so they are put in place by an update: of these fields only, since secondaries
/// put their own time into a small document that is replaced as a whole.
async fn zero_timestamps(database: &Database) -> Result<u64> {
    let documents = types::zero_timestamps();
    let ids: Vec<_> = documents.iter().filter_map(|document| document.get("_id").ok().flatten()).collect();
    let placeholders: RawArrayBuf = ids.iter().map(|id| rawdoc! { "_id": *id }).collect();
    if let Some(reason) = insert(database, "types", placeholders, true).await?.pop() {
        return Err(Error::Refused { collection: "types".to_owned(), reason });
    }
    for (document, id) in documents.iter().zip(ids) {
        let mut fields = RawDocumentBuf::new();
        for element in document.iter_elements().flatten() {
            if element.key() != "_id" {
                fields.append(element.key(), Timestamp { time: 0, increment: 0 });
            }
        }
        let update = rawdoc! { "q": { "_id": id }, "u": { "$set": fields } };
        let command = rawdoc! { "update": "types", "updates": [update] };
        let reply = database.run_raw_command(command).await.map_err(Error::server("updating types"))?;
        if !reply.get_i32("nModified").is_ok_and(|modified| modified == 1) {
            return Err(Error::Refused {
                collection: "types".to_owned(),
                reason: "a zero timestamp was not set".to_owned(),
            });
        }
    }
    Ok(u64::try_from(documents.len()).unwrap_or(0))
}

/// Runs a command that makes something.
pub(crate) async fn run(database: &Database, command: Document) -> Result<()> {
    let name = command.iter().next().map(|(verb, what)| format!("{verb} {what}")).unwrap_or_default();
    let what = format!("{name} in {}", database.name());
    database.run_command(command).await.map(drop).map_err(Error::server(what))
}
