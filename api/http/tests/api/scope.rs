//! A token for one database: what is about others is as if it weren't there.

use crate::world::World;
use actix_web::http::Method;
use lucid_schemas::{JobId, access::Role};
use serde_json::{Value, json};

/// Two databases with everything that is about one, and a token for `shop`.
struct Two {
    world: World,
    shop: String,
    /// A backup, a verification of it, and a schedule, of each.
    seen: [JobId; 2],
    hidden: [JobId; 2],
}

impl Two {
    async fn new() -> Self {
        let world = World::new().await;
        let mut jobs = Vec::new();
        for database in ["shop", "lucid"] {
            let backup = world.backup_of(database).await;
            world.succeed(&backup).await;
            let verify = world.post("/verify", &json!({ "backup": backup })).await.id();
            let schedule = json!({ "name": database, "cron": "0 2 * * *", "spec": { "database": database } });
            assert_eq!(world.post("/schedules", &schedule).await.status, 201);
            jobs.push([backup, verify]);
        }
        assert_eq!(world.post("/prune", &json!({ "keep": { "last": 3 } })).await.status, 202);
        let shop = world.token("shop", Role::Admin, &["shop"], None).await;
        let [seen, hidden] = <[[JobId; 2]; 2]>::try_from(jobs).expect("two");
        Self { world, shop, seen, hidden }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let reply = self.world.with(&self.shop, method, path, body).await;
        (reply.status, reply.body)
    }
}

#[actix_web::test]
async fn lists_audit_and_export_leave_out_what_is_about_others() {
    let two = Two::new().await;
    let [backup, verify] = &two.seen;
    let ids = |list: &Value| -> Vec<String> {
        let jobs = list.as_array().expect("a list").iter();
        jobs.map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
    };
    let (_, jobs) = two.ask(Method::GET, "/jobs", None).await;
    assert_eq!(ids(&jobs["jobs"]), [verify.to_string(), backup.to_string()]);
    let (_, backups) = two.ask(Method::GET, "/backups", None).await;
    assert_eq!(ids(&backups["backups"]), [backup.to_string()]);
    let (_, first) = two.ask(Method::GET, "/jobs?limit=1", None).await;
    assert_eq!(ids(&first["jobs"]), [verify.to_string()]);
    let next = first["next"].as_str().expect("there is more").to_owned();
    let (_, second) = two.ask(Method::GET, &format!("/jobs?limit=1&after={next}"), None).await;
    assert_eq!((ids(&second["jobs"]), &second["next"]), (vec![backup.to_string()], &Value::Null));
    let (_, audit) = two.ask(Method::GET, "/jobs/audit", None).await;
    assert_eq!((&audit["jobs"], &audit["violations"]), (&json!(2), &json!([])));
    let (_, export) = two.ask(Method::GET, "/jobs/export", None).await;
    let lines = export.as_str().expect("lines").lines().count();
    assert_eq!(lines, 2, "{export}");
    assert!(!export.to_string().contains("lucid\\\""), "{export}");
    let (_, schedules) = two.ask(Method::GET, "/schedules", None).await;
    let names: Vec<_> = schedules["schedules"].as_array().into_iter().flatten().map(|one| &one["name"]).collect();
    assert_eq!(names, ["shop"]);
    let (_, health) = two.ask(Method::GET, "/health", None).await;
    assert_eq!(health["open_jobs"], json!({}));
    assert!(!health["problems"].to_string().contains("backup"), "{health}");
}

