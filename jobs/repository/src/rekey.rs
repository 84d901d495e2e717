//! Rotation of the master key: a new one that everything is sealed with from then on, and later the older ones given up.
//!
//! Invariant: at every moment one of the secrets that stay opens a slot with the ring that is in force. New slots are written and
//! proven first, then the mark puts the new master in force, then the old slots go.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::keys::KeyRing;
use crate::pool::Pool;
use crate::slot::{SlotSecret, StoredSlot};
use crate::{Domain, PassphraseCost, Repository, RepositoryError, SlotInfo, Unlock, init, inventory, masters};

/// What a change of the key ring came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekeyed {
    /// The master that is in force: 1 at first, and one more with each rotation.
    pub key_id: u32,
    /// The key slots that there are now.
    pub slots: Vec<SlotInfo>,
    /// Those that went although nobody gave their key: it opens nothing any more.
    pub dropped: Vec<SlotInfo>,
}

/// The key slots before a change.
struct Slots {
    all: Vec<StoredSlot>,
    /// What stays: each secret, and the label of the slot that it opened.
    kept: Vec<(SlotSecret, String)>,
    /// Slots that none of the secrets opened.
    others: Vec<SlotInfo>,
}

impl Repository {
    /// Makes a new master key. Its ring is in one new slot for each of the keys given, each of which must open a slot now; all other
    /// slots go, if `drop_others` says so. What is stored stays as it is, readable to all that open the repository from now on, but
    /// nothing new builds on it. Whatever has the repository open must open it again.
    ///
    /// # Errors
    /// `Slot` where there are slots that none of these keys opens, where one of them opens none, or no key is given; `KeyRotated` where
    /// another rotation was first. Nothing has changed then.
    pub async fn rotate_key(&self, kept: &[Unlock], drop_others: bool) -> Result<Rekeyed, RepositoryError> {
        let ring = self.ring()?.rotated(masters::highest_name(self.store()).await?)?;
        self.rekey(kept, drop_others, ring).await
    }

    /// Gives up all masters but the newest, once nothing that counts needs them: see [`Self::reencrypt`]. From then on what somebody
    /// has sealed with an older one is refused. The keys are given as for [`Self::rotate_key`].
    ///
    /// # Errors
    /// `Slot` where a backup still needs an older master.
    pub async fn retire_keys(&self, kept: &[Unlock], drop_others: bool) -> Result<Rekeyed, RepositoryError> {
        let ring = self.ring()?;
        if let Some(reason) = self.needs_older_masters().await? {
            return Err(refused(reason));
        }
        self.rekey(kept, drop_others, ring.newest_alone()).await
    }

    fn ring(&self) -> Result<&KeyRing, RepositoryError> {
        self.keys().ring().ok_or_else(|| refused("this repository isn't encrypted"))
    }

    async fn rekey(&self, kept: &[Unlock], drop_others: bool, mut ring: KeyRing) -> Result<Rekeyed, RepositoryError> {
        masters::check_current(&*self.vault(Domain::Sealed)?).await?;
        let before = self.slots_before(kept).await?;
        if !drop_others && !before.others.is_empty() {
            let names: Vec<String> = before.others.iter().map(|slot| format!("{} {:?}", slot.id, slot.label)).collect();
            return Err(refused(format!(
                "nobody gave the key of {}: give it, too (--keep FILE), or drop these slots (--drop-others)",
                names.join(", ")
            )));
        }
        let mut written = Vec::new();
        if let Err(error) = self.put_in_force(&before, &mut ring, &mut written).await {
            // Nobody can tell whether a mark that failed is there: then the new slots must stay.
            if matches!(error, RepositoryError::KeyRotated { .. } | RepositoryError::Slot { .. }) {
                self.remove(written.iter().map(SlotInfo::object)).await?;
                if let Some(hash) = &ring.inventory {
                    inventory::undo(self.store(), ring.newest(), hash).await?;
                }
            }
            return Err(error);
        }
        self.remove(before.all.iter().map(|slot| slot.slot().name())).await?;
        inventory::tidy(self.store(), ring.newest(), ring.inventory.as_ref()).await?;
        Ok(Rekeyed { key_id: ring.newest(), slots: written, dropped: before.others })
    }

