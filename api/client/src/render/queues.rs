//! Kinds of jobs and workers.

use super::{clean, table::Table, time};
use lucid_schemas::run::{QueueView, WorkerList, WorkerView};

/// Kinds of jobs, and who paused which.
pub fn queues(queues: &[QueueView]) -> String {
    let mut table = Table::new(&["KIND", "STATE", "SINCE", "BY", "REASON"]);
    for queue in queues {
        table.row(&[
            queue.kind.clone(),
            if queue.paused { "paused" } else { "open" }.into(),
            queue.since.as_deref().map_or_else(String::new, time::second),
            queue.by.clone().unwrap_or_default(),
            clean(queue.reason.as_deref().unwrap_or_default()),
        ]);
    }
    table.text()
}

/// The live workers.
pub fn workers(list: &WorkerList) -> String {
    if list.workers.is_empty() {
        return "no worker is alive: start one with `lucid-ops worker`\n".into();
    }
    let mut table = Table::new(&[
        "WORKER",
        "VERSION",
        ">BUSY",
        ">CLAIMED",
        ">ATTEMPTS",
        ">CLOCK",
        "KINDS",
        "REPOSITORIES",
        "LABELS",
    ]);
    for worker in &list.workers {
        table.row(&[
            worker.name.clone(),
            worker.version.clone(),
            format!("{} of {}", worker.running, worker.capacity),
            counted(worker, "claimed"),
            counted(worker, "claim_attempts"),
            worker.clock_skew_ms.map_or_else(String::new, |skew_ms| format!("{skew_ms:+} ms")),
            worker.kinds.join(", "),
            worker.repositories.join(", "),
            worker.labels.join(", "),
        ]);
    }
    table.text()
}

fn counted(worker: &WorkerView, name: &str) -> String {
    worker.counts.get(name).map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_tell_what_they_have_claimed() {
        let worker = serde_json::json!({
            "name": "pi-1/4711", "repositories": ["main"], "capacity": 2, "running": 1,
            "counts": { "claimed": 120, "claim_attempts": 123 },
        });
        let older = serde_json::json!({ "name": "pi-2/8", "repositories": [], "capacity": 2, "running": 0 });
        let list = serde_json::from_value(serde_json::json!({ "workers": [worker, older] })).expect("a list");
        let shown = workers(&list);
        let words: Vec<&str> = shown.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(words, ["pi-1/4711", "1", "of", "2", "120", "123", "main"], "{shown}");
    }

    #[test]
    fn a_pause_tells_who_and_why() {
        let queue = QueueView {
            kind: "backup".into(),
            paused: true,
            by: Some("api:pi-1".into()),
            reason: Some("disk swap\u{7}".into()),
            since: None,
        };
        let shown = queues(&[queue]);
        assert!(
            shown.contains("paused") && shown.contains("api:pi-1") && shown.contains("disk swap\u{fffd}"),
            "{shown}"
        );
    }
}
