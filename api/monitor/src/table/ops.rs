//! Families of this service: jobs, workers, alerts, and the process itself.

use super::{
    Family, Point,
    Type::{Counter, Gauge, Histogram},
    Value, family,
    fill::{count, flag, jobs, number, one, point},
};
use crate::{
    Seen,
    facts::members::stream_lag,
    jobs::{Fleet, ended::Ended},
};
use lucid_schemas::{Kind, State};
use std::{collections::BTreeMap, time::UNIX_EPOCH};

const KIND: &[&str] = &["kind"];
const OUTCOME: &[&str] = &["kind", "outcome"];

#[rustfmt::skip] // A row is a row.
pub(super) const FAMILIES: &[Family] = &[
    family("ops_build_info", Gauge, "1", &["version"], "The version of this program; always 1.",
        |_| vec![point([env!("CARGO_PKG_VERSION")], 1.0)]),
    family("ops_store_up", Gauge, "0 or 1", &[], "Whether the store of jobs answers; where it is 0, nothing is told of jobs and backups.",
        |seen| one(flag(seen.jobs.is_ok()))),
    family("ops_jobs", Gauge, "jobs", &["kind", "state"], "Open jobs; of more than a thousand, the newest thousand are counted.",
        |seen| jobs(seen, |jobs| jobs.open.iter().map(|((kind, state), open)| point([kind.as_str(), state.as_str()], number(*open))).collect())),
    family("ops_oldest_due_job_age_seconds", Gauge, "seconds", &["kind"], "Since when the job is due that is due for longest, and nobody has begun; a drill counts as a restore.",
        |seen| jobs(seen, |jobs| jobs.due_seconds.iter().map(|(kind, age)| point([kind.as_str()], *age)).collect())),
    family("ops_jobs_total", Counter, "jobs", OUTCOME, "Jobs that ended since this monitor was started: succeeded, failed or canceled; each monitor counts by itself, so take the largest of several, not their sum.", ended),
    family("ops_job_duration_seconds", Histogram, "seconds", OUTCOME, "How long those jobs took that were begun, from their first claim to their end, retries and waits between them included.", durations),
    family("ops_leases_lost_total", Counter, "leases", KIND, "Attempts whose worker fell silent, so that its lease ended; of the jobs that ended since this monitor was started.",
        |seen| jobs(seen, |jobs| Kind::ALL.into_iter().map(|kind| point([kind.as_str()], count(jobs.counted.leases_lost.get(&kind).copied().unwrap_or(0)))).collect())),
    family("ops_workers", Gauge, "workers", &[], "Workers that were heard of in the last half minute.",
        |seen| jobs(seen, |jobs| one(number(jobs.workers)))),
    family("ops_worker_slots", Gauge, "jobs", &["state"], "Jobs that live workers can run at once, by whether they do.",
        |seen| jobs(seen, |jobs| vec![point(["busy"], number(jobs.slots_busy)), point(["free"], number(jobs.slots_free))])),
    family("ops_workers_able", Gauge, "workers", &["kind"], "Live workers that can run jobs of the kind.",
        |seen| jobs(seen, |jobs| jobs.able.iter().map(|(kind, workers)| point([kind.as_str()], number(*workers))).collect())),
    family("ops_workers_with_problems", Gauge, "workers", &[], "Live workers that say that something is wrong there; lucid-ops health says what.",
        |seen| fleet(seen, |fleet| Some(number(fleet.with_problems)))),
    family("ops_workers_silent_seconds", Gauge, "seconds", &[], "How long ago that live worker was heard of which is silent for longest; after half a minute it counts as gone.",
        |seen| fleet(seen, |fleet| fleet.silent_seconds)),
    family("ops_workers_clock_skew_seconds", Gauge, "seconds", &[], "By how much the clock of that live worker is ahead of the primary's which differs most; below zero where it is behind.",
        |seen| fleet(seen, |fleet| fleet.clock_skew_seconds)),
    family("ops_workers_counts", Gauge, "times", &["event"], "What live workers have counted since each was started, added up: claims, looks, wake-ups, and gaps, where a change stream was begun again; falls where a worker ends.", counts),
    family("ops_change_stream_lag_seconds", Gauge, "seconds", &[], "By how much the change stream of jobs, as this process has it, is behind the newest operation of the set.",
        |seen| one(stream_lag(seen))),
    family("ops_notifications_total", Counter, "messages", &["channel", "outcome"], "Messages that this process has sent over a channel since it was started, or has tried to: sent, failed.",
        |seen| seen.sends.iter().flat_map(|(channel, sends)| [("sent", sends.sent), ("failed", sends.failed)].map(|(outcome, messages)| point([channel, outcome], count(messages)))).collect()),
    family("ops_notification_last_success_timestamp_seconds", Gauge, "seconds since 1970", &["channel"], "When this process has sent a message over a channel last, by the clock of its machine.",
        |seen| seen.sends.iter().filter_map(|(channel, sends)| Some(point([channel], sends.succeeded_at?.duration_since(UNIX_EPOCH).ok()?.as_secs_f64()))).collect()),
    family("ops_channel_torn", Gauge, "0 or 1", &["channel"], "Whether live monitors differ on a channel: mean something else by its name, or don't have it.",
        |seen| jobs(seen, |jobs| jobs.facts.channels.iter().map(|(channel, difference)| point([channel], flag(difference.is_some()))).collect())),
    family("ops_clock_offset_seconds", Gauge, "seconds", &[], "By how much the clock of the monitor's machine is ahead of the primary's, as far as the way of the question lets it tell.",
        |seen| jobs(seen, |jobs| one(jobs.clock_offset_seconds))),
    family("ops_alerts", Gauge, "alerts", &["rule", "severity", "state"], "Open alerts, as the store has them.", alerts),
    family("ops_monitor_evaluated_timestamp_seconds", Gauge, "seconds since 1970", &[], "When a monitor judged all of it by its rules last, by the primary's clock.",
        |seen| jobs(seen, |jobs| one(jobs.watch.condition(jobs.now()).evaluated_at.map(|at| number(at.timestamp_millis()) / 1_000.0)))),
    family("process_cpu_seconds_total", Counter, "seconds", &[], "Processor time of this process.", |seen| one(seen.process.cpu_seconds)),
    family("process_resident_memory_bytes", Gauge, "bytes", &[], "Memory of this process.", |seen| one(seen.process.resident_bytes)),
    family("process_start_time_seconds", Gauge, "seconds since 1970", &[], "When this process was started.", |seen| one(seen.process.started_at)),
    family("process_threads", Gauge, "threads", &[], "Threads of this process.", |seen| one(seen.process.threads)),
    family("process_open_fds", Gauge, "files", &[], "Files that this process has open.", |seen| one(seen.process.open_files)),
    family("process_max_fds", Gauge, "files", &[], "Files that this process may open.", |seen| one(seen.process.open_files_max)),
];

