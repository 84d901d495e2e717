//! Silences: what somebody has said that nobody is to be told of for a while.
//!
//! A silence is written once and ended once, never edited. Alerts that it fits are raised, shown and counted as ever; only no
//! notice is sent. One that recurs is a maintenance window: it begins with each occurrence of a cron expression and lasts for
//! so long.

use crate::{
    FieldError,
    cron::Calendar,
    id::{is_label, label},
};
use bson::{DateTime, Document};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Number of the silence document's shape.
pub const SILENCE_SCHEMA: i32 = 1;
/// How far ahead a silence may end at most, in milliseconds: 30 days. Who wants more says so again.
pub const SILENCE_MS_MAX: i64 = 30 * DAY_MS;
/// The same of one that recurs: a year and a day.
pub const WINDOWS_MS_MAX: i64 = 366 * DAY_MS;
/// How many matchers a silence has at most.
pub const MATCHERS_MAX: usize = 16;

const DAY_MS: i64 = 86_400_000;
const WORD: &str = "silence";
const LABELS: &str = "labels.";
/// What is compared is a name, not a text.
const VALUE_BYTES_MAX: usize = 1_024;
/// So many windows ahead are looked at.
const WINDOWS_LOOKED_AT: usize = 100;

/// The id of a silence, such as `silence_20250109_020000_7k3fq2m8ab`; the date inside is only a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SilenceId(String);

/// What a matcher looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The rule.
    Rule,
    /// The severity, as its word.
    Severity,
    /// The label of this name; an alert without it has no value there.
    Label(String),
}

/// One condition of a silence: all of them must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// `rule`, `severity`, or `labels.` and the name of a label.
    pub on: Subject,
    /// What it is compared with, byte by byte.
    pub value: String,
    /// Whether it must not be equal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
}

/// When a silence recurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When it begins, as a cron expression of five fields.
    pub cron: String,
    /// By which clock, as an IANA name.
    pub timezone: String,
    /// How many seconds it lasts.
    pub duration_seconds: i64,
}

/// A stored silence. Times are by the primary's clock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Silence {
    /// The silence.
    #[serde(rename = "_id")]
    pub id: SilenceId,
    /// What it is about: at least one says what is equal.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub from: DateTime,
    /// Until when, unless somebody ends it before.
    pub until: DateTime,
    /// In which parts of that time; absent: in all of it.
    #[serde(default)]
    pub window: Option<Window>,
    /// Who wants it.
    pub by: String,
    /// Why, for people.
    pub comment: String,
    /// When it was written.
    pub created_at: DateTime,
    /// When somebody ended it.
    #[serde(default)]
    pub ended_at: Option<DateTime>,
    /// Who.
    #[serde(default)]
    pub ended_by: Option<String>,
    /// Which write made it; tells its writer after a lost answer that it was his.
    pub write: String,
}

impl SilenceId {
    /// Makes an id from its parts; `chance` supplies 50 random bits of its 64.
    pub fn compose(at: DateTime, chance: u64) -> Self {
        Self(label(WORD, at, chance))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for SilenceId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_one = text.strip_prefix(WORD).is_some_and(|rest| rest.starts_with('_'));
        if is_one && is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("is not a silence's id: expected something like silence_20250109_020000_7k3fq2m8ab".into())
        }
    }
}

impl<'de> Deserialize<'de> for SilenceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule => f.pad("rule"),
            Self::Severity => f.pad("severity"),
            Self::Label(name) => write!(f, "{LABELS}{name}"),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix(LABELS)) {
            ("rule", _) => Ok(Self::Rule),
            ("severity", _) => Ok(Self::Severity),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Label(name.to_owned())),
            _ => Err("must be 'rule', 'severity', or the name of a label as in 'labels.database'".into()),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.on, if self.not { "!=" } else { "=" }, self.value)
    }
}

impl FromStr for Matcher {
    type Err = String;

    /// Reads `rule=backup_overdue`, or `labels.database!=shop`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (on, value) = text.split_once('=').ok_or("has no '=': expected something like rule=backup_overdue")?;
        let (on, not) = on.strip_suffix('!').map_or((on, false), |on| (on, true));
        Ok(Self { on: on.parse()?, value: value.to_owned(), not })
    }
}

impl Matcher {
    /// Whether it holds for what has this rule, this severity, and these labels.
    pub fn holds(&self, rule: &str, severity: &str, labels: &BTreeMap<String, String>) -> bool {
        let is = match &self.on {
            Subject::Rule => self.value == rule,
            Subject::Severity => self.value == severity,
            Subject::Label(name) => labels.get(name) == Some(&self.value),
        };
        is != self.not
    }
}

