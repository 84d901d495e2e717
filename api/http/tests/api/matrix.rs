//! Who enters which route, for every route that there is: a new one without its line here fails.

use crate::world::{ELSEWHERE, HERE, TOKEN, World};
use actix_web::http::Method;
use lucid_http::{Anonymous, Right, table};
use lucid_ports::Tokens;
use lucid_schemas::access::Role;
use serde_json::{Value, json};

/// Every route, and what it needs.
const ROUTES: &[(&str, &str, Right)] = &[
    ("GET", "/health", Right::Read),
    ("GET", "/livez", Right::Open),
    ("GET", "/readyz", Right::Open),
    ("GET", "/whoami", Right::Read),
    ("POST", "/backup", Right::Request),
    ("POST", "/restore", Right::Operate),
    ("POST", "/verify", Right::Request),
    ("POST", "/prune", Right::Administer),
    ("POST", "/copy", Right::Operate),
    ("POST", "/reencrypt", Right::Administer),
    ("GET", "/backups", Right::Read),
    ("GET", "/backup/{job_id}", Right::Read),
    ("DELETE", "/backup/{job_id}", Right::Request),
    ("GET", "/jobs", Right::Read),
    ("GET", "/jobs/audit", Right::Read),
    ("GET", "/jobs/export", Right::Read),
    ("GET", "/events", Right::Read),
    ("GET", "/jobs/{job_id}", Right::Read),
    ("DELETE", "/jobs/{job_id}", Right::Request),
    ("GET", "/jobs/{job_id}/events", Right::Read),
    ("POST", "/jobs/{job_id}/resume", Right::Operate),
    ("POST", "/jobs/{job_id}/give-up", Right::Operate),
    ("POST", "/jobs/{job_id}/retry", Right::Request),
    ("GET", "/queues", Right::Read),
    ("POST", "/queues/{kind}/pause", Right::OperateAll),
    ("POST", "/queues/{kind}/resume", Right::OperateAll),
    ("GET", "/workers", Right::Read),
    ("GET", "/schedules", Right::Read),
    ("POST", "/schedules", Right::Operate),
    ("GET", "/schedules/{name}", Right::Read),
    ("PUT", "/schedules/{name}", Right::Operate),
    ("DELETE", "/schedules/{name}", Right::Operate),
    ("POST", "/schedules/{name}/pause", Right::Operate),
    ("POST", "/schedules/{name}/resume", Right::Operate),
    ("POST", "/schedules/{name}/run", Right::Operate),
];

const ENTERS: u16 = 200;

/// Somebody: what he shows, and with which status he is turned away from a route that needs this, or [`ENTERS`], here and elsewhere.
struct Somebody {
    name: &'static str,
    shows: Vec<String>,
    status: fn(Right, bool) -> u16,
}

/// Which of the rights a role has, written out once more: `Read`, `Request`, `Operate`, `Administer`.
fn has(rank: u8, right: Right) -> bool {
    let needed = match right {
        Right::Open => 0,
        Right::Read | Right::ReadAll => 1,
        Right::Request => 2,
        Right::Operate | Right::OperateAll => 3,
        Right::Administer => 4,
    };
    rank >= needed
}

fn of_role(rank: u8, right: Right) -> u16 {
    if has(rank, right) { ENTERS } else { 403 }
}

fn refused(right: Right, _is_here: bool) -> u16 {
    if right == Right::Open { ENTERS } else { 401 }
}

async fn everybody(world: &World) -> Vec<Somebody> {
    let one = |name, shows: &str, status| Somebody { name, shows: vec![shows.to_owned()], status };
    let revoked = world.token("revoked", Role::Admin, &[], None).await;
    world.store.twin.revoke_token(&"revoked".parse().expect("a name"), "me").await.expect("asked").expect("revoked");
    let admin = world.token("admin", Role::Admin, &[], None).await;
    let unknown = admin.replace("admin", "nobody");
    let cut = &admin[..admin.len() - 1];
    let other = format!("{cut}{}", if admin.ends_with('0') { '1' } else { '0' });
    let two = vec![admin.clone(), format!("Bearer {TOKEN}")];
    let anonymous: fn(Right, bool) -> u16 = |right, is_here| match (right, is_here) {
        (Right::Open, _) | (Right::Read | Right::ReadAll | Right::Request, true) => ENTERS,
        _ => 401,
    };
    let scoped: fn(Right, bool) -> u16 = |right, _| match right {
        Right::ReadAll | Right::OperateAll | Right::Administer => 403,
        Right::Open | Right::Read | Right::Request | Right::Operate => ENTERS,
    };
    vec![
        Somebody { name: "nobody", shows: vec![], status: anonymous },
        one("viewer", &world.token("viewer", Role::Viewer, &[], None).await, |right, _| of_role(1, right)),
        one("requester", &world.token("requester", Role::Requester, &[], None).await, |right, _| of_role(2, right)),
        one("operator", &world.token("operator", Role::Operator, &[], Some(60_000)).await, |right, _| {
            of_role(3, right)
        }),
        one("admin", &admin, |_, _| ENTERS),
        one("the file's", &format!("Bearer {TOKEN}"), |_, _| ENTERS),
        one("of another scope", &world.token("scoped", Role::Admin, &["shop"], None).await, scoped),
        one("revoked", &revoked, refused),
        one("expired", &world.token("expired", Role::Admin, &[], Some(0)).await, refused),
        one("malformed", cut, refused),
        one("of another secret", &other, refused),
        one("unknown", &unknown, refused),
        one("empty", "Bearer ", refused),
        one("of another scheme", &admin.replace("Bearer", "Basic"), anonymous),
        Somebody { name: "two tokens", shows: two, status: refused },
        Somebody { name: "one twice", shows: vec![admin.clone(), admin], status: refused },
    ]
}

