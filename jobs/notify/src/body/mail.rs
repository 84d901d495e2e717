//! A mail: a subject that says what to do next, and plain text.

use super::{link, time};
use crate::{
    message::{Message, Notice},
    text::plain,
};
use lucid_schemas::alert::{Severity, What};
use std::fmt::Write;

/// A subject is no longer than this many characters.
const SUBJECT_LONGEST: usize = 150;

/// What stands in a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// The mail.
pub fn mail(message: &Message) -> Mail {
    let mut text = String::new();
    for notice in &message.notices {
        item(&mut text, message, notice);
    }
    if message.left_out > 0 {
        let _ = writeln!(text, "{} more follow in the next mail.", message.left_out);
    }
    Mail {
        subject: format!("[lucid-ops] {}", subject(message).chars().take(SUBJECT_LONGEST).collect::<String>()),
        text,
    }
}

fn subject(message: &Message) -> String {
    if let [notice] = message.notices.as_slice() {
        return format!("{}: {}", word(notice), notice.summary);
    }
    let count =
        |is_counted: &dyn Fn(&Notice) -> bool| message.notices.iter().filter(|notice| is_counted(notice)).count();
    let counts = [
        (count(&|notice| !notice.is_over() && notice.severity == Severity::Critical), "critical"),
        (count(&|notice| !notice.is_over() && notice.severity == Severity::Warning), "warnings"),
        (count(&Notice::is_over), "resolved"),
        (message.left_out, "more"),
    ];
    let counts: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    counts.join(", ")
}

fn word(notice: &Notice) -> &'static str {
    match (notice.what, notice.severity) {
        (What::Resolved, _) => "RESOLVED",
        (What::Repeat, Severity::Critical) => "STILL CRITICAL",
        (What::Repeat, Severity::Warning) => "STILL WARNING",
        (What::Firing, Severity::Critical) => "CRITICAL",
        (What::Firing, Severity::Warning) => "WARNING",
    }
}

fn item(text: &mut String, message: &Message, notice: &Notice) {
    let _ = writeln!(text, "{}: {}", word(notice), notice.summary);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name}: {value}");
        }
    };
    line("rule", &notice.rule);
    for (name, value) in &notice.labels {
        line(&plain(name), &plain(value));
    }
    line("value", &notice.value.map(|value| value.to_string()).unwrap_or_default());
    let about = if notice.starts_at_uncertain { " (about)" } else { "" };
    line("since", &format!("{}{about}", time(notice.starts_at)));
    line("until", &notice.ends_at.map(time).unwrap_or_default());
    line("resolved by", notice.resolved_by.map_or("", |how| how.as_str()));
    line("note", if notice.is_silent { "there is no data now that could tell" } else { "" });
    line("note", if notice.is_flapping { "it comes and goes" } else { "" });
    line("link", &link(message, notice));
    line("key", &format!("{} ({})", notice.dedup_key(), notice.sequence));
    text.push('\n');
}
