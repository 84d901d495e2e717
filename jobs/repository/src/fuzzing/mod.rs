//! The parsers of stored bytes as plain functions of hostile input, each with what must hold of it; see `tests/fuzz`.
//!
//! Invariant: a target never fails. It may refuse what it is given; what it accepts survives its own encoding, and neither memory
//! nor time grow beyond a multiple of the input.

mod bodies;
mod chunks;
mod forger;
mod packs;
mod records;
mod storage;
mod text;
mod unsealed;
mod world;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use zeroize::Zeroizing;

use crate::RepositoryId;
use crate::keys::{KeyRing, Keys};

/// Parsers that are fed together; the first byte of an input chooses among them.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Feeds it; panics where something doesn't hold.
    pub run: fn(&[u8]),
    /// Honest inputs to begin with, made by the encoders.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Memory that it may take beside [`BYTES_PER_BYTE`], in bytes.
    pub limit_bytes: usize,
}

/// Memory that a target may take for each byte of its input, in bytes.
pub const BYTES_PER_BYTE: usize = 64;

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "unsealed", run: unsealed::run, seeds: unsealed::seeds, limit_bytes: 1 << 20 },
    Target { name: "text", run: text::run, seeds: text::seeds, limit_bytes: 1 << 20 },
    Target { name: "records", run: records::run, seeds: records::seeds, limit_bytes: 264 << 20 },
    Target { name: "packs", run: packs::run, seeds: packs::seeds, limit_bytes: 1 << 20 },
    Target { name: "bodies", run: bodies::run, seeds: bodies::seeds, limit_bytes: 1 << 20 },
    Target { name: "chunks", run: chunks::run, seeds: chunks::seeds, limit_bytes: 48 << 20 },
    Target { name: "world", run: world::run, seeds: world::seeds, limit_bytes: 256 << 20 },
];

/// Keys that are always the same. The plain domain's are no secret, so anybody can make records that open.
fn keys() -> Arc<Keys> {
    static KEYS: OnceLock<Arc<Keys>> = OnceLock::new();
    let make = || {
        let ring = KeyRing {
            root: Zeroizing::new([1; 32]),
            masters: vec![(1, Zeroizing::new([2; 32]))],
            inventory: None,
            vouched: false,
        };
        Arc::new(Keys::new(RepositoryId::from_bytes([3; 16]), Some(ring), &[4; 32]))
    };
    KEYS.get_or_init(make).clone()
}

/// An input that goes to the parser of this number.
fn chosen(choice: u8, bytes: &[u8]) -> Vec<u8> {
    [&[choice], bytes].concat()
}
