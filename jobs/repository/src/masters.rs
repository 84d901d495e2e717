//! Which master key is in force (format, sections 3 and 4).
//!
//! Each rotation leaves a mark: an object named by the id of the new master and sealed with it, created only where there is none. So of
//! two rotations one counts, and whoever has opened the repository before learns that its ring is behind.

use std::sync::Arc;

use bson::{DateTime, RawDocument, doc, rawdoc, serialize_to_vec};
use bytes::Bytes;

use crate::config::binary;
use crate::envelope::{self, EnvelopeType};
use crate::inventory::Inventory;
use crate::keys::{FIRST_KEY_ID, KeyRing, Keys};
use crate::limits::UNSEALED_BYTES;
use crate::record::RecordType;
use crate::seal::Sealer;
use crate::store::{Created, Store};
use crate::vault::Vault;
use crate::{Domain, RepositoryError, RepositoryId, init};

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
    /// Its newest master is in force, and has the inventory with this hash.
    InForce(Option<[u8; 32]>),
    /// A newer one is: that of this id.
    Behind(u32),
    /// Its newest master was never in force: a rotation didn't come to its end, or another one was first.
    Unmarked,
}

/// The highest id that a mark's name says, whatever is in it: the next master gets a higher one.
pub(crate) async fn highest_name(store: &Store) -> Result<u32, RepositoryError> {
    let marks = store.list(MASTERS).await?;
    Ok(marks.iter().filter_map(|(object, _)| parse_mark(object)).max().unwrap_or(FIRST_KEY_ID))
}

/// The error of who is behind this mark.
pub(crate) fn rotated(location: String, marked: u32) -> RepositoryError {
    RepositoryError::KeyRotated { location, mark: Some(mark_name(marked)) }
}

/// The id of the newest master that is marked, as who has this ring sees it.
async fn newest(store: &Store, repository: &RepositoryId, ring: &KeyRing) -> Result<u32, RepositoryError> {
    Ok(sift(store, repository, ring).await?.0)
}

/// The id of the newest master that is marked, and the marks above it that say nothing: such a one counts only if it is sound, or
/// if a key slot claims at least its id. Slots are written before the mark, so a real one that is damaged isn't overlooked.
async fn sift(store: &Store, repository: &RepositoryId, ring: &KeyRing) -> Result<(u32, Vec<String>), RepositoryError> {
    let marks = store.list(MASTERS).await?;
    let mut ids: Vec<u32> = marks.iter().filter_map(|(object, _)| parse_mark(object)).collect();
    ids.sort_unstable();
    let mut void = Vec::new();
    while let Some(key_id) = ids.pop() {
        let object = mark_name(key_id);
        let is_known = key_id <= ring.newest();
        if is_known
            || is_sound(store, repository, ring, &object).await?
            || is_claimed(store, repository, ring, key_id).await?
        {
            return Ok((key_id, void));
        }
        tracing::warn!(
            object,
            "nobody who has a key has written it, or it can't be read, and no key slot knows of such a master: going on as if it weren't there"
        );
        void.push(object);
    }
    Ok((FIRST_KEY_ID, void))
}

