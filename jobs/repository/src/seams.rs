//! Where a collection can be parted, so that its parts are read and written at once.
//!
//! Invariant: a seam is the beginning of a chunk of the backup before, and a chunk list's, where there is one nearby: so the parts' chunks
//! are those of the whole, and the next night's seams are the same.

use bson::RawDocumentBuf;

use crate::list::{IdValue, ListEntry};
use crate::{BackupWriter, CollectionContent, CollectionWriter, ContentOrder, ListRef, RepositoryError};

/// A list that begins so near to where a seam is wanted, as a part of the distance between two, is taken.
const NEAR: u64 = 2;

/// A place where a collection can be parted.
#[derive(Clone, Debug, PartialEq)]
pub struct Seam {
    /// The first document of the latter part, as `{ _id: ... }`.
    pub first: RawDocumentBuf,
    /// The chunk list that it is in, by its number.
    list: usize,
}

impl BackupWriter {
    /// Where a collection that an earlier backup holds in the order of `_id` can be cut into at most so many parts of about the same size:
    /// in that order. Lists that are lost make fewer.
    pub async fn seams(&self, earlier: &CollectionContent, parts: u64) -> Result<Vec<Seam>, RepositoryError> {
        let mut seams: Vec<Seam> = Vec::new();
        for number in 1..parts {
            let wanted = earlier.raw_bytes / parts * number;
            let seam = self.seam(&earlier.chunk_lists, wanted, earlier.raw_bytes / parts / NEAR).await?;
            seams.extend(seam.filter(|seam| seams.last() != Some(seam)));
        }
        Ok(seams)
    }

    /// A collection that is cut at these seams: a writer for each part.
    pub fn parts_after(&self, earlier: &CollectionContent, seams: &[Seam]) -> Vec<CollectionWriter> {
        let starts = std::iter::once(0).chain(seams.iter().map(|seam| seam.list));
        let ends = seams.iter().map(|seam| seam.list + 1).chain([earlier.chunk_lists.len()]);
        let part = |(start, end): (usize, usize)| {
            let lists = earlier.chunk_lists.get(start..end).unwrap_or_default().to_vec();
            self.collection_after(ContentOrder::Any, &CollectionContent { chunk_lists: lists, ..earlier.clone() })
        };
        starts.zip(ends).map(part).collect()
    }

    async fn seam(&self, lists: &[ListRef], wanted: u64, near: u64) -> Result<Option<Seam>, RepositoryError> {
        let mut begins = 0;
        let starts = lists.iter().map(|list| {
            begins += list.raw_bytes;
            begins - list.raw_bytes
        });
        let starts: Vec<u64> = starts.collect();
        let nearest = (1..lists.len()).min_by_key(|list| starts[*list].abs_diff(wanted));
        if let Some(list) = nearest.filter(|list| starts[*list].abs_diff(wanted) <= near) {
            let entries = self.entries(&lists[list]).await?;
            return Ok(entries.first().and_then(|entry| seam(list, &entry.first)));
        }
        let list = starts.partition_point(|start| *start <= wanted).saturating_sub(1);
        let Some(reference) = lists.get(list) else { return Ok(None) };
        let mut at = starts[list];
        let entries = self.entries(reference).await?;
        let next = entries.iter().find(|entry| {
            at += u64::from(entry.raw_bytes);
            at - u64::from(entry.raw_bytes) >= wanted
        });
        Ok(next.and_then(|entry| seam(list, &entry.first)))
    }

    /// The entries of a list; none where it is lost.
    async fn entries(&self, reference: &ListRef) -> Result<Vec<ListEntry>, RepositoryError> {
        match self.vault().read_list(reference).await {
            Err(error) if error.damage().is_some() => Ok(Vec::new()),
            read => read,
        }
    }
}

