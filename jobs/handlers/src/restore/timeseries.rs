//! Time-series collections can't be renamed, and the server refuses to drop one by identity. So their buckets are
//! replaced in place: first those that the backup doesn't have go, by ids listed before the point of no return, then
//! the staged ones come in, where they aren't there already.
//!
//! Invariant: nothing is removed but buckets that were there when the list was made, unchanged since; so neither a
//! worker that comes late nor a step done twice can touch what was restored or written since. A bucket that somebody has
//! written to since stays whole, is counted, and keeps nobody from the rest.

use super::{
    buckets::{BATCH_BUCKETS, Gone, by_id, hash, id_of, unpacked},
    list::{self, SwapEntry},
    load::{Manner, load},
    probe::staging_uuid,
    swap::{Place, Swap, is_overtaken},
};
use crate::{
    database::{
        Server,
        catalog::storage_name,
        commands, definition,
        queries::{Identified, ReadAt, whole},
    },
    error::{Error, Result},
    restore::stage::decoded,
    room::Room,
};
use bson::{Bson, Document, RawDocumentBuf, Uuid, doc, oid::ObjectId};
use lucid_repository::CollectionKind;
use lucid_schemas::Code;
use std::collections::BTreeMap;

const BUCKETS_PER_COMMAND: usize = 2_000;
/// A command takes 16 MB, and a bucket some 125 KB.
const COMMAND_BYTES: usize = 8 << 20;
/// The first one removes, the second one finds nothing left; more where writers come between.
const LOOKS: u32 = 20;
/// How many buckets were written to, in the mark of what is done.
const WRITTEN: &str = "written_meanwhile";

/// What came of a time-series collection.
pub(crate) struct Merged {
    pub place: Place,
    /// Buckets that were written to since they were listed, and stay as they are.
    pub written: i64,
}

/// Makes the target hold what was staged.
pub(crate) async fn merge(swap: &Swap<'_>, number: usize, entry: &SwapEntry) -> Result<Merged> {
    let done = list::done_name(swap.list.epoch, number);
    if let Some(kept) = swap.context.detail(&done).await? {
        let written = whole(kept.data.get(WRITTEN));
        return Ok(Merged { place: Place::Done(identity(&kept.data)?), written });
    }
    let mut written = 0;
    let place = work_off(swap, number, entry, &mut written).await?;
    if let Place::Done(uuid) = place {
        let mut mark = mark(entry, uuid);
        mark.insert(WRITTEN, written);
        swap.context.put_detail(&done, mark).await?;
    }
    Ok(Merged { place, written })
}

async fn work_off(swap: &Swap<'_>, number: usize, entry: &SwapEntry, written: &mut i64) -> Result<Place> {
    let staging = entry.staging(&swap.job)?;
    let staged = swap.patiently(|| staging_uuid(swap.server, &swap.list.database, &staging)).await?;
    if staged != Some(entry.staged) {
        return Ok(Place::Elsewhere);
    }
    let Some((target, fresh)) = target(swap, number, entry).await? else {
        return Ok(Place::Blocked);
    };
    if !fresh {
        match remove_listed(swap, number, entry, &target).await? {
            Some(left) => *written = left,
            None => return Ok(Place::Blocked),
        }
    }
    if !fill(swap, entry, &target).await? || !index(swap, entry, &target).await? {
        return Ok(Place::Blocked);
    }
    Ok(Place::Done(target.uuid))
}

