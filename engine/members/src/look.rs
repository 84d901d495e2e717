//! One look at one member.

use crate::{
    decode,
    direct::{Unanswered, ask, storage},
};
use bson::{Bson, Document, doc};
use lucid_ports::members::Member;
use mongodb::Client;
use std::{collections::BTreeMap, time::Duration};

/// What a member didn't tell, by part.
type Refused = BTreeMap<&'static str, String>;

/// Asks a member for everything, one thing after the other.
///
/// # Errors
/// One sentence on why it doesn't answer. What it merely refuses is told in [`Member::refused`].
pub async fn look(client: Client, bound: Duration) -> Result<Member, String> {
    let admin = client.database("admin");
    let told = ask(&admin, doc! { "hello": 1 }, bound).await.map_err(Unanswered::reason)?;
    let hello = decode::hello(&told, None);
    if hello.is_arbiter {
        // It has no users, so nobody may ask it more.
        return Ok(Member { hello, ..Member::default() });
    }
    let mut refused = Refused::new();
    let mut part = |name, answer| kept(&mut refused, name, answer);
    // Both spellings: the manual has one for each section.
    let histograms = doc! { "histograms": true, "histogram": true };
    let status = doc! { "serverStatus": 1, "opLatencies": histograms.clone(), "opWorkingTime": histograms };
    let status = part("server", ask(&admin, status, bound).await)?;
    let view = part("set", ask(&admin, doc! { "replSetGetStatus": 1 }, bound).await)?;
    let config = part("config", ask(&admin, doc! { "replSetGetConfig": 1 }, bound).await)?;
    let disk = part("disk", ask(&admin, doc! { "dbStats": 1 }, bound).await)?;
    let local = client.database("local");
    let oldest = part("oplog", ask(&local, end_of_oplog(1), bound).await)?;
    let newest = part("oplog", ask(&local, end_of_oplog(-1), bound).await)?;
    let oplog = part("oplog", storage(&local, "oplog.rs", bound).await)?;
    Ok(Member {
        hello: decode::hello(&told, config.as_ref()),
        server: status.as_ref().map(decode::server),
        set: view.as_ref().map(|view| decode::set(view, config.as_ref())),
        oplog: oplog.is_some().then(|| decode::oplog(entry(oldest.as_ref()), entry(newest.as_ref()), oplog.as_ref())),
        disk: disk.as_ref().map(decode::disk),
        refused,
    })
}

/// An answer, unless it was refused, which is noted; silence ends the look.
fn kept(
    refused: &mut Refused,
    part: &'static str,
    answer: Result<Document, Unanswered>,
) -> Result<Option<Document>, String> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Unanswered::Refused(reason)) => {
            refused.insert(part, reason);
            Ok(None)
        }
        Err(Unanswered::Silent(reason)) => Err(reason),
    }
}

/// The oldest (1) or newest (-1) entry, its time alone.
fn end_of_oplog(order: i32) -> Document {
    doc! { "find": "oplog.rs", "sort": { "$natural": order }, "limit": 1, "singleBatch": true, "projection": { "_id": 0, "ts": 1 } }
}

fn entry(answer: Option<&Document>) -> Option<&Document> {
    let batch = answer?.get_document("cursor").ok()?.get_array("firstBatch").ok()?;
    batch.first().and_then(Bson::as_document)
}