/// What is wrong with matchers that somebody asks for.
pub fn check_matchers(matchers: &[Matcher]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !(1..=MATCHERS_MAX).contains(&matchers.len()) {
        errors.push(FieldError::new("matchers", format!("must be 1 to {MATCHERS_MAX}")));
    } else if matchers.iter().all(|matcher| matcher.not) {
        let problem = "must say of at least one thing what it is: what only says what isn't meant silences nearly all";
        errors.push(FieldError::new("matchers", problem));
    }
    for (place, Matcher { on, value, not }) in matchers.iter().enumerate() {
        // All must hold, so that a silence like this would keep nothing quiet, and nobody would notice.
        let excludes = |other: &&Matcher| {
            other.on == *on && !(other.not && *not) && (other.value == *value) == (other.not || *not)
        };
        if let Some(other) = matchers[..place].iter().find(excludes) {
            let problem = format!("never holds together with the one on '{}' before it", other.value);
            errors.push(FieldError::new(format!("matchers[{place}]"), problem));
        }
        let problem = match on {
            Subject::Severity => value.parse::<crate::alert::Severity>().err(),
            Subject::Rule | Subject::Label(_) if (1..=VALUE_BYTES_MAX).contains(&value.len()) => None,
            Subject::Rule | Subject::Label(_) => Some(format!("must have 1 to {VALUE_BYTES_MAX} bytes")),
        };
        errors.extend(problem.map(|problem| FieldError::new(format!("matchers[{place}].value"), problem)));
    }
    errors
}

impl Window {
    /// Its length, in milliseconds.
    pub const fn length_ms(&self) -> i64 {
        self.duration_seconds.saturating_mul(1_000)
    }

    /// What is wrong with a window that somebody asks for at this time. It lasts no longer than half of the time to the next one,
    /// so that alerts are heard at least half of the time.
    pub fn check(&self, now: DateTime) -> Vec<FieldError> {
        let calendar = match Calendar::asked(&self.cron, &self.timezone) {
            Ok(calendar) => calendar,
            Err(errors) => {
                let within = |error: FieldError| FieldError::new(format!("window.{}", error.field), error.problem);
                return errors.into_iter().map(within).collect();
            }
        };
        let field = "window.duration_seconds";
        if self.duration_seconds < 1 {
            return vec![FieldError::new(field, "must be at least 1")];
        }
        let mut begins = std::iter::successors(calendar.next_after(now), |begin| calendar.next_after(*begin));
        let Some(mut begin) = begins.next() else {
            return vec![FieldError::new("window.cron", "names a date that never comes")];
        };
        for next in begins.take(WINDOWS_LOOKED_AT) {
            let between_ms = next.timestamp_millis().saturating_sub(begin.timestamp_millis());
            if self.length_ms() > between_ms / 2 {
                let most = between_ms / 2_000;
                let problem = format!("must be at most {most}, half of the time from one window to the next");
                return vec![FieldError::new(field, problem)];
            }
            begin = next;
        }
        Vec::new()
    }
}

impl Silence {
    /// Whether it holds at this time; one whose times this node can't read never does.
    pub fn is_active(&self, now: DateTime) -> bool {
        if self.is_over(now) || now < self.from {
            return false;
        }
        let Some(window) = &self.window else { return true };
        let begin = Calendar::new(&window.cron, &window.timezone).ok().and_then(|calendar| calendar.last_until(now));
        begin.is_some_and(|begin| {
            begin >= self.from && now.timestamp_millis() - begin.timestamp_millis() < window.length_ms()
        })
    }

    /// Whether it is over for good.
    pub fn is_over(&self, now: DateTime) -> bool {
        self.ended_at.is_some() || self.until <= now
    }

    /// Reads a stored document.
    ///
    /// # Errors
    /// One sentence that names the silence and says what is wrong.
    pub fn from_document(document: Document) -> Result<Self, String> {
        let id = document.get_str("_id").unwrap_or("?").to_owned();
        match document.get_i32("schema") {
            Ok(SILENCE_SCHEMA) => {}
            other => {
                let number = other.map_or_else(|_| "missing".to_owned(), |number| number.to_string());
                return Err(format!(
                    "the silence '{id}' can't be read: its schema is {number}, this program knows {SILENCE_SCHEMA}: upgrade this node"
                ));
            }
        }
        bson::deserialize_from_document(document).map_err(|error| format!("the silence '{id}' can't be read: {error}"))
    }
}

#[cfg(test)]
mod tests;
