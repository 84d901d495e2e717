//! Which master key is in force (format, sections 3 and 4).
//!
//! Each rotation leaves a mark: an object named by the id of the new master and sealed with it, created only where there is none. So of
//! two rotations one counts, and whoever has opened the repository before learns that its ring is behind.

use std::sync::Arc;

use bson::{DateTime, doc, rawdoc, serialize_to_vec};
use bytes::Bytes;

use crate::config::binary;
use crate::envelope::{self, EnvelopeType};
use crate::keys::{FIRST_KEY_ID, KeyRing, Keys};
use crate::limits::UNSEALED_BYTES;
use crate::record::RecordType;
use crate::seal::Sealer;
use crate::store::{Created, Store};
use crate::vault::Vault;
use crate::{Domain, RepositoryError, RepositoryId};

/// Folder of the marks.
pub(crate) const MASTERS: &str = "masters";

/// The full name of a mark.
pub(crate) fn mark_name(key_id: u32) -> String {
    format!("{MASTERS}/{key_id:010}")
}

/// Which master a mark is of.
pub(crate) fn parse_mark(object: &str) -> Option<u32> {
    let key_id = object.strip_prefix(MASTERS)?.strip_prefix('/')?.parse().ok()?;
    (mark_name(key_id) == object && key_id > FIRST_KEY_ID).then_some(key_id)
}

/// How a ring stands to the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its newest master is in force.
    InForce,
    /// A newer one is.
    Behind,
    /// Its newest master was never in force: a rotation didn't come to its end, or another one was first.
    Unmarked,
}

/// The id of the newest master that is marked.
pub(crate) async fn newest(store: &Store) -> Result<u32, RepositoryError> {
    let marks = store.list(MASTERS).await?;
    Ok(marks.iter().filter_map(|(object, _)| parse_mark(object)).max().unwrap_or(FIRST_KEY_ID))
}

/// How a ring stands. `lowest` is the lowest key id that any slot claims: slots from before a rotation go only once it is marked, so
/// where none is left, a mark that isn't there, or is damaged, isn't missed. Fails with `Damaged` where it is.
pub(crate) async fn standing(
    store: &Store,
    repository: &RepositoryId,
    ring: &KeyRing,
    lowest: u32,
) -> Result<Standing, RepositoryError> {
    let marked = newest(store).await?;
    if ring.newest() < marked {
        return Ok(Standing::Behind);
    }
    let is_in_force = if ring.newest() == FIRST_KEY_ID {
        true
    } else if ring.newest() > marked {
        lowest >= ring.newest()
    } else {
        match read(store, repository, ring).await {
            // Slots from before are gone: what was marked is what they all hold.
            Err(error) if error.damage().is_some() && lowest >= ring.newest() => true,
            read => read?,
        }
    };
    Ok(if is_in_force { Standing::InForce } else { Standing::Unmarked })
}

/// Fails with `KeyRotated` if a newer master is in force than the newest at hand: nothing may be begun, or committed, any more.
pub(crate) async fn check_current(vault: &Vault) -> Result<(), RepositoryError> {
    if vault.keys.ring().is_some() && newest(&vault.store).await? > vault.keys.newest_key_id() {
        return Err(RepositoryError::KeyRotated { location: format!("repository {}", vault.keys.repository) });
    }
    Ok(())
}

/// Marks the newest master of a ring: from now on it is in force. Says whether it was the first to do so.
pub(crate) async fn mark(store: &Store, repository: &RepositoryId, ring: &KeyRing) -> Result<bool, RepositoryError> {
    let vault = vault_of(store, repository, ring);
    let object = mark_name(ring.newest());
    let body = serialize_to_vec(&doc! { "format": 1, "created_at": DateTime::now() });
    let body = body.map_err(|error| RepositoryError::Internal { what: "rotation", reason: error.to_string() })?;
    let sealer = Arc::new(Sealer::new(vault.keys.clone(), Domain::Sealed)?);
    let sealed = vault.seal_record(&sealer, RecordType::Master, vault.name_id(&object), body).await?;
    let body = rawdoc! { "mark": binary(&sealed) };
    let ours = Bytes::from(envelope::wrap(EnvelopeType::Mark, body.as_bytes()));
    let created = store.create(&object, std::slice::from_ref(&ours)).await?;
    let there = store.read(&object, UNSEALED_BYTES).await?;
    if there == ours {
        // Perhaps by a first attempt whose reply was lost.
        return store.sync(&[object]).await.map(|()| true);
    }
    if created == Created::New && envelope::unwrap(&object, EnvelopeType::Mark, &there).is_err() {
        // Ours, but not as it was written. It is known by its name already, so there is no way back.
        return store.replace(&object, &[ours]).await.map(|()| true);
    }
    // Another rotation was first; where the storage can't create only, it may have come after.
    Ok(false)
}

/// Whether the mark of a ring's newest master was sealed with it. Fails with `Damaged` or `Missing` where that can't be told.
async fn read(store: &Store, repository: &RepositoryId, ring: &KeyRing) -> Result<bool, RepositoryError> {
    let object = mark_name(ring.newest());
    let stored = store.read(&object, UNSEALED_BYTES).await?;
    let lost = |problem: &str| {
        let advice = "so nobody knows which of two key rings is in force; put it back from a copy of the repository";
        RepositoryError::damaged(&*object, format!("{problem}, {advice}"))
    };
    let body =
        envelope::unwrap(&object, EnvelopeType::Mark, &stored).map_err(|_| lost("its checksum doesn't match"))?;
    let sealed = body.get_binary("mark").map_err(|_| lost("no field mark"))?;
    let (vault, sealed) = (vault_of(store, repository, ring), Bytes::copy_from_slice(sealed.bytes));
    let opened = vault.open_record(&object, sealed, RecordType::Master, vault.name_id(&object)).await;
    Ok(opened.is_ok())
}

/// What marks are read and written with.
fn vault_of(store: &Store, repository: &RepositoryId, ring: &KeyRing) -> Vault {
    // The seed of the plain domain has no part in it.
    let keys = Arc::new(Keys::new(*repository, Some(ring.copy()), &[0; 32]));
    Vault::sealed(store.clone(), keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_count_from_the_second_master() {
        assert_eq!(parse_mark(&mark_name(2)), Some(2));
        for bad in [&mark_name(1), "masters/2", "masters/0000000002.bak", "masters/99999999999", "config"] {
            assert_eq!(parse_mark(bad), None, "{bad}");
        }
    }
}