#[actix_web::test]
async fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let listed: Vec<_> = ROUTES.iter().map(|(method, path, right)| ((*method).to_owned(), *path, *right)).collect();
    assert_eq!(table(), listed, "each route has a line of its own here");
    let world = World::new().await;
    let people = everybody(&world).await;
    let before = world.jobs().await;
    for (method, path, right) in ROUTES {
        let place = path.replace("{kind}", "backup").replace(['{', '}'], "");
        for somebody in &people {
            for (peer, is_here) in [(HERE, true), (ELSEWHERE, false)] {
                let shown: Vec<_> = somebody.shows.iter().map(|shown| ("authorization", shown.as_str())).collect();
                let method: Method = method.parse().expect("a method");
                let reply = world.from(peer, method, &place, &shown, b"").await;
                let expected = (somebody.status)(*right, is_here);
                let status = if matches!(reply.status, 401 | 403) { reply.status } else { ENTERS };
                let what = format!("{} from {peer} at {path}: {}", somebody.name, reply.body);
                assert_eq!(status, expected, "{what}");
                let is_told = expected != 401 || reply.header("www-authenticate") == "Bearer";
                assert!(is_told, "{what}");
                for secret in &somebody.shows {
                    let secret = secret.rsplit(['.', ' ']).next().unwrap_or_default();
                    assert!(secret.is_empty() || !reply.body.to_string().contains(secret), "{what}");
                }
            }
        }
    }
    assert_eq!(world.jobs().await, before, "nobody has asked for a job");
}

#[actix_web::test]
async fn what_anybody_may_is_said_by_the_one_who_starts_the_service() {
    let mut world = World::new().await;
    for (role, statuses) in [(None, [401, 401]), (Some(Role::Viewer), [200, 401]), (Some(Role::Requester), [200, 202])]
    {
        world.state.options.anonymous = Anonymous::everybody(role);
        let body = json!({ "database": "lucid" }).to_string();
        let json = [("content-type", "application/json")];
        for peer in [HERE, ELSEWHERE] {
            let looked = world.from(peer, Method::GET, "/jobs", &[], b"").await.status;
            let asked = world.from(peer, Method::POST, "/backup", &json, body.as_bytes()).await.status;
            assert_eq!([looked, asked], statuses, "{role:?} from {peer}");
            assert_eq!(world.from(peer, Method::GET, "/livez", &[], b"").await.status, 200);
        }
    }
}

#[actix_web::test]
async fn whoever_comes_through_a_proxy_is_not_on_this_machine() {
    let world = World::new().await;
    assert_eq!(world.from(HERE, Method::GET, "/jobs", &[], b"").await.status, 200);
    for header in [("x-forwarded-for", "192.0.2.9"), ("forwarded", "for=192.0.2.9"), ("via", "1.1 proxy")] {
        assert_eq!(world.from(HERE, Method::GET, "/jobs", &[header], b"").await.status, 401, "{header:?}");
    }
}

