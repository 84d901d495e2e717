//! Whatever is wrong is told by everybody who is asked: `/health` of both ports, the verb, a document in `ops`, the metrics; until it is
//! mended. And where nobody looks, nobody says that all is well.

use crate::{
    alerts::{alerts, monitor_and_metrics, until, until_status},
    monitor::until_scraped,
    support::{
        Api, World, data,
        process::{Process, run},
    },
};
use lucid_embedded::Signal;
use serde_json::{Value, json};
use std::fs;

/// Limits and times short enough to wait for.
const RULES: &str = r#"{
    "repository_full": { "off": true }, "disk_space": { "off": true }, "disk_filling": { "off": true },
    "repository_gone": { "for_seconds": 0 },
    "backup_overdue": { "for_seconds": 0, "critical": 1 },
    "backup_never_succeeded": { "for_seconds": 0 },
    "schedule_paused": { "warning": 0 }
}"#;

/// A monitor that writes alerts, and everybody who can be asked.
struct Watched {
    world: World,
    api: Api,
    people: Api,
    metrics: Api,
    _processes: Vec<Process>,
}

impl Watched {
    async fn start() -> Self {
        let world = World::start(1).await;
        data::rows(&world, "lucid", 30).await;
        let (api_process, api) = world.api();
        let rules = world.dir().join("rules.json");
        fs::write(&rules, RULES).expect("written");
        let (process, people, metrics) =
            monitor_and_metrics(&world, &["--rules-file", rules.to_str().expect("a path")]);
        let watched = Self { world, api, people, metrics, _processes: vec![api_process, process] };
        for port in [&watched.api, &watched.people] {
            until_status(port, if port.url == watched.api.url { "degraded" } else { "healthy" }).await;
        }
        watched
    }

    /// Waits until everybody tells of an alert of this rule, in this sentence, and this metric shows it.
    async fn shows(&self, rule: &str, sentence: &str, metric: &str) {
        until(rule, async || self.open(rule).await.map(drop)).await;
        for port in [&self.api, &self.people] {
            until(sentence, async || match port.get("/health").1 {
                health if health["problems"].to_string().contains(sentence) => {
                    assert_ne!(health["status"], "healthy", "{health}");
                    Ok(())
                }
                health => Err(health.to_string()),
            })
            .await;
        }
        verb_says(&self.api, sentence);
        let counted = format!("ops_alerts{{rule=\"{rule}\",");
        until_scraped(&self.metrics, &[metric, &counted]).await;
    }

    /// Waits until nobody tells of this rule any more, and the metric shows that it is over.
    async fn is_over(&self, rule: &str, sentence: &str, metric: &str) {
        until(&format!("{rule} over"), async || match self.open(rule).await {
            Ok(alert) => Err(alert),
            Err(_) => Ok(()),
        })
        .await;
        for port in [&self.api, &self.people] {
            until(&format!("without {sentence}"), async || match port.get("/health").1 {
                health if !health["problems"].to_string().contains(sentence) => Ok(()),
                health => Err(health.to_string()),
            })
            .await;
        }
        until_scraped(&self.metrics, &[metric]).await;
    }

    /// The alert of a rule that is open; each was raised once and no more.
    async fn open(&self, rule: &str) -> Result<String, String> {
        let all = alerts(&self.world, rule).await;
        let open = all.iter().find(|alert| alert.get_str("state").expect("a state") != "resolved");
        open.map(ToString::to_string).ok_or_else(|| format!("of {all:?} none is open"))
    }

    fn put(&self, name: &str, schedule: &Value) {
        let (status, answer) = self.api.call("PUT", &format!("/schedules/{name}"), Some(schedule));
        assert!(matches!(status, 200 | 201), "{status}: {answer}");
    }

    /// Asks for a backup, and waits for its end.
    async fn backup(&self, wanted: &str) {
        let id = self.api.accepted("/backup", &json!({ "database": "lucid" }));
        let ended = self
            .api
            .await_job(&id, std::time::Duration::from_secs(60), |job| {
                matches!(job.state.as_str(), "succeeded" | "failed")
            })
            .await;
        assert_eq!(ended.state, wanted, "{ended:?}");
    }
}