#[actix_web::test]
async fn a_job_of_another_database_is_as_if_it_did_not_exist() {
    let two = Two::new().await;
    let nowhere = two.ask(Method::GET, "/jobs/backup_20990101_000000_0000000000", None).await;
    assert_eq!(nowhere.0, 404);
    for id in &two.hidden {
        for (method, rest) in [
            (Method::GET, ""),
            (Method::GET, "/events"),
            (Method::DELETE, ""),
            (Method::POST, "/resume"),
            (Method::POST, "/retry"),
        ] {
            let (status, body) = two.ask(method.clone(), &format!("/jobs/{id}{rest}"), None).await;
            assert_eq!(status, 404, "{method} {id}{rest}: {body}");
            let expected = nowhere.1["detail"].as_str().expect("a detail");
            let expected = expected.replace("backup_20990101_000000_0000000000", id.as_str());
            assert_eq!(body["detail"], expected, "{method} {id}{rest}");
        }
    }
    let (status, body) =
        two.ask(Method::POST, "/restore", Some(&json!({ "backup": two.hidden[0], "database": "shop" }))).await;
    assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("backup")), "nor is it restored: {body}");
    for path in ["/verify", "/copy"] {
        let (status, body) = two.ask(Method::POST, path, Some(&json!({ "backup": two.hidden[0], "to": "main" }))).await;
        assert_eq!(status, 422, "{path}: {body}");
    }
    let after = json!({ "database": "shop", "job": { "after": two.hidden[0] } });
    let (status, body) = two.ask(Method::POST, "/backup", Some(&after)).await;
    assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("job.after")), "{body}");
    // A prefix that fits jobs of both means the one that he sees.
    let (status, body) = two.ask(Method::GET, "/backup/backup_", None).await;
    assert_eq!((status, &body["job_id"]), (200, &json!(two.seen[0])), "{body}");
    assert_eq!(two.ask(Method::GET, &format!("/jobs/{}", two.seen[1]), None).await.0, 200);
}

#[actix_web::test]
async fn asking_elsewhere_is_refused_and_tells_nothing_of_what_is_there() {
    let two = Two::new().await;
    let before = two.world.jobs().await;
    let elsewhere: Vec<(Method, &str, Value)> = vec![
        (Method::POST, "/backup", json!({ "database": "lucid" })),
        (Method::POST, "/backup", json!({ "database": "nowhere" })),
        (Method::POST, "/restore", json!({ "backup": two.seen[0], "database": "lucid", "replace": true })),
        (Method::POST, "/copy", json!({ "to": "main" })),
        (Method::POST, "/prune", json!({ "keep": { "last": 3 } })),
        (Method::POST, "/reencrypt", json!({})),
        (Method::POST, "/queues/backup/pause", json!({})),
        (Method::POST, "/schedules", json!({ "name": "y", "cron": "0 2 * * *", "spec": { "database": "lucid" } })),
        (
            Method::POST,
            "/schedules",
            json!({ "name": "y", "kind": "prune", "cron": "0 2 * * *", "spec": { "keep": { "last": 3 } } }),
        ),
    ];
    for (method, path, body) in elsewhere {
        let (status, said) = two.ask(method, path, Some(&body)).await;
        assert_eq!(status, 403, "{path} {body}: {said}");
        let detail = said["detail"].as_str().expect("a detail");
        assert!(detail.contains("token:shop@pi-1") && detail.contains("shop"), "{detail}");
    }
    assert_eq!(two.world.jobs().await, before);
    for (method, rest) in [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "/run"), (Method::POST, "/pause")] {
        assert_eq!(two.ask(method, &format!("/schedules/lucid{rest}"), None).await.0, 404);
    }
    let taken = json!({ "cron": "0 3 * * *", "spec": { "database": "shop" } });
    assert_eq!(two.ask(Method::PUT, "/schedules/lucid", Some(&taken)).await.0, 409, "a name is common to all");
    let schedules = two.world.get("/schedules/lucid").await.body;
    assert_eq!((&schedules["cron"], &schedules["paused"]), (&json!("0 2 * * *"), &json!(false)));
    for (path, body) in [
        ("/backup", json!({ "database": "shop", "encryption": false })),
        ("/verify", json!({ "backup": two.seen[0], "level": "drill" })),
        ("/restore", json!({ "backup": two.seen[0], "replace": true })),
    ] {
        let (status, said) = two.ask(Method::POST, path, Some(&body)).await;
        assert_eq!(status, 202, "in his own he may all: {path} {said}");
    }
}
