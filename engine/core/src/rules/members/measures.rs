//! Rules that compare one figure of a member with limits: each a row.

use super::{label, table};
use crate::rules::{
    Parameters, Reading, Rule, Verdict,
    facts::members::{Figures, Latency},
};

const RECOVERING: i64 = 3;
/// So few operations tell nothing of how long most of them take.
const OPERATIONS_AT_LEAST: f64 = 100.0;
/// Below so many percents an oplog has thrown nothing away yet: its window says how old it is, not how long it lasts.
const OPLOG_FULL_PERCENT: f64 = 90.0;
/// A disk that is emptier has time yet, whatever a restore does to it for some hours.
const DISK_FILLING_FROM_PERCENT: f64 = 60.0;

/// A rule that compares a figure.
struct Measure {
    rule: &'static Rule,
    /// The figure; none where nobody can tell.
    value: fn(&Figures) -> Option<f64>,
    /// What is wrong with it, after the name of the member.
    says: fn(f64) -> String,
}

#[rustfmt::skip] // A row is a row.
static MEASURES: [Measure; 11] = [
    Measure { rule: &table::OPLOG_WINDOW, value: oplog_window,
        says: |value| format!("keeps {:.1} hours of its oplog: who is away for longer must begin anew", value / 3_600.0) },
    Measure { rule: &table::CONNECTIONS, value: |figures| figures.connections_percent,
        says: |value| format!("has {value:.0} % of its connections in use") },
    Measure { rule: &table::QUEUED_OPERATIONS, value: |figures| figures.queued,
        says: |value| format!("has {value:.0} operations waiting to begin") },
    Measure { rule: &table::CURSORS_OPEN, value: |figures| figures.cursors,
        says: |value| format!("has {value:.0} cursors open") },
    Measure { rule: &table::CURSORS_TIMED_OUT, value: |figures| figures.cursors_timed_out_per_minute,
        says: |value| format!("closes {value:.0} cursors a minute that nobody reads on") },
    Measure { rule: &table::CACHE_USED, value: |figures| figures.cache_percent,
        says: |value| format!("has {value:.0} % of its cache in use") },
    Measure { rule: &table::CACHE_DIRTY, value: |figures| figures.dirty_percent,
        says: |value| format!("has {value:.0} % of its cache filled with what isn't on disk yet") },
    Measure { rule: &table::APP_EVICTIONS, value: |figures| figures.app_evictions_per_second,
        says: |value| format!("lets clients make room in its cache, {value:.0} pages a second") },
    Measure { rule: &table::FLOW_CONTROL, value: |figures| figures.is_flow_controlled.map(|is| f64::from(u8::from(is))),
        says: |_| "slows down writes, since too few members keep up".into() },
    Measure { rule: &table::DISK_SPACE, value: |figures| figures.disk_percent,
        says: |value| format!("has a disk that is {value:.0} % full") },
    Measure { rule: &table::DISK_FILLING, value: disk_filling,
        says: |_| "has a disk that will be full in a day if it goes on like this".into() },
];

/// What they say of a member that holds data; of a silent one, that nobody can tell.
pub(super) fn read(address: &str, figures: Option<&Figures>, parameters: &Parameters) -> Vec<Reading> {
    let judge = |rule: &'static Rule, value: Option<f64>, says: &dyn Fn(f64) -> String| {
        let verdict = |value| parameters.limits(rule).judge(value, || format!("{address} {}", says(value)));
        Reading { rule, labels: label("member", address), verdict: value.map_or(Verdict::Unknown, verdict) }
    };
    let measured = MEASURES.iter().map(|measure| judge(measure.rule, figures.and_then(measure.value), &measure.says));
    let mut readings: Vec<Reading> = measured.collect();
    for class in ["reads", "writes"] {
        let latency = figures.and_then(|figures| figures.latencies.get(class)).map(slowest);
        let says = |value: f64| format!("takes {value:.2} s or more for one of a hundred {class}");
        let mut reading = judge(&table::LATENCY, latency, &says);
        reading.labels.insert("op_type".to_owned(), class.to_owned());
        readings.push(reading);
    }
    let refused = figures.filter(|figures| may_be_asked(figures)).map(|figures| &figures.refused);
    let parts = refused.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
    let says = |_| format!("refuses to tell the monitor of: {parts}; `GET /stats` says why");
    let missing = refused.map(|refused| refused.iter().fold(0.0, |count, _| count + 1.0));
    readings.push(judge(&table::RIGHTS_MISSING, missing, &says));
    readings
}

fn oplog_window(figures: &Figures) -> Option<f64> {
    let is_full = figures.oplog_percent? > OPLOG_FULL_PERCENT;
    figures.oplog_window_seconds.map(|window| if is_full { window } else { f64::INFINITY })
}

fn disk_filling(figures: &Figures) -> Option<f64> {
    let has_time = figures.disk_percent? <= DISK_FILLING_FROM_PERCENT;
    figures.disk_percent_tomorrow.map(|percent| if has_time { 0.0 } else { percent })
}

fn slowest(latency: &Latency) -> f64 {
    if latency.operations < OPERATIONS_AT_LEAST { 0.0 } else { latency.p99_seconds }
}

/// Who copies data or begins refuses much that it tells later.
fn may_be_asked(figures: &Figures) -> bool {
    figures.state.is_none_or(|state| (1..RECOVERING).contains(&state))
}
