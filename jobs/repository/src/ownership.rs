//! Which cluster prunes a repository (format, section 9).
//!
//! Prunes need no owner to be safe. It keeps a second cluster that reaches the repository, such as a staging one with the same
//! settings, from judging the first one's backups by rules of its own. Invariant: an owner follows another only where somebody asks for just that.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::{DateTime, serialize_to_vec};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::object_name::{OWNERS, is_job, owner_name, parse_owner};
use crate::record::{RecordType, key_id_of};
use crate::seal::Sealer;
use crate::store::Created;
use crate::vault::Vault;
use crate::{Damage, Repository, RepositoryError, masters};

/// Programs that know only the first one would judge all clusters' backups as the owner's: they can't read this, and prune nothing.
const FORMAT: i32 = 2;
const FIRST_FORMAT: i32 = 1;
/// So often a claim is begun again because another one came first.
const TRIES: usize = 4;

/// Who prunes a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    format: i32,
    /// The id of the cluster whose prunes are taken.
    pub cluster: String,
    /// Since when.
    pub since: DateTime,
}

/// The newest owner: its number, and what could be read of it, with the id of the master that sealed it.
type Newest = (u32, Result<(Owner, u32), RepositoryError>);
/// Numbers that are taken by what doesn't count.
type Taken = BTreeSet<u32>;

impl Repository {
    /// Who prunes it; none until somebody claims it. Fails with `Damaged` where that can't be told.
    pub async fn owner(&self) -> Result<Option<Owner>, RepositoryError> {
        match newest(&self.vault_of_owners()).await? {
            (None, _) => Ok(None),
            (Some((_, owner)), _) => Ok(Some(owner.map_err(unknown)?.0)),
        }
    }

    /// Makes a cluster the owner where there is none; with `take` in place of whoever it is. Says whether it wasn't before. Fails with
    /// `OtherOwner`, and with `Damaged` where it can't be told who the owner is and `take` isn't given. (On storage that can't create
    /// only, two that claim at the same moment may both be told that they own it; the next claim tells one of them otherwise.)
    pub async fn claim(&self, cluster: &str, take: bool) -> Result<bool, RepositoryError> {
        if !is_job(cluster) {
            let reason = "1 to 128 letters, digits, '_' or '-' are possible".into();
            return Err(RepositoryError::BadName { what: "cluster", name: cluster.into(), reason });
        }
        let (vault, mut is_new) = (self.vault_of_owners(), false);
        for _ in 0..TRIES {
            let (found, taken) = newest(&vault).await?;
            let number = found.as_ref().map_or(0, |(number, _)| *number);
            match found {
                Some((_, Ok((owner, _)))) if owner.cluster == cluster && owner.format == FORMAT => return Ok(is_new),
                Some((_, Ok((owner, _)))) if owner.cluster == cluster => {
                    write(&vault, following(number, &taken), cluster, owner.since).await?;
                    continue;
                }
                // Once it was taken, whoever takes it later is right.
                Some((_, Ok((owner, _)))) if !take || is_new => {
                    let Owner { cluster: other, since, .. } = owner;
                    return Err(RepositoryError::OtherOwner { owner: other, since, cluster: cluster.into() });
                }
                Some((_, Err(error))) if !take || error.damage().is_none() => return Err(unknown(error)),
                Some(_) | None => {}
            }
            // What came of it is looked at in the next round: another one may have come first, or right after.
            is_new |= write(&vault, following(number, &taken), cluster, DateTime::now()).await?;
        }
        Err(RepositoryError::Internal {
            what: "claim",
            reason: "others claim the repository at the same moment".into(),
        })
    }

    /// Seals anew what an older master key has sealed. An owner that can't be read stays as it is.
    pub(crate) async fn renew_owner(&self) -> Result<(), RepositoryError> {
        let vault = self.vault_of_owners();
        if let (Some((number, owner)), taken) = behind(&vault).await? {
            write(&vault, following(number, &taken), &owner.cluster, owner.since).await?;
        }
        Ok(())
    }

    /// Whether an older master key than the newest has sealed who the owner is.
    pub(crate) async fn owner_is_behind(&self) -> Result<bool, RepositoryError> {
        Ok(behind(&self.vault_of_owners()).await?.0.is_some())
    }

    /// What owners are read and written with.
    fn vault_of_owners(&self) -> Vault {
        self.vaults().next().expect("a repository has a domain").of_whole_repository()
    }
}