fn seam(list: usize, first: &IdValue) -> Option<Seam> {
    Some(Seam { first: first.to_document()?, list })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{Scratch, back_up, batches, documents};
    use crate::{Compression, Domain, Manifest};

    /// Writes documents in parts that meet at these seams.
    async fn in_parts(
        scratch: &Scratch,
        job: &str,
        earlier: &CollectionContent,
        all: &[Vec<u8>],
    ) -> (CollectionContent, u64, Vec<Seam>) {
        let writer = scratch.repository.begin(job, 1, Domain::Sealed, Compression::default()).await.expect("begins");
        let seams = writer.seams(earlier, 4).await.expect("found");
        let mut parts = writer.parts_after(earlier, &seams);
        assert_eq!(parts.len(), seams.len() + 1);
        let places: Vec<usize> = seams.iter().map(|seam| place(all, seam)).chain([all.len()]).collect();
        let mut start = 0;
        for (part, end) in parts.iter_mut().zip(places) {
            for batch in batches(&all[start..end]) {
                part.push(batch).await.expect("pushed");
            }
            start = end;
        }
        let first = parts.remove(0);
        let content = first.finish_with(parts).await.expect("finished");
        writer.finish().await.expect("finished");
        (content, writer.stats().chunks_new, seams)
    }

    /// Where the latter part begins; ids are numbers in order.
    fn place(all: &[Vec<u8>], seam: &Seam) -> usize {
        let id = |raw: &[u8]| bson::RawDocument::from_bytes(raw).ok()?.get_i64("_id").ok();
        let first = id(seam.first.as_bytes()).expect("a number");
        all.iter().position(|document| id(document) >= Some(first)).expect("there")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn parts_have_the_chunks_of_the_whole_and_seams_stay_where_they_are() {
        let scratch = Scratch::new().await;
        let mut all = documents(0..20_000, 400, "a");
        let collection = [("c", ContentOrder::Any, all.as_slice())];
        let (manifest, ..) = back_up(&scratch.repository, "night_1", Domain::Sealed, &collection).await;
        let whole = &manifest.collections[0].content;
        let (content, new, seams) = in_parts(&scratch, "night_2", whole, &all).await;
        assert_eq!((new, seams.len()), (0, 3));
        assert_eq!(content.chunk_lists.len(), 4);
        let same = |content: &CollectionContent| (content.content_hash.clone(), content.documents, content.raw_bytes);
        assert_eq!(same(&content), same(whole));

        // The document at a seam is gone, and there are others beside it.
        let at = place(&all, &seams[1]);
        all.splice((at - 1)..=at, []);
        let (content, new, again) = in_parts(&scratch, "night_3", &content, &all).await;
        let firsts = |seams: &[Seam]| seams.iter().map(|seam| seam.first.clone()).collect::<Vec<_>>();
        assert_eq!((new, firsts(&again)), (2, firsts(&seams)));
        let mut entry = manifest.collections[0].clone();
        entry.content = content;
        let manifest = Manifest { collections: vec![entry], ..manifest };
        let read = crate::support::read(&scratch.repository, &manifest, "c").await.expect("sound");
        assert!(read == all, "in order, and whole");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_small_or_lost_is_parted_less() {
        let scratch = Scratch::new().await;
        let few = documents(0..3, 400, "a");
        let (manifest, ..) =
            back_up(&scratch.repository, "night", Domain::Sealed, &[("c", ContentOrder::Any, &few)]).await;
        let mut content = manifest.collections[0].content.clone();
        let writer = scratch.repository.begin("next", 1, Domain::Sealed, Compression::default()).await.expect("begins");
        assert_eq!(writer.seams(&content, 4).await.expect("looked"), []);
        content.chunk_lists[0].inline = None;
        assert_eq!(writer.seams(&content, 4).await.expect("looked"), []);
        content.chunk_lists.clear();
        assert_eq!(writer.seams(&content, 4).await.expect("looked"), []);
        assert_eq!(writer.parts_after(&content, &[]).len(), 1);
    }
}
