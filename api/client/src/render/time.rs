//! Times of the API (RFC 3339 in UTC) for people.

use chrono::DateTime;

/// Milliseconds since 1970; `None` where it can't be read.
pub(crate) fn millis(at: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(at).ok().map(|at| at.timestamp_millis())
}

/// `2025-01-09 02:00:00`.
pub fn second(at: &str) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S")
}

/// `2025-01-09 02:00:00.123`.
pub(crate) fn millisecond(at: &str) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S%.3f")
}

fn formatted(at: &str, format: &str) -> String {
    DateTime::parse_from_rfc3339(at).map_or_else(|_| at.to_owned(), |at| at.to_utc().format(format).to_string())
}

/// Milliseconds between two times, as far as both are known.
pub(crate) fn between(from: Option<&str>, to: Option<&str>) -> Option<i64> {
    Some(millis(to?)? - millis(from?)?)
}
