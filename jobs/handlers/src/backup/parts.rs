//! Reading one collection by `_id` in several parts at once, where it is large.
//!
//! Invariant: the parts are ranges of the index on `_id`, each beginning where the one before ends: nothing is left out, nothing is read
//! twice, whatever the places in between are.

use super::read::{Find, Source};
use crate::{
    database::{
        Entry,
        queries::{Identified, Size},
    },
    error::{Error, Result},
};
use bson::{Document, RawDocumentBuf};
use futures::future::join_all;
use lucid_repository::{CollectionContent, CollectionEntry, CollectionKind, CollectionWriter, ContentOrder, ReadOrder};

/// So many documents are looked at for each part of a collection that no backup holds yet.
const SAMPLES: u64 = 32;
/// Of fewer documents for each one that is looked at, the server would sort all.
const RARE: u64 = 40;

/// A range of the index on `_id`, and the writer that its documents go to.
struct Part {
    /// What is added to `find`: bounds as `{ _id: ... }`.
    bounds: Document,
    writer: CollectionWriter,
}

impl Source<'_> {
    /// Copies the documents of a collection in `_id` order with as many cursors as are worth it.
    pub(super) async fn copy_by_id(&self, entry: &Entry, size: Size, find: &Find<'_>) -> Result<CollectionContent> {
        let mut parts = self.parts(entry, find.what, size).await?;
        let halt = self.server.stop().child_token();
        let server = self.server.until(halt.clone());
        let copies = parts.iter_mut().map(|Part { bounds, writer }| async {
            let copied = async {
                let _turn = self.turn(size).await;
                self.copy_range(find, std::mem::take(bounds), &server, writer).await?;
                Ok(writer.end().await?)
            };
            let copied = copied.await;
            // What the others read is of no use then; they end first, since a writer must not be dropped while it takes documents.
            if copied.is_err() {
                halt.cancel();
            }
            copied
        });
        let failed: Vec<Error> = join_all(copies).await.into_iter().filter_map(Result::err).collect();
        let (stopped, causes): (Vec<_>, Vec<_>) = failed.into_iter().partition(|error| matches!(error, Error::Stopped));
        if let Some(error) = causes.into_iter().chain(stopped).next() {
            return Err(error);
        }
        let mut writers = parts.into_iter().map(|part| part.writer);
        let first = writers.next().unwrap_or_else(|| self.writer.collection(ContentOrder::Any));
        Ok(first.finish_with(writers.collect()).await?)
    }

    /// The parts in order; one where more aren't worth it.
    async fn parts(&self, entry: &Entry, what: &Identified, size: Size) -> Result<Vec<Part>> {
        let bytes = u64::try_from(size.bytes).unwrap_or_default();
        let wanted = (bytes / self.options.part_bytes.max(1)).clamp(1, self.options.cursors.max(1) as u64);
        if wanted == 1 || entry.kind != CollectionKind::Collection {
            return Ok(vec![Part { bounds: Document::new(), writer: self.collection_writer(entry) }]);
        }
        // Those of a collection of another kind may be of another order.
        let is_alike = |before: &&CollectionEntry| (before.kind, before.read_order) == (entry.kind, ReadOrder::Id);
        let (firsts, writers) = if let Some(before) = self.before(entry).filter(is_alike) {
            let seams = self.writer.seams(&before.content, wanted).await?;
            let writers = self.writer.parts_after(&before.content, &seams);
            (seams.into_iter().map(|seam| seam.first).collect::<Vec<_>>(), writers)
        } else {
            let firsts = self.sampled(what, size, wanted).await?;
            let writers = (0..=firsts.len()).map(|_| self.collection_writer(entry)).collect();
            (firsts, writers)
        };
        let writers = writers.into_iter().zip(ranges(&firsts)?);
        Ok(writers.map(|(writer, bounds)| Part { bounds, writer }).collect())
    }

    /// Documents, as `{ _id: ... }`, that part a collection about evenly.
    async fn sampled(&self, what: &Identified, size: Size, parts: u64) -> Result<Vec<RawDocumentBuf>> {
        let documents = u64::try_from(size.bytes / size.mean_bytes.max(1)).unwrap_or_default();
        if documents / (SAMPLES * parts) < RARE {
            return Ok(Vec::new());
        }
        let found = match self.server.sampled_ids(what, SAMPLES * parts - 1).await {
            // It may find the same documents again and again, and give up.
            Err(error @ (Error::Server { .. } | Error::Unreachable { .. })) => {
                tracing::warn!(collection = what.storage, %error, "can't find where to part the collection: reading it with one cursor, which takes longer");
                return Ok(Vec::new());
            }
            found => found?,
        };
        let every = usize::try_from(SAMPLES).unwrap_or(usize::MAX);
        let mut firsts: Vec<RawDocumentBuf> = found.into_iter().skip(every - 1).step_by(every).collect();
        firsts.dedup();
        Ok(firsts)
    }
}

/// The ranges that begin and end with these, as fields of `find`.
fn ranges(firsts: &[RawDocumentBuf]) -> Result<Vec<Document>> {
    let unreadable = |_| Error::unreachable("part a collection", "an _id can't be read");
    let places: Vec<Document> =
        firsts.iter().map(|first| Document::try_from(&**first).map_err(unreadable)).collect::<Result<_>>()?;
    let starts = std::iter::once(None).chain(places.iter().map(Some));
    let ends = places.iter().map(Some).chain([None]);
    let bound = |name: &str, at: Option<&Document>| at.map(|at| (name.to_owned(), at.clone().into()));
    Ok(starts
        .zip(ends)
        .map(|(start, end)| [bound("min", start), bound("max", end)].into_iter().flatten().collect())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{doc, rawdoc};

    #[test]
    fn ranges_meet_and_leave_nothing_out() {
        assert_eq!(ranges(&[]).expect("readable"), [doc! {}]);
        let all = ranges(&[rawdoc! { "_id": 3 }, rawdoc! { "_id": 7 }]).expect("readable");
        let between = doc! { "min": { "_id": 3 }, "max": { "_id": 7 } };
        assert_eq!(all, [doc! { "max": { "_id": 3 } }, between, doc! { "min": { "_id": 7 } }]);
    }
}
