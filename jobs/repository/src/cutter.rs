//! Cutting a stream of documents into chunks (format, section 7).

use std::mem;

use bytes::Bytes;

use crate::batch::id_of;
use crate::keys::Key;
use crate::{ChunkSizes, DocumentBatch, RepositoryError};

/// The documents of a future chunk, still lying in the buffers they came in.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pieces: Vec<(Bytes, Vec<(u32, u32)>)>,
    pub(crate) documents: u32,
    pub(crate) raw_bytes: u32,
}

impl Draft {
    /// The documents, one after the other.
    pub(crate) fn assemble(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.raw_bytes as usize);
        for (bytes, offsets) in &self.pieces {
            for (start, length) in offsets {
                out.extend_from_slice(&bytes[*start as usize..][..*length as usize]);
            }
        }
        out
    }

    fn add(&mut self, batch: &Bytes, offset: (u32, u32)) {
        match self.pieces.last_mut() {
            Some((bytes, offsets)) if bytes.as_ptr() == batch.as_ptr() && bytes.len() == batch.len() => {
                offsets.push(offset);
            }
            _ => self.pieces.push((batch.clone(), vec![offset])),
        }
        self.documents += 1;
        self.raw_bytes += offset.1;
    }
}

/// Finds the ends of chunks.
pub(crate) struct Cutter {
    sizes: ChunkSizes,
    key: Key,
    open: Draft,
}

impl Cutter {
    pub(crate) fn new(sizes: ChunkSizes, key: Key) -> Self {
        Self { sizes, key, open: Draft::default() }
    }

    /// Adds documents; returns the chunks that they complete.
    pub(crate) fn push(&mut self, batch: &DocumentBatch) -> Result<Vec<Draft>, RepositoryError> {
        let mut done = Vec::new();
        for offset in &batch.offsets {
            let Some(document) = batch.document(*offset) else {
                let reason = format!("at {offset:?} of a batch of {} bytes", batch.bytes.len());
                return Err(RepositoryError::BadDocument { reason });
            };
            if self.open.documents > 0
                && u64::from(self.open.raw_bytes) + u64::from(offset.1) > u64::from(self.sizes.max_bytes)
            {
                done.push(mem::take(&mut self.open));
            }
            self.open.add(&batch.bytes, *offset);
            if self.cuts_after(document) {
                done.push(mem::take(&mut self.open));
            }
        }
        Ok(done)
    }

    /// The last chunk, if there is an unfinished one.
    pub(crate) fn finish(self) -> Option<Draft> {
        (self.open.documents > 0).then_some(self.open)
    }

    fn cuts_after(&self, document: &[u8]) -> bool {
        let size = u64::from(self.open.raw_bytes);
        if size < u64::from(self.sizes.min_bytes) {
            return false;
        }
        if size >= u64::from(self.sizes.max_bytes) {
            return true;
        }
        let mask = (1u64 << self.bits(size)) - 1;
        self.hash(document) & mask == 0
    }

    /// How many bits of a hash must be 0 for a cut.
    fn bits(&self, size: u64) -> u32 {
        let avg = u64::from(self.sizes.avg_bytes);
        let expected = u64::from(self.open.documents) * (avg - u64::from(self.sizes.min_bytes)) / size;
        // log2 rounded: half of log2 of the square, plus a half.
        let rounded = expected.checked_mul(expected).and_then(u64::checked_ilog2).map_or(0, |log| log.div_ceil(2));
        let relaxed = match size {
            _ if size * 2 < avg * 3 => 0,
            _ if size < avg * 2 => 1,
            _ if size < avg * 3 => 2,
            _ => 3,
        };
        rounded.saturating_sub(relaxed)
    }

    fn hash(&self, document: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        match id_of(document) {
            Some((kind, value)) => hasher.update(&[kind]).update(value),
            None => hasher.update(document),
        };
        u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("a hash is longer"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    fn document(id: u64, bytes: usize) -> Vec<u8> {
        let pad = "x".repeat(bytes);
        bson::serialize_to_vec(&bson::doc! { "_id": i64::try_from(id).expect("small"), "pad": pad }).expect("BSON")
    }

    fn batch(documents: &[Vec<u8>]) -> DocumentBatch {
        let mut out = (Vec::new(), Vec::new());
        for document in documents {
            out.1.push((u32::try_from(out.0.len()).expect("small"), u32::try_from(document.len()).expect("small")));
            out.0.extend_from_slice(document);
        }
        DocumentBatch { bytes: out.0.into(), offsets: out.1 }
    }

    fn cut(documents: &[Vec<u8>], per_batch: usize) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::new(ChunkSizes::default(), Zeroizing::new([5; 32]));
        let mut drafts = Vec::new();
        for some in documents.chunks(per_batch) {
            drafts.extend(cutter.push(&batch(some)).expect("documents"));
        }
        drafts.extend(cutter.finish());
        drafts.iter().map(Draft::assemble).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn chunks_are_the_documents_within_bounds(sizes in prop::collection::vec(0usize..200_000, 0..80), per_batch in 1usize..40) {
            let documents: Vec<_> = (0u64..).zip(&sizes).map(|(id, size)| document(id, if size % 7 == 0 { size * 10 } else { *size })).collect();
            let chunks = cut(&documents, per_batch);
            prop_assert_eq!(chunks.concat(), documents.concat());
            let max = ChunkSizes::default().max_bytes as usize;
            for chunk in &chunks {
                let count = crate::batch::count_documents(chunk);
                prop_assert!(count == Some(1) || chunk.len() <= max);
            }
            // How the stream was batched makes no difference.
            prop_assert_eq!(chunks, cut(&documents, 1000));
        }
    }

    #[test]
    fn sizes_come_out_as_asked_whatever_the_documents() {
        for bytes in [60, 500, 4_000, 30_000, 120_000] {
            let count = (24 << 20) / (bytes + 40);
            let documents: Vec<_> = (0..count as u64).map(|id| document(id, bytes)).collect();
            let chunks = cut(&documents, 5000);
            let mean = chunks.concat().len() / chunks.len();
            assert!((100 << 10..420 << 10).contains(&mean), "documents of {bytes}: chunks of {mean}");
            let min = ChunkSizes::default().min_bytes as usize;
            assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk.len() >= min));
        }
    }

    #[test]
    fn boundaries_meet_again_after_a_change() {
        for bytes in [60, 500, 4_000] {
            let count = (24 << 20) / (bytes + 40);
            let documents: Vec<_> = (0..count as u64).map(|id| document(id, bytes)).collect();
            let before: HashSet<_> = cut(&documents, 5000).into_iter().collect();
            for at in [10, count / 3, count / 2] {
                let mut deleted = documents.clone();
                deleted.remove(at);
                let mut inserted = documents.clone();
                inserted.insert(at, document(1 << 40, bytes));
                for changed in [deleted, inserted] {
                    let new = cut(&changed, 5000).into_iter().filter(|chunk| !before.contains(chunk)).count();
                    assert!(new <= 6, "documents of {bytes}, change at {at}: {new} new chunks");
                }
            }
        }
    }

    #[test]
    fn an_update_changes_one_chunk() {
        let documents: Vec<_> = (0..20_000).map(|id| document(id, 500)).collect();
        let before: HashSet<_> = cut(&documents, 5000).into_iter().collect();
        let mut changed = documents;
        changed[9_999] = document(9_999, 501);
        assert_eq!(cut(&changed, 5000).iter().filter(|chunk| !before.contains(*chunk)).count(), 1);
    }
}
