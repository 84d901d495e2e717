//! Jobs for the tests of this crate.

use lucid_schemas::{
    fate::FateView,
    http::{FailureView, JobView},
};
use serde_json::json;

/// A backup that waits.
pub(crate) fn queued() -> JobView {
    JobView {
        job_id: "backup_20250109_020000_7k3fq2m8ab".into(),
        kind: "backup".into(),
        state: "queued".into(),
        spec: json!({ "database": "lucid", "collections": ["sessions", "authentication"], "compression": true }),
        repository: Some("main".into()),
        requested_by: "api:pi-1".into(),
        version: 1,
        epoch: 0,
        attempt: 0,
        max_attempts: 5,
        priority: 0,
        timeout_seconds: None,
        labels: Vec::new(),
        unique_key: None,
        after: None,
        on: None,
        retry_of: None,
        worker: None,
        waiting_for: Some("no worker is alive".into()),
        created_at: "2025-01-09T02:00:00.000Z".into(),
        run_at: "2025-01-09T02:00:00.000Z".into(),
        started_at: None,
        finished_at: None,
        progress: None,
        result: None,
        error: None,
        fate: None,
        canceled: None,
    }
}

/// A backup that ended well.
pub(crate) fn backed_up() -> JobView {
    JobView {
        state: "succeeded".into(),
        version: 5,
        epoch: 1,
        attempt: 1,
        worker: Some("pi-2/4711".into()),
        waiting_for: None,
        started_at: Some("2025-01-09T02:00:00.050Z".into()),
        finished_at: Some("2025-01-09T02:00:02.550Z".into()),
        result: Some(json!({
            "documents": 120_000, "raw_bytes": 34_000_000, "stored_bytes": 10_000_000, "consistent": true,
            "snapshot_time": { "t": 1_736_388_000, "i": 7 }, "manifest": { "key": "manifests/x", "hash": "ff" },
        })),
        ..queued()
    }
}

/// The same, which a prune has forgotten since.
pub(crate) fn forgotten() -> JobView {
    let fate = FateView {
        state: "forgotten".into(),
        at: "2025-02-09T03:00:00.000Z".into(),
        by: "prune_20250209_030000_0123456789".into(),
        reason: "no rule keeps it".into(),
    };
    JobView { fate: Some(fate), ..backed_up() }
}

/// A backup that ended badly.
pub(crate) fn failed() -> JobView {
    JobView {
        state: "failed".into(),
        result: None,
        error: Some(FailureView { code: "disk_full".into(), message: "the disk is full".into(), retryable: false }),
        ..backed_up()
    }
}

/// A restore that ended well, into a database with a hostile name.
pub(crate) fn restored() -> JobView {
    JobView {
        job_id: "restore_20250109_030000_0123456789".into(),
        kind: "restore".into(),
        created_at: "2025-01-09T03:00:00.000Z".into(),
        spec: json!({ "backup": "backup_20250109_020000_7k3fq2m8ab", "database": "lucid\u{1b}restored" }),
        ..backed_up()
    }
}