/// The target, made where there is none, and whether it isn't the one that was listed; `None` where something else is
/// in the way.
async fn target(swap: &Swap<'_>, number: usize, entry: &SwapEntry) -> Result<Option<(Identified, bool)>> {
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
            if !listed && !is_ours(swap, number, entry, uuid).await? {
                return Ok(None);
            }
            if now.contains_key("expireAfterSeconds") && entry.expire_after.is_none() {
                // Restored documents are as old as the backup: they would be gone at once.
                let off = |within| commands::expire_by_collection(database, &entry.name, uuid, "off".into(), within);
                swap.modify(entry, off).await?;
            }
            let storage = storage_name(&entry.name, entry.kind);
            return Ok(Some((Identified { database: database.clone(), storage, uuid }, !listed)));
        }
        let create = definition::options_to_create(&options);
        match swap.server.tell(commands::create_target(database, &entry.name, create, swap.within()?)?).await {
            Err(error) if !is_overtaken(&error) && !error.is_passing() => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Whether a time-series collection that wasn't listed is one that this job has made; marks it as such.
async fn is_ours(swap: &Swap<'_>, number: usize, entry: &SwapEntry, uuid: Uuid) -> Result<bool> {
    let made = list::made_name(swap.list.epoch, number);
    if marked(swap, &made).await? == Some(uuid) {
        return Ok(true);
    }
    let ours = is_empty_or_ours(swap, entry, uuid).await?;
    if ours {
        swap.context.put_detail(&made, mark(entry, uuid)).await?;
    }
    Ok(ours)
}

fn mark(entry: &SwapEntry, uuid: Uuid) -> Document {
    doc! { "name": &entry.name, "uuid": uuid }
}

/// The identity in a kept mark.
async fn marked(swap: &Swap<'_>, name: &str) -> Result<Option<Uuid>> {
    let kept = swap.context.detail(name).await?;
    kept.map(|kept| identity(&kept.data)).transpose()
}

fn identity(mark: &Document) -> Result<Uuid> {
    let Some(Bson::Binary(binary)) = mark.get("uuid") else {
        return Err(list::unreadable("a mark is no mark"));
    };
    binary.to_uuid().map_err(|_| list::unreadable("a mark is no mark"))
}

/// Whether a time-series collection that wasn't listed may be filled: it holds nothing, or nothing but staged buckets,
/// as a predecessor has left it.
async fn is_empty_or_ours(swap: &Swap<'_>, entry: &SwapEntry, uuid: Uuid) -> Result<bool> {
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

/// Works off the lists of buckets that the target loses; says how many were written to since, or `None` where the target is another one
/// by now.
async fn remove_listed(swap: &Swap<'_>, number: usize, entry: &SwapEntry, target: &Identified) -> Result<Option<i64>> {
    let mut written = 0;
    for part in 0..entry.bucket_lists {
        let name = list::buckets_name(swap.list.epoch, number, part);
        let kept = swap.context.detail(&name).await?;
        let kept = kept.ok_or_else(|| list::unreadable("a list of buckets is gone"))?;
        let gone = unpacked(&kept.data).ok_or_else(|| list::unreadable("a list of buckets is no such list"))?;
        let (known, unknown): (Vec<_>, Vec<_>) = gone.into_iter().partition(|bucket| bucket.old.is_some());
        for group in unknown.chunks(BUCKETS_PER_COMMAND) {
            let ids = || group.iter().map(|bucket| Bson::ObjectId(bucket.id)).collect();
            if !write(swap, target, |within| commands::remove_buckets(target, ids(), within)).await? {
                return Ok(None);
            }
        }
        for group in known.chunks(BATCH_BUCKETS as usize) {
            match remove(swap, target, group).await? {
                Some(left) => written += left,
                None => return Ok(None),
            }
        }
    }
    Ok(Some(written))
}

/// Removes listed buckets that still are what was listed; says how many are neither that nor what they are to become, or `None` where the
/// target is another one by now.
async fn remove(swap: &Swap<'_>, target: &Identified, group: &[Gone]) -> Result<Option<i64>> {
    let listed: BTreeMap<ObjectId, &Gone> = group.iter().map(|bucket| (bucket.id, bucket)).collect();
    let ids: Vec<_> = group.iter().map(|bucket| Bson::ObjectId(bucket.id)).collect();
    let filter = || doc! { "filter": { "_id": { "$in": ids.clone() } } };
    for _ in 0..LOOKS {
        let found = swap.patiently(|| async {
            let batches = swap.server.documents(target, ReadAt::Majority(None), filter(), BATCH_BUCKETS)?;
            Ok(batches.all().await?.0)
        });
        let found = match found.await {
            Err(error) if is_overtaken(&error) => return Ok(None),
            outcome => outcome?,
        };
        let (mut same, mut written) = (Vec::new(), 0);
        for bucket in found {
            let Some(listed) = listed.get(&id_of(&bucket)?) else { continue };
            let now = Some(hash(&bucket));
            if now == listed.old {
                same.push(bucket);
            } else if now != listed.new {
                written += 1;
            }
        }
        if same.is_empty() {
            return Ok(Some(written));
        }
        for some in in_commands(&same) {
            let remove = |within| Ok(commands::remove_buckets_if_same(target, some, within));
            if !write(swap, target, remove).await? {
                return Ok(None);
            }
        }
    }
    Err(Error::again(Code::SwapStuck, format!("buckets of '{}' can't be removed", target.storage)))
}

/// Buckets in groups that each fit a command.
fn in_commands(buckets: &[RawDocumentBuf]) -> Vec<&[RawDocumentBuf]> {
    let mut bytes = 0;
    let same_command = |_: &RawDocumentBuf, next: &RawDocumentBuf| {
        bytes += next.as_bytes().len();
        let fits = bytes <= COMMAND_BYTES;
        if !fits {
            bytes = 0;
        }
        fits
    };
    buckets.chunk_by(same_command).collect()
}

/// Puts the staged buckets in, where they aren't there already; false where another bucket has the place of one.
async fn fill(swap: &Swap<'_>, entry: &SwapEntry, target: &Identified) -> Result<bool> {
    let staging = entry.staging(&swap.job)?;
    let staged = Identified {
        database: swap.list.database.clone(),
        storage: storage_name(staging.as_str(), entry.kind),
        uuid: entry.staged,
    };
    let room = Room::of(swap.server).await?;
    let copy = async |server: Server, _| {
        let manner = Manner {
            batch_bytes: swap.options.batch_bytes as usize,
            ordered: false,
            resumes: true,
            within: swap.within()?,
        };
        let batches =
            server.documents(&staged, ReadAt::Majority(None), doc! { "sort": { "_id": 1 } }, BATCH_BUCKETS)?;
        let pieces = futures::stream::try_unfold((batches, swap), |(mut batches, swap)| async move {
            swap.within()?;
            let next = batches.next().await?;
            next.map(|batch| Ok((batch.into_documents()?, (batches, swap)))).transpose()
        });
        load(&server, target, manner, pieces, &|_, _| ()).await
    };
    match swap.patiently(|| room.watched(copy)).await {
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
    match swap.patiently(|| swap.server.build_indexes(database, &entry.name, target.uuid, missing.clone())).await {
        Err(error) if is_overtaken(&error) => Ok(false),
        outcome => outcome.map(|()| true),
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
