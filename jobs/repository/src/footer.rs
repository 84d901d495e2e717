//! The footer of a pack: which chunks it holds (format, section 6).

use crate::bytes_reader::BytesReader;
use crate::limits::CHUNK_RECORD_BYTES;

/// Bytes after the footer record.
pub(crate) const TRAILER_BYTES: usize = 8;

const TRAILER_MAGIC: &[u8; 4] = b"LUCE";
const ENTRY_BYTES: usize = 84;
const FULL: u8 = 1;
const DELTA: u8 = 2;
/// Longest chain of deltas, each on the one before.
pub(crate) const MAX_DEPTH: u8 = 8;

/// One chunk of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackEntry {
    pub(crate) id: [u8; 32],
    pub(crate) offset: u32,
    pub(crate) record_bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) documents: u32,
    /// None where the chunk is stored full.
    pub(crate) delta: Option<DeltaLink>,
}

/// What a delta chunk builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeltaLink {
    /// 1 on a full chunk, one more than its base's otherwise; at most [`MAX_DEPTH`].
    pub(crate) depth: u8,
    /// How many changes lie between this chunk and the full one that its line begins with.
    pub(crate) place: u8,
    /// Chunk id of the base.
    pub(crate) base: [u8; 32],
}

/// The footer's body.
pub(crate) fn encode(entries: &[PackEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + entries.len() * ENTRY_BYTES);
    let count = u32::try_from(entries.len()).expect("a pack is under 4 GiB");
    out.extend_from_slice(&count.to_le_bytes());
    for entry in entries {
        out.extend_from_slice(&entry.id);
        let (kind, depth, place, base) =
            entry.delta.map_or((FULL, 0, 0, [0; 32]), |link| (DELTA, link.depth, link.place, link.base));
        out.extend_from_slice(&[kind, depth, place, 0]);
        for number in [entry.offset, entry.record_bytes, entry.raw_bytes, entry.documents] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&base);
    }
    out
}

/// Reads a footer's body. Entries must follow each other without gaps, and be of a possible size. A pack has at least one
/// ([`decode_whole`]); an index object may list one as emptied, after a repair has taken out what was whole.
pub(crate) fn decode(bytes: &mut BytesReader<'_>) -> Option<Vec<PackEntry>> {
    let count = usize::try_from(bytes.u32()?).ok()?;
    let mut entries = Vec::with_capacity(count.min(bytes.0.len() / ENTRY_BYTES));
    let mut end = 0u32;
    for _ in 0..count {
        let id = bytes.array()?;
        let [kind, depth, place, 0] = bytes.array()? else {
            return None;
        };
        let mut entry = PackEntry {
            id,
            offset: bytes.u32()?,
            record_bytes: bytes.u32()?,
            raw_bytes: bytes.u32()?,
            documents: bytes.u32()?,
            delta: None,
        };
        let base = bytes.array::<32>()?;
        let possible = entry.offset == end && u64::from(entry.record_bytes) <= CHUNK_RECORD_BYTES;
        entry.delta = match (kind, depth, place) {
            (FULL, 0, 0) if base == [0; 32] => None,
            (DELTA, 1..=MAX_DEPTH, 1..) => Some(DeltaLink { depth, place, base }),
            _ => return None,
        };
        if !possible {
            return None;
        }
        end = end.checked_add(entry.record_bytes)?;
        entries.push(entry);
    }
    Some(entries)
}

/// Reads a footer's body that is nothing else.
pub(crate) fn decode_whole(body: &[u8]) -> Option<Vec<PackEntry>> {
    let mut bytes = BytesReader(body);
    decode(&mut bytes).filter(|entries| bytes.0.is_empty() && !entries.is_empty())
}

/// The last bytes of a pack.
pub(crate) fn trailer(footer_record_bytes: u32) -> [u8; TRAILER_BYTES] {
    let mut out = [0; TRAILER_BYTES];
    out[..4].copy_from_slice(&footer_record_bytes.to_le_bytes());
    out[4..].copy_from_slice(TRAILER_MAGIC);
    out
}

/// Length of the footer record, read from a trailer.
pub(crate) fn read_trailer(bytes: &[u8]) -> Option<u32> {
    let mut bytes = BytesReader(bytes.last_chunk::<TRAILER_BYTES>()?);
    let length = bytes.u32()?;
    (bytes.0 == TRAILER_MAGIC).then_some(length)
}

/// Where the chunks end and the footer record begins.
pub(crate) fn chunks_end(entries: &[PackEntry]) -> u64 {
    entries.last().map_or(0, |last| u64::from(last.offset) + u64::from(last.record_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_survives_its_encoding_and_gaps_do_not() {
        let entry =
            |id, offset| PackEntry { id: [id; 32], offset, record_bytes: 10, raw_bytes: 3, documents: 2, delta: None };
        let entries = vec![entry(1, 0), entry(2, 10)];
        assert_eq!(decode(&mut BytesReader(&encode(&entries))), Some(entries));
        assert_eq!(decode(&mut BytesReader(&encode(&[]))), Some(Vec::new()));
        assert_eq!(decode_whole(&encode(&[])), None);
        assert_eq!(decode(&mut BytesReader(&encode(&[entry(1, 1)]))), None);
        assert_eq!(decode(&mut BytesReader(&encode(&[entry(1, 0), entry(2, 11)]))), None);
        let huge = PackEntry { record_bytes: u32::try_from(CHUNK_RECORD_BYTES + 1).expect("fits"), ..entry(1, 0) };
        assert_eq!(decode(&mut BytesReader(&encode(&[huge]))), None);
        let delta = |depth, place| PackEntry { delta: Some(DeltaLink { depth, place, base: [7; 32] }), ..entry(1, 0) };
        assert_eq!(decode(&mut BytesReader(&encode(&[delta(8, 255)]))), Some(vec![delta(8, 255)]));
        for (depth, place) in [(0, 1), (9, 1), (1, 0)] {
            assert_eq!(decode(&mut BytesReader(&encode(&[delta(depth, place)]))), None, "{depth} {place}");
        }
        assert_eq!(decode(&mut BytesReader(&[255; 4])), None);
        assert_eq!(read_trailer(&trailer(77)), Some(77));
        assert_eq!(read_trailer(b"\0\0\0\0LUCX"), None);
    }
}
