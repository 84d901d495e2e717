//! Removes staging collections of a job that nobody needs any more.

use super::staging::StagingName;
use crate::{
    database::{Entry, Server, commands},
    error::Result,
};
use lucid_ports::Ending;
use lucid_repository::CollectionKind;
use lucid_schemas::{Head, JobId, State};

/// Whether staging of the claim number `epoch` may go after a run has ended so. `job` is what this worker saw last.
pub(crate) fn may_go(ending: Ending, job: &Head, epoch: i64) -> bool {
    let now = job.epoch;
    match (ending, job.state) {
        // This worker still holds the job: there is no later claim.
        (Ending::Canceled, _)
        // Nobody comes after the end.
        | (_, State::Succeeded | State::Failed | State::Canceled)
        // Given back by the transition that was seen, before the point of no return: all claims up to this epoch had ended
        // then. A successor that has begun since has a higher one.
        | (Ending::Failed, State::Queued) => epoch <= now,
        // A claim uses what it staged itself, and a list names nothing of the time before it was claimed.
        (Ending::Fenced, State::Queued | State::Running | State::Canceling) => epoch < now,
        (Ending::Failed, State::Running | State::Canceling)
        | (Ending::Failed | Ending::Fenced, State::Waiting | State::Committing | State::Blocked) => false,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use bson::DateTime;
    use lucid_schemas::Stamp;

    fn job(state: State, epoch: i64) -> Head {
        Head { state, epoch, attempt: 1, ..Head::born(Stamp::At(DateTime::from_millis(0))) }
    }

    #[test]
    fn staging_of_a_successor_never_goes() {
        let going = |ending, state| -> Vec<i64> {
            let job = job(state, 2);
            (1..=3).filter(|epoch| may_go(ending, &job, *epoch)).collect()
        };
        for state in [State::Queued, State::Failed, State::Canceled] {
            assert_eq!(going(Ending::Failed, state), [1, 2], "{state}");
        }
        assert_eq!(going(Ending::Canceled, State::Canceling), [1, 2]);
        // A later claim is at work, or its list counts.
        for state in [State::Running, State::Committing, State::Blocked] {
            assert!(going(Ending::Failed, state).is_empty(), "{state}");
        }
        assert_eq!(going(Ending::Fenced, State::Running), [1]);
        assert!(going(Ending::Fenced, State::Committing).is_empty());
        assert_eq!(going(Ending::Fenced, State::Succeeded), [1, 2]);
    }
}
