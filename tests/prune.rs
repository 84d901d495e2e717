//! Retention through the whole product: what no rule keeps goes, what somebody needs stays, and every reason is told.

use crate::support::{Api, World, data, process::run};
use bson::{Document, doc};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};

fn bytes_of_packs(root: &Path) -> u64 {
    let packs = fs::read_dir(root.join("sealed/packs")).expect("packs").flatten();
    packs.map(|pack| pack.metadata().expect("a file").len()).sum()
}

async fn backup(api: &Api) -> String {
    let id = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&id).await;
    id
}

fn in_a_year() -> String {
    let now_ms = bson::DateTime::now().timestamp_millis();
    bson::DateTime::from_millis(now_ms + 365 * 86_400_000).try_to_rfc3339_string().expect("a time")
}

async fn prune(api: &Api, body: Value) -> Value {
    let id = api.accepted("/prune", &body);
    api.succeeded(&id).await.result.expect("a result")
}

fn verdict<'a>(result: &'a Value, backup: &str) -> &'a Value {
    let verdicts = result["verdicts"].as_array().expect("verdicts");
    verdicts.iter().find(|verdict| verdict["backup"] == backup).expect("judged")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_keeps_goes_and_what_a_job_needs_stays() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 3_000).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let old = backup(&api).await;
    let rows = world.client().database("lucid").collection::<Document>("rows");
    rows.delete_many(doc! { "_id": { "$lt": 2_900 } }).await.expect("deleted");
    let new = backup(&api).await;
    let keep_one = |more: Value| {
        let mut body = json!({ "keep": { "last": 1 }, "grace_hours": 0 });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        body
    };

    let (status, refused) = api.call("POST", "/prune", Some(&json!({ "keep": {} })));
    assert_eq!((status, refused["errors"][0]["field"].as_str()), (422, Some("keep")), "{refused}");
    assert_eq!(prune(&api, json!({})).await["backups_removed"], 0, "30 days of the newest");
    let said = api.verb(&["prune", "--keep-last", "1", "--dry-run"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success() && text.contains("remove  no rule keeps it"), "{text}");
    assert!(text.contains("1 backup would be removed") && text.contains("nothing was changed"), "{text}");

    // A restore that is only planned is enough.
    let planned = json!({ "backup": old, "database": "copy", "job": { "run_at": in_a_year() } });
    let planned = api.accepted("/restore", &planned);
    let held = prune(&api, keep_one(json!({}))).await;
    assert_eq!(verdict(&held, &old)["reasons"], json!([format!("{planned} is about it")]));
    let restore = api.accepted("/restore", &json!({ "backup": old, "database": "copy" }));
    api.succeeded(&restore).await;
    let copied = world.client().database("copy").collection::<Document>("rows").count_documents(doc! {}).await;
    assert_eq!(copied.expect("a count"), 3_000);
    assert_eq!(api.call("DELETE", &format!("/jobs/{planned}"), None).0, 202);

    let before = bytes_of_packs(&world.repository_path());
    let first = prune(&api, keep_one(json!({}))).await;
    assert_eq!(verdict(&first, &old)["keep"], false);
    assert!(first["objects_doomed"].as_i64() > Some(0) && first["objects_deleted"] == 0, "{first}");
    let second = prune(&api, keep_one(json!({}))).await;
    assert_eq!(second["objects_deleted"], first["objects_doomed"], "{second}");
    let after = bytes_of_packs(&world.repository_path());
    assert!(after < before / 2, "{after} of {before}");

    let (status, gone) = api.call("POST", "/restore", Some(&json!({ "backup": old, "database": "copy_2" })));
    assert_eq!((status, gone["type"].as_str()), (410, Some("backup-forgotten")), "{gone}");
    assert!(gone["detail"].as_str().expect("why").contains("no rule keeps it"), "{gone}");
    let (_, told) = api.call("GET", &format!("/jobs/{old}"), None);
    assert_eq!((told["state"].as_str(), told["fate"]["state"].as_str()), (Some("succeeded"), Some("forgotten")));
    assert!(told["fate"]["by"].as_str().expect("who").starts_with("prune_"), "{told}");
    let listed = api.verb(&["backups"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = listed.lines().find(|line| line.contains(&old)).expect("it is listed");
    assert!(line.contains("forgotten") && !line.contains("succeeded"), "{line}");
    let verify = api.accepted("/verify", &json!({ "backup": new }));
    api.succeeded(&verify).await;
    let restore = api.accepted("/restore", &json!({ "backup": new, "database": "copy_3" }));
    api.succeeded(&restore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_stays_that_a_job_needs_whatever_program_asked_for_it() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 100).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let old = backup(&api).await;
    backup(&api).await;
    let keep_one = json!({ "keep": { "last": 1 }, "grace_hours": 0 });
    let planned = json!({ "backup": old, "database": "copy", "job": { "run_at": in_a_year() } });
    let planned = api.accepted("/restore", &planned);
    let ops = world.client().database("lucid_ops").collection::<Document>("ops");
    let stored = ops.find_one(doc! { "_id": &planned }).await.expect("asked").expect("there");
    assert_eq!(stored.get_array("needs").expect("told from birth"), &[old.as_str().into()]);

    // As a program stored it that didn't say so yet.
    ops.update_one(doc! { "_id": &planned }, doc! { "$unset": { "needs": 1 } }).await.expect("unset");
    assert_eq!(
        verdict(&prune(&api, keep_one.clone()).await, &old)["reasons"],
        json!([format!("{planned} is about it")])
    );
    assert_eq!(api.call("DELETE", &format!("/jobs/{planned}"), None).0, 202);
    // And as a later one will, which has kinds and shapes of its own.
    let mut later = stored;
    later.extend(doc! { "_id": "teleport_1", "kind": "teleport", "schema": 99, "spec": { "whereto": "the moon" } });
    ops.insert_one(&later).await.expect("inserted");
    assert_eq!(verdict(&prune(&api, keep_one.clone()).await, &old)["reasons"], json!(["teleport_1 is about it"]));
    ops.delete_one(doc! { "_id": "teleport_1" }).await.expect("deleted");
    assert_eq!(prune(&api, keep_one).await["backups_removed"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_out_of_sight_stop_a_prune_until_they_are_back_or_given_up() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 500).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let old = backup(&api).await;
    data::rows(&world, "other", 500).await;
    let kept = api.accepted("/backup", &json!({ "database": "other" }));
    api.succeeded(&kept).await;
    backup(&api).await;
    let body = json!({ "keep": { "last": 1 }, "grace_hours": 0, "repack": false });
    assert_eq!(prune(&api, body.clone()).await["backups_removed"], 1, "{old}");

    let manifests = world.repository_path().join("sealed/manifests");
    let (aside, packs) = (world.repository_path().join("../aside"), bytes_of_packs(&world.repository_path()));
    fs::rename(&manifests, &aside).expect("moved");
    let failed = async |body: &Value| {
        let id = api.accepted("/prune", body);
        let ended = api.await_job(&id, Duration::from_secs(60), |job| job.finished_at.is_some()).await;
        ended.error.expect("an error")
    };
    for _ in 0..2 {
        let refused = failed(&body).await;
        assert_eq!(refused.code, "manifests_missing", "{}", refused.message);
        assert!(refused.message.contains("--accept-loss"), "{}", refused.message);
    }
    assert_eq!(bytes_of_packs(&world.repository_path()), packs);
    let verify = api.accepted("/verify", &json!({ "backup": kept }));
    let verify = api.await_job(&verify, Duration::from_secs(60), |job| job.finished_at.is_some()).await;
    assert_eq!(verify.error.expect("it isn't there").code, "backup_missing");
    fs::create_dir_all(&manifests).expect("made");
    for entry in fs::read_dir(&aside).expect("listed").flatten() {
        fs::rename(entry.path(), manifests.join(entry.file_name())).expect("put back");
    }
    prune(&api, body.clone()).await;
    let verify = api.accepted("/verify", &json!({ "backup": kept }));
    api.succeeded(&verify).await;

    // Somebody has removed one for good.
    let theirs = fs::read_dir(&manifests).expect("listed").flatten();
    let theirs: Vec<_> = theirs.filter(|entry| entry.file_name().to_string_lossy().starts_with(&kept)).collect();
    fs::remove_file(theirs[0].path()).expect("removed");
    assert_eq!(failed(&body).await.code, "manifests_missing");
    let schedule = json!({ "kind": "prune", "cron": "0 5 * * *", "spec": { "accept_loss": true } });
    let (status, answer) = api.call("PUT", "/schedules/nightly", Some(&schedule));
    assert_eq!((status, answer["errors"][0]["field"].as_str()), (422, Some("spec.accept_loss")), "{answer}");
    let accepted = api.verb(&["prune", "--keep-last", "1", "--grace-hours", "0", "--accept-loss"]);
    let text = String::from_utf8_lossy(&accepted.stdout).into_owned();
    assert!(accepted.status.success() && text.contains("noted as lost"), "{text}");
    let (_, told) = api.call("GET", &format!("/jobs/{kept}"), None);
    assert_eq!(told["fate"]["state"], "missing", "{told}");
    assert_eq!(api.call("POST", "/verify", Some(&json!({ "backup": kept }))).0, 410);
    prune(&api, body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_no_prune_has_counted_is_missed_by_its_job() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 500).await;
    data::rows(&world, "other", 500).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let mut ids = Vec::new();
    for database in ["lucid", "other", "other"] {
        let id = api.accepted("/backup", &json!({ "database": database }));
        api.succeeded(&id).await;
        ids.push(id);
    }
    let folder = world.repository_path();
    let key = api.job(&ids[0]).result.expect("a result")["manifest"]["key"].as_str().expect("a key").to_owned();
    let packs = bytes_of_packs(&folder);
    let manifest = fs::read(folder.join(&key)).expect("there");
    fs::remove_file(folder.join(&key)).expect("removed");
    let ended = async |more: Value| {
        let mut body = json!({ "keep": { "last": 9 }, "grace_hours": 0, "at_once": true, "repack": false });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let id = api.accepted("/prune", &body);
        api.await_job(&id, Duration::from_secs(60), |job| job.finished_at.is_some()).await
    };
    for more in
        [json!({}), json!({ "keep": { "last": 1 } }), json!({ "dry_run": true, "grace_hours": 24, "at_once": false })]
    {
        let refused = ended(more).await.error.expect("an error");
        assert_eq!(refused.code, "manifests_missing", "{}", refused.message);
        assert!(refused.message.contains(&key) && refused.message.contains("--accept-loss"), "{}", refused.message);
    }
    assert_eq!(bytes_of_packs(&folder), packs, "nothing went");
    fs::write(folder.join(&key), manifest).expect("put back");
    let pruned = ended(json!({ "keep": { "last": 1 } })).await;
    assert_eq!(pruned.result.expect("it is back")["backups_removed"], 1);
    let verify = api.accepted("/verify", &json!({ "backup": ids[0] }));
    api.succeeded(&verify).await;

    // What a prune has forgotten isn't missed, though its record be gone; nor what a history says that is silent on clusters.
    fs::remove_dir_all(folder.join("sealed/forgotten")).expect("removed");
    let late = backup(&api).await;
    let key = api.job(&late).result.expect("a result")["manifest"]["key"].as_str().expect("a key").to_owned();
    fs::remove_file(folder.join(&key)).expect("removed");
    assert_eq!(ended(json!({})).await.error.expect("an error").code, "manifests_missing");
    let accepted = ended(json!({ "accept_loss": true })).await;
    assert_eq!(accepted.result.expect("accepted")["manifests_lost"], 1);
    assert_eq!(api.job(&late).fate.expect("noted").state, "missing");
    let before = backup(&api).await;
    let key = api.job(&before).result.expect("a result")["manifest"]["key"].as_str().expect("a key").to_owned();
    fs::remove_file(folder.join(&key)).expect("removed");
    let ops = world.client().database("lucid_ops").collection::<Document>("ops");
    ops.update_one(doc! { "_id": &before }, doc! { "$unset": { "result.cluster": 1 } }).await.expect("unset");
    assert_eq!(ended(json!({})).await.state, "succeeded", "as an earlier program's, whose prunes noted nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_prunes_only_what_it_was_told_to() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 500).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    for _ in 0..2 {
        backup(&api).await;
    }
    // An engine with a history of its own is another cluster; this one has a copy of the first one's settings, and keeps less.
    let (_other_process, other) = world.api_with(&["--listen", "127.0.0.1:0", "--ops-database", "staging"]);
    let (_other_worker, _) = world.worker(&["--ops-database", "staging"]);
    let manifests = || fs::read_dir(world.repository_path().join("sealed/manifests")).expect("manifests").count();
    let body = json!({ "keep": { "last": 1 }, "grace_hours": 0 });
    let refused = other.accepted("/prune", &body);
    let refused = other.await_job(&refused, Duration::from_secs(60), |job| job.finished_at.is_some()).await;
    let message = refused.error.expect("an error").message;
    assert!(refused.state == "failed" && message.contains("--take-ownership") && manifests() == 2, "{message}");
    for (field, value) in [("take_ownership", json!(true)), ("cluster", json!("some-other"))] {
        let schedule = json!({ "kind": "prune", "cron": "0 5 * * *", "spec": { "keep": { "last": 1 }, field: value } });
        let (status, answer) = other.call("PUT", "/schedules/nightly", Some(&schedule));
        let refused = format!("spec.{field}");
        assert_eq!((status, answer["errors"][0]["field"].as_str()), (422, Some(refused.as_str())), "{answer}");
    }

    let owner = || {
        let (repository, key) = (world.repository(), world.key_file());
        let said = run(&["repo", "stats", "--json", "--repository", &repository, "--key-file", &key], &[]);
        let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        said["pruned_by"].as_str().expect("somebody").to_owned()
    };
    let first = owner();
    assert!(message.contains(&first), "{message}");
    let looked = |more: Value| {
        let mut body = json!({ "keep": { "last": 1 }, "dry_run": true });
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        prune(&other, body)
    };
    let seen = looked(json!({})).await;
    assert_eq!((&seen["backups_removed"], &seen["backups_kept"]), (&json!(0), &json!(2)), "looking is free: {seen}");
    assert_eq!(seen["clusters"], json!([{ "cluster": first, "ours": false, "backups": 2 }]), "{seen}");
    assert_eq!(seen["verdicts"][0]["reasons"], json!([format!("another cluster's: {first}")]), "{seen}");
    assert_eq!(looked(json!({ "cluster": first })).await["backups_removed"], 1, "what would go if it were told to");

    let keep_one = ["prune", "--keep-last", "1", "--grace-hours", "0"];
    let taken = other.verb(&[&keep_one[..], &["--take-ownership"]].concat());
    let said = String::from_utf8_lossy(&taken.stdout).into_owned();
    assert!(taken.status.success() && manifests() == 2, "{said} {}", String::from_utf8_lossy(&taken.stderr));
    assert!(said.contains(&format!("2 of cluster {first}")), "whose backups it has taken over: {said}");
    assert_ne!(owner(), first);
    let nobody = other.verb(&[&keep_one[..], &["--cluster", "nobody"]].concat());
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned() + &String::from_utf8_lossy(&nobody.stdout);
    assert!(nobody.status.code() == Some(1) && said.contains(&first) && manifests() == 2, "{said}");
    let told = other.verb(&[&keep_one[..], &["--cluster", &first]].concat());
    assert!(told.status.success() && manifests() == 1, "{}", String::from_utf8_lossy(&told.stderr));
    let late = api.accepted("/prune", &body);
    let late = api.await_job(&late, Duration::from_secs(60), |job| job.finished_at.is_some()).await;
    assert_eq!((late.state.as_str(), manifests()), ("failed", 1), "the first one has given it up");
}
