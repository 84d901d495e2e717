//! Which of the packs involved are read, where not all of them are.
//!
//! Invariant: whether a pack belongs to a part depends on its name alone. So the parts of a division, read on different days, leave
//! out nothing that was there on all of them.

use serde::{Deserialize, Serialize};

use crate::index::Index;

/// Which of the packs involved are read at level data; the others are looked at as at level structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// All of them.
    #[default]
    All,
    /// Some, chosen by chance: the same seed chooses the same ones among the same packs. At least one.
    Sample {
        /// How many, in hundredths of a percent of all.
        hundredths: u32,
        /// Any number.
        seed: u64,
    },
    /// One part of several.
    Part {
        /// Which one, from 1.
        number: u32,
        /// How many there are.
        of: u32,
    },
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Packs that were read.
    pub packs_read: u64,
    /// Packs that hold something of the backup.
    pub packs: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes of all these packs.
    pub bytes: u64,
}

impl Share {
    /// Leaves those of the involved packs that are to be read.
    pub(super) fn choose(self, index: &Index, involved: &[bool]) -> Vec<bool> {
        let mut chosen = involved.to_vec();
        match self {
            Self::All => {}
            Self::Part { number, of } => {
                for (pack, chosen) in index.packs.iter().zip(&mut chosen) {
                    *chosen &= hash(0, pack.name()) % u64::from(of.max(1)) == u64::from(number.saturating_sub(1));
                }
            }
            Self::Sample { hundredths, seed } => {
                let mut places: Vec<usize> = (0..chosen.len()).filter(|place| involved[*place]).collect();
                places.sort_by_key(|place| hash(seed, index.packs[*place].name()));
                let wanted = (places.len() as u64 * u64::from(hundredths)).div_ceil(10_000);
                for place in places.into_iter().skip(usize::try_from(wanted).unwrap_or(usize::MAX)) {
                    chosen[place] = false;
                }
            }
        }
        chosen
    }
}

/// What chance makes of a name.
fn hash(seed: u64, name: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("32 bytes"))
}

impl std::ops::AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        self.packs_read += other.packs_read;
        self.packs += other.packs;
        self.bytes_read += other.bytes_read;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{Scratch, back_up, documents};
    use crate::{ContentOrder, Domain, Manifest, Verified, VerifyLevel};

    async fn verify(scratch: &Scratch, manifest: &Manifest, share: Share) -> Verified {
        let reader = scratch.repository.open_backup(manifest).await.expect("opens");
        reader.verify_share(VerifyLevel::Data, share, &|_| (), &|| false).await.expect("verified")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn parts_cover_every_pack_once_and_a_sample_as_much_as_it_says() {
        let scratch = Scratch::new().await;
        let mut all: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
        let mut last = None;
        for night in 0..12_i64 {
            all.push((format!("c{night}"), documents(night * 100..night * 100 + 50, 100, "a")));
            let some: Vec<_> =
                all.iter().map(|(name, some)| (name.as_str(), ContentOrder::Any, some.as_slice())).collect();
            last = Some(back_up(&scratch.repository, &format!("night_{night:02}"), Domain::Sealed, &some).await.0);
        }
        let manifest = last.expect("twelve nights");
        let packs = scratch.objects("sealed/packs");
        assert_eq!(packs.len(), 12);
        let (mut read, mut bytes, mut found) = (0, 0, 0);
        let bad = scratch.path().join(&packs[7]);
        let mut damaged = std::fs::read(&bad).expect("there");
        damaged[150] ^= 1;
        std::fs::write(&bad, damaged).expect("written");
        for number in 1..=5 {
            let Verified { findings, coverage } = verify(&scratch, &manifest, Share::Part { number, of: 5 }).await;
            (read, bytes) = (read + coverage.packs_read, bytes + coverage.bytes_read);
            found += findings.iter().filter(|finding| finding.object == packs[7] && finding.needed).count();
            assert_eq!(coverage.packs, 12);
            assert!(bytes <= coverage.bytes);
        }
        assert_eq!((read, found), (12, 1), "every pack once");
        let mut chosen = std::collections::BTreeSet::new();
        for seed in 0..8 {
            let share = Share::Sample { hundredths: 2_500, seed };
            let verified = verify(&scratch, &manifest, share).await;
            assert_eq!(verified.coverage.packs_read, 3);
            assert_eq!(verify(&scratch, &manifest, share).await, verified, "the same seed reads the same");
            chosen.insert(verified.coverage.bytes_read);
        }
        assert!(chosen.len() > 1, "another seed reads others");
        let least = verify(&scratch, &manifest, Share::Sample { hundredths: 1, seed: 1 }).await;
        assert_eq!(least.coverage.packs_read, 1);
    }
}
