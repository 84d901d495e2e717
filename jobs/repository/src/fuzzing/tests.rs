//! A bounded run of every target, always the same: the seeds, and what random changes make of them.

use super::*;
use crate::init::open_on;
use crate::{Location, Repository, Unlock, VerifyLevel};

/// Inputs bred from the seeds of each target.
const MUTATIONS: usize = 10_000;
/// The same of whole repositories, which cost a thousand times as much.
const WORLDS: usize = 300;

/// Numbers that look random: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Changes an input a little; `other` is one to take parts from.
    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len());
        let end = at + self.below(input.len().saturating_sub(at).min(32) + 1);
        match self.below(7) {
            0 if !input.is_empty() => input[at] ^= 1 << self.below(8),
            1 if !input.is_empty() => input[at] = [0, 1, 0x7f, 0x80, 0xff, self.byte()][self.below(6)],
            2 => drop(input.drain(at..end)),
            3 => input.insert(at, self.byte()),
            4 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            5 if input.len() >= at + 4 => {
                let number = [0, 1, u32::MAX, i32::MAX.cast_unsigned(), u32::try_from(input.len()).unwrap_or_default()]
                    [self.below(5)];
                input[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            _ => {
                let from = self.below(other.len());
                let to = from + self.below(other.len().saturating_sub(from).min(64) + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
}

/// Tells the input at which a target failed.
struct Told<'a>(&'a str, &'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("target {} failed at {}", self.0, crate::names::hex(self.1));
        }
    }
}

fn feed(target: &Target, input: &[u8]) {
    let _told = Told(target.name, input);
    (target.run)(input);
}

#[test]
fn no_seed_and_no_change_of_one_breaks_a_parser() {
    for target in TARGETS {
        let mut random = Random(7);
        let mut pool = (target.seeds)();
        for seed in &pool {
            feed(&target, seed);
        }
        for _ in 0..if target.name == "world" { WORLDS } else { MUTATIONS } {
            let mut input = pool[random.below(pool.len())].clone();
            let other = pool[random.below(pool.len())].clone();
            for _ in 0..=random.below(4) {
                random.change(&mut input, &other);
            }
            feed(&target, &input);
            if random.below(16) == 0 && input.len() < 4096 {
                // Some are changed further.
                pool.push(input);
            }
        }
    }
}

/// Found by `tests/fuzz packs`: memory was the product of how often a chunk is named and how many copies of it there are.
#[test]
fn many_copies_of_one_chunk_cost_no_more_than_as_many_chunks() {
    packs::run(&chosen(2, &[5, 1, 4].repeat(30_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_without_a_twist_is_a_sound_repository() {
    let memory = Arc::new(storage::Memory::default());
    forger::Forger::forge(&world::seeds()[0], &memory);
    let location = Location::parse("file:///fuzzed").expect("a location");
    let repository =
        Repository::new(&location, &Unlock::None, open_on(memory, &location, &Unlock::None).await.expect("opens"));
    let found =
        repository.verify_all(VerifyLevel::Data, crate::Share::All, &|_| (), &|| false).await.expect("verified");
    assert_eq!((found.backups.len(), found.repository), (1, Vec::new()));
    assert_eq!(found.backups[0].findings, []);
    let manifest = repository.manifests().await.expect("lists").remove(0).manifest.expect("sound");
    assert_eq!(manifest.collections[0].content.documents, 12);
    assert_eq!(repository.stats().await.expect("counted").delta_chunks.number, 2);
}
