//! Variables and what becomes of the stored schedule, on the twin.

use super::{Wanted, read};
use crate::args::BackupScheduleArgs;
use lucid_ports::{
    ScheduleStore,
    memory::MemoryStore,
    schedules::{Edit, Edited, Mark},
};
use lucid_schemas::{
    Spec,
    schedule::{Missed, Schedule, Terms},
};

fn args(cron: Option<&str>, databases: &[&str]) -> BackupScheduleArgs {
    BackupScheduleArgs {
        backup_schedule: cron.map(Into::into),
        backup_databases: databases.iter().map(|name| (*name).to_owned()).collect(),
        backup_timezone: "UTC".into(),
        backup_retention_days: 0,
        backup_keep_last: 7,
        compression: true,
        encryption: true,
    }
}

fn wanted(cron: Option<&str>, databases: &[&str]) -> Wanted {
    read(&args(cron, databases), "lucid_ops").expect("good variables")
}

async fn all(store: &MemoryStore) -> Vec<(String, String, i64)> {
    let schedules = store.look().await.expect("a look").schedules;
    schedules.into_iter().map(|Schedule { name, terms, version, .. }| (name, terms.cron, version)).collect()
}

#[tokio::test]
async fn whoever_starts_makes_the_schedule_fit() {
    let store = MemoryStore::new();
    let told = |name: &str, cron: &str, version| (name.to_owned(), cron.to_owned(), version);
    for _ in 0..2 {
        wanted(Some("0 2 * * *"), &["lucid", "shop"]).keep(&store, "pi-1").await.expect("kept");
    }
    let both = [told("BACKUP_SCHEDULE", "0 2 * * *", 1), told("BACKUP_SCHEDULE.shop", "0 2 * * *", 1)];
    assert_eq!(all(&store).await, both, "once is enough");
    let before = store.schedule("BACKUP_SCHEDULE").await.expect("asked").expect("there");
    let terms = Terms { paused: true, missed: Missed::Skip, ..before.terms };
    let edit =
        Edit { name: before.name, version: 1, terms, mark: Mark::Keep, by: "api:pi-1".into(), write: "by hand".into() };
    assert!(matches!(store.edit_schedule(&edit).await, Ok(Edited::Done(_))));
    wanted(Some("30 3 * * *"), &["lucid"]).keep(&store, "pi-2").await.expect("kept");
    let after = store.schedule("BACKUP_SCHEDULE").await.expect("asked").expect("there");
    assert_eq!(
        (after.terms.cron.as_str(), after.version, after.updated_by.as_str()),
        ("30 3 * * *", 3, "variable:pi-2")
    );
    assert!(after.terms.paused && after.terms.missed == Missed::Skip, "what people have set stays");
    for cron in [None, Some(""), Some("  ")] {
        wanted(cron, &["lucid"]).keep(&store, "pi-1").await.expect("kept");
    }
    let left = [told("BACKUP_SCHEDULE", "30 3 * * *", 3), told("BACKUP_SCHEDULE.shop", "0 2 * * *", 1)];
    assert_eq!(all(&store).await, left, "without the variable nothing is touched");
}

#[tokio::test]
async fn retention_has_a_schedule_of_its_own() {
    let store = MemoryStore::new();
    for (days, version) in [(0, 0), (30, 1), (7, 2), (0, 3), (0, 3)] {
        let args = BackupScheduleArgs { backup_retention_days: days, ..args(Some("0 2 * * *"), &["lucid"]) };
        read(&args, "lucid_ops").expect("good").keep(&store, "pi-1").await.expect("kept");
        let Some(kept) = store.schedule("BACKUP_RETENTION").await.expect("asked") else {
            assert_eq!(version, 0);
            continue;
        };
        assert_eq!((kept.version, kept.terms.cron.as_str()), (version, "0 2 * * *"), "{days}");
        let Spec::Prune(spec) = kept.terms.spec else { panic!("a prune") };
        assert_eq!((spec.keep.days, kept.terms.paused), if days == 0 { (7, true) } else { (days, false) });
        assert_eq!(spec.keep.last, 7, "days never go alone");
    }
}

#[test]
fn a_bad_variable_is_named_before_anything_starts() {
    for (cron, databases, words) in [
        ("0 2 * *", &["lucid"][..], "BACKUP_SCHEDULE has 4 fields"),
        ("0 0 30 2 *", &["lucid"], "BACKUP_SCHEDULE names a date that never comes"),
        ("0 2 * * *", &["admin"], "BACKUP_DATABASE: 'admin' belongs to the server"),
        ("0 2 * * *", &["lucid", "lucid"], "BACKUP_DATABASE names 'lucid' twice"),
        ("0 2 * * *", &["lucid_ops"], "BACKUP_DATABASE: 'lucid_ops' holds the job history"),
        ("0 2 * * *", &[""], "BACKUP_DATABASE: must not be empty"),
        ("0 2 * * *", &["lucid", "données"], "no schedule can be named 'BACKUP_SCHEDULE.données'"),
    ] {
        let refused = read(&args(Some(cron), databases), "lucid_ops").err().expect(words);
        assert!(format!("{refused:?}").contains(words), "{refused:?}");
    }
    let elsewhere = BackupScheduleArgs { backup_timezone: "Mars".into(), ..args(Some("0 2 * * *"), &["lucid"]) };
    let refused = read(&elsewhere, "lucid_ops").err().expect("refused");
    assert!(format!("{refused:?}").contains("BACKUP_TIMEZONE 'Mars' is no time zone"), "{refused:?}");
}
