//! How the service is.

use super::{
    clean,
    table::{Table, pairs},
    time,
};
use lucid_schemas::http::Health;

/// The health of the service: state, workers, open jobs, and what somebody should look at.
pub fn health(health: &Health) -> String {
    let open: Vec<_> = health.open_jobs.iter().map(|(state, jobs)| format!("{jobs} {state}")).collect();
    let mut text = pairs(&[
        ("status".into(), health.status.to_string()),
        ("evaluated".into(), health.evaluated_at.as_deref().map_or_else(|| "never".into(), time::second)),
        ("version".into(), health.version.clone()),
        ("MongoDB".into(), health.mongodb.clone()),
        ("time zones".into(), health.time_zones.clone()),
        ("open jobs".into(), if open.is_empty() { "none".into() } else { open.join(", ") }),
    ]);
    if !health.workers.is_empty() {
        let mut table = Table::new(&["WORKER", ">BUSY", "REPOSITORIES"]);
        for worker in &health.workers {
            table.row(&[
                worker.name.clone(),
                format!("{} of {}", worker.running, worker.capacity),
                worker.repositories.join(", "),
            ]);
        }
        text += "\n";
        text += &table.text();
    }
    if !health.problems.is_empty() {
        text += "\nto look at\n";
        let lines = health.problems.iter().map(|problem| format!("  {}\n", clean(problem)));
        text.extend(lines);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::run::WorkerView;

    #[test]
    fn problems_come_last_and_stand_out() {
        let worker = |name: &str| WorkerView {
            name: name.into(),
            version: "0.1.0".into(),
            kinds: vec!["backup".into()],
            labels: Vec::new(),
            clock_skew_ms: Some(3),
            counts: std::collections::BTreeMap::new(),
            problems: Vec::new(),
            seen_at: None,
            repositories: vec!["main".into(), "offsite".into()],
            capacity: 2,
            running: 1,
        };
        let shown = health(&Health {
            status: lucid_schemas::http::health::Status::Degraded,
            evaluated_at: Some("2026-01-09T02:00:00.123Z".into()),
            version: "0.1.0".into(),
            mongodb: "6.0.5, primary 127.0.0.1:27017".into(),
            workers: vec![worker("pi-1/4711"), worker("pi-2/8")],
            open_jobs: [("queued".to_owned(), 3), ("running".to_owned(), 1)].into(),
            problems: vec!["3 queued jobs wait".into()],
            time_zones: "2026a, in /usr/share/zoneinfo".into(),
        });
        assert_eq!(
            shown,
            "\
status      degraded
evaluated   2026-01-09 02:00:00
version     0.1.0
MongoDB     6.0.5, primary 127.0.0.1:27017
time zones  2026a, in /usr/share/zoneinfo
open jobs   3 queued, 1 running

WORKER       BUSY  REPOSITORIES
pi-1/4711  1 of 2  main, offsite
pi-2/8     1 of 2  main, offsite

to look at
  3 queued jobs wait
"
        );
    }
}
