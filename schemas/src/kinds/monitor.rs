//! A monitor job: who holds it writes alerts, and has them sent. Every monitor evaluates all the same.

use crate::{ConcurrencyKey, FieldError, JobId, Request, Spec, names::check_database, unique_key};
use serde::{Deserialize, Serialize};

/// The shortest interval, in seconds.
pub const INTERVAL_SHORTEST: i32 = 1;
/// The longest interval, in seconds.
pub const INTERVAL_LONGEST: i32 = 3_600;
/// Who holds a monitor job asks for the next one after so many milliseconds: a job's history is bounded.
pub const HELD_MS: i64 = 23 * 3_600_000;
/// So many databases can be named.
const DATABASES_MAX: usize = 100;

/// Writing alerts, as long as it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitorSpec {
    /// Number of the job in the chain: a write of an earlier one counts for nothing.
    pub generation: i64,
    /// Seconds from one round to the next. Whoever asks how old the last round is goes by it.
    pub interval_seconds: i32,
    /// The databases whose collections are measured; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<String>>,
    /// Whether it is told how long operations on each collection take; it costs many series, so it is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub latency_by_collection: bool,
}

/// What came of a monitor job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MonitorResult {
    /// Rounds that were judged and written.
    pub rounds: i64,
    /// Alerts that were raised.
    pub raised: i64,
    /// Alerts that were resolved.
    pub resolved: i64,
    /// Writes that a later claim, or the time, made nothing of.
    pub lost: i64,
    /// The job that goes on.
    pub successor: String,
}

impl MonitorSpec {
    /// What only one of them has.
    const KEY: &'static str = "monitor";

    /// The first one, of everything, with this interval.
    pub const fn every(interval_seconds: i32) -> Self {
        Self { generation: 1, interval_seconds, databases: None, latency_by_collection: false }
    }

    /// The same terms for another place in the chain.
    #[must_use]
    pub fn with_generation(&self, generation: i64) -> Self {
        Self { generation, ..self.clone() }
    }

    /// What such a job needs to itself.
    pub(crate) fn keys() -> Vec<ConcurrencyKey> {
        vec![ConcurrencyKey::exclusive(Self::KEY)]
    }

    /// What is wrong with it, by field.
    pub fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.generation < 1 {
            errors.push(FieldError::new("generation", "must be at least 1"));
        }
        if !(INTERVAL_SHORTEST..=INTERVAL_LONGEST).contains(&self.interval_seconds) {
            let problem = format!("must be from {INTERVAL_SHORTEST} to {INTERVAL_LONGEST}");
            errors.push(FieldError::new("interval_seconds", problem));
        }
        let named = self.databases.as_deref();
        if named.is_some_and(|named| !(1..=DATABASES_MAX).contains(&named.len())) {
            errors.push(FieldError::new("databases", format!("must be 1 to {DATABASES_MAX} names, or null for all")));
        }
        let bad = named.into_iter().flatten().find_map(|name| Some((name, check_database(name).err()?)));
        errors.extend(bad.map(|(name, problem)| FieldError::new("databases", format!("{name:?} {problem}"))));
        errors
    }

    /// The job: however often it is lost, it goes on, and two who ask for it ask for one.
    pub fn request(self, id: JobId, requested_by: impl Into<String>) -> Request {
        let unique_key = Some(unique_key::of_monitor(self.generation));
        let request = Request::new(id, Spec::Monitor(self), requested_by, None);
        Request { unique_key, max_attempts: i32::MAX, ..request }
    }

    /// One for tests.
    pub const fn sample() -> Self {
        Self { generation: 7, interval_seconds: 30, databases: None, latency_by_collection: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_one_names_its_fields() {
        let fields = |spec: MonitorSpec| spec.check().into_iter().map(|error| error.field).collect::<Vec<_>>();
        assert_eq!(fields(MonitorSpec::sample()), [""; 0]);
        assert_eq!(fields(MonitorSpec { generation: 0, ..MonitorSpec::every(0) }), ["generation", "interval_seconds"]);
        assert_eq!(fields(MonitorSpec { interval_seconds: 3_601, ..MonitorSpec::sample() }), ["interval_seconds"]);
        let of = |names: &[&str]| MonitorSpec {
            databases: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ..MonitorSpec::sample()
        };
        assert_eq!(fields(of(&["lucid", "shop"])), [""; 0]);
        for bad in [&[][..], &[""], &["lucid", "a.b"], &["a"; 101]] {
            assert_eq!(fields(of(bad)), ["databases"], "{bad:?}");
        }
    }

    #[test]
    fn what_older_programs_wrote_means_everything_and_what_they_can_read_is_written_where_it_is_enough() {
        let old = bson::doc! { "generation": 7_i64, "interval_seconds": 30 };
        assert_eq!(bson::deserialize_from_document::<MonitorSpec>(old.clone()).expect("read"), MonitorSpec::sample());
        assert_eq!(bson::serialize_to_document(&MonitorSpec::sample()).expect("written"), old);
        let narrow =
            MonitorSpec { databases: Some(vec!["lucid".into()]), latency_by_collection: true, ..MonitorSpec::sample() };
        let written = bson::serialize_to_document(&narrow).expect("written");
        assert_eq!(bson::deserialize_from_document::<MonitorSpec>(written).expect("read"), narrow);
    }
}
