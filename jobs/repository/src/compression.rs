//! Compressing and decompressing with zstd, in contexts that are used again.
//!
//! A context's tables are larger than most chunks: to make and to clear them for each would cost time, and leave a heap full of holes.
//! Invariant: what is returned by [`decompress`] is as long as promised.

use std::sync::{Mutex, PoisonError};

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::CParameter,
};

use crate::RepositoryError;

/// Contexts that nobody uses at the moment; as many as were ever used at once, which the pool bounds.
static COMPRESSORS: Mutex<Vec<Compressor<'static>>> = Mutex::new(Vec::new());
static DECOMPRESSORS: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

/// The level that is tuned for chunks of documents, and up to which size it is.
const TUNED_LEVEL: i32 = 3;
const TUNED_BYTES_MAX: usize = 512 << 10;
/// Matches of four bytes cost more than they save among documents, and smaller tables stay in the cache: against the
/// level's own choice 6 to 20 % faster and 0.1 to 6 % smaller for sessions, tiny documents, program texts and JSON, and for
/// tokens in hexadecimal half as fast again and 7 % smaller.
const TUNED: Shape = Shape { match_bytes: 5, long_log: 15, short_log: 14 };
/// Leaves it to the level.
const UNTUNED: Shape = Shape { match_bytes: 0, long_log: 0, short_log: 0 };

/// How matches are searched for.
struct Shape {
    match_bytes: u32,
    /// Of the tables of long and of short matches: how many bits an index has.
    long_log: u32,
    short_log: u32,
}

/// The compressed bytes if they are asked for and smaller.
pub(crate) fn compress(raw: &[u8], level: Option<i32>) -> Result<Option<Vec<u8>>, RepositoryError> {
    let Some(level) = level else { return Ok(None) };
    let squeeze = |compressor: &mut Compressor<'static>| {
        compressor.set_compression_level(level)?;
        let is_tuned = level == TUNED_LEVEL && raw.len() <= TUNED_BYTES_MAX;
        let shape = if is_tuned { TUNED } else { UNTUNED };
        compressor.set_parameter(CParameter::MinMatch(shape.match_bytes))?;
        compressor.set_parameter(CParameter::HashLog(shape.long_log))?;
        compressor.set_parameter(CParameter::ChainLog(shape.short_log))?;
        compressor.compress(raw)
    };
    let compressed = with(&COMPRESSORS, || Compressor::new(level), squeeze)
        .map_err(|error| RepositoryError::Internal { what: "compression", reason: error.to_string() })?;
    Ok((compressed.len() < raw.len()).then_some(compressed))
}

/// So many bytes, from what [`compress`] made; the text says why they can't be had.
pub(crate) fn decompress(compressed: &[u8], raw_bytes: usize) -> Result<Vec<u8>, String> {
    let raw = with(&DECOMPRESSORS, Decompressor::new, |decompressor| decompressor.decompress(compressed, raw_bytes));
    let raw = raw.map_err(|error| error.to_string())?;
    if raw.len() == raw_bytes { Ok(raw) } else { Err("its raw length doesn't match".into()) }
}

/// Works with one of the idle contexts, or a new one. One that has failed isn't used again.
fn with<Context, T>(
    idle: &Mutex<Vec<Context>>,
    make: impl FnOnce() -> std::io::Result<Context>,
    work: impl FnOnce(&mut Context) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut context = taken.map_or_else(make, Ok)?;
    let done = work(&mut context)?;
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(context);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_was_used_before_does_the_same_as_a_new_one() {
        for (length, level) in [(100_000, 4), (10, 4), (300_000, 9), (100_000, 3), (2_000_000, 3), (100_000, 4), (0, 4)]
        {
            let raw: Vec<u8> = (0..length).map(|at: usize| (at * at % 251).to_le_bytes()[0] & 0x1f).collect();
            let new = zstd::bulk::compress(&raw, level).expect("compressed");
            let again = compress(&raw, Some(level)).expect("compressed");
            if level != TUNED_LEVEL || length > TUNED_BYTES_MAX {
                assert_eq!(again, (new.len() < raw.len()).then(|| new.clone()), "{length} at {level}");
            }
            assert_eq!(decompress(&again.unwrap_or(new), length), Ok(raw));
        }
    }

    #[test]
    fn the_tuned_level_makes_chunks_of_documents_smaller_than_it_would_by_itself() {
        let document = |number: u32| {
            let token = blake3::hash(&number.to_le_bytes()).to_hex();
            bson::doc! { "_id": i64::from(number), "session": token.as_str(), "state": "active", "tries": number % 7 }
        };
        let raw: Vec<u8> =
            (0..2_000).flat_map(|number| bson::serialize_to_vec(&document(number)).expect("BSON")).collect();
        let by_itself = zstd::bulk::compress(&raw, TUNED_LEVEL).expect("compressed");
        let tuned = compress(&raw, Some(TUNED_LEVEL)).expect("compressed").expect("smaller");
        assert!(tuned.len() <= by_itself.len(), "{} of {}", tuned.len(), by_itself.len());
        assert_eq!(decompress(&tuned, raw.len()).as_deref(), Ok(&raw[..]));
        assert!(decompress(&tuned, raw.len() + 1).is_err());
    }

    #[test]
    fn damage_is_told_and_does_not_stay() {
        let raw = vec![7; 10_000];
        let good = compress(&raw, Some(3)).expect("compressed").expect("smaller");
        assert!(decompress(&good[..good.len() - 1], raw.len()).is_err());
        assert!(decompress(b"no frame", 8).is_err());
        assert_eq!(decompress(&good, raw.len()), Ok(raw));
    }
}
