//! Which backup is meant, and what is refused.

use super::*;
use bson::DateTime;
use lucid_repository::{Damage, Domain};

fn entry(job: &str, epoch: i64, database: Option<&str>) -> (String, ManifestEntry) {
    let manifest = database.map(|database| Manifest {
        generation: 0,
        selected: None,
        copied_from: None,
        cluster: None,
        former_hashes: Vec::new(),
        format: 1,
        job: job.into(),
        epoch,
        domain: Domain::Sealed,
        database: database.into(),
        started_at: DateTime::from_millis(i64::try_from(job.len()).expect("short") * 1_000),
        finished_at: DateTime::from_millis(0),
        snapshot_time: None,
        server_version: String::new(),
        fcv: String::new(),
        member: String::new(),
        consistent: true,
        collections: Vec::new(),
    });
    let damage = Damage { object: job.into(), problem: "burnt".into() };
    let key = format!("{job}.{epoch}");
    let (object, job, manifest) = (key.clone(), job.into(), manifest.ok_or(damage));
    let (key_id, retired, settled) = (1, false, true);
    ("main".into(), ManifestEntry { key, object, key_id, retired, job, epoch, manifest, settled })
}

/// The same of `shop`, read at this second of the cluster's clock.
fn read_at(seconds: u32, job: &str, change: impl FnOnce(&mut Manifest)) -> (String, ManifestEntry) {
    let (name, mut entry) = entry(job, 1, Some("shop"));
    if let Ok(manifest) = &mut entry.manifest {
        manifest.snapshot_time = Some(Timestamp { time: seconds, increment: 1 });
        change(manifest);
    }
    (name, entry)
}

fn of(cluster: &str) -> impl Fn(&mut Manifest) {
    let cluster = cluster.to_owned();
    move |manifest| manifest.cluster = Some(cluster.clone())
}

fn said(chosen: Result<(&str, &str), Exit>) -> String {
    format!("{:?}", chosen.expect_err("refused"))
}

#[test]
fn a_backup_is_meant_by_id_prefix_or_age() {
    let entries = [
        entry("night_1", 1, Some("shop")),
        entry("night_1", 2, Some("shop")),
        entry("night_22", 1, Some("books")),
        entry("night_333", 1, None),
    ];
    let chosen = |wanted: &str| choose(&entries, wanted).map(|(_, key)| key.to_owned()).ok();
    assert_eq!(chosen("night_1").as_deref(), Some("night_1.2"), "the last attempt");
    assert_eq!(chosen("night_2").as_deref(), Some("night_22.1"));
    assert_eq!(chosen("latest:shop").as_deref(), Some("night_1.2"));
    for refused in ["night", "latest", "latest:none", "night_333", "other", "latest:shop:", "latest:shop:a:b"] {
        assert_eq!(chosen(refused), None, "{refused}");
    }
    assert_eq!(choose(&entries[..2], "latest").map(|(_, key)| key).ok(), Some("night_1.2"));
}

#[test]
fn a_part_of_a_database_never_stands_for_its_latest_backup() {
    let part = |manifest: &mut Manifest| manifest.selected = Some(vec!["users".into(), "carts".into()]);
    let entries = [read_at(10, "night_1", |_| ()), read_at(20, "part_2", part)];
    for wanted in ["latest", "latest:shop"] {
        assert_eq!(choose(&entries, wanted).map(|(_, key)| key).ok(), Some("night_1.1"), "{wanted}");
    }
    assert_eq!(choose(&entries, "part_2").map(|(_, key)| key).ok(), Some("part_2.1"), "by its name");
    let refused = said(choose(&entries[1..], "latest:shop"));
    assert!(refused.contains("as a whole") && refused.contains("part_2 of shop (2 collections)"), "{refused}");
}

#[test]
fn the_latest_is_the_latest_by_the_clusters_clock() {
    let entries = [
        read_at(20, "night_1", |manifest| manifest.started_at = DateTime::from_millis(1)),
        // Its worker's clock was years ahead.
        read_at(10, "night_2", |manifest| manifest.started_at = DateTime::from_millis(i64::MAX / 2)),
    ];
    assert_eq!(choose(&entries, "latest:shop").map(|(_, key)| key).ok(), Some("night_1.1"));
}

#[test]
fn whose_latest_backup_is_meant_must_be_said_where_several_clusters_have_some() {
    let entries = [
        read_at(10, "night_1", of("a1-production")),
        read_at(30, "night_3", of("b2-staging")),
        read_at(5, "night_0", |_| ()),
        read_at(20, "night_2", of("a1-production")),
    ];
    for wanted in ["latest", "latest:shop", "latest:shop:c3", "latest:shop:"] {
        let refused = said(choose(&entries, wanted));
        let names_both = refused.contains("night_2 of shop") && refused.contains("night_3 of shop");
        assert!(names_both || wanted == "latest:shop:c3", "{wanted}: {refused}");
    }
    let chosen = |wanted: &str| choose(&entries, wanted).map(|(_, key)| key.to_owned()).ok();
    assert_eq!(chosen("latest:shop:a1-production").as_deref(), Some("night_2.1"));
    assert_eq!(chosen("latest:shop:b2").as_deref(), Some("night_3.1"), "a prefix will do");
    // Of before the manifests named clusters: older ones are nobody's rivals, a newer one is.
    let (one, older) = (entries[3].clone(), entries[2].clone());
    assert_eq!(
        choose(&[older, one.clone()], "latest").map(|(_, key)| key.to_owned()).ok().as_deref(),
        Some("night_2.1")
    );
    let newer = read_at(40, "night_4", |_| ());
    assert!(said(choose(&[one, newer], "latest")).contains("night_4 of shop"));
}
