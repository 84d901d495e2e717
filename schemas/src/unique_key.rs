//! Unique keys: at most one open job, or alert, has one.
//!
//! Stored with a word that says whose they are, so that no request can have a key of the system's.

use crate::alert::Fingerprint;

const USER: &str = "user/";
const SCHEDULE: &str = "schedule/";
const ALERT: &str = "alert/";
const MONITOR: &str = "monitor/";
const NOTIFY: &str = "notify/";
/// Whoever's keys there are.
const WORDS: [&str; 5] = [USER, SCHEDULE, ALERT, MONITOR, NOTIFY];

/// A key that a request asks for, as it is stored.
pub fn of_user(key: &str) -> String {
    format!("{USER}{key}")
}

/// The key that keeps the jobs of a schedule apart.
pub fn of_schedule(name: &str) -> String {
    format!("{SCHEDULE}{name}")
}

/// The key that keeps alerts about the same apart.
pub fn of_alert(fingerprint: &Fingerprint) -> String {
    format!("{ALERT}{fingerprint}")
}

/// The key that makes two who ask for the same monitor job ask for one.
pub fn of_monitor(generation: i64) -> String {
    format!("{MONITOR}{generation}")
}

/// The key that keeps the messages of a group to a channel apart.
pub fn of_notify(channel: &str, group: &str) -> String {
    format!("{NOTIFY}{channel}/{group}")
}

/// A stored key as whoever asked for it knows it.
pub fn shown(stored: &str) -> &str {
    stored.strip_prefix(USER).unwrap_or(stored)
}

/// The key of a job of before, when keys were stored as they came, as it is stored now; `requested_by` tells whose it is.
pub fn renewed(stored: &str, requested_by: &str) -> String {
    if stored == requested_by
        && let Some(name) = stored.strip_prefix("schedule:")
    {
        return of_schedule(name);
    }
    if WORDS.iter().any(|word| stored.starts_with(word)) { stored.to_owned() } else { of_user(stored) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_not_have_a_key_of_a_schedule() {
        assert_ne!(of_user("schedule/nightly"), of_schedule("nightly"));
        assert_eq!(shown(&of_user("schedule:nightly")), "schedule:nightly");
        assert_eq!(shown(&of_schedule("nightly")), "schedule/nightly");
    }

    #[test]
    fn keys_of_before_are_whose_they_were() {
        assert_eq!(renewed("schedule:nightly", "schedule:nightly"), "schedule/nightly");
        assert_eq!(renewed("schedule:nightly", "api:pi-1"), "user/schedule:nightly");
        assert_eq!(renewed("nightly", "api:pi-1"), "user/nightly");
        assert_eq!(renewed("user/nightly", "api:pi-1"), "user/nightly");
        assert_eq!(renewed("schedule/nightly", "schedule:nightly"), "schedule/nightly");
    }
}
