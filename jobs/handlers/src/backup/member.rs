//! Which member of the set a backup is read from.
//!
//! Collections that are read as they are stored look the same on one member only: from another one they would be stored again. So a
//! backup is read from the member that the one before was read from, where there is a choice. Invariant: all cursors of a backup read
//! from one member while it answers; once one has failed, from any that is suitable.

use crate::{
    ReadFrom,
    bounded::names_that_fit,
    database::{Server, queries::ServerFacts},
    error::{Error, Result},
};
use lucid_repository::{CollectionEntry, CollectionKind, Manifest, ReadOrder};
use lucid_schemas::Code;
use mongodb::{ServerType, options::SelectionCriteria};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// A member that was there for the backup before, and isn't now, isn't waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How soon a member is asked again that isn't ready.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The member that is read from.
#[derive(Debug)]
pub(super) struct Member {
    /// Its address, `host:port`.
    pub address: String,
    /// The set, read from there.
    pub server: Server,
    lost: Arc<AtomicBool>,
}

impl Member {
    /// The member that the backup before was read from, if it will do; else any that does. `primary` is what the primary says.
    pub async fn choose(server: &Server, from: ReadFrom, primary: &ServerFacts, before: Option<&str>) -> Result<Self> {
        let lost = Arc::new(AtomicBool::new(false));
        if from == ReadFrom::Primary {
            return Ok(Self { address: primary.member.clone(), server: server.clone(), lost });
        }
        for address in before.into_iter().filter(|before| !before.is_empty()) {
            let pinned = pinned(server, from, address, &lost);
            // Which asks nobody else: that it answers at all says that it's there, and suitable.
            let why = match timeout(PATIENCE, pinned.greet()).await {
                Ok(Ok(_)) => return Ok(Self { address: address.to_owned(), server: pinned, lost }),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it doesn't answer".into(),
            };
            tracing::warn!(
                member = address,
                why,
                "the member that the backup before was read from isn't there or isn't suitable"
            );
        }
        let any = server.reading_from(suitable(from));
        let address = greeted(|| any.greet()).await.map_err(|error| unsuitable(from, error))?;
        Ok(Self { server: pinned(server, from, &address, &lost), address, lost })
    }

    /// Gives the member up: what is read from now on may be read from any that is suitable.
    pub fn lose(&self) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            tracing::warn!(member = self.address, "reading failed: the rest may be read from another member");
        }
    }
}

/// Those of these collections that were read in another order than for the backup before: as it was stored on another member, or by `_id`.
pub(super) fn stored_again(read: &[CollectionEntry], before: Option<&Manifest>, now: &str) -> Vec<String> {
    let Some(before) = before.filter(|before| !before.member.is_empty()) else { return Vec::new() };
    let is_other = |entry: &&CollectionEntry| {
        let old = before.collections.iter().find(|old| old.name == entry.name);
        let was = old.map_or(entry.read_order, |old| old.read_order);
        entry.kind == CollectionKind::Collection
            && entry.content.documents > 1
            && (was != entry.read_order || (was == ReadOrder::Natural && before.member != now))
    };
    let names = names_that_fit(read.iter().filter(is_other).map(|entry| entry.name.as_str()));
    names.into_iter().map(str::to_owned).collect()
}

/// The member that answers. Since the primary has taken the password by now, a member that refuses it doesn't have the users yet, as one
/// that has just joined: asked again, the driver may choose another one.
async fn greeted<F>(greet: impl Fn() -> F) -> Result<String>
where
    F: Future<Output = Result<String>>,
{
    let begun = Instant::now();
    loop {
        match greet().await {
            Err(refused) if refused.is_credentials() && begun.elapsed() < PATIENCE => {
                tracing::warn!(%refused, "a member that may have joined just now is asked again");
                sleep(AGAIN_AFTER).await;
            }
            Err(refused) if refused.is_credentials() => {
                return Err(Error::again(
                    Code::MemberNotReady,
                    format!(
                        "{refused}, though the primary takes them: a member that has just joined may not have the users yet"
                    ),
                ));
            }
            answer => return answer,
        }
    }
}

fn pinned(server: &Server, from: ReadFrom, address: &str, lost: &Arc<AtomicBool>) -> Server {
    let (address, lost) = (address.to_owned(), Arc::clone(lost));
    server.reading_from(SelectionCriteria::Predicate(Arc::new(move |member| {
        takes(from, member.server_type()) && (lost.load(Ordering::Relaxed) || member.address().to_string() == address)
    })))
}

fn suitable(from: ReadFrom) -> SelectionCriteria {
    SelectionCriteria::Predicate(Arc::new(move |member| takes(from, member.server_type())))
}

fn takes(from: ReadFrom, kind: ServerType) -> bool {
    match from {
        ReadFrom::Primary => kind == ServerType::RsPrimary,
        ReadFrom::Secondary => kind == ServerType::RsSecondary,
        ReadFrom::Any => matches!(kind, ServerType::RsPrimary | ServerType::RsSecondary),
    }
}

fn unsuitable(from: ReadFrom, error: Error) -> Error {
    match from {
        ReadFrom::Secondary => Error::again(
            Code::NoSecondary,
            format!("no secondary can be read from, and this worker reads from nothing else (--read-from): {error}"),
        ),
        ReadFrom::Primary | ReadFrom::Any => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn refusal() -> Error {
        Error::refused(
            Code::AuthenticationFailed,
            "can't greet the server: MongoDB refuses the user or password of this worker",
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_by_one_member_is_no_wrong_password() {
        let asked = Cell::new(0);
        let second_is_ready = || {
            asked.set(asked.get() + 1);
            let answer = if asked.get() == 1 { Err(refusal()) } else { Ok("b:27017".to_owned()) };
            async { answer }
        };
        assert_eq!(greeted(second_is_ready).await.expect("another member"), "b:27017");
        let never = greeted(|| async { Err(refusal()) }).await.expect_err("nobody takes it");
        assert!(matches!(never, Error::Again { code: Code::MemberNotReady, .. }), "{never}");
        assert!(never.to_string().contains("has just joined"), "{never}");
        let other =
            greeted(|| async { Err(Error::refused(Code::NoReplicaSet, "other")) }).await.expect_err("told as it is");
        assert!(matches!(other, Error::Refused { code: Code::NoReplicaSet, .. }), "{other}");
    }

    #[test]
    fn a_member_is_suitable_by_its_role() {
        for (from, primary, secondary) in
            [(ReadFrom::Primary, true, false), (ReadFrom::Secondary, false, true), (ReadFrom::Any, true, true)]
        {
            assert_eq!(takes(from, ServerType::RsPrimary), primary);
            assert_eq!(takes(from, ServerType::RsSecondary), secondary);
            assert!(!takes(from, ServerType::RsArbiter) && !takes(from, ServerType::Unknown));
        }
    }
}
