//! The damage matrix: every kind of damage to every kind of object, and what a verification, a restore, a prune and the next backup
//! make of it. What is expected is data: a row of the table below is one object, with one cell for each thing that is done.
//!
//! Three backups stand on three packs: `log` on a pack of full chunks (backup 0), `people` on a pack that others build on (backup 1),
//! and the next night's `people` on deltas on that, beside the same `log` (backup 2). A fourth one was forgotten, and a
//! prune has doomed what only that needed, so that the next has something to remove.

mod deeds;
mod world;

use world::{Broken, World};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Delete,
    /// To half its length.
    Truncate,
    /// One bit, in the middle; of a pack, within its first record.
    FlipABit,
    /// It has the bytes of another object of its kind (the config: of a key slot), and that one has its.
    Swap,
    /// It has the bytes of an older object of its kind; a pack's cut or padded, so that its size tells nothing. Of the config and
    /// the key slot: of the repository that was in this place before, with the same key.
    Older,
    Empty,
}

/// What is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Config,
    /// There are two; the other one's key is what the repository is opened with.
    KeySlot,
    /// Backup 2's.
    Manifest,
    /// The index object that lists the bases.
    Index,
    /// Of the longest collection of backup 1.
    ChunkList,
    FullPack,
    BasePack,
    DeltaPack,
}

/// What a verification of each backup at level data says.
#[derive(Clone, Copy, Debug)]
enum Verified {
    /// It can't begin; the error names the object.
    Refused,
    /// Nothing.
    Clean,
    /// Findings name the object, or the pack that it listed; no document of any backup is lost.
    Care,
    /// Findings of these backups, and of no others, name the object as needed.
    Hurt(&'static [usize]),
}

/// What reading every document of each backup gives.
#[derive(Clone, Copy, Debug)]
enum Readable {
    Refused,
    /// Everything, byte for byte.
    Whole,
    /// These backups end with an error that names the object; the others are whole.
    Without(&'static [usize]),
}

/// What two prunes do.
#[derive(Clone, Copy, Debug)]
enum Pruned {
    /// Nothing; the error names the object.
    Refused,
    /// They remove what was forgotten, and nothing else: once the object is put right, every backup is whole.
    Kept,
}

/// What comes of the next backup, which says that it went well.
#[derive(Clone, Copy, Debug)]
enum Next {
    Refused,
    /// It is whole, and so are these others.
    Whole(&'static [usize]),
    /// It builds on what is damaged within; its verification tells, and the backup after that is whole.
    Inherits,
}

type Row = (Verified, Readable, Pruned, Next);

const ALL: &[usize] = &[0, 1, 2];

/// The matrix: 48 rows, four cells each.
#[expect(clippy::match_same_arms, reason = "a table is read object by object")]
fn expected(blow: Blow, target: Target) -> Row {
    use {Blow as B, Target as T};
    let lost = |some, next| (Verified::Hurt(some), Readable::Without(some), Pruned::Kept, next);
    let unread = |some, next| (Verified::Hurt(some), Readable::Without(some), Pruned::Refused, next);
    match (target, blow) {
        (T::Config, _) | (T::KeySlot, B::Swap) => {
            (Verified::Refused, Readable::Refused, Pruned::Refused, Next::Refused)
        }
        (T::KeySlot, B::Delete) => (Verified::Clean, Readable::Whole, Pruned::Kept, Next::Whole(ALL)),
        (T::KeySlot | T::Index, _) => (Verified::Care, Readable::Whole, Pruned::Kept, Next::Whole(ALL)),
        (T::Manifest, B::Delete) => {
            (Verified::Hurt(&[2]), Readable::Without(&[2]), Pruned::Refused, Next::Whole(&[0, 1]))
        }
        (T::Manifest, B::Swap) => unread(&[1, 2], Next::Whole(&[0])),
        (T::Manifest, _) => unread(&[2], Next::Whole(&[0, 1])),
        (T::ChunkList, B::Swap) => unread(&[1, 2], Next::Whole(&[0])),
        (T::ChunkList, _) => unread(&[1], Next::Whole(&[0, 2])),
        // Writers trust the size of a pack.
        (T::FullPack, B::FlipABit | B::Older) => lost(&[0, 2], Next::Inherits),
        (T::FullPack, _) => lost(&[0, 2], Next::Whole(ALL)),
        (T::BasePack, B::FlipABit | B::Older) => lost(&[1, 2], Next::Inherits),
        (T::BasePack, B::Swap) => lost(&[0, 1, 2], Next::Whole(&[0])),
        (T::BasePack, _) => lost(&[1, 2], Next::Whole(&[0])),
        (T::DeltaPack, B::FlipABit | B::Older) => lost(&[2], Next::Inherits),
        (T::DeltaPack, B::Swap) => lost(&[0, 2], Next::Whole(ALL)),
        (T::DeltaPack, _) => lost(&[2], Next::Whole(ALL)),
    }
}

async fn check_row(blow: Blow, target: Target) {
    let world = World::new().await;
    let (verified, readable, pruned, next) = expected(blow, target);
    Broken::new(&world, blow, target).verifies(verified).await;
    Broken::new(&world, blow, target).reads(readable).await;
    Broken::new(&world, blow, target).prunes(pruned).await;
    Broken::new(&world, blow, target).backs_up(next).await;
}

/// A test for each row; the message of a failure names the cell.
macro_rules! rows {
    ($($module:ident $target:ident),+ $(,)?) => {
        $(mod $module {
            use super::*;

            rows!(@ $target: deleted Delete, truncated Truncate, bit_flipped FlipABit, swapped Swap, older Older, emptied Empty);
        })+
    };
    (@ $target:ident: $($name:ident $blow:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            check_row(Blow::$blow, Target::$target).await;
        })+
    };
}

rows!(
    config Config,
    key_slot KeySlot,
    manifest Manifest,
    index Index,
    chunk_list ChunkList,
    pack_with_full_chunks FullPack,
    pack_with_bases BasePack,
    pack_with_deltas DeltaPack,
);
