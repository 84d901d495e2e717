//! Removes staging collections of a job that nobody needs any more.

use super::staging::StagingName;
use crate::{
    database::{Entry, Server, commands},
    error::Result,
};
use lucid_repository::CollectionKind;
use lucid_schemas::JobId;

/// Drops the staging collections of this job whose epoch passes; never anything else.
pub(crate) async fn drop_staging(
    server: &Server,
    database: &str,
    job: &JobId,
    goes: impl Fn(i64) -> bool,
) -> Result<()> {
    for (name, entry) in server.names(database).await?.staging {
        let Some(staging) = StagingName::parse(job, &name) else {
            continue;
        };
        if goes(staging.epoch()) {
            drop_one(server, database, &staging, &entry).await?;
        }
    }
    Ok(())
}

async fn drop_one(server: &Server, database: &str, staging: &StagingName, entry: &Entry) -> Result<()> {
    let command = match (entry.kind, entry.uuid) {
        (CollectionKind::TimeSeries, _) => commands::drop_staging_time_series(database, staging)?,
        (_, Some(uuid)) => commands::drop_staging(database, staging, uuid)?,
        // A view under such a name is none of ours.
        (_, None) => return Ok(()),
    };
    match server.tell(command).await {
        Err(error) if super::swap::is_overtaken(&error) => Ok(()),
        outcome => outcome.map(drop),
    }
}