/// Whether a mark is as it was written, and by somebody who knows the root key, as far as that can be told.
async fn is_sound(
    store: &Store,
    repository: &RepositoryId,
    ring: &KeyRing,
    object: &str,
) -> Result<bool, RepositoryError> {
    match store.read(object, UNSEALED_BYTES).await {
        Ok(stored) => Ok(envelope::unwrap(object, EnvelopeType::Mark, &stored)
            .is_ok_and(|body| is_believed(repository, ring, object, body))),
        Err(error) if error.damage().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_believed(repository: &RepositoryId, ring: &KeyRing, object: &str, body: &RawDocument) -> bool {
    let field = |name: &str| body.get_binary(name).ok().map(|field| field.bytes);
    ring.believes(repository, object, &[field("mark").unwrap_or_default()], field("mac"))
}

async fn is_claimed(
    store: &Store,
    repository: &RepositoryId,
    ring: &KeyRing,
    key_id: u32,
) -> Result<bool, RepositoryError> {
    let (slots, _) = init::read_slots(store, repository).await?;
    Ok(slots.iter().any(|slot| slot.slot().key_id() >= key_id && slot.is_believed(repository, ring)))
}

/// Removes marks that say nothing.
pub(crate) async fn tidy(vault: &Vault) -> Result<(), RepositoryError> {
    let Some(ring) = vault.keys.ring() else { return Ok(()) };
    let (_, void) = sift(&vault.store, &vault.keys.repository, ring).await?;
    for object in void {
        vault.store.delete(&object).await?;
    }
    Ok(())
}

/// How a ring stands. `lowest` is the lowest key id that any slot claims: slots from before a rotation go only once it is marked, so
/// where none is left, a mark that isn't there, or is damaged, isn't missed. Fails with `Damaged` where it is.
pub(crate) async fn standing(
    store: &Store,
    repository: &RepositoryId,
    ring: &KeyRing,
    lowest: u32,
) -> Result<Standing, RepositoryError> {
    let marked = newest(store, repository, ring).await?;
    if ring.newest() < marked {
        return Ok(Standing::Behind(marked));
    }
    // Slots from before are gone: what was marked is what they all hold.
    let is_all_there_is = lowest >= ring.newest();
    Ok(if ring.newest() == FIRST_KEY_ID {
        Standing::InForce(None)
    } else if ring.newest() > marked {
        if is_all_there_is { Standing::InForce(ring.inventory) } else { Standing::Unmarked }
    } else {
        match read(store, repository, ring).await {
            Err(error) if error.damage().is_some() && is_all_there_is => Standing::InForce(ring.inventory),
            read => read?.map_or(Standing::Unmarked, |mark| Standing::InForce(mark.inventory)),
        }
    })
}

/// What the rotation to the newest master of a ring met that counted; none where there is no older one, and where an older program has
/// made the newest.
pub(crate) async fn inventory(
    store: &Store,
    repository: &RepositoryId,
    ring: &KeyRing,
) -> Result<Option<Arc<Inventory>>, RepositoryError> {
    match ring.inventory {
        Some(hash) if ring.masters.len() > 1 => {
            let vault = vault_of(store, repository, ring, None);
            Ok(Some(Arc::new(Inventory::load(&vault, &hash).await?)))
        }
        Some(_) | None => Ok(None),
    }
}

/// Fails with `Away` or `Exchanged` if the repository isn't where it was opened, and with `KeyRotated` if a newer master is in force than
/// the newest at hand: nothing may be begun, or committed, any more.
pub(crate) async fn check_current(vault: &Vault) -> Result<(), RepositoryError> {
    vault.store.ensure_here().await?;
    let (Some(ring), repository) = (vault.keys.ring(), &vault.keys.repository) else { return Ok(()) };
    match newest(&vault.store, repository, ring).await? {
        marked if marked > ring.newest() => Err(rotated(format!("repository {repository}"), marked)),
        _ => Ok(()),
    }
}

/// Marks the newest master of a ring: from now on it is in force. Says whether it was the first to do so.
pub(crate) async fn mark(store: &Store, repository: &RepositoryId, ring: &KeyRing) -> Result<bool, RepositoryError> {
    let vault = vault_of(store, repository, ring, None);
    let object = mark_name(ring.newest());
    let mut body = doc! { "format": 1, "created_at": DateTime::now() };
    if let Some(hash) = &ring.inventory {
        body.insert("inventory", binary(hash));
    }
    let body = serialize_to_vec(&body);
    let body = body.map_err(|error| RepositoryError::Internal { what: "rotation", reason: error.to_string() })?;
    let sealer = Arc::new(Sealer::new(vault.keys.clone(), Domain::Sealed)?);
    let sealed = vault.seal_record(&sealer, RecordType::Master, vault.name_id(&object), body).await?;
    let mac = ring.vouch(repository, &object, &[&sealed]);
    let body = rawdoc! { "mark": binary(&sealed), "mac": binary(&mac) };
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

/// What a mark says.
struct Mark {
    /// The hash of the inventory; none: an older program has rotated the key.
    inventory: Option<[u8; 32]>,
}

/// The mark of a ring's newest master, if it was sealed with that. Fails with `Damaged` or `Missing` where that can't be told.
async fn read(store: &Store, repository: &RepositoryId, ring: &KeyRing) -> Result<Option<Mark>, RepositoryError> {
    let object = mark_name(ring.newest());
    let stored = store.read(&object, UNSEALED_BYTES).await?;
    let lost = |problem: &str| {
        let advice = "so nobody knows which of two key rings is in force; put it back from a copy of the repository";
        RepositoryError::damaged(&*object, format!("{problem}, {advice}"))
    };
    let body =
        envelope::unwrap(&object, EnvelopeType::Mark, &stored).map_err(|_| lost("its checksum doesn't match"))?;
    if !is_believed(repository, ring, &object, body) {
        return Err(lost("nobody who has a key has written it"));
    }
    let sealed = body.get_binary("mark").map_err(|_| lost("no field mark"))?;
    let (vault, sealed) = (vault_of(store, repository, ring, None), Bytes::copy_from_slice(sealed.bytes));
    let opened = vault.open_record(&object, sealed, RecordType::Master, vault.name_id(&object)).await;
    let Ok(body) = opened else { return Ok(None) };
    let body = RawDocument::from_bytes(&body).map_err(|_| lost("it isn't BSON"))?;
    let inventory = body.get_binary("inventory").ok().and_then(|hash| hash.bytes.try_into().ok());
    Ok(Some(Mark { inventory }))
}

/// What marks and inventories are read and written with.
pub(crate) fn vault_of(
    store: &Store,
    repository: &RepositoryId,
    ring: &KeyRing,
    inventory: Option<&Arc<Inventory>>,
) -> Vault {
    // The seed of the plain domain has no part in it.
    let keys = Keys::new(*repository, Some(ring.copy()), &[0; 32]).with_inventory(inventory.cloned());
    Vault::sealed(store.clone(), Arc::new(keys))
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
