//! What is printed for people. Every function gives text that ends with a newline.

mod access;
mod alerts;
mod audit;
mod backups;
mod events;
mod health;
mod job;
mod jobs;
mod prune;
mod queues;
#[cfg(test)]
pub(crate) mod samples;
mod schedules;
pub mod table;
pub mod time;
mod top;
pub mod units;

pub use access::{token, tokens, who};
pub use alerts::{alert, alerts, silence, silences};
pub use audit::audit;
pub use backups::backups;
pub use events::{event, events};
pub use health::health;
pub use job::{ending, has_problems, is_dry_run, job};
pub use jobs::jobs;
pub use queues::{queues, workers};
pub use schedules::{schedule, schedules};
pub use top::{terminal, top};

use lucid_schemas::http::ProgressView;

use serde::Serialize;
use serde_json::Value;

/// The name of a database, and of how many collections a backup of less than all of it is.
pub fn part_of(database: &str, collections: Option<u64>) -> String {
    match collections {
        None => database.to_owned(),
        Some(1) => [database, " (1 collection)"].concat(),
        Some(count) => {
            [database, " (", &units::count(i64::try_from(count).unwrap_or(i64::MAX)), " collections)"].concat()
        }
    }
}

/// Progress in one line.
pub fn progress(progress: &ProgressView) -> String {
    clean(&crate::progress::done(progress))
}

/// Views as JSON for programs.
pub fn json(view: &impl Serialize) -> String {
    // Views are plain structs with string keys; there is nothing in them that JSON couldn't take.
    let text = serde_json::to_string_pretty(view).unwrap_or_else(|_| "null".into());
    text + "\n"
}

/// The text without control characters and marks that aren't seen, such as those that turn the direction of writing: what a server says
/// must not steer a terminal, nor look like something else.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_unseen(c) { '\u{fffd}' } else { c }).collect()
}

const fn is_unseen(letter: char) -> bool {
    matches!(
        letter,
        '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// The same line by line.
pub fn lines(text: &str) -> String {
    text.lines().map(|line| clean(line) + "\n").collect()
}

/// The text, cut to so many characters.
pub fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters.saturating_sub(3)).collect();
    kept + "..."
}

/// A value of a spec, a result or an event in a few words.
pub(crate) fn brief(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_i64() {
            Some(bytes) if name.ends_with("_bytes") => units::bytes(bytes),
            Some(ms) if name.ends_with("_ms") => units::duration(ms),
            Some(count) => units::count(count),
            None => number.to_string(),
        },
        Value::Array(values) if values.iter().all(Value::is_string) => {
            let names: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            names.join(", ")
        }
        Value::Object(fields) => match (fields.get("t"), fields.get("i"), fields.get("message")) {
            // A cluster time, a failure.
            (Some(time), Some(increment), _) => format!("{time}:{increment}"),
            (_, _, Some(Value::String(message))) => message.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\r\nc\u{9b}d"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("äöüß", 4), "äöüß");
        assert_eq!(cut("äöüßäöü", 5), "äö...");
    }
}
