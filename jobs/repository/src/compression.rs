//! Compressing and decompressing with zstd, in contexts that are used again.
//!
//! A context's tables are larger than most chunks: to make and to clear them for each would cost time, and leave a heap full of holes.
//! Invariant: what is returned by [`decompress`] is as long as promised.

use std::sync::{Mutex, PoisonError};

use zstd::bulk::{Compressor, Decompressor};

use crate::RepositoryError;

/// Contexts that nobody uses at the moment; as many as were ever used at once, which the pool bounds.
static COMPRESSORS: Mutex<Vec<Compressor<'static>>> = Mutex::new(Vec::new());
static DECOMPRESSORS: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

/// The compressed bytes if they are asked for and smaller.
pub(crate) fn compress(raw: &[u8], level: Option<i32>) -> Result<Option<Vec<u8>>, RepositoryError> {
    let Some(level) = level else { return Ok(None) };
    let squeeze = |compressor: &mut Compressor<'static>| {
        compressor.set_compression_level(level)?;
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
        for (length, level) in [(100_000, 3), (10, 3), (300_000, 9), (100_000, 3), (0, 3)] {
            let raw: Vec<u8> = (0..length).map(|at: usize| (at * at % 251).to_le_bytes()[0] & 0x1f).collect();
            let new = zstd::bulk::compress(&raw, level).expect("compressed");
            let again = compress(&raw, Some(level)).expect("compressed");
            assert_eq!(again, (new.len() < raw.len()).then(|| new.clone()), "{length} at {level}");
            assert_eq!(decompress(&new, length), Ok(raw));
            assert!(decompress(&new, length + 1).is_err());
        }
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
