//! Why a command is refused; with the state and the command inside.

use lucid_schemas::State;

/// Why a command is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The job's state doesn't allow the command.
    #[error("a job that is {state} can't take '{command}'")]
    WrongState {
        /// Where the job stands.
        state: State,
        /// What was asked.
        command: &'static str,
    },
    /// The worker's claim is over: another epoch has begun, or it gave the job back.
    #[error("'{command}' comes from epoch {given}, the job is at epoch {current}: another worker has it")]
    Fenced {
        /// Epoch of the command.
        given: i64,
        /// Epoch of the job.
        current: i64,
        /// What was asked.
        command: &'static str,
    },
    /// The job is past its point of no return.
    #[error(
        "the job is past its point of no return and can't be canceled: it is carried through, and where it is blocked, let go on or given up"
    )]
    PastPointOfNoReturn,
    /// The job has ended.
    #[error("the job has already ended: it is {state}")]
    AlreadyEnded {
        /// How it ended.
        state: State,
    },
    /// The cancel was asked for before; it is under way.
    #[error("the job is being canceled already")]
    AlreadyCanceling,
    /// The job's stream is as long as it may be.
    #[error("the job has {events} events, as many as a job may have: it can't be tried again")]
    StreamFull {
        /// How many there are.
        events: i64,
    },
    /// No attempt is left; only a sweeper may end the job.
    #[error("all {max_attempts} attempts are used up")]
    AttemptsExhausted {
        /// How many there were.
        max_attempts: i32,
    },
    /// The slots of the claim don't fill every concurrency key of the job.
    #[error("the slots for '{key}' aren't all there")]
    SlotsMissing {
        /// The first key that isn't filled.
        key: String,
    },
    /// The slot isn't one that the job may take.
    #[error("the slot '{slot}' isn't one that this job may take")]
    WrongSlot {
        /// The slot.
        slot: String,
    },
    /// The job that this one waits for goes on.
    #[error("the job that this one waits for hasn't ended: it is {state}")]
    DependencyOpen {
        /// Where that one stands.
        state: State,
    },
    /// The fact isn't one that this command may state.
    #[error("'{command}' can't state the fact '{fact}'")]
    WrongFact {
        /// What was asked.
        command: &'static str,
        /// The fact's name.
        fact: &'static str,
    },
}
