//! Time-series collections can't be renamed, and the server refuses to drop one by identity. So their buckets are
//! replaced in place: first those that the backup doesn't have go, by ids listed before the point of no return, then
//! the staged ones come in, where they aren't there already.
//!
//! Invariant: nothing is removed but buckets that were there when the list was made, unchanged since; so neither a
//! worker that comes late nor a step done twice can touch what was restored or written since.

use super::{
    list::{self, SwapEntry},
    load::{Manner, load},
    probe::staging_uuid,
    swap::{Place, Swap, is_overtaken},
};
use crate::{
    database::{
        Batches, Server,
        catalog::storage_name,
        commands, definition,
        queries::{Identified, ReadAt},
    },
    error::{Error, Result},
    restore::stage::decoded,
};
use bson::{Binary, Bson, Document, RawDocument, RawDocumentBuf, doc, oid::ObjectId, spec::BinarySubtype};
use lucid_ports::JobContext;
use lucid_repository::CollectionKind;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};

const BUCKETS_PER_LIST: usize = 200_000;
const BUCKETS_PER_COMMAND: usize = 2_000;
/// Buckets hold up to 125 KB or so each.
const BATCH_BUCKETS: u32 = 200;
const HASH_BYTES: usize = 16;

/// A bucket that goes; with hashes of what it is and of what it becomes where the backup has one with the same id.
struct Gone {
    id: ObjectId,
    changed: Option<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    old: [u8; HASH_BYTES],
    new: [u8; HASH_BYTES],
}

/// Keeps the lists of buckets that the target loses; answers with how many lists there are.
pub(crate) async fn keep_bucket_lists(
    context: &dyn JobContext,
    server: &Server,
    epoch: i64,
    number: usize,
    staged: &Identified,
    target: &Identified,
) -> Result<i32> {
    let (mut new, mut old) = (by_id(server, staged)?, by_id(server, target)?);
    let (mut gone, mut lists) = (Vec::new(), 0);
    let mut coming = new.next().await?;
    while let Some((id, bucket)) = old.next().await? {
        while coming.as_ref().is_some_and(|(coming, _)| *coming < id) {
            coming = new.next().await?;
        }
        match &coming {
            Some((same, staged)) if *same == id => {
                if staged.as_bytes() != bucket.as_bytes() {
                    let changed = Change {
                        old: hash(&bucket),
                        new: hash(staged),
                    };
                    gone.push(Gone {
                        id,
                        changed: Some(changed),
                    });
                }
            }
            _ => gone.push(Gone { id, changed: None }),
        }
        if gone.len() == BUCKETS_PER_LIST {
            context
                .put_detail(&list::buckets_name(epoch, number, lists), packed(&gone))
                .await?;
            gone.clear();
            lists += 1;
        }
    }
    if !gone.is_empty() {
        context
            .put_detail(&list::buckets_name(epoch, number, lists), packed(&gone))
            .await?;
        lists += 1;
    }
    Ok(lists)
}

/// Makes the target hold what was staged.
pub(crate) async fn merge(swap: &Swap<'_>, number: usize, entry: &SwapEntry) -> Result<Place> {
    let done = list::done_name(swap.list.epoch, number);
    if let Some(kept) = swap.context.detail(&done).await? {
        let uuid = kept.data.get("uuid").and_then(|uuid| match uuid {
            Bson::Binary(binary) => binary.to_uuid().ok(),
            _ => None,
        });
        return uuid
            .map(Place::Done)
            .ok_or_else(|| list::unreadable("a mark of its is no mark"));
    }
    let staging = entry.staging(&swap.job)?;
    let staged = swap
        .patiently(|| staging_uuid(swap.server, &swap.list.database, &staging))
        .await?;
    if staged != Some(entry.staged) {
        return Ok(Place::Elsewhere);
    }
    let Some((target, fresh)) = target(swap, entry).await? else {
        return Ok(Place::Blocked);
    };
    if !(fresh || remove_listed(swap, number, entry, &target).await?) {
        return Ok(Place::Blocked);
    }
    if !fill(swap, entry, &target).await? || !index(swap, entry, &target).await? {
        return Ok(Place::Blocked);
    }
    swap.context
        .put_detail(&done, doc! { "name": &entry.name, "uuid": target.uuid })
        .await?;
    Ok(Place::Done(target.uuid))
}