/// Every minute, and at once for the minutes before.
fn each_minute(spec: &Value) -> Value {
    let before = bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() - 180_000);
    json!({ "cron": "* * * * *", "high_water": before.try_to_rfc3339_string().expect("a time"), "spec": spec })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_jobs_fail_every_minute_is_told_until_one_succeeds() {
    let watched = Watched::start().await;
    let (worker, _) = watched.world.worker(&[]);
    drop(worker);
    data::rows(&watched.world, "shop", 30).await;
    watched.put("whole", &each_minute(&json!({ "database": "shop" })));
    watched.put("some", &each_minute(&json!({ "database": "shop", "collections": ["rows"] })));
    watched.world.client().database("shop").drop().await.expect("dropped");
    let (_worker, _) = watched.world.worker(&[]);
    let (whole, some) = ("the backup of 'shop' failed", "the newest job of the schedule 'some' failed");
    watched.shows("backup_failed", whole, "ops_backup_last_attempt_success{database=\"shop\"} 0").await;
    watched.shows("schedule_failed", some, "ops_schedule_last_success{schedule=\"some\"} 0").await;
    data::rows(&watched.world, "shop", 30).await;
    watched.is_over("backup_failed", whole, "ops_backup_last_attempt_success{database=\"shop\"} 1").await;
    watched.is_over("schedule_failed", some, "ops_schedule_last_success{schedule=\"some\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_that_fail_with_the_wrong_key_are_told_until_one_gets_in() {
    let watched = Watched::start().await;
    let (_worker, _) = watched.world.worker(&[]);
    watched.backup("succeeded").await;
    // Somebody makes a new key, and forgets the worker.
    let (old, new) = (watched.world.key_file(), watched.world.dir().join("new").display().to_string());
    let repository = watched.world.repository();
    let key = |verb: &[&str], opens_with: &str| {
        let place = ["--repository", &repository, "--key-file", opens_with];
        let said = run(&[&["repo", "key"], verb, &place[..]].concat(), &[]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    key(&["add", "--new-key-file", &new], &old);
    key(&["rotate", "--drop-others"], &new);
    watched.backup("failed").await;
    watched.backup("failed").await;
    let (failed, refused) = ("the backup of 'lucid' failed 2 times in a row", "the repository 'main' refuses jobs");
    watched.shows("backup_failed", failed, "ops_backup_last_attempt_success{database=\"lucid\"} 0").await;
    watched.shows("key_refused", refused, "database_health_status{rs=\"rs0\",status=\"critical\"} 1").await;
    key(&["add", "--new-key-file", &old], &new);
    watched.backup("succeeded").await;
    watched.is_over("backup_failed", failed, "ops_backup_last_attempt_success{database=\"lucid\"} 1").await;
    watched.is_over("key_refused", refused, "database_health_status{rs=\"rs0\",status=\"healthy\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_not_there_or_is_another_one_is_told() {
    let watched = Watched::start().await;
    let (_worker, _) = watched.world.worker(&[]);
    watched.backup("succeeded").await;
    let (path, elsewhere) = (watched.world.repository_path(), watched.world.dir().join("elsewhere"));
    let (rule, sentence) = ("repository_gone", "the repository 'main' isn't there");
    let mount_point = || fs::create_dir(&path).expect("a folder");
    let unmounts: [(&str, &dyn Fn()); 3] = [
        ("its folder is gone", &|| ()),
        ("its folder is empty", &mount_point),
        ("another one is there", &|| watched.world.init_repository(&watched.world.repository())),
    ];
    for (what, instead) in unmounts {
        fs::rename(&path, &elsewhere).unwrap_or_else(|error| panic!("{what}: {error}"));
        instead();
        watched.shows(rule, sentence, "ops_repository_up{repository=\"main\"} 0").await;
        if path.exists() {
            fs::remove_dir_all(&path).expect("removed");
        }
        fs::rename(&elsewhere, &path).expect("moved back");
        watched.is_over(rule, sentence, "ops_repository_up{repository=\"main\"} 1").await;
    }
    assert_eq!(alerts(&watched.world, rule).await.len(), 3, "one for each");
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_that_do_not_come_are_told_and_so_are_schedules_that_rest() {
    let watched = Watched::start().await;
    let (worker, _) = watched.world.worker(&[]);
    watched.backup("succeeded").await;
    data::rows(&watched.world, "shop", 30).await;
    drop(worker);
    for database in ["lucid", "shop"] {
        watched.put(database, &each_minute(&json!({ "database": database })));
    }
    let (overdue, never) = ("the newest backup of 'lucid' shows", "'shop' was never backed up");
    watched.shows("backup_overdue", overdue, "ops_backup_expected_interval_seconds{database=\"lucid\"} 60").await;
    watched.shows("backup_never_succeeded", never, "ops_backup_expected_interval_seconds{database=\"shop\"} 60").await;
    watched.put("shop", &json!({ "cron": "* * * * *", "paused": true, "spec": { "database": "shop" } }));
    let (rests, paused) = ("the schedule 'shop' has been paused", "ops_schedule_paused{schedule=\"shop\"}");
    watched.shows("schedule_paused", rests, &format!("{paused} 1")).await;
    watched.is_over("backup_never_succeeded", never, &format!("{paused} 1")).await;
    watched.put("shop", &json!({ "cron": "0 0 1 1 *", "paused": false, "spec": { "database": "shop" } }));
    watched.is_over("schedule_paused", rests, &format!("{paused} 0")).await;
    let (_worker, _) = watched.world.worker(&[]);
    watched.is_over("backup_overdue", overdue, "ops_backup_last_attempt_success{database=\"lucid\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_looks_nobody_says_that_all_is_well() {
    let world = World::start(1).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    unknown(&api, &["no monitor has ever run", "start `lucid-ops monitor`"]).await;
    verb_says(&api, "no monitor has ever run");
    let (process, people, metrics) = monitor_and_metrics(&world, &[]);
    for port in [&api, &people] {
        until_status(port, "healthy").await;
    }

    let paused = api.verb(&["queues", "pause", "monitor", "--reason", "moving house"]);
    assert!(paused.status.success(), "{}", String::from_utf8_lossy(&paused.stderr));
    let by = api.get("/queues").1["queues"]
        .as_array()
        .expect("queues")
        .iter()
        .find_map(|queue| queue["by"].as_str().map(str::to_owned));
    let by = format!("monitoring is paused by {} since 2", by.expect("somebody"));
    for port in [&api, &people] {
        unknown(port, &[&by, "`lucid-ops queues resume monitor` lets it go on"]).await;
    }
    verb_says(&api, &by);
    until_scraped(&metrics, &["database_health_status{rs=\"rs0\",status=\"unknown\"} 1"]).await;
    assert!(api.verb(&["queues", "resume", "monitor"]).status.success());
    for port in [&api, &people] {
        until_status(port, "healthy").await;
    }

    process.signal(Signal::SIGSTOP);
    unknown(&api, &["has said nothing for", "see whether it runs, or start `lucid-ops monitor`"]).await;
    verb_says(&api, "has said nothing for");
    process.signal(Signal::SIGCONT);
    for port in [&api, &people] {
        until_status(port, "healthy").await;
    }

    let running = api.get("/jobs?kind=monitor&state=running").1["jobs"][0]["job_id"].as_str().expect("one").to_owned();
    assert_eq!(api.call("DELETE", &format!("/jobs/{running}"), None).0, 202);
    for port in [&api, &people] {
        unknown(port, &["monitoring was ended by", &running, "`POST /monitor` at a monitor begins it again"]).await;
    }
    let (status, begun) = Api::new(people.url.clone(), &world.token_file()).call("POST", "/monitor", Some(&json!({})));
    assert_eq!(status, 202, "{begun}");
    for port in [&api, &people] {
        until_status(port, "healthy").await;
    }
}

/// Waits until nobody knows, and it is said why and what to do.
async fn unknown(port: &Api, sentences: &[&str]) {
    let health = until_status(port, "unknown").await;
    let told = health["problems"].to_string();
    assert!(sentences.iter().all(|sentence| told.contains(sentence)), "{told} instead of {sentences:?}");
    assert_eq!(port.get("/health").0, 503);
}

/// The verb says so, and fails.
fn verb_says(api: &Api, sentence: &str) {
    let said = api.verb(&["health"]);
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(!said.status.success() && text.contains(sentence), "{text}{}", String::from_utf8_lossy(&said.stderr));
}