/// How many ended, by kind and outcome: also none, or the first one would rise from nothing, which no rate shows.
fn ended(seen: &Seen) -> Vec<Point> {
    jobs(seen, |jobs| {
        let outcomes = [State::Succeeded, State::Failed, State::Canceled];
        let keys = Kind::ALL.into_iter().flat_map(|kind| outcomes.map(|state| (kind, state)));
        let ended = |key| jobs.counted.ended.get(&key).map_or(0, |ended| ended.jobs);
        keys.map(|(kind, state)| point([kind.as_str(), state.as_str()], count(ended((kind, state))))).collect()
    })
}

fn durations(seen: &Seen) -> Vec<Point> {
    let point = |((kind, state), ended): (&(Kind, State), &Ended)| Point {
        labels: vec![kind.as_str().into(), state.as_str().into()],
        value: Value::Histogram(ended.seconds.clone()),
    };
    jobs(seen, |jobs| jobs.counted.ended.iter().map(point).collect())
}

fn fleet(seen: &Seen, value: impl Fn(&Fleet) -> Option<f64>) -> Vec<Point> {
    jobs(seen, |jobs| one(value(&jobs.fleet)))
}

fn counts(seen: &Seen) -> Vec<Point> {
    jobs(seen, |jobs| jobs.fleet.counts.iter().map(|(name, number_of)| point([name], number(*number_of))).collect())
}

fn alerts(seen: &Seen) -> Vec<Point> {
    jobs(seen, |jobs| {
        let mut open: BTreeMap<[&str; 3], i64> = BTreeMap::new();
        for alert in &jobs.watch.open {
            let key = [alert.origin.rule.as_str(), alert.head.severity.as_str(), alert.head.state.as_str()];
            *open.entry(key).or_default() += 1;
        }
        open.into_iter().map(|(labels, alerts)| point(labels, number(alerts))).collect()
    })
}