/// The newest owner that can be read, or the newest, if there is one. Fails with `KeyRotated` where the keys at hand are behind: what newer ones have sealed would look
/// like damage.
async fn newest(vault: &Vault) -> Result<(Option<Newest>, Taken), RepositoryError> {
    masters::check_current(vault).await?;
    let (mut number, mut taken) = (0, Taken::new());
    for _ in 0..TRIES {
        let objects = vault.store.list(OWNERS).await?;
        let mut numbers: Vec<u32> = objects.iter().filter_map(|(object, _)| parse_owner(object)).collect();
        numbers.sort_unstable();
        let mut unread = None;
        loop {
            let Some(newest) = numbers.pop() else { return Ok((unread, taken)) };
            number = newest;
            match read(vault, number).await {
                // Another one has replaced it since it was listed.
                Err(RepositoryError::Missing { .. }) => break,
                Err(error) if error.is_outdated() => {
                    tracing::warn!(%error, "going on as if it weren't there");
                    taken.insert(number);
                }
                // It may be anybody's, unless there is one that can be read.
                Err(error) if error.damage().is_some() => {
                    tracing::warn!(%error, "looking for an owner that can be read");
                    taken.insert(number);
                    unread.get_or_insert((number, Err(error)));
                }
                read => return Ok((Some((number, read)), taken)),
            }
        }
    }
    Ok((Some((number, Err(RepositoryError::Missing { object: owner_name(number) }))), taken))
}

/// The number of the owner after the one of this number.
fn following(number: u32, taken: &Taken) -> u32 {
    (number..u32::MAX).map(|number| number + 1).find(|number| !taken.contains(number)).unwrap_or(u32::MAX)
}

/// Says of an owner that can't be read what to do about it.
fn unknown(error: RepositoryError) -> RepositoryError {
    match error.damage() {
        None => error,
        Some(Damage { object, problem }) => RepositoryError::damaged(
            object,
            format!(
                "{problem}, so nobody knows which cluster prunes the repository; let it be this one with --take-ownership"
            ),
        ),
    }
}

/// The newest owner and its number, if an older master key has sealed it.
async fn behind(vault: &Vault) -> Result<(Option<(u32, Owner)>, Taken), RepositoryError> {
    let (newest, taken) = newest(vault).await?;
    let behind = match newest {
        Some((number, Ok((owner, key_id)))) if key_id < vault.keys.newest_key_id() => Some((number, owner)),
        Some((_, Err(error))) if error.damage().is_none() => return Err(error),
        Some(_) | None => None,
    };
    Ok((behind, taken))
}

/// With the id of the master that sealed it.
async fn read(vault: &Vault, number: u32) -> Result<(Owner, u32), RepositoryError> {
    let object = owner_name(number);
    let (body, stored) = vault.read_named(&object, RecordType::Owner).await?;
    Ok((decode(&object, &body)?, key_id_of(&stored)))
}

/// The body of such a record.
pub(crate) fn decode(object: &str, body: &[u8]) -> Result<Owner, RepositoryError> {
    let owner: Owner = limits::decode(object, body, ("owner", FIRST_FORMAT..=FORMAT))?;
    if is_job(&owner.cluster) { Ok(owner) } else { Err(RepositoryError::damaged(object, "it names no cluster")) }
}

/// Writes the owner of this number, and removes those before; says whether it was the first to do so.
async fn write(vault: &Vault, number: u32, cluster: &str, since: DateTime) -> Result<bool, RepositoryError> {
    let owner = Owner { format: FORMAT, cluster: cluster.into(), since };
    let body = serialize_to_vec(&owner);
    let body = body.map_err(|error| RepositoryError::Internal { what: "claim", reason: error.to_string() })?;
    let object = owner_name(number);
    if parse_owner(&object).is_none() {
        let problem = "it has the highest number there is, which this program didn't write: remove it";
        return Err(RepositoryError::damaged(owner_name(number.saturating_sub(1)), problem));
    }
    let sealer = Arc::new(Sealer::new(vault.keys.clone(), vault.domain)?);
    let sealed = vault.seal_record(&sealer, RecordType::Owner, vault.name_id(&object), body).await?;
    let created = vault.store.create(&object, std::slice::from_ref(&sealed)).await?;
    // Read back even if it is new: not every storage can create only. And one that was there may be ours, its answer lost.
    let is_ours = vault.store.read(&object, sealed.len() as u64).await.is_ok_and(|there| there == sealed);
    if is_ours {
        if created == Created::Exists {
            vault.store.sync(&[object]).await?;
        }
        tidy(vault, number).await?;
    }
    Ok(is_ours)
}

/// Removes those that the one of this number has replaced.
async fn tidy(vault: &Vault, newest: u32) -> Result<(), RepositoryError> {
    for (object, _) in vault.store.list(OWNERS).await? {
        if parse_owner(&object).is_some_and(|number| number < newest) {
            vault.store.delete(&object).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn what_names_no_cluster_is_damage() {
        let body = |cluster: &str| {
            let owner = Owner { format: FORMAT, cluster: cluster.into(), since: DateTime::from_millis(7) };
            serialize_to_vec(&owner).expect("small")
        };
        assert_eq!(decode("owners/1", &body("a-1")).expect("good").cluster, "a-1");
        for bad in ["", "a\u{1b}[2J", &"x".repeat(129)] {
            assert!(decode("owners/1", &body(bad)).expect_err("bad").damage().is_some(), "{bad:?}");
        }
        let later = serialize_to_vec(&doc! { "format": 3 }).expect("small");
        assert!(matches!(decode("owners/1", &later), Err(RepositoryError::UnsupportedVersion { .. })));
        assert!(matches!(decode("owners/1", b"\x05"), Err(RepositoryError::Damaged { .. })));
    }
}
