//! What may be asked of an alert, and what an evaluator hands over when he raises one.

use bson::DateTime;
use lucid_schemas::alert::{AlertId, ResolvedBy, Severity, Token, What};
use std::collections::BTreeMap;

/// What makes an evaluator's late write do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// His claim: a write counts only where the alert knows of no later one.
    pub token: Token,
    /// Until when the primary's clock must show for it to count: his samples are too old then.
    pub deadline: DateTime,
}

/// A channel that is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub channel: String,
    /// In how many milliseconds: what comes within that goes along.
    pub in_ms: i64,
}

/// What an evaluator has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// What was measured, in the rule's unit.
    pub value: Option<f64>,
    /// The rule's sentence, for people.
    pub summary: String,
    /// Number of the rules that found it.
    pub rules_version: i32,
    /// How often it was found since it was written last.
    pub times: i64,
    /// Whether it comes and goes.
    pub flapping: bool,
}

/// What a rule has found for the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The id of the alert that it becomes.
    pub id: AlertId,
    /// The rule.
    pub rule: String,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// How much it matters.
    pub severity: Severity,
    /// Since when it is so, by the primary's clock as far as the evaluator knows that.
    pub starts_at: DateTime,
    /// Whether he doesn't.
    pub starts_at_uncertain: bool,
    /// The name under which it was notified before it could be written.
    pub incident: Option<String>,
    /// The alert of the same fingerprint before this one.
    pub previous: Option<AlertId>,
    /// What was seen.
    pub sighting: Sighting,
    /// Who is to be told.
    pub notify: Vec<Wanted>,
}

/// What may be asked of an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// An evaluator found it again.
    SeeAgain {
        /// The evaluator.
        fence: Fence,
        /// What he has seen.
        sighting: Sighting,
    },
    /// An evaluator has no samples that could tell whether it is still so.
    MissData {
        /// The evaluator.
        fence: Fence,
    },
    /// An evaluator found that it matters more or less.
    ChangeSeverity {
        /// The evaluator.
        fence: Fence,
        /// How much.
        to: Severity,
        /// Who is to be told.
        notify: Vec<Wanted>,
    },
    /// An evaluator found that the time which somebody took for it has run out; the store judges.
    EndAcknowledgement {
        /// The evaluator.
        fence: Fence,
        /// Who is to be told.
        notify: Vec<Wanted>,
    },
    /// An evaluator found that it is over.
    Resolve {
        /// The evaluator.
        fence: Fence,
        /// Why; not by a person.
        how: ResolvedBy,
        /// When it was, by the primary's clock, where it can only be written now; `None`: now.
        ended_at: Option<DateTime>,
    },
    /// A person knows.
    Acknowledge {
        /// For how many milliseconds that counts; `None`: until it is over.
        for_ms: Option<i64>,
        /// What he says, for people.
        comment: String,
    },
    /// A person says that it is over.
    ResolveByHand {
        /// What he says, for people.
        comment: String,
    },
    /// Somebody begins to send a notice that is due: from here it may have arrived.
    BeginNotice {
        /// The channel.
        channel: String,
        /// Which.
        what: What,
    },
    /// A notice was sent.
    TakeNotice {
        /// The channel.
        channel: String,
        /// Which.
        what: What,
        /// In how many milliseconds the channel is told again while nobody has acknowledged it; `None`: never.
        repeat_in_ms: Option<i64>,
    },
}

impl Command {
    /// The word used in refusals and in the transition table.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SeeAgain { .. } => "see_again",
            Self::MissData { .. } => "miss_data",
            Self::ChangeSeverity { .. } => "change_severity",
            Self::EndAcknowledgement { .. } => "end_acknowledgement",
            Self::Resolve { .. } => "resolve",
            Self::Acknowledge { .. } => "acknowledge",
            Self::ResolveByHand { .. } => "resolve_by_hand",
            Self::BeginNotice { .. } => "begin_notice",
            Self::TakeNotice { .. } => "take_notice",
        }
    }

    /// What fences it, where it is an evaluator's.
    pub const fn fence(&self) -> Option<Fence> {
        match self {
            Self::SeeAgain { fence, .. }
            | Self::MissData { fence }
            | Self::ChangeSeverity { fence, .. }
            | Self::EndAcknowledgement { fence, .. }
            | Self::Resolve { fence, .. } => Some(*fence),
            Self::Acknowledge { .. }
            | Self::ResolveByHand { .. }
            | Self::BeginNotice { .. }
            | Self::TakeNotice { .. } => None,
        }
    }
}
