//! The members of the set under attack. One at a time: a majority stays possible, and each fault is healed before the next.

use super::{
    fleet::Fleet,
    plan::{Fault, Kind},
};
use bson::{Binary, Document, Timestamp, doc, spec::BinarySubtype};
use lucid_embedded::{Deployment, Error, Result, Signal};
use mongodb::{
    Client, Collection,
    options::{Acknowledgment, WriteConcern},
};
use std::{path::Path, time::Duration};

/// The database that pushes history out of the oplog.
pub const CHURN: &str = "storm_churn";
const CHURN_BYTES: usize = 1_000_000;
const CHURNS: u8 = 200;

/// Does a fault and heals it; false where it wasn't possible.
pub async fn suffer(deployment: &mut Deployment, fleet: &Fleet, fault: &Fault) -> Result<bool> {
    let primary = deployment.primary().await?;
    let members = deployment.members().len();
    let secondary = (primary + 1 + fault.target % (members - 1)) % members;
    match fault.kind {
        Kind::KillPrimary => kill(deployment, primary, fault.lasts).await?,
        Kind::KillSecondary => kill(deployment, secondary, fault.lasts).await?,
        Kind::FreezePrimary => freeze(deployment, primary, fault.lasts).await?,
        Kind::FreezeSecondary => freeze(deployment, secondary, fault.lasts).await?,
        Kind::RestartMember => restart(deployment, fault.target % members).await?,
        Kind::StepDown => {
            deployment.step_down().await?;
        }
        Kind::LoseHistory => return lose_history(deployment, fleet, fault.target).await,
        Kind::KillWorker
        | Kind::FreezeWorker
        | Kind::StopWorker
        | Kind::KillApi
        | Kind::FreezeApi
        | Kind::CutNetwork
        | Kind::Unmount
        | Kind::ExchangeDisk => return Ok(false),
    }
    deployment.settle().await?;
    Ok(true)
}

async fn kill(deployment: &mut Deployment, member: usize, down_for: Duration) -> Result<()> {
    deployment.kill(member, Signal::SIGKILL).await?;
    tokio::time::sleep(down_for).await;
    restart(deployment, member).await
}

async fn freeze(deployment: &mut Deployment, member: usize, lasts: Duration) -> Result<()> {
    deployment.kill(member, Signal::SIGSTOP).await?;
    tokio::time::sleep(lasts).await;
    deployment.kill(member, Signal::SIGCONT).await
}

/// Also a member that has missed too much of the small oplog serves again: it copies everything afresh.
async fn restart(deployment: &mut Deployment, member: usize) -> Result<()> {
    match deployment.restart(member).await {
        Err(Error::Timeout { .. }) => {
            deployment.kill(member, Signal::SIGKILL).await?;
            let data = deployment.log(member).parent().unwrap_or(Path::new("")).join("data");
            tokio::fs::remove_dir_all(&data).await.expect("the data of a member that is gone");
            deployment.restart(member).await
        }
        restarted => restarted,
    }
}

/// Freezes a worker until what its change stream has seen last has left the oplog.
async fn lose_history(deployment: &mut Deployment, fleet: &Fleet, worker: usize) -> Result<bool> {
    let client = deployment.client()?;
    let oldest_was = oplog_end(&client, -1).await;
    fleet.signal_worker(worker, Signal::SIGSTOP);
    let lost = churn(&client, oldest_was).await;
    fleet.signal_worker(worker, Signal::SIGCONT);
    if let Err(error) = &lost {
        eprintln!("history stays: {error}");
    }
    Ok(lost.unwrap_or(false))
}

/// Writes until the oldest entry of the oplog is younger than `seen`; on all members, so that none falls behind.
async fn churn(client: &Client, seen: Option<Timestamp>) -> mongodb::error::Result<bool> {
    let database = client.database(CHURN);
    let everywhere = WriteConcern::builder().w(Acknowledgment::Nodes(3)).w_timeout(Duration::from_secs(20)).build();
    let noise: Collection<Document> = database.collection("noise");
    for number in 0..CHURNS {
        let bytes = vec![number; CHURN_BYTES];
        let noise_of_it = doc! { "noise": Binary { subtype: BinarySubtype::Generic, bytes } };
        noise.insert_one(noise_of_it).write_concern(everywhere.clone()).await?;
        if seen.is_some() && oplog_end(client, 1).await > seen {
            database.drop().await?;
            return Ok(true);
        }
    }
    database.drop().await?;
    Ok(false)
}

/// The oldest (1) or youngest (-1) time in the oplog.
async fn oplog_end(client: &Client, order: i32) -> Option<Timestamp> {
    let oplog = client.database("local").collection::<Document>("oplog.rs");
    let entry = oplog.find_one(doc! {}).sort(doc! { "$natural": order }).projection(doc! { "ts": 1 }).await;
    entry.ok().flatten().and_then(|entry| entry.get_timestamp("ts").ok())
}
