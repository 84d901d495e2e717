//! Buckets of time-series collections: read one by one, compared, and listed where a restore replaces them.

use super::list;
use crate::{
    database::{
        Batches, Server,
        queries::{Identified, ReadAt},
    },
    error::{Error, Result},
};
use bson::{Binary, Document, RawDocument, RawDocumentBuf, doc, oid::ObjectId, spec::BinarySubtype};
use lucid_ports::JobContext;
use lucid_schemas::Code;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;

const BUCKETS_PER_LIST: usize = 200_000;
/// Buckets hold up to 125 KB or so each.
pub(crate) const BATCH_BUCKETS: u32 = 200;
const HASH_BYTES: usize = 16;

/// A hash of a bucket.
pub(crate) type Hash = [u8; HASH_BYTES];

/// A bucket that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone {
    pub id: ObjectId,
    /// What it was when it was listed; earlier programs didn't note that of buckets that the backup doesn't have.
    pub old: Option<Hash>,
    /// What it becomes, where the backup has one with the same id.
    pub new: Option<Hash>,
}

/// Keeps the lists of buckets that the target loses; answers with how many lists there are.
pub(crate) async fn keep_lists(
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
                    gone.push(Gone { id, old: Some(hash(&bucket)), new: Some(hash(staged)) });
                }
            }
            _ => gone.push(Gone { id, old: Some(hash(&bucket)), new: None }),
        }
        if gone.len() == BUCKETS_PER_LIST {
            context.put_detail(&list::buckets_name(epoch, number, lists), packed(&gone)).await?;
            gone.clear();
            lists += 1;
        }
    }
    if !gone.is_empty() {
        context.put_detail(&list::buckets_name(epoch, number, lists), packed(&gone)).await?;
        lists += 1;
    }
    Ok(lists)
}

/// The buckets of a time-series collection in the order of their ids.
pub(crate) fn by_id(server: &Server, what: &Identified) -> Result<Buckets> {
    let batches = server.documents(what, ReadAt::Majority(None), doc! { "sort": { "_id": 1 } }, BATCH_BUCKETS)?;
    Ok(Buckets { batches, ready: VecDeque::new() })
}

/// The buckets of a cursor, one by one.
pub(crate) struct Buckets {
    batches: Batches,
    ready: VecDeque<RawDocumentBuf>,
}

impl Buckets {
    /// The next one with its id.
    pub async fn next(&mut self) -> Result<Option<(ObjectId, RawDocumentBuf)>> {
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

/// The id of a bucket.
pub(crate) fn id_of(bucket: &RawDocument) -> Result<ObjectId> {
    bucket.get_object_id("_id").map_err(|_| {
        Error::refused(Code::OddBucket, "a time-series bucket has no ObjectId: restore into another database")
    })
}

/// A hash of a bucket.
pub(crate) fn hash(bucket: &RawDocument) -> Hash {
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&Sha256::digest(bucket.as_bytes())[..HASH_BYTES]);
    hash
}

/// Per bucket 12 bytes of id, then 16 each of the old and the new hash: zeros where there is none.
fn packed(gone: &[Gone]) -> Document {
    let bytes = gone
        .iter()
        .flat_map(|bucket| {
            let (old, new) = (bucket.old.unwrap_or_default(), bucket.new.unwrap_or_default());
            bucket.id.bytes().into_iter().chain(old).chain(new)
        })
        .collect();
    doc! { "buckets": Binary { subtype: BinarySubtype::Generic, bytes } }
}

/// Reads a kept list.
pub(crate) fn unpacked(kept: &Document) -> Option<Vec<Gone>> {
    const BYTES: usize = 12 + 2 * HASH_BYTES;
    let bytes = kept.get_binary_generic("buckets").ok()?;
    let (buckets, rest) = bytes.as_chunks::<BYTES>();
    let gone = |bucket: &[u8; BYTES]| {
        let (id, hashes) = bucket.split_first_chunk::<12>()?;
        let (old, new) = hashes.split_first_chunk::<HASH_BYTES>()?;
        let known = |hash: Hash| (hash != [0; HASH_BYTES]).then_some(hash);
        Some(Gone { id: ObjectId::from_bytes(*id), old: known(*old), new: known(new.try_into().ok()?) })
    };
    if rest.is_empty() { buckets.iter().map(gone).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_buckets_read_back_whole() {
        let gone = [
            Gone { id: ObjectId::from_bytes([1; 12]), old: None, new: None },
            Gone { id: ObjectId::from_bytes([2; 12]), old: Some([3; HASH_BYTES]), new: Some([4; HASH_BYTES]) },
            Gone { id: ObjectId::from_bytes([5; 12]), old: Some([6; HASH_BYTES]), new: None },
        ];
        assert_eq!(unpacked(&packed(&gone)).expect("a list"), gone);
        assert!(
            unpacked(&doc! { "buckets": Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 43] } }).is_none()
        );
    }
}
