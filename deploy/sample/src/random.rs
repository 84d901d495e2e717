//! Chance that is the same every time: SplitMix64, seeded by what a document is.

use bson::{DateTime, oid::ObjectId};

/// 2025-01-09 02:00:00 UTC in milliseconds: when everything in a sample begins.
const BEGIN_MS: i64 = 1_736_388_000_000;
/// 2100-01-01 00:00:00 UTC in milliseconds: when its sessions expire.
const EXPIRY_MS: i64 = 4_102_444_800_000;
const WORDS: [&str; 32] = [
    "amber", "binary", "cobalt", "delta", "ember", "falcon", "garnet", "harbor", "indigo", "juniper", "krypton",
    "lagoon", "meadow", "nickel", "orchid", "pepper", "quartz", "raven", "saffron", "tundra", "umbra", "velvet",
    "willow", "xenon", "yonder", "zephyr", "ärmel", "ökonom", "übung", "façade", "señal", "łódź",
];

/// A stream of numbers for one document.
pub(crate) struct Random(u64);

impl Random {
    /// The stream of the document with this number in this collection.
    pub fn of(collection: u64, number: u64) -> Self {
        let mut mixed = Self(collection.rotate_left(32) ^ number);
        Self(mixed.next())
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, not including, `end`.
    pub fn below(&mut self, end: u32) -> i32 {
        let scaled = ((self.next() >> 32) * u64::from(end)) >> 32;
        i32::try_from(scaled).unwrap_or(i32::MAX)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// A number from 0 to 1.
    pub fn fraction(&mut self) -> f64 {
        f64::from(self.below(1 << 24)) / f64::from(1 << 24)
    }

    /// One of the words.
    pub fn word(&mut self) -> &'static str {
        self.pick(&WORDS)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.next() % u64::try_from(choices.len()).unwrap_or(1);
        choices[usize::try_from(index).unwrap_or(0)]
    }

    /// So many words with blanks between.
    pub fn sentence(&mut self, words: i32) -> String {
        (0..words).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }

    /// A token of 32 hexadecimal digits.
    pub fn token(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }

    /// 32 bytes that don't compress.
    pub fn bytes(&mut self) -> Vec<u8> {
        (0..4).flat_map(|_| self.next().to_le_bytes()).collect()
    }
}

/// The object id of the document with this number.
pub(crate) fn object_id(number: u64) -> ObjectId {
    let seconds = u32::try_from(BEGIN_MS / 1_000).unwrap_or(0).to_be_bytes();
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&seconds);
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

/// So many seconds after the beginning.
pub(crate) fn at(seconds: u64) -> DateTime {
    DateTime::from_millis(BEGIN_MS + 1_000 * i64::try_from(seconds).unwrap_or(0))
}

/// So many seconds after the expiry of the first session.
pub(crate) fn expiry(seconds: u64) -> DateTime {
    DateTime::from_millis(EXPIRY_MS + 1_000 * i64::try_from(seconds).unwrap_or(0))
}
