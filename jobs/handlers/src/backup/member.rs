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
use mongodb::{ServerType, options::SelectionCriteria};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// A member that was there for the backup before, and isn't now, isn't waited for.
const PATIENCE: Duration = Duration::from_secs(3);

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
            if let Ok(Ok(_)) = timeout(PATIENCE, pinned.greet()).await {
                return Ok(Self { address: address.to_owned(), server: pinned, lost });
            }
            tracing::warn!(
                member = address,
                "the member that the backup before was read from isn't there or isn't suitable"
            );
        }
        let any = server.reading_from(suitable(from));
        let address = any.greet().await.map_err(|error| unsuitable(from, error))?;
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
            "no_secondary",
            format!("no secondary can be read from, and this worker reads from nothing else (--read-from): {error}"),
        ),
        ReadFrom::Primary | ReadFrom::Any => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
