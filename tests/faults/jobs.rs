//! Faults of backups, of the place where they are, and of those who make them.

use super::house::{Blow, Fault, House};
use crate::{
    alerts::{flip_packs, until, verified},
    play,
    support::data,
};
use bson::doc;
use serde_json::json;
use std::{fs, time::Duration};

/// Lets each member refuse to show its documents, or not any more.
async fn refuse_reads(house: &House, mode: &str) {
    for member in 0..3 {
        let uri = house.world.deployment.uri_of(member).expect("an address");
        let admin = mongodb::Client::with_uri_str(uri).await.expect("a client").database("admin");
        let of = doc! { "failCommands": ["find", "aggregate"], "errorCode": 13, "appName": "lucid-ops", "namespace": "lucid.rows" };
        let fail_point = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": of };
        admin.run_command(fail_point).await.expect("test commands are on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_with_backups_is_told_of_once() {
    let mut house = House::in_a_hurry().await;
    data::rows(&house.world, "lucid", 300).await;
    let (_api_process, api) = house.world.api();
    let (worker, _) = house.world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;

    play!(
        house,
        Fault { name: "backup failed", must: &["backup_failed"], may: &[] },
        Blow::Kill,
        {
            refuse_reads(&house, "alwaysOn").await;
            let id = api.accepted("/backup", &json!({ "database": "lucid" }));
            api.await_job(&id, Duration::from_secs(90), |job| job.state == "failed").await;
        },
        {
            refuse_reads(&house, "off").await;
            let id = api.accepted("/backup", &json!({ "database": "lucid" }));
            api.succeeded(&id).await;
        }
    );
    play!(
        house,
        Fault { name: "a chunk broken", must: &["verification_failed"], may: &[] },
        Blow::Freeze,
        {
            flip_packs(&house.world);
            verified(&api, &backup, "failed").await;
        },
        {
            flip_packs(&house.world);
            verified(&api, &backup, "succeeded").await;
        }
    );
    let (place, away) = (house.world.repository_path(), house.world.dir().join("away"));
    play!(
        house,
        Fault { name: "repository unmounted", must: &["repository_gone"], may: &[] },
        Blow::None,
        { fs::rename(&place, &away).expect("moved") },
        { fs::rename(&away, &place).expect("moved back") }
    );
    drop(worker);
    let (id, _again);
    play!(
        house,
        Fault { name: "workers stopped", must: &["no_worker"], may: &["job_stuck"] },
        Blow::Kill,
        { id = api.accepted("/backup", &json!({ "database": "lucid" })) },
        { _again = house.world.worker(&[]) }
    );
    api.succeeded(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_does_not_come_is_told_of_once() {
    let mut house = House::in_a_hurry().await;
    data::rows(&house.world, "lucid", 300).await;
    let (_api_process, api) = house.world.api();
    let (_worker, _) = house.world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    let nightly = json!({ "name": "nightly", "cron": "* * * * *", "spec": { "database": "lucid" } });
    let (status, answer) = api.call("POST", "/schedules", Some(&nightly));
    assert_eq!(status, 201, "{answer}");
    until("made by the schedule", async || {
        let jobs = api.get("/jobs?kind=backup&state=succeeded").1;
        if jobs["jobs"].as_array().is_some_and(|jobs| jobs.len() > 1) { Ok(()) } else { Err(jobs.to_string()) }
    })
    .await;
    play!(
        house,
        Fault { name: "backup overdue", must: &["backup_overdue"], may: &[] },
        Blow::Kill,
        { assert_eq!(api.call("POST", "/queues/backup/pause", Some(&json!({}))).0, 200) },
        { assert_eq!(api.call("POST", "/queues/backup/resume", None).0, 200) }
    );
}
