//! The life of one job, in order.

use super::{brief, clean, cut, table::Table, time, units};
use lucid_schemas::http::{EventList, EventView};

const VALUE_CHARACTERS: usize = 100;
const HASH_CHARACTERS: usize = 12;

/// The event timeline of a job.
pub fn events(list: &EventList) -> String {
    let mut table = Table::new(&[">SEQ", "TIME (UTC)", ">AFTER", "EVENT", "BY", "DATA"]);
    let first = list.events.first().map(|event| event.at.as_str());
    for event in &list.events {
        let after = time::between(first, Some(&event.at)).map(|ms| format!("+{}", units::duration(ms)));
        table.row(&[
            event.seq.to_string(),
            time::millisecond(&event.at),
            after.unwrap_or_default(),
            event.kind.clone(),
            event.by.clone(),
            data(event),
        ]);
    }
    table.text()
}

/// One line of a live timeline.
pub fn event(event: &EventView) -> String {
    let line = format!("{}  {:<16}  {}  {}", time::millisecond(&event.at), event.kind, event.by, data(event));
    clean(line.trim_end()) + "\n"
}

/// `name=value` for each particular; hashes only to be recognised by.
fn data(event: &EventView) -> String {
    let fields = event.data.as_object().into_iter().flatten();
    let told: Vec<_> = fields
        .map(|(name, value)| {
            let value = brief(name, value);
            if name.ends_with("hash") {
                let short: String = value.chars().take(HASH_CHARACTERS).collect();
                format!("{name}={short}")
            } else {
                format!("{name}={}", cut(&value, VALUE_CHARACTERS))
            }
        })
        .collect();
    told.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(seq: i64, at: &str, kind: &str, by: &str, data: Value) -> EventView {
        EventView { seq, at: at.into(), kind: kind.into(), by: by.into(), data }
    }

    #[test]
    fn a_timeline_is_aligned() {
        let hash = "0123456789abcdef".repeat(4);
        let list = EventList {
            job_id: "backup_x".into(),
            events: vec![
                event(
                    1,
                    "2025-01-09T02:00:00.000Z",
                    "enqueued",
                    "api:pi-1",
                    json!({ "request_hash": hash, "delay_ms": 0 }),
                ),
                event(
                    2,
                    "2025-01-09T02:00:00.042Z",
                    "claimed",
                    "worker:pi-2/4711",
                    json!({ "epoch": 1, "attempt": 1, "takeover": false }),
                ),
                event(
                    3,
                    "2025-01-09T02:01:05.100Z",
                    "attempt_failed",
                    "worker:pi-2/4711",
                    json!({
                        "error": { "code": "disk_full", "message": "the disk\nis full", "retryable": true }, "retry_in_ms": 2_000,
                    }),
                ),
                event(
                    4,
                    "2025-01-09T02:01:07.100Z",
                    "snapshot_taken",
                    "worker:pi-2/4711",
                    json!({ "cluster_time": { "t": 5, "i": 6 } }),
                ),
            ],
        };
        assert_eq!(
            super::event(&list.events[2]),
            "2025-01-09 02:01:05.100  attempt_failed    worker:pi-2/4711  error=the disk\u{fffd}is full retry_in_ms=2.0 s\n"
        );
        assert_eq!(
            events(&list),
            "\
SEQ  TIME (UTC)                    AFTER  EVENT           BY                DATA
  1  2025-01-09 02:00:00.000       +0 ms  enqueued        api:pi-1          delay_ms=0 ms request_hash=0123456789ab
  2  2025-01-09 02:00:00.042      +42 ms  claimed         worker:pi-2/4711  attempt=1 epoch=1 takeover=false
  3  2025-01-09 02:01:05.100  +1 min 5 s  attempt_failed  worker:pi-2/4711  error=the disk\u{fffd}is full retry_in_ms=2.0 s
  4  2025-01-09 02:01:07.100  +1 min 7 s  snapshot_taken  worker:pi-2/4711  cluster_time=5:6
"
        );
    }
}
