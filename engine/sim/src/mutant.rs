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
    /// A new job is acknowledged before it is safe, and rolled back.
    EarlyBirth,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::NoFence,
        Self::NoVersion,
        Self::WorkersClock,
        Self::LookBeforeOpen,
        Self::BlindRenewal,
        Self::EarlyAnswer,
        Self::EarlyBirth,
    ];

    /// The promises of the simulation that are broken without this safeguard. One that is caught for another reason is
    /// caught by chance.
    pub const fn breaks(self) -> &'static [&'static str] {
        match self {
            Self::NoFence => &["INV-5", "SIM-13"],
            Self::NoVersion => &["INV-2", "INV-6", "SIM-3"],
            Self::WorkersClock => &["SIM-4"],
            Self::LookBeforeOpen => &["SIM-10", "SIM-15", "SIM-17"],
            Self::BlindRenewal => &["SIM-13"],
            Self::EarlyAnswer => &["SIM-11", "SIM-12"],
            Self::EarlyBirth => &["SIM-8", "SIM-9", "SIM-20"],
        }
    }
}