    /// Looks which slots there are and which the keys open.
    async fn slots_before(&self, kept: &[Unlock]) -> Result<Slots, RepositoryError> {
        let ring = self.ring()?;
        let (all, _) = init::read_slots(self.store(), self.id()).await?;
        let (mut secrets, mut opened) = (Vec::new(), BTreeSet::new());
        for unlock in kept {
            let secret =
                init::secret_of(unlock, false)?.ok_or_else(|| refused("a key file or a passphrase is needed"))?;
            let mut label = None;
            for slot in all.iter().filter(|slot| slot.is_for(&secret)) {
                let (tried, with) = (slot.clone(), secret.clone());
                let Ok(Some(found)) = Pool::new().run(move || tried.open(&with)).await? else { continue };
                // One that a rotation left behind, or didn't finish, opens too, and goes with the others.
                opened.insert(slot.slot().name());
                if found.is(ring) {
                    label = Some(slot.slot().info().label);
                }
            }
            let label = label.ok_or_else(|| opens_nothing(unlock))?;
            secrets.push((secret, label));
        }
        if secrets.is_empty() {
            return Err(refused("at least one key must stay"));
        }
        let others = all.iter().filter(|slot| !opened.contains(&slot.slot().name())).map(|slot| slot.slot().info());
        Ok(Slots { others: others.collect(), kept: secrets, all })
    }

    /// Writes the new slots, and the mark if the ring has a new master. What counts is noted before the mark, which vouches for that, and
    /// once more after it: backups may end in between, and must not be lost.
    async fn put_in_force(
        &self,
        before: &Slots,
        ring: &mut KeyRing,
        written: &mut Vec<SlotInfo>,
    ) -> Result<(), RepositoryError> {
        let vault = masters::vault_of(self.store(), self.id(), ring, self.keys().inventory());
        let is_new = ring.newest() > self.keys().newest_key_id();
        let met = if is_new {
            let (met, hash) = inventory::take(&vault).await?;
            ring.inventory = Some(hash);
            Some(met)
        } else {
            None
        };
        for (secret, label) in &before.kept {
            let (store, cost) = (self.store(), PassphraseCost::default());
            let slot = init::add_slot(store, self.id(), ring, secret.clone(), label, cost).await?;
            written.push(slot.info());
        }
        let known: BTreeSet<String> = before
            .all
            .iter()
            .map(|slot| slot.slot().info().id)
            .chain(written.iter().map(|slot| slot.id.clone()))
            .collect();
        if self.slots().await?.iter().any(|slot| !known.contains(&slot.id)) {
            return Err(refused("somebody else has added a slot meanwhile: try again"));
        }
        let Some(met) = met else { return Ok(()) };
        if !masters::mark(self.store(), self.id(), ring).await? {
            return Err(masters::rotated(self.location().to_string(), ring.newest()));
        }
        inventory::complete(&vault, &met).await
    }

    async fn remove(&self, objects: impl Iterator<Item = String>) -> Result<(), RepositoryError> {
        for object in objects {
            self.store().delete(&object).await?;
        }
        Ok(())
    }
}

/// Names the key, since several are given.
fn opens_nothing(unlock: &Unlock) -> RepositoryError {
    refused(match unlock {
        Unlock::KeyFile(path) => format!("the key in {} opens none", path.display()),
        Unlock::Passphrase(_) | Unlock::None => "the passphrase opens none".into(),
    })
}

fn refused(reason: impl Into<String>) -> RepositoryError {
    RepositoryError::Slot { reason: reason.into() }
}