/// What is asked for in full, and the least role that may.
fn deeds(good: &str, open: &str) -> Vec<(&'static str, String, Option<Value>, Role)> {
    let nightly = |spec: Value, kind: &str| json!({ "name": "x", "kind": kind, "cron": "0 2 * * *", "spec": spec });
    vec![
        ("POST", "/backup".into(), Some(json!({ "database": "lucid" })), Role::Requester),
        ("POST", "/backup".into(), Some(json!({ "database": "lucid", "encryption": false })), Role::Admin),
        ("POST", "/verify".into(), Some(json!({ "backup": good })), Role::Requester),
        ("POST", "/verify".into(), Some(json!({ "backup": good, "level": "drill" })), Role::Operator),
        ("POST", "/restore".into(), Some(json!({ "backup": good, "database": "beside" })), Role::Operator),
        ("POST", "/prune".into(), Some(json!({ "keep": { "last": 1 }, "take_ownership": true })), Role::Admin),
        ("POST", "/reencrypt".into(), Some(json!({})), Role::Admin),
        ("POST", "/queues/copy/pause".into(), Some(json!({})), Role::Operator),
        ("POST", "/schedules".into(), Some(nightly(json!({ "database": "lucid" }), "backup")), Role::Operator),
        ("PUT", "/schedules/x".into(), Some(nightly(json!({ "keep": { "last": 1 } }), "prune")), Role::Admin),
        ("POST", "/schedules/x/run".into(), None, Role::Admin),
        ("POST", "/schedules/x/pause".into(), None, Role::Operator),
        ("POST", "/schedules/x/resume".into(), None, Role::Admin),
        ("DELETE", "/schedules/x".into(), None, Role::Operator),
        (
            "POST",
            "/schedules".into(),
            Some(nightly(json!({ "database": "lucid", "encryption": false }), "backup")),
            Role::Admin,
        ),
        ("DELETE", format!("/jobs/{open}"), None, Role::Operator),
        ("POST", format!("/jobs/{open}/retry"), None, Role::Requester),
    ]
}

#[actix_web::test]
async fn what_a_job_does_tells_the_role_that_it_needs_and_events_name_who_asked() {
    let world = World::new().await;
    let (good, open) = (world.good_backup().await.to_string(), world.backup().await.to_string());
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, world.token(role.as_str(), role, &[], None).await));
    }
    for (method, path, body, least) in deeds(&good, &open) {
        let mut done = 0;
        for (role, token) in &tokens {
            let what = format!("{method} {path} {body:?} as {role}");
            let method: Method = method.parse().expect("a method");
            if *role > least {
                continue;
            }
            let reply = world.with(token, method, &path, body.as_ref()).await;
            if *role < least {
                assert_eq!(reply.status, 403, "{what}: {}", reply.body);
                let said = reply.body["detail"].as_str().expect("a detail").to_owned();
                let is_told = said.contains("needs role ") && said.contains(&format!("token:{role}@pi-1 is {role}"));
                assert!(is_told, "{what}: {said}");
                assert_eq!(reply.body["type"], "not-allowed");
                continue;
            }
            assert!((200..300).contains(&reply.status), "{what}: {}", reply.body);
            done += 1;
            if reply.body["requested_by"].is_string() && path != format!("/jobs/{open}") {
                let by = reply.body["requested_by"].as_str().expect("a name").to_owned();
                assert!(by.starts_with(&format!("token:{role}@pi-1")), "{what}: {by}");
            }
        }
        assert_eq!(done, 1, "{method} {path}");
    }
    let (_, operator) = &tokens[2];
    let events = world.with(operator, Method::GET, &format!("/jobs/{open}/events"), None).await;
    assert_eq!(events.body["events"][1]["by"], "token:operator@pi-1", "{}", events.body);
}

#[actix_web::test]
async fn a_requester_ends_what_he_or_nobody_asked_for_on_any_node() {
    let mut world = World::new().await;
    let ada = world.token("ada", Role::Requester, &[], None).await;
    let adam = world.token("adam", Role::Requester, &[], None).await;
    let ask = async |world: &World, token: &str| {
        world.with(token, Method::POST, "/backup", Some(&json!({ "database": "lucid" }))).await.id()
    };
    let end = async |world: &World, token: &str, id: &lucid_schemas::JobId| {
        world.with(token, Method::DELETE, &format!("/jobs/{id}"), None).await.status
    };
    let (hers, his) = (ask(&world, &ada).await, ask(&world, &adam).await);
    let body = json!({ "database": "lucid" }).to_string();
    let anybodys =
        world.anonymous(Method::POST, "/backup", &[("content-type", "application/json")], body.as_bytes()).await;
    world.state.options.node = "pi-2".into();
    assert_eq!(end(&world, &ada, &his).await, 403);
    assert_eq!(end(&world, &adam, &hers).await, 403, "the beginning of a name is another name");
    assert_eq!((end(&world, &ada, &hers).await, end(&world, &ada, &anybodys.id()).await), (202, 202));
    let who = world.with(&ada, Method::GET, "/whoami", None).await;
    assert_eq!(who.body, json!({ "name": "token:ada@pi-2", "role": "requester", "databases": null }));
}
