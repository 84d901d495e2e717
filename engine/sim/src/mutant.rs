//! Defects on purpose: each takes one safeguard away, in the wrappers of the simulation, never in the program. A
//! checker that doesn't find them would find nothing.

/// One safeguard taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Writes and renewals of earlier claims are taken.
    NoFence,
    /// Writes that build on an earlier version are taken.
    NoVersion,
    /// A worker judges by its own clock, an hour ahead, whether another's lease is over.
    WorkersClock,
    /// After a break listeners are told to look first, and the stream is opened then.
    LookBeforeOpen,
    /// A renewal that fails is taken for one that was made.
    BlindRenewal,
    /// An answer is given before the write is safe, and the write is rolled back.
    EarlyAnswer,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::NoFence,
        Self::NoVersion,
        Self::WorkersClock,
        Self::LookBeforeOpen,
        Self::BlindRenewal,
        Self::EarlyAnswer,
    ];
}
