//! A chunk as its difference from another one (format, section 7): a zstd frame that may refer to the base's bytes.
//!
//! Invariant: what [`apply`] returns is as long as promised; whether it is the right chunk is for its id to tell.

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, compress_bound, get_error_name};

use crate::RepositoryError;

/// Windows are this many bits at least and at most: base and chunk together must fit in one.
const WINDOW_LOG: (u32, u32) = (18, 27);
/// Of the table of positions: an entry for four bytes, or what was before the last part of the base is stored again.
const TABLE_LOG: (u32, u32) = (16, 20);
const BYTES_PER_ENTRY_LOG: u32 = 2;
/// What is the same in both is found by any strategy, so the fastest one with the smallest table will do: against level 3 it is four
/// times as fast for chunks of 256 KiB, and twenty times for those of 1 MiB, and deltas are 5 % larger.
const LEVEL: i32 = 1;
const MIN_MATCH: u32 = 5;

/// What turns the base into the chunk.
pub(crate) fn diff(base: &[u8], raw: &[u8]) -> Result<Vec<u8>, RepositoryError> {
    let failed =
        |code| RepositoryError::Internal { what: "delta compression", reason: get_error_name(code).to_owned() };
    let mut context = CCtx::create();
    let log = (base.len() + raw.len()).max(1).ilog2() + 1;
    let parameters = [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(log.clamp(WINDOW_LOG.0, WINDOW_LOG.1)),
        CParameter::HashLog((log - BYTES_PER_ENTRY_LOG.min(log)).clamp(TABLE_LOG.0, TABLE_LOG.1)),
        CParameter::MinMatch(MIN_MATCH),
    ];
    for parameter in parameters {
        context.set_parameter(parameter).map_err(failed)?;
    }
    context.ref_prefix(base).map_err(failed)?;
    let mut out = Vec::with_capacity(compress_bound(raw.len()));
    context.compress2(&mut out, raw).map_err(failed)?;
    // The bound is far from what is used, and deltas wait in packs.
    out.shrink_to_fit();
    Ok(out)
}

/// The chunk, from its base and what [`diff`] made; the text says why it can't be had.
pub(crate) fn apply(base: &[u8], delta: &[u8], raw_bytes: usize) -> Result<Vec<u8>, String> {
    let failed = |code| format!("its delta can't be applied: {}", get_error_name(code));
    let mut context = DCtx::create();
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG.1)).map_err(failed)?;
    context.ref_prefix(base).map_err(failed)?;
    let mut out = Vec::with_capacity(raw_bytes);
    context.decompress(&mut out, delta).map_err(failed)?;
    if out.len() == raw_bytes { Ok(out) } else { Err("its raw length doesn't match".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::documents;

    /// A chunk of this size, and the same with one document in a hundred changed and grown.
    fn updated(bytes: usize) -> (Vec<u8>, Vec<u8>) {
        let count = i64::try_from(bytes / 450).expect("small");
        let before = documents(0..count, 400, "a");
        let mut after = before.clone();
        for (number, document) in (0..).zip(&mut after).skip(50).step_by(100) {
            *document = documents(1_000_000 + number..1_000_001 + number, 410, "b").remove(0);
        }
        (before.concat(), after.concat())
    }

    #[test]
    fn a_delta_costs_about_what_changed_at_every_size() {
        for bytes in [64 << 10, 256 << 10, 1 << 20, 4 << 20] {
            let (before, after) = updated(bytes);
            let delta = diff(&before, &after).expect("made");
            assert_eq!(apply(&before, &delta, after.len()).expect("applied"), after);
            let full = zstd::bulk::compress(&after, 3).expect("compressed");
            assert!(delta.len() * 25 < full.len(), "{bytes}: {} of {}", delta.len(), full.len());
        }
    }

    #[test]
    fn a_wrong_base_length_or_byte_is_noticed_or_harmless() {
        let (before, after) = updated(100_000);
        let delta = diff(&before, &after).expect("made");
        assert!(apply(&before, &delta, after.len() - 1).is_err());
        assert!(apply(&before, &delta, after.len() + 1).is_err());
        let other = documents(5_000_000..5_000_300, 400, "other").concat();
        assert!(apply(&other, &delta, after.len()).ok().as_ref() != Some(&after));
        assert!(apply(&[], &delta, after.len()).ok().as_ref() != Some(&after));
        for at in 0..delta.len().min(300) {
            let mut bad = delta.clone();
            bad[at] ^= 0x55;
            // No panic, and never more than was asked for.
            assert!(apply(&before, &bad, after.len()).is_ok_and(|raw| raw.len() == after.len()) || at < delta.len());
        }
        assert!(apply(&before, &[], 0).is_err() || apply(&before, &[], 0) == Ok(Vec::new()));
        assert_eq!(apply(&[], &diff(&[], b"x").expect("made"), 1).expect("applied"), b"x");
    }
}
