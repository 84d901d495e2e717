//! Whether the server checks identities. All of a restore's safety rests on it, so it is tried, not looked up.

use super::staging::StagingName;
use crate::{
    database::{Command, Server, commands, queries::Identified},
    error::{Error, Result, code},
};
use bson::{Document, RawArrayBuf, Uuid, rawdoc};
use lucid_schemas::Code;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(10);

/// Provokes a mismatch of every kind on an empty staging collection; refuses where the server doesn't notice.
pub(crate) async fn check_identities(server: &Server, database: &str, scratch: [&StagingName; 2]) -> Result<()> {
    let [source, target] = scratch;
    for name in scratch {
        server.tell(commands::create_staging(database, name, Document::new())?).await?;
    }
    let (source_uuid, target_uuid) = (uuid(server, database, source).await?, uuid(server, database, target).await?);
    let outcome = provoke(server, database, (source, source_uuid), target).await;
    server.tell(commands::drop_staging(database, source, source_uuid)?).await?;
    server.tell(commands::drop_staging(database, target, target_uuid)?).await?;
    outcome
}

async fn provoke(
    server: &Server,
    database: &str,
    (source, source_uuid): (&StagingName, Uuid),
    target: &StagingName,
) -> Result<()> {
    let wrong = Uuid::new();
    let rename =
        |from, replaced| commands::rename_into_place(database, source, from, target.as_str(), replaced, WITHIN);
    refuses(server, rename(source_uuid, Some(wrong))?, &[code::UUID_MISMATCH]).await?;
    refuses(server, rename(wrong, None)?, &[code::UUID_MISMATCH]).await?;
    refuses(server, rename(source_uuid, None)?, &[code::NAMESPACE_EXISTS]).await?;
    refuses(server, commands::drop_staging(database, source, wrong)?, &[code::UUID_MISMATCH]).await?;
    let into = Identified { database: database.to_owned(), storage: source.as_str().to_owned(), uuid: wrong };
    let mut one = RawArrayBuf::new();
    one.push(rawdoc! { "_id": 1 });
    let reply = server.ask(commands::insert(&into, one, (false, false), WITHIN)).await;
    let refused = match reply {
        Ok(reply) => super::load::check_write_errors(&into, &reply, false).err(),
        Err(error) => Some(error),
    };
    noticed(refused, &[code::UUID_MISMATCH])
}

async fn refuses(server: &Server, command: Command, codes: &[i32]) -> Result<()> {
    noticed(server.tell(command).await.err(), codes)
}

/// Whether the server has noticed the mismatch. Being stopped, or not reaching it, says nothing about it.
fn noticed(refused: Option<Error>, codes: &[i32]) -> Result<()> {
    match refused {
        Some(error) if error.server_code().is_some_and(|code| codes.contains(&code)) => Ok(()),
        Some(error) if error.is_passing() || matches!(error, Error::Stopped) => Err(error),
        Some(error) if error.server_code() == Some(code::UNAUTHORIZED) => Err(error),
        Some(_) | None => Err(too_old()),
    }
}

fn too_old() -> Error {
    Error::refused(
        Code::IdentitiesUnchecked,
        "this MongoDB doesn't check the identity of collections, so a restore can't be made safe: use MongoDB 6.0 or later",
    )
}

async fn uuid(server: &Server, database: &str, name: &StagingName) -> Result<Uuid> {
    staging_uuid(server, database, name).await?.ok_or_else(|| lost(name))
}

/// Identity of what stores the documents of a staging collection.
pub(crate) async fn staging_uuid(server: &Server, database: &str, name: &StagingName) -> Result<Option<Uuid>> {
    let mut found = server.named(database, &[name.as_str()]).await?;
    Ok(found.staging.remove(name.as_str()).and_then(|entry| entry.uuid))
}

/// The error of a staging collection that somebody has dropped.
pub(crate) fn lost(name: &StagingName) -> Error {
    Error::again(
        Code::StagingLost,
        format!(
            "staging collection '{name}' was dropped or renamed by somebody else: leave it alone while the job runs"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_says_tells_that_it_is_too_old() {
        let answer = |code| Some(Error::answer("try", false, code, "", ""));
        let tells = |refused| match noticed(refused, &[code::UUID_MISMATCH]) {
            Ok(()) => "noticed",
            Err(Error::Refused { .. }) => "too old",
            Err(_) => "nothing",
        };
        assert_eq!(tells(answer(code::UUID_MISMATCH)), "noticed");
        assert_eq!((tells(None), tells(answer(code::BAD_VALUE))), ("too old", "too old"));
        assert_eq!(tells(Some(Error::Stopped)), "nothing", "a worker that is asked to stop");
        assert_eq!(tells(answer(code::UNAUTHORIZED)), "nothing");
        assert_eq!(tells(answer(code::PASSING[0])), "nothing");
    }
}