/// The target, made where there is none, and whether it isn't the one that was listed; `None` where something else is
/// in the way.
async fn target(swap: &Swap<'_>, entry: &SwapEntry) -> Result<Option<(Identified, bool)>> {
    let database = &swap.list.database;
    let options = entry.options.clone().unwrap_or_default();
    let names = [entry.name.as_str()];
    for _ in 0..3 {
        let found = swap.patiently(|| swap.server.named(database, &names)).await?;
        if let Some(found) = found.entries.get(&entry.name) {
            let now = decoded(&found.options)?;
            let fits = found.kind == CollectionKind::TimeSeries && now.get("timeseries") == options.get("timeseries");
            let (true, Some(uuid)) = (fits, found.uuid) else {
                return Ok(None);
            };
            let listed = entry.target == Some(uuid);
            if !listed && !is_empty_or_ours(swap, entry, uuid).await? {
                return Ok(None);
            }
            if now.contains_key("expireAfterSeconds") && entry.expire_after.is_none() {
                // Restored documents are as old as the backup: they would be gone at once.
                let off = |within| commands::expire_by_collection(database, &entry.name, uuid, "off".into(), within);
                swap.modify(entry, off).await?;
            }
            let storage = storage_name(&entry.name, entry.kind);
            return Ok(Some((
                Identified {
                    database: database.clone(),
                    storage,
                    uuid,
                },
                !listed,
            )));
        }
        let create = definition::options_to_create(&options);
        match swap
            .server
            .tell(commands::create_target(database, &entry.name, create, swap.within()?)?)
            .await
        {
            Err(error) if !is_overtaken(&error) && !error.is_passing() => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Whether a time-series collection that wasn't listed may be filled: it holds nothing, or nothing but staged buckets,
/// as a predecessor has left it.
async fn is_empty_or_ours(swap: &Swap<'_>, entry: &SwapEntry, uuid: bson::Uuid) -> Result<bool> {
    let identified = |name: &str, uuid| Identified {
        database: swap.list.database.clone(),
        storage: storage_name(name, entry.kind),
        uuid,
    };
    let (staged, target) = (identified(&entry.staging, entry.staged), identified(&entry.name, uuid));
    let compared = swap.patiently(|| async {
        let (mut new, mut there) = (by_id(swap.server, &staged)?, by_id(swap.server, &target)?);
        let mut coming = new.next().await?;
        while let Some((id, _)) = there.next().await? {
            while coming.as_ref().is_some_and(|(coming, _)| *coming < id) {
                coming = new.next().await?;
            }
            if coming.as_ref().is_none_or(|(coming, _)| *coming != id) {
                return Ok(false);
            }
        }
        Ok(true)
    });
    match compared.await {
        Err(error) if is_overtaken(&error) => Ok(false),
        outcome => outcome,
    }
}

/// Works off the lists of buckets that the target loses; false where one has changed since.
async fn remove_listed(swap: &Swap<'_>, number: usize, entry: &SwapEntry, target: &Identified) -> Result<bool> {
    for part in 0..entry.bucket_lists {
        let name = list::buckets_name(swap.list.epoch, number, part);
        let kept = swap.context.detail(&name).await?;
        let kept = kept.ok_or_else(|| list::unreadable("a list of buckets is gone"))?;
        let gone = unpacked(&kept.data).ok_or_else(|| list::unreadable("a list of buckets is no such list"))?;
        if !remove(swap, target, gone).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes listed buckets; false where one has changed since it was listed.
async fn remove(swap: &Swap<'_>, target: &Identified, gone: Vec<Gone>) -> Result<bool> {
    let (changed, removed): (Vec<_>, Vec<_>) = gone.into_iter().partition(|bucket| bucket.changed.is_some());
    for group in removed.chunks(BUCKETS_PER_COMMAND) {
        let ids = || group.iter().map(|bucket| Bson::ObjectId(bucket.id)).collect();
        if !write(swap, target, |within| commands::remove_buckets(target, ids(), within)).await? {
            return Ok(false);
        }
    }
    let mut same = true;
    for group in changed.chunks(BATCH_BUCKETS as usize) {
        same &= remove_changed(swap, target, group).await?;
    }
    Ok(same)
}

/// Removes buckets of which the backup has another version, if they still are what was listed.
async fn remove_changed(swap: &Swap<'_>, target: &Identified, group: &[Gone]) -> Result<bool> {
    let listed: BTreeMap<ObjectId, _> = group.iter().map(|bucket| (bucket.id, bucket.changed)).collect();
    let ids: Vec<_> = group.iter().map(|bucket| Bson::ObjectId(bucket.id)).collect();
    let filter = || doc! { "filter": { "_id": { "$in": ids.clone() } } };
    let found = swap.patiently(|| async {
        let batches = swap
            .server
            .documents(target, ReadAt::Majority(None), filter(), BATCH_BUCKETS)?;
        Ok(batches.all().await?.0)
    });
    let found = match found.await {
        Err(error) if is_overtaken(&error) => return Ok(false),
        outcome => outcome?,
    };
    for bucket in found {
        let Some(Some(change)) = listed.get(&id_of(&bucket)?) else {
            continue;
        };
        let now = hash(&bucket);
        if now == change.new {
            continue;
        }
        let remove = |within| Ok(commands::remove_bucket_if_same(target, &bucket, within));
        if now != change.old || !write(swap, target, remove).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts the staged buckets in, where they aren't there already; false where another bucket has the place of one.
async fn fill(swap: &Swap<'_>, entry: &SwapEntry, target: &Identified) -> Result<bool> {
    let staging = entry.staging(&swap.job)?;
    let staged = Identified {
        database: swap.list.database.clone(),
        storage: storage_name(staging.as_str(), entry.kind),
        uuid: entry.staged,
    };
    let manner = Manner {
        batch_bytes: swap.options.batch_bytes as usize,
        ordered: false,
        resumes: true,
    };
    let filled = swap.patiently(|| async {
        let batches = swap.server.documents(
            &staged,
            ReadAt::Majority(None),
            doc! { "sort": { "_id": 1 } },
            BATCH_BUCKETS,
        )?;
        let pieces = futures::stream::try_unfold((batches, swap), |(mut batches, swap)| async move {
            swap.within()?;
            let next = batches.next().await?;
            next.map(|batch| Ok((batch.into_documents()?, (batches, swap))))
                .transpose()
        });
        load(swap.server, target, manner, pieces, &|_, _| ()).await
    });
    match filled.await {
        Err(error) if is_overtaken(&error) => Ok(false),
        outcome => outcome.map(|_| true),
    }
}

/// Builds the indexes that the target lacks; others stay.
async fn index(swap: &Swap<'_>, entry: &SwapEntry, target: &Identified) -> Result<bool> {
    let database = &swap.list.database;
    let found = swap.patiently(|| swap.server.indexes(database, &entry.name)).await?;
    let present: Vec<_> = found.iter().filter_map(|index| index.get_str("name").ok()).collect();
    let options = entry.options.clone().unwrap_or_default();
    let mut missing = definition::indexes_to_create(&options, &entry.indexes);
    missing.retain(|index| !index.get_str("name").is_ok_and(|name| present.contains(&name)));
    if missing.is_empty() {
        return Ok(true);
    }
    let built = swap.patiently(|| async {
        let command = commands::create_indexes(database, &entry.name, target.uuid, missing.clone())?;
        swap.server.tell(command).await
    });
    match built.await {
        Err(error) if is_overtaken(&error) => Ok(false),
        outcome => outcome.map(|_| true),
    }
}

/// Sends a write; false where the target is another one by now.
async fn write(
    swap: &Swap<'_>,
    target: &Identified,
    command: impl Fn(std::time::Duration) -> Result<crate::database::Command>,
) -> Result<bool> {
    let sent = swap.patiently(|| async {
        let reply = swap.server.tell(command(swap.within()?)?).await?;
        super::load::check_write_errors(target, &reply, false)
    });
    match sent.await {
        Err(error) if is_overtaken(&error) => Ok(false),
        outcome => outcome.map(|_| true),
    }
}

/// The buckets of a time-series collection in the order of their ids.
fn by_id(server: &Server, what: &Identified) -> Result<Buckets> {
    let batches = server.documents(
        what,
        ReadAt::Majority(None),
        doc! { "sort": { "_id": 1 } },
        BATCH_BUCKETS,
    )?;
    Ok(Buckets {
        batches,
        ready: VecDeque::new(),
    })
}

/// The buckets of a cursor, one by one.
struct Buckets {
    batches: Batches,
    ready: VecDeque<RawDocumentBuf>,
}

impl Buckets {
    async fn next(&mut self) -> Result<Option<(ObjectId, RawDocumentBuf)>> {
        loop {
            if let Some(bucket) = self.ready.pop_front() {
                return Ok(Some((id_of(&bucket)?, bucket)));
            }
            let Some(batch) = self.batches.next().await? else {
                return Ok(None);
            };
            self.ready = batch.slices()?.into_iter().map(RawDocument::to_owned).collect();
        }
    }
}

fn id_of(bucket: &RawDocument) -> Result<ObjectId> {
    bucket.get_object_id("_id").map_err(|_| {
        Error::refused(
            "odd_bucket",
            "a time-series bucket has no ObjectId: restore into another database",
        )
    })
}

fn hash(bucket: &RawDocument) -> [u8; HASH_BYTES] {
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&Sha256::digest(bucket.as_bytes())[..HASH_BYTES]);
    hash
}

/// Per bucket 12 bytes of id, then 16 each of the old and the new hash: zeros where the backup has no such bucket.
fn packed(gone: &[Gone]) -> Document {
    let none = Change {
        old: [0; HASH_BYTES],
        new: [0; HASH_BYTES],
    };
    let bytes = gone
        .iter()
        .flat_map(|bucket| {
            let change = bucket.changed.unwrap_or(none);
            bucket.id.bytes().into_iter().chain(change.old).chain(change.new)
        })
        .collect();
    doc! { "buckets": Binary { subtype: BinarySubtype::Generic, bytes } }
}

fn unpacked(kept: &Document) -> Option<Vec<Gone>> {
    const BYTES: usize = 12 + 2 * HASH_BYTES;
    let bytes = kept.get_binary_generic("buckets").ok()?;
    let (buckets, rest) = bytes.as_chunks::<BYTES>();
    let gone = |bucket: &[u8; BYTES]| {
        let (id, hashes) = bucket.split_first_chunk::<12>()?;
        let (old, new) = hashes.split_first_chunk::<HASH_BYTES>()?;
        let change = Change {
            old: *old,
            new: new.try_into().ok()?,
        };
        let changed = (change.old != [0; HASH_BYTES]).then_some(change);
        Some(Gone {
            id: ObjectId::from_bytes(*id),
            changed,
        })
    };
    if rest.is_empty() {
        buckets.iter().map(gone).collect()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_buckets_read_back_whole() {
        let gone = [
            Gone {
                id: ObjectId::from_bytes([1; 12]),
                changed: None,
            },
            Gone {
                id: ObjectId::from_bytes([2; 12]),
                changed: Some(Change {
                    old: [3; HASH_BYTES],
                    new: [4; HASH_BYTES],
                }),
            },
        ];
        let read = unpacked(&packed(&gone)).expect("a list");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].id, read[0].changed), (gone[0].id, None));
        assert_eq!((read[1].id, read[1].changed), (gone[1].id, gone[1].changed));
        assert!(
            unpacked(&doc! { "buckets": Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 43] } }).is_none()
        );
    }
}
