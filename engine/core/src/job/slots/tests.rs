//! Plans for slots, alone and against each other.

use super::*;
use lucid_schemas::{BackupSpec, ManifestName, RepositoryName, Request, RestoreSpec, Spec};

fn job(spec: Spec, number: u8) -> Job {
    let id: JobId = format!("{}_20250109_020000_000000000{number}", spec.kind()).parse().expect("an id");
    let repository = RepositoryName { name: "main".into(), id: "r".into() };
    crate::table::tests::born(Request::new(id, spec, "api:test", Some(repository)))
}

fn backup(number: u8) -> Job {
    let spec = BackupSpec {
        database: "lucid".into(),
        collections: None,
        compression: true,
        encryption: true,
        require_consistent: false,
    };
    job(Spec::Backup(spec), number)
}

fn restore(number: u8) -> Job {
    let spec = RestoreSpec {
        backup: backup(0).request.id,
        manifest: ManifestName { key: "k".into(), hash: "h".into() },
        database: "lucid".into(),
        collections: None,
        replace: true,
        dry_run: false,
    };
    job(Spec::Restore(spec), number)
}

fn occupy(occupied: &mut Occupied, job: &mut Job, slots: Vec<String>) {
    for slot in slots {
        let before = occupied.insert(slot.clone(), job.id().clone());
        assert_eq!(before, None, "{slot} was free");
        job.head.holds.push(slot);
    }
}

fn free(occupied: &mut Occupied, job: &mut Job) {
    occupied.retain(|_, by| by != job.id());
    job.head.holds.clear();
}

#[test]
fn sharers_take_from_the_top_and_never_the_first_two() {
    let mut occupied = Occupied::new();
    let mut sharers: Vec<Job> = (0..9).map(backup).collect();
    for (number, sharer) in sharers.iter_mut().enumerate() {
        match plan(sharer, &occupied) {
            SlotPlan::Take(slots) => {
                assert!(slots.contains(&format!("database:lucid#{}", 7 - number)), "{slots:?}");
                assert_eq!(missing(&sharer.request.keys, &slots), None);
                occupy(&mut occupied, sharer, slots);
            }
            SlotPlan::Wait { key } => {
                assert_eq!((number, key.as_str()), (number.max(6), "database:lucid"));
            }
            SlotPlan::Reserve(slots) => panic!("a sharer reserves {slots:?}"),
        }
    }
}

#[test]
fn an_exclusive_job_gets_its_turn_while_sharers_keep_coming() {
    let mut occupied = Occupied::new();
    let (mut first, mut second, mut late) = (backup(1), backup(2), backup(3));
    for sharer in [&mut first, &mut second] {
        let SlotPlan::Take(slots) = plan(sharer, &occupied) else { panic!("free") };
        occupy(&mut occupied, sharer, slots);
    }
    let mut exclusive = restore(4);
    let SlotPlan::Reserve(slots) = plan(&exclusive, &occupied) else { panic!("not all is free") };
    assert_eq!(slots.len(), 6, "from slot 0 up to the first that is taken: {slots:?}");
    occupy(&mut occupied, &mut exclusive, slots);
    assert!(matches!(plan(&late, &occupied), SlotPlan::Wait { .. }), "nobody comes in any more");
    assert_eq!(pressed(&occupied), (vec!["database:lucid".into()], vec!["database:lucid".into()]));
    free(&mut occupied, &mut first);
    assert!(matches!(plan(&exclusive, &occupied), SlotPlan::Wait { .. }), "slot 6 comes first, in order");
    free(&mut occupied, &mut second);
    let SlotPlan::Take(slots) = plan(&exclusive, &occupied) else { panic!("all is free now") };
    occupy(&mut occupied, &mut exclusive, slots);
    assert_eq!(missing(&exclusive.request.keys, &exclusive.head.holds), None);
    free(&mut occupied, &mut exclusive);
    let SlotPlan::Take(slots) = plan(&late, &occupied) else { panic!("free again") };
    occupy(&mut occupied, &mut late, slots);
}

#[test]
fn two_exclusive_jobs_never_wait_for_each_other() {
    let mut occupied = Occupied::new();
    let (mut one, other) = (restore(1), restore(2));
    let SlotPlan::Take(slots) = plan(&one, &occupied) else { panic!("free") };
    // It has reserved a part only.
    occupy(&mut occupied, &mut one, slots.into_iter().filter(|slot| slot.starts_with("database:")).take(3).collect());
    assert_eq!(plan(&other, &occupied), SlotPlan::Wait { key: "database:lucid".into() });
    assert!(matches!(plan(&one, &occupied), SlotPlan::Take(_)));
}

#[test]
fn what_is_missing_is_named() {
    let job = restore(1);
    let all: Vec<String> = job.request.keys.iter().flat_map(ConcurrencyKey::slots).collect();
    assert_eq!(missing(&job.request.keys, &all), None);
    let but_one: Vec<String> = all.into_iter().filter(|slot| slot != "database:lucid#3").collect();
    assert_eq!(missing(&job.request.keys, &but_one), Some("database:lucid"));
    assert_eq!(missing(&job.request.keys, &[]), Some("cluster"));
}

#[test]
fn what_is_blocked_lets_others_share_and_nobody_have_its_keys() {
    let mut occupied = Occupied::new();
    let (mut blocked, other, mut sharer) = (restore(1), restore(2), backup(3));
    occupy(&mut occupied, &mut blocked, vec!["database:lucid#1".into()]);
    assert_eq!(
        plan(&other, &occupied),
        SlotPlan::Wait { key: "database:lucid".into() },
        "nothing is reserved meanwhile"
    );
    assert_eq!(pressed(&occupied), (vec![], vec!["database:lucid".into()]), "so it needn't be shown");
    let SlotPlan::Take(slots) = plan(&sharer, &occupied) else { panic!("it may share") };
    occupy(&mut occupied, &mut sharer, slots);
    let SlotPlan::Reserve(slots) = plan(&blocked, &occupied) else {
        panic!("let go on, it gets its turn as any other")
    };
    assert!(slots.contains(&"database:lucid#0".to_owned()) && slots.len() == 6, "{slots:?}");
    occupy(&mut occupied, &mut blocked, slots);
    assert!(matches!(plan(&backup(4), &occupied), SlotPlan::Wait { .. }), "nobody comes in any more");
    free(&mut occupied, &mut sharer);
    let SlotPlan::Take(slots) = plan(&blocked, &occupied) else { panic!("all is free now") };
    let all = [blocked.head.holds.clone(), slots].concat();
    assert_eq!(missing(&blocked.request.keys, &all), None);
}
