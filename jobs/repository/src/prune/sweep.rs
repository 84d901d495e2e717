//! Removing what a closed generation doomed: the index first forgets it, then lists go, then packs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Run;
use crate::RepositoryError;
use crate::distrust::Distrust;
use crate::index::{self, IndexObject};
use crate::object_name::{Folder, is_writers_own};
use crate::pack_listing::{self, PackListing};
use crate::record::RecordType;
use crate::vault::Vault;

/// After so many deletions it is made sure again that it is still this repository.
const BATCH: usize = 64;

impl Run<'_> {
    /// Removes objects of a domain, with their sizes.
    pub(super) async fn sweep(&mut self, vault: &Arc<Vault>, gone: Vec<(String, u64)>) -> Result<(), RepositoryError> {
        let packs = Folder::Packs.of(vault.domain);
        let is_pack = |object: &str| object.starts_with(&packs);
        let names: BTreeSet<&str> = gone.iter().map(|(object, _)| object.as_str()).collect();
        let mut is_listed = names.iter().any(|object| is_pack(object));
        if is_listed {
            match self.forget(vault, &names).await {
                // Then the packs make room for that. Until then, and if this run dies, the index names packs that are gone.
                Err(error) if error.is_full() => tracing::warn!(%error, "removing the packs first"),
                forgotten => {
                    forgotten?;
                    is_listed = false;
                }
            }
        }
        let (packs, lists): (Vec<_>, Vec<_>) = gone.iter().partition(|(object, _)| is_pack(object));
        for (done, (object, bytes)) in lists.into_iter().chain(packs).enumerate() {
            self.check_stop()?;
            if done % BATCH == 0 {
                vault.store.ensure_here().await?;
            }
            (self.progress)("sweep", done as u64, gone.len() as u64);
            vault.store.delete(object).await?;
            self.report.objects_deleted += 1;
            self.report.deleted_bytes += bytes;
        }
        if is_listed {
            self.forget(vault, &names).await?;
        }
        Distrust::load(vault).await?.tidy(vault).await
    }

    /// Writes index objects that name such packs anew, without them. Damaged ones are left alone.
    async fn forget(&self, vault: &Arc<Vault>, gone: &BTreeSet<&str>) -> Result<(), RepositoryError> {
        let full_name = |listing: &PackListing| Folder::Packs.object(vault.domain, &listing.name);
        let (mut stale, mut kept, mut seen) = (Vec::new(), BTreeMap::<u32, Vec<PackListing>>::new(), BTreeSet::new());
        for (object, _) in vault.store.list(&Folder::Index.of(vault.domain)).await? {
            if !is_writers_own(&object) {
                continue;
            }
            let IndexObject { packs: listings, key_id } = match index::read_index(vault.clone(), object.clone()).await.1
            {
                Ok(read) => read,
                // Nobody can read it any more, nor needs it.
                Err(RepositoryError::RetiredKey { .. }) => {
                    stale.push(object);
                    continue;
                }
                Err(error) if error.damage().is_some() => continue,
                Err(error) => return Err(error),
            };
            if listings.iter().any(|listing| gone.contains(full_name(listing).as_str())) {
                stale.push(object);
                kept.entry(key_id).or_default().extend(listings.into_iter().filter(|listing| {
                    let name = full_name(listing);
                    !gone.contains(name.as_str()) && seen.insert(name)
                }));
            }
        }
        for (key_id, listings) in kept {
            self.write_index(vault, key_id, &listings).await?;
        }
        vault.store.ensure_here().await?;
        for object in stale {
            vault.store.delete(&object).await?;
        }
        Ok(())
    }

    /// Writes index objects for these packs, which a master key has sealed: its own alone vouches for them.
    pub(super) async fn write_index(
        &self,
        vault: &Arc<Vault>,
        key_id: u32,
        listings: &[PackListing],
    ) -> Result<(), RepositoryError> {
        let (sealer, names) = self.pen(vault, key_id)?;
        for (number, some) in (1..).zip(pack_listing::that_fit(listings)) {
            let object = names.index(number);
            let (id, body) = (vault.name_id(&object), pack_listing::encode(some));
            let sealed = vault.seal_record(&sealer, RecordType::Index, id, body).await?;
            vault.store.create_own(&object, &[sealed]).await?;
        }
        Ok(())
    }
}
