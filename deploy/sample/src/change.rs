//! What a day does to a database that [`generate`](crate::generate()) has made: always the same on the same day.

use crate::{
    Error, Result,
    batch::Inserter,
    random::{Random, at, object_id},
    shapes,
};
use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::{Client, Database};

/// One in so many documents changes.
const ONE_IN: u32 = 100;
/// Statements or ids of one command.
const BATCH: usize = 5_000;

/// What happens to a hundredth of the documents of each collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They come after the others.
    Append,
    /// Any of them get other content, and more.
    Update,
    /// Any of them are deleted.
    Delete,
}

/// A collection: its name, how its documents are made and named.
type Collection = (&'static str, fn(u64) -> RawDocumentBuf, fn(u64) -> Bson);

const COLLECTIONS: [Collection; 3] = [
    ("sessions", shapes::session, |number| object_id(number).into()),
    ("transactions", shapes::transaction, |number| object_id(number).into()),
    ("authentication", shapes::authentication, |number| i64::try_from(number).unwrap_or(i64::MAX).into()),
];

/// Changes a database; `day` chooses which documents, where any may be.
pub async fn change(client: &Client, name: &str, what: Change, day: u64) -> Result<()> {
    let database = client.database(name);
    for (collection, shape, id) in COLLECTIONS {
        let counted = database.collection::<Document>(collection).estimated_document_count().await;
        let count = counted.map_err(Error::server(format!("counting {name}.{collection}")))?;
        if what == Change::Append {
            let mut inserter = Inserter::new(&database, collection);
            for number in count..count + count / u64::from(ONE_IN) {
                inserter.push(&shape(number)).await?;
            }
            inserter.finish().await?;
            continue;
        }
        let chosen: Vec<u64> = (0..count).filter(|number| Random::of(1_000 + day, *number).once_in(ONE_IN)).collect();
        for some in chosen.chunks(BATCH) {
            send(&database, command(collection, what, day, some, id)).await?;
        }
    }
    Ok(())
}

fn command(collection: &str, what: Change, day: u64, numbers: &[u64], id: fn(u64) -> Bson) -> Document {
    if what == Change::Delete {
        let ids: Vec<Bson> = numbers.iter().map(|number| id(*number)).collect();
        return doc! { "delete": collection, "deletes": [{ "q": { "_id": { "$in": ids } }, "limit": 0 }] };
    }
    let update = |number: &u64| {
        let note = Random::of(2_000 + day, *number).token();
        doc! { "q": { "_id": id(*number) }, "u": { "$set": { "changed_at": at(day), "note": note } } }
    };
    let updates: Vec<Document> = numbers.iter().map(update).collect();
    doc! { "update": collection, "updates": updates, "ordered": false }
}

async fn send(database: &Database, command: Document) -> Result<()> {
    let what = format!("changing {}", database.name());
    database.run_command(command).await.map(drop).map_err(Error::server(what))
}
