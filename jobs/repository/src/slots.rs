//! The key slots of an open repository: listed, added, removed.
//!
//! Invariant: a slot goes only while another one opens with the key that is at hand.

use crate::init;
use crate::limits::UNSEALED_BYTES;
use crate::pool::Pool;
use crate::slot::{SLOTS, is_slot_name};
use crate::{Domain, PassphraseCost, Repository, RepositoryError, SlotInfo, Unlock, masters};

impl Repository {
    /// Adds a key slot; a key file that doesn't exist is made. The slot is proven by opening it before this returns.
    pub async fn add_slot(&self, unlock: &Unlock, label: &str) -> Result<SlotInfo, RepositoryError> {
        let refused = |reason: &str| RepositoryError::Slot { reason: reason.into() };
        let ring = self.keys().ring().ok_or_else(|| refused("this repository isn't encrypted"))?;
        init::refuse_key_inside(self.location(), unlock)?;
        if self.slots().await?.len() >= init::MAX_SLOTS {
            return Err(refused("there are 16 already"));
        }
        let secret = init::secret_of(unlock, true)?.ok_or_else(|| refused("a key file or a passphrase is needed"))?;
        let cost = PassphraseCost::default();
        let slot = init::add_slot(self.store(), self.id(), ring, secret, label, cost).await?;
        // A rotation may have come between, which knows nothing of it.
        if let Err(error) = masters::check_current(&*self.vault(Domain::Sealed)?).await {
            self.store().delete(&slot.name()).await?;
            return Err(error);
        }
        Ok(slot.info())
    }

    /// The key slots, oldest first. Damaged ones are left out (and logged); verification tells of them.
    pub async fn slots(&self) -> Result<Vec<SlotInfo>, RepositoryError> {
        let (slots, _) = init::read_slots(self.store(), self.id()).await?;
        let mut slots: Vec<_> = slots.iter().map(|slot| slot.slot().info()).collect();
        slots.sort_by_key(|slot| slot.created_at);
        Ok(slots)
    }

    /// Removes a key slot by its id, if another one opens with `kept`. Whoever knew the removed one's secret may have kept the master
    /// key: removing keeps the key's holder from opening the repository with it, not from reading what he has copied.
    pub async fn remove_slot(&self, id: &str, kept: &Unlock) -> Result<(), RepositoryError> {
        let refused = |reason: String| RepositoryError::Slot { reason };
        let name = format!("{SLOTS}/{id}");
        if !is_slot_name(&name) {
            return Err(refused(format!("'{id}' is no slot: 16 hex digits are")));
        }
        let bytes = match self.store().read(&name, UNSEALED_BYTES).await {
            Err(RepositoryError::Missing { .. }) => return Err(refused(format!("there is no slot {id}"))),
            read => read?,
        };
        let other = self.opens_otherwise(&name, kept).await?.ok_or_else(|| {
            refused(format!("no other slot than {id} opens with the key given: add one, and give the key that stays"))
        })?;
        masters::check_current(&*self.vault(Domain::Sealed)?).await?;
        self.store().delete(&name).await?;
        // Somebody may have removed the other one at the same moment.
        if self.store().size(&other).await?.is_none() {
            self.store().create_own(&name, &[bytes]).await?;
            return Err(refused(format!("slot {other} was removed meanwhile, so {id} stays")));
        }
        Ok(())
    }

    /// The name of a slot that opens with this key to the ring that is in use here, beside one.
    async fn opens_otherwise(&self, beside: &str, unlock: &Unlock) -> Result<Option<String>, RepositoryError> {
        let Some(secret) = init::secret_of(unlock, false)? else { return Ok(None) };
        let (slots, _) = init::read_slots(self.store(), self.id()).await?;
        for slot in slots.into_iter().filter(|slot| slot.is_for(&secret) && slot.slot().name() != beside) {
            let (name, secret) = (slot.slot().name(), secret.clone());
            let opened = Pool::new().run(move || slot.open(&secret)).await?;
            if opened.is_ok_and(|ring| ring.is_some_and(|ring| self.keys().ring().is_some_and(|ours| ring.is(ours)))) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}
