//! The content hash of a collection: equal for equal documents, wherever they come from (format, section 7).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::RepositoryError;
use crate::batch::documents;
use crate::keys::Key;
use crate::names::hex;

/// Whether the order of documents is part of a collection's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentOrder {
    /// It isn't: the same documents in any order have the same hash.
    Any,
    /// It is, as for capped collections.
    Exact,
}

/// Hashes the documents of one collection, such as a restored one that is to be proven against
/// [`crate::CollectionContent::content_hash`]. Made by [`crate::Repository::content_hasher`].
#[derive(Clone)]
pub struct ContentHasher {
    key: Key,
    documents: u64,
    state: State,
}

#[derive(Clone)]
enum State {
    Any(Sum),
    Exact(Box<blake3::Hasher>),
}

/// A sum of 256-bit hashes, modulo 2^256, lowest limb first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

/// Length of a sum as bytes.
pub(crate) const SUM_BYTES: usize = 32;

/// What one chunk adds to a content hash; computed apart, then added in the order of chunks.
#[derive(Clone, Debug)]
pub(crate) enum ContentPart {
    Any(Sum),
    Exact(Vec<[u8; 32]>),
}

impl Sum {
    pub(crate) fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, more) in self.0.iter_mut().zip(other.0) {
            let (sum, first) = limb.overflowing_add(more);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first || second;
        }
    }

    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    /// As the content hash of so many documents.
    pub(crate) fn content_hash(self, documents: u64) -> String {
        format!("any:{documents}:{}", hex(&self.to_bytes()))
    }

    /// Of the documents of a chunk.
    pub(crate) fn of_documents(key: &Key, chunk: &[u8]) -> Self {
        let mut sum = Self::default();
        for document in documents(chunk) {
            sum.add(&Self::of(&blake3::keyed_hash(key, document)));
        }
        sum
    }

    /// From 256 bits, lowest byte first.
    pub(crate) fn from_bytes(bytes: &[u8; SUM_BYTES]) -> Self {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        }
        Self(limbs)
    }

    /// The 256 bits, lowest byte first.
    pub(crate) fn to_bytes(self) -> [u8; SUM_BYTES] {
        let mut out = [0; SUM_BYTES];
        for (bytes, limb) in out.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&limb.to_le_bytes());
        }
        out
    }

    fn of(hash: &blake3::Hash) -> Self {
        Self::from_bytes(hash.as_bytes())
    }
}

impl ContentPart {
    /// Of the documents of a chunk.
    pub(crate) fn of(key: &Key, order: ContentOrder, chunk: &[u8]) -> Self {
        match order {
            ContentOrder::Any => Self::Any(Sum::of_documents(key, chunk)),
            ContentOrder::Exact => {
                let hashes = documents(chunk).map(|document| blake3::keyed_hash(key, document).into());
                Self::Exact(hashes.collect())
            }
        }
    }

    /// What a chunk list keeps of it.
    pub(crate) fn sum(&self) -> Option<Sum> {
        match self {
            Self::Any(sum) => Some(*sum),
            Self::Exact(_) => None,
        }
    }
}

impl ContentHasher {
    pub(crate) fn new(key: Key, order: ContentOrder) -> Self {
        let state = match order {
            ContentOrder::Any => State::Any(Sum::default()),
            ContentOrder::Exact => State::Exact(Box::new(blake3::Hasher::new_keyed(&key))),
        };
        Self { key, documents: 0, state }
    }

    /// Adds one document.
    pub fn push(&mut self, raw_document: &[u8]) {
        let hash = blake3::keyed_hash(&self.key, raw_document);
        self.documents += 1;
        match &mut self.state {
            State::Any(sum) => sum.add(&Sum::of(&hash)),
            State::Exact(hasher) => {
                hasher.update(hash.as_bytes());
            }
        }
    }

