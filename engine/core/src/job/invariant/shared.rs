//! What is true between jobs: judged from their event streams, so that it also holds of the past.

use super::{Invariant, Violation};
use crate::evolve::{birth, evolve};
use lucid_schemas::Job;
use std::collections::BTreeMap;

/// From when to when a job occupied a slot, in milliseconds of the primary's clock.
#[derive(Clone, Copy)]
struct Stay<'a> {
    job: &'a Job,
    from_ms: i64,
    until_ms: i64,
}

/// Each INV-9 that these jobs break. The time of an event is taken when its write begins, and a write that waited for
/// another one seems to come before it: overlaps of less than `grain_ms` are none.
pub fn shared_slots(jobs: &[Job], grain_ms: i64) -> Vec<Violation> {
    let mut stays: BTreeMap<String, Vec<Stay<'_>>> = BTreeMap::new();
    for job in jobs {
        for (slot, from_ms, until_ms) in occupied(job) {
            stays.entry(slot).or_default().push(Stay { job, from_ms, until_ms });
        }
    }
    let mut found = Vec::new();
    for (slot, mut stays) in stays {
        stays.sort_by_key(|stay| (stay.from_ms, stay.until_ms));
        let mut before: Option<Stay<'_>> = None;
        for stay in stays {
            if let Some(other) = before
                && other.until_ms.min(stay.until_ms) - stay.from_ms >= grain_ms.max(1)
            {
                let detail = format!(
                    "jobs {} ({} to {}) and {} ({} to {}) both occupied {slot}",
                    other.job.id(),
                    other.from_ms,
                    other.until_ms,
                    stay.job.id(),
                    stay.from_ms,
                    stay.until_ms,
                );
                found.push(Violation { invariant: Invariant::SlotsNotShared, detail });
            }
            before = before.filter(|other| other.until_ms > stay.until_ms).or(Some(stay));
        }
    }
    found
}

/// The slots that a job occupied, each with from when to when; to the end of time where it still does.
fn occupied(job: &Job) -> Vec<(String, i64, i64)> {
    let mut done = Vec::new();
    let mut open: BTreeMap<String, i64> = BTreeMap::new();
    let mut head = None;
    for event in &job.events {
        let next = match head.take() {
            None => birth(event),
            Some(head) => evolve(head, event),
        };
        let at_ms = event.at.stored().map_or(0, bson::DateTime::timestamp_millis);
        open.retain(|slot, from_ms| {
            let stays = next.holds.contains(slot);
            if !stays {
                done.push((slot.clone(), *from_ms, at_ms));
            }
            stays
        });
        for slot in &next.holds {
            open.entry(slot.clone()).or_insert(at_ms);
        }
        head = Some(next);
    }
    done.extend(open.into_iter().map(|(slot, from_ms)| (slot, from_ms, i64::MAX)));
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{DateTime, Document};
    use lucid_schemas::{BackupSpec, Event, EventBody, JobId, Kind, Request, Spec, Stamp};

    fn event(seq: i64, at_ms: i64, body: EventBody) -> Event {
        Event { seq, at: Stamp::At(DateTime::from_millis(at_ms)), by: "w".into(), write: "x".into(), body }
    }

    /// A job that had one slot of the cluster between these times.
    fn job(number: u64, from_ms: i64, until_ms: i64) -> Job {
        let spec = Spec::Backup(BackupSpec {
            database: "lucid".into(),
            collections: None,
            compression: true,
            encryption: true,
            require_consistent: false,
        });
        let request = Request::new(JobId::compose(Kind::Backup, DateTime::MIN, number), spec, "api:test", None);
        let enqueued =
            EventBody::Enqueued { request_hash: String::new(), delay_ms: 0, run_at: None, priority: 0, waits: false };
        let slots = vec!["cluster#63".to_owned()];
        let events = vec![
            event(1, 0, enqueued),
            event(2, from_ms, EventBody::Claimed { epoch: 1, attempt: 1, takeover: false, slots }),
            event(3, until_ms, EventBody::Succeeded { result: Document::new() }),
        ];
        let head = crate::fold(&events).expect("it has events");
        Job { request, head, lease: None, progress: None, events, fate: None }
    }

    #[test]
    fn two_jobs_in_one_slot_are_found_and_neighbours_in_time_are_none() {
        assert_eq!(shared_slots(&[job(1, 1_000, 2_000), job(2, 2_000, 3_000)], 0), vec![]);
        assert_eq!(shared_slots(&[job(1, 1_000, 2_000), job(2, 1_950, 3_000)], 100), vec![], "within the grain");
        let found = shared_slots(&[job(1, 1_000, 5_000), job(2, 2_000, 2_500), job(3, 4_000, 6_000)], 100);
        assert_eq!(found.len(), 2, "the long one meets both others: {found:?}");
        assert!(found.iter().all(|violation| violation.to_string().starts_with("INV-9: ")));
    }
}
