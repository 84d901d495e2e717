//! What clients asked for and what they were told: the only witness that isn't part of what is judged.

use serde_json::Value;
use std::sync::Mutex;

/// Marks a request by its timeout, which no attempt reaches: the job that it made is known by it, with or without answer.
pub const MARK_SECONDS: i64 = 1_000_000;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 202 and the job's id.
    Accepted(String),
    /// A refusal that changes nothing.
    Refused(u16),
    /// None, or one that leaves open what became of it.
    Unknown,
}

impl Answer {
    /// What a status and a body mean.
    pub fn of(answered: Result<(u16, Value), ureq::Error>) -> Self {
        match answered {
            Ok((200..=202, body)) => body["job_id"].as_str().map_or(Self::Unknown, |id| Self::Accepted(id.to_owned())),
            Ok((status @ 400..=499, _)) => Self::Refused(status),
            Ok(_) | Err(_) => Self::Unknown,
        }
    }

    /// The job's id.
    pub fn accepted(&self) -> Option<&str> {
        match self {
            Self::Accepted(id) => Some(id),
            Self::Refused(_) | Self::Unknown => None,
        }
    }
}

/// A request for a new job, however often it was sent.
#[derive(Debug, Clone)]
pub struct Asked {
    pub kind: &'static str,
    pub body: Value,
    /// The timeout by which its job is known, in seconds; none where the request needs a real one.
    pub mark: Option<i64>,
    pub answers: Vec<Answer>,
}

/// Everything that clients know.
#[derive(Debug, Default)]
pub struct Ledger {
    asked: Mutex<Vec<Asked>>,
    canceled: Mutex<Vec<String>>,
    retried: Mutex<Vec<(String, Answer)>>,
}

/// What they know in the end.
#[derive(Debug, Default)]
pub struct Known {
    pub asked: Vec<Asked>,
    /// Jobs whose cancel was accepted.
    pub canceled: Vec<String>,
    /// Jobs whose request was asked for again, and the answer.
    pub retried: Vec<(String, Answer)>,
}

impl Ledger {
    /// Notes a request and its answers.
    pub fn asked(&self, asked: Asked) {
        self.asked.lock().expect("no panic while locked").push(asked);
    }

    /// Notes an accepted cancel.
    pub fn canceled(&self, id: &str) {
        self.canceled.lock().expect("no panic while locked").push(id.to_owned());
    }

    /// Notes a repeated request.
    pub fn retried(&self, id: &str, answer: Answer) {
        self.retried.lock().expect("no panic while locked").push((id.to_owned(), answer));
    }

    /// The latest accepted jobs of a kind, or of any.
    pub fn latest(&self, kind: Option<&str>, count: usize) -> Vec<String> {
        let asked = self.asked.lock().expect("no panic while locked");
        let fits = |asked: &&Asked| kind.is_none_or(|kind| asked.kind == kind);
        let ids = asked.iter().rev().filter(fits).filter_map(|asked| asked.answers.iter().find_map(Answer::accepted));
        ids.take(count).map(str::to_owned).collect()
    }

    /// All of it.
    pub fn into_known(self) -> Known {
        Known {
            asked: self.asked.into_inner().expect("no panic while locked"),
            canceled: self.canceled.into_inner().expect("no panic while locked"),
            retried: self.retried.into_inner().expect("no panic while locked"),
        }
    }
}