    /// Adds a chunk's part; refuses one of another order.
    pub(crate) fn add(&mut self, part: &ContentPart, documents: u32) -> Result<(), RepositoryError> {
        match (&mut self.state, part) {
            (State::Any(sum), ContentPart::Any(more)) => sum.add(more),
            (State::Exact(hasher), ContentPart::Exact(chunk)) => {
                hasher.update(chunk.as_flattened());
            }
            (State::Any(_), ContentPart::Exact(_)) | (State::Exact(_), ContentPart::Any(_)) => return Err(mixed()),
        }
        self.documents += u64::from(documents);
        Ok(())
    }

    /// Adds what another one of the same key was given; refuses it where the order of documents counts for either.
    pub(crate) fn join(&mut self, other: &Self) -> Result<(), RepositoryError> {
        let (State::Any(sum), State::Any(more)) = (&mut self.state, &other.state) else { return Err(mixed()) };
        sum.add(more);
        self.documents += other.documents;
        Ok(())
    }

    /// The hash as text, to be compared with `==`.
    pub fn finish(self) -> String {
        match self.state {
            State::Any(sum) => sum.content_hash(self.documents),
            State::Exact(hasher) => format!("exact:{}:{}", self.documents, hasher.finalize().to_hex()),
        }
    }
}

fn mixed() -> RepositoryError {
    RepositoryError::Internal { what: "a content hash", reason: "its parts are of different orders".into() }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHasher({} documents)", self.documents)
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn raw(value: i32) -> Vec<u8> {
        bson::serialize_to_vec(&bson::doc! { "_id": value }).expect("BSON")
    }

    fn hash(order: ContentOrder, values: &[i32]) -> String {
        let mut hasher = ContentHasher::new(Zeroizing::new([1; 32]), order);
        for value in values {
            hasher.push(&raw(*value));
        }
        hasher.finish()
    }

    #[test]
    fn order_counts_only_where_it_should() {
        assert_eq!(hash(ContentOrder::Any, &[1, 2, 3]), hash(ContentOrder::Any, &[3, 1, 2]));
        assert_ne!(hash(ContentOrder::Exact, &[1, 2, 3]), hash(ContentOrder::Exact, &[3, 1, 2]));
        for order in [ContentOrder::Any, ContentOrder::Exact] {
            assert_ne!(hash(order, &[1, 2]), hash(order, &[1, 3]));
            assert_ne!(hash(order, &[]), hash(order, &[1, 1]), "pairs don't vanish");
        }
    }

    #[test]
    fn chunks_add_up_to_the_whole() {
        let key: Key = Zeroizing::new([1; 32]);
        for order in [ContentOrder::Any, ContentOrder::Exact] {
            let mut hasher = ContentHasher::new(key.clone(), order);
            hasher.add(&ContentPart::of(&key, order, &[raw(1), raw(2)].concat()), 2).expect("of one order");
            hasher.add(&ContentPart::of(&key, order, &raw(3)), 1).expect("of one order");
            assert_eq!(hasher.finish(), hash(order, &[1, 2, 3]));
        }
    }

    #[test]
    fn parts_of_another_order_are_refused() {
        let key: Key = Zeroizing::new([1; 32]);
        let (any, exact) = (ContentOrder::Any, ContentOrder::Exact);
        for (order, other) in [(any, exact), (exact, any)] {
            let mut hasher = ContentHasher::new(key.clone(), order);
            assert!(hasher.add(&ContentPart::of(&key, other, &raw(1)), 1).is_err());
            assert!(hasher.join(&ContentHasher::new(key.clone(), other)).is_err());
            assert_eq!(hasher.finish(), hash(order, &[]), "nothing was added");
        }
    }

    #[test]
    fn the_sum_carries() {
        let mut sum = Sum([u64::MAX, u64::MAX, 0, 1]);
        sum.add(&Sum([1, 0, 0, 0]));
        assert_eq!(sum, Sum([0, 0, 1, 1]));
    }
}
