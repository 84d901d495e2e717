//! A notify job: telling a channel what is due. What that is, it reads when it runs.

use crate::{FieldError, JobId, Request, Requires, Spec, unique_key};
use serde::{Deserialize, Serialize};

const NAME_LONGEST: usize = 64;

/// Telling a channel what is due of a group of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifySpec {
    /// The channel, as it is configured where monitors run.
    pub channel: String,
    /// Which of its alerts go in one message: those of this name.
    pub group: String,
}

/// What came of a notify job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NotifyResult {
    /// Messages that were sent.
    pub messages: i64,
    /// Alerts that were told of for the first time.
    pub firing: i64,
    /// Alerts that were told of again.
    pub repeated: i64,
    /// Alerts that were told to be over.
    pub resolved: i64,
    /// Notices that weren't wanted any more: silenced, inhibited, or over before anybody was told.
    pub dropped: i64,
}

impl NotifySpec {
    /// What a worker is labeled with that has the channel.
    pub fn label(channel: &str) -> String {
        format!("channel:{channel}")
    }

    /// What is wrong with it, by field.
    pub fn check(&self) -> Vec<FieldError> {
        let fields = [("channel", &self.channel), ("group", &self.group)];
        let bad = fields.into_iter().filter(|(_, name)| !is_name(name));
        bad.map(|(field, _)| {
            FieldError::new(field, format!("must be 1 to {NAME_LONGEST} of a to z, 0 to 9, '-', '_' and '.'"))
        })
        .collect()
    }

    /// The job: for whoever has the channel, and however long the other end is away.
    pub fn request(self, id: JobId, requested_by: impl Into<String>) -> Request {
        let unique_key = Some(unique_key::of_notify(&self.channel, &self.group));
        let requires = Requires { repository: None, labels: vec![Self::label(&self.channel)] };
        let request = Request::new(id, Spec::Notify(self), requested_by, None);
        Request { unique_key, requires, max_attempts: i32::MAX, ..request }
    }

    /// One for tests.
    pub fn sample() -> Self {
        Self { channel: "pager".into(), group: "all".into() }
    }
}

/// Whether it is a name for a channel, or a group.
pub fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=NAME_LONGEST).contains(&name.len()) && name.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert_eq!(NotifySpec::sample().check(), []);
        let spec = NotifySpec { channel: "Pager".into(), group: "a/b".into() };
        let fields: Vec<String> = spec.check().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["channel", "group"]);
        assert!(!is_name("") && !is_name(&"a".repeat(65)));
    }
}
