//! Ids that stay the same, names, and what is said about a schedule.

use super::*;
use crate::BackupSpec;

fn nightly() -> Schedule {
    let at = DateTime::from_millis(1_736_388_000_000);
    Schedule {
        name: "nightly".into(),
        version: 1,
        terms: Terms {
            cron: "0 2 * * *".into(),
            timezone: "Europe/Berlin".into(),
            spec: Spec::Backup(BackupSpec {
                database: "lucid".into(),
                collections: None,
                compression: true,
                encryption: true,
                require_consistent: false,
            }),
            repository: "main".into(),
            max_attempts: 5,
            paused: false,
            missed: Missed::All,
            missed_limit: 24,
            overlap: Overlap::Skip,
        },
        high_water: at,
        last: Some(Outcome { planned_at: at, job: None, skipped: Some("missed".into()) }),
        created_by: "api:pi-1".into(),
        created_at: at,
        updated_by: "api:pi-1".into(),
        updated_at: at,
        write: "w".into(),
    }
}

#[test]
fn the_job_of_an_occurrence_is_always_the_same_one() {
    let (nightly, planned_at) = (nightly(), DateTime::from_millis(1_736_388_000_000));
    let id = nightly.occurrence_id(planned_at);
    // Pinned: another release must not make the same occurrence once more.
    assert_eq!(id.as_str(), "backup_20250109_020000_pjn95hh2xa");
    let others = [
        Schedule { name: "nightly2".into(), ..nightly.clone() }.occurrence_id(planned_at),
        Schedule { created_at: DateTime::from_millis(1), ..nightly.clone() }.occurrence_id(planned_at),
        nightly.occurrence_id(DateTime::from_millis(1_736_388_000_001)),
    ];
    assert!(!others.contains(&id), "{others:?}");
    let edited = Schedule { version: 9, updated_at: DateTime::from_millis(1), ..nightly };
    assert_eq!(edited.occurrence_id(planned_at), id, "an edit makes no other occurrence of it");
}

#[test]
fn a_later_schema_says_what_to_do() {
    let refused = Schedule::from_document(doc! { "_id": "x", "schema": 2 }).expect_err("refused");
    assert!(refused.contains("'x'") && refused.contains("upgrade this node"), "{refused}");
}

#[test]
fn names_are_plain() {
    for name in ["nightly", "BACKUP_SCHEDULE", "BACKUP_SCHEDULE.shop-2", "7", &"x".repeat(64)] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    for name in ["", "-x", ".x", "_x", "a b", "a/b", "$x", "ä", "a\n", &"x".repeat(65)] {
        assert!(check_name(name).is_err(), "{name}");
    }
}

#[test]
fn a_mark_in_the_future_is_told() {
    let (mut nightly, now) = (nightly(), DateTime::from_millis(1_736_388_000_000));
    assert_eq!(nightly.problem(now), None);
    nightly.high_water = DateTime::from_millis(now.timestamp_millis() + 30_000);
    assert_eq!(nightly.problem(now), None, "primaries' clocks differ a little");
    nightly.high_water = DateTime::from_millis(now.timestamp_millis() + 7_200_000);
    let told = nightly.problem(now).expect("a problem");
    assert!(told.contains("nightly") && told.contains("2025-01-09T04:00:00Z"), "{told}");
    nightly.terms.timezone = "Mars/Olympus".into();
    assert!(nightly.problem(now).expect("a problem").contains("timezone: 'Mars/Olympus'"));
    nightly.terms.paused = true;
    assert!(nightly.problem(now).is_some(), "what is paused is to be resumed some day");
}
