//! What only the twin can do: move the clock. The rest is proven by the conformance suite.

use super::MemoryStore;
use crate::{Enqueue, Outcome, Reach, Store};
use bson::DateTime;
use lucid_core::{Command, transition};
use lucid_schemas::{BackupSpec, JobId, Kind, Request, Spec, Stamp};
use std::time::Duration;

const AN_HOUR: Duration = Duration::from_hours(1);

fn enqueue(now: DateTime) -> Enqueue {
    Enqueue {
        request: Request {
            keys: Vec::new(),
            ..Request::new(
                JobId::compose(Kind::Backup, now, 1),
                Spec::Backup(BackupSpec {
                    database: "lucid".into(),
                    collections: None,
                    compression: true,
                    encryption: true,
                    require_consistent: false,
                }),
                "test",
                None,
            )
        },
        delay_ms: 3_600_000,
        run_at: None,
        write: "birth".into(),
    }
}

#[tokio::test]
async fn guards_are_judged_by_the_clock_of_the_store() {
    let now = DateTime::from_millis(1_736_388_000_000);
    let store = MemoryStore::at(now);
    let job = store.enqueue(&enqueue(now)).await.expect("enqueued");
    assert_eq!(job.head.created_at, Stamp::At(now));
    let reach = Reach { kinds: vec![Kind::Backup], ..Reach::default() };
    assert_eq!(store.next_due_in(&reach).await.expect("asked"), Some(AN_HOUR));
    let claim = Command::Claim { worker: "w".into(), lease_ms: 1_000, slots: Vec::new() };
    let next = transition(&job, &claim, "w", "claim").expect("lawful");
    store.advance(Duration::from_mins(59));
    assert!(matches!(store.apply(&next).await, Ok(Outcome::Lost(_))));
    store.advance(Duration::from_mins(1));
    assert!(matches!(store.apply(&next).await, Ok(Outcome::Won(_))));
    assert_eq!(store.next_due_in(&reach).await.expect("asked"), Some(Duration::from_secs(1)));
    store.set_now(now);
    assert_eq!(store.now(), now, "backwards, too");
}
