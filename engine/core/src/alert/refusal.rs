//! Why a command on an alert is refused.

use lucid_schemas::alert::{AlertState, Severity, Token, What};

/// Why a command is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The alert's state doesn't allow the command.
    #[error("the alert is {state}, so it can't be asked to {}", command.replace('_', " "))]
    WrongState {
        /// Where the alert stands.
        state: AlertState,
        /// What was asked.
        command: &'static str,
    },
    /// The evaluator's claim is over: a later one has written the alert.
    #[error(
        "'{command}' comes from claim {}.{}, the alert was written by claim {}.{}: another monitor writes alerts now",
        given.generation, given.epoch, current.generation, current.epoch
    )]
    Fenced {
        /// The claim of the command.
        given: Token,
        /// The last one that wrote.
        current: Token,
        /// What was asked.
        command: &'static str,
    },
    /// The stream is as long as it may be: it is resolved, and another alert goes on.
    #[error("the alert has {events} events, as many as an alert may have: it can only be resolved")]
    StreamFull {
        /// How many there are.
        events: i64,
    },
    /// It can be continued by another one only once its stream is full.
    #[error("the alert has {events} events: there is room for more, so no other one continues it")]
    RoomLeft {
        /// How many there are.
        events: i64,
    },
    /// An evaluator can't resolve in the name of a person.
    #[error("only a person resolves an alert by hand")]
    NotByHand,
    /// It matters that much already.
    #[error("the alert is of severity {severity} already")]
    SameSeverity {
        /// How much.
        severity: Severity,
    },
    /// It is known already that there is nothing to see.
    #[error("that there is no data is noted already")]
    AlreadySilent,
    /// Nobody is to be told that: it was sent by another one, or isn't wanted any more; or nobody has begun to send it.
    #[error("the notice '{what}' to {channel} isn't due, or its sending wasn't begun")]
    NotDue {
        /// The channel.
        channel: String,
        /// Which notice.
        what: What,
    },
    /// Somebody has begun to send it already.
    #[error("the notice '{what}' to {channel} is being sent already")]
    Begun {
        /// The channel.
        channel: String,
        /// Which notice.
        what: What,
    },
}
