//! A set of three members: what it costs to read from another member than the time before.

use super::{
    add,
    house::{House, Took},
};
use crate::{
    Outcome,
    figures::{Goal, Report},
    stage::Stage,
};
use bson::{RawDocumentBuf, rawdoc};
use futures::future::try_join_all;
use lucid_sample::generate;
use mongodb::Client;

const DATABASE: &str = "bench_members";
const MEGABYTES: u64 = 300;
const MEMBERS: usize = 3;
/// Documents of about 500 bytes.
const SCATTERED_DOCUMENTS: u64 = 120_000;
const WRITERS: u64 = 8;

/// A full backup from the primary; the same data from a secondary, twice, by a worker that is told to; and from the primary again.
#[allow(clippy::cast_precision_loss)] // Collections of a bench are far below 2^52.
pub async fn measure(report: &mut Report) -> Outcome<()> {
    let stage = Stage::of(MEMBERS).await?;
    let client = stage.deployment.client()?;
    generate(&client, DATABASE, MEGABYTES, false).await?;
    scatter(&client).await?;
    let mut house = House::build(&stage, "bench_ops_members").await?;
    let full = house.backup(DATABASE)?;
    add(report, "members_primary", &full);
    for (name, member) in [
        ("members_secondary", "secondary"),
        ("members_same_secondary", "secondary"),
        ("members_primary_again", "primary"),
    ] {
        house = house.reading_from(&stage, member).await?;
        let took = house.backup(DATABASE)?;
        add(report, name, &took);
        report.add(format!("{name}_stored_percent"), stored_percent(&took, &full)?, Goal::None);
        let again = took.list("stored_again");
        eprintln!("read from {}, stored again as it stores them otherwise: {again:?}", took.text("member"));
        report.add(format!("{name}_collections_stored_again_count"), again.len() as f64, Goal::None);
    }
    stage.end().await
}

/// A collection whose ids are in no order, written from several sides: each member stores it in an order of its own, and it is read so.
async fn scatter(client: &Client) -> Outcome<()> {
    let collection = &client.database(DATABASE).collection::<RawDocumentBuf>("scattered");
    try_join_all((0..WRITERS).map(|writer| async move {
        let numbers: Vec<u64> = (0..SCATTERED_DOCUMENTS).filter(|number| number % WRITERS == writer).collect();
        for numbers in numbers.chunks(1_000) {
            let document = |number: &u64| {
                let word = format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                rawdoc! { "_id": word.as_str(), "text": word.repeat(28) }
            };
            collection.insert_many(numbers.iter().map(document)).await?;
        }
        Ok::<(), mongodb::error::Error>(())
    }))
    .await?;
    Ok(())
}

fn stored_percent(took: &Took, full: &Took) -> Outcome<f64> {
    Ok(100.0 * took.figure("stored_bytes")? / full.figure("stored_bytes")?)
}
