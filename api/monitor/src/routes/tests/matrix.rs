//! Who enters which route of both ports, for every route that there is: a new one without its line here fails.

use super::*;
use lucid_http::secret::mint;
use lucid_ports::{NewToken, Tokens, memory::MemoryStore};
use lucid_schemas::access::Role;
use std::sync::Arc;

/// Method, path, and what it needs.
type Line = (&'static str, &'static str, Right);

/// Every route of each port.
const ROUTES: [(Door, &[Line]); 2] = [
    (Door::Metrics, &[("GET", "/metrics", Right::Open)]),
    (
        Door::Monitor,
        &[
            ("GET", "/metrics", Right::ReadAll),
            ("GET", "/health", Right::Read),
            ("GET", "/stats", Right::ReadAll),
            ("GET", "/livez", Right::Open),
            ("GET", "/readyz", Right::Open),
            ("POST", "/monitor", Right::OperateAll),
            ("GET", "/alerts", Right::Read),
            ("POST", "/alerts/test", Right::OperateAll),
            ("GET", "/alerts/{alert_id}", Right::Read),
            ("POST", "/alerts/{alert_id}/acknowledge", Right::Operate),
            ("POST", "/alerts/{alert_id}/resolve", Right::Operate),
            ("POST", "/alerts/{alert_id}/silence", Right::Operate),
            ("GET", "/silences", Right::Read),
            ("POST", "/silences", Right::Operate),
            ("GET", "/silences/{silence_id}", Right::Read),
            ("DELETE", "/silences/{silence_id}", Right::Operate),
        ],
    ),
];

const ENTERS: u16 = 0;

/// With which status somebody is turned away from what needs this.
type Status = fn(Right) -> u16;

async fn token(store: &MemoryStore, name: &str, role: Role, scope: Option<&str>, expires_in_ms: Option<i64>) -> String {
    let name = name.parse().expect("a name");
    let (shown, hash) = mint(&name, &[3; 32]);
    let databases = scope.map(|database| vec![database.to_owned()]);
    let new = NewToken { name, hash, role, databases, expires_in_ms, by: "me".into(), write: shown[..20].into() };
    store.add_token(&new).await.expect("asked").expect("made");
    format!("Bearer {}", shown.as_str())
}

fn of_role(rank: u8, right: Right) -> u16 {
    let needed = match right {
        Right::Open => 0,
        Right::Read | Right::ReadAll => 1,
        Right::Request => 2,
        Right::Operate | Right::OperateAll => 3,
        Right::Administer => 4,
    };
    if rank >= needed { ENTERS } else { 403 }
}

fn refused(right: Right) -> u16 {
    if right == Right::Open { ENTERS } else { 401 }
}

async fn everybody(store: &MemoryStore) -> Vec<(&'static str, Vec<String>, Status)> {
    let made = |name, role, scope, expires| token(store, name, role, scope, expires);
    let revoked = made("revoked", Role::Admin, None, None).await;
    store.revoke_token(&"revoked".parse().expect("a name"), "me").await.expect("asked").expect("revoked");
    let admin = made("admin", Role::Admin, None, None).await;
    let two = vec![admin.clone(), format!("Bearer {TOKEN}")];
    let malformed = admin[..admin.len() - 1].to_owned();
    vec![
        ("nobody", vec![], |right| if of_role(2, right) == ENTERS { ENTERS } else { 401 }),
        ("viewer", vec![made("viewer", Role::Viewer, None, None).await], |right| of_role(1, right)),
        ("requester", vec![made("requester", Role::Requester, None, None).await], |right| of_role(2, right)),
        ("operator", vec![made("operator", Role::Operator, None, Some(60_000)).await], |right| of_role(3, right)),
        ("admin", vec![admin], |_| ENTERS),
        ("the file's", vec![format!("Bearer {TOKEN}")], |_| ENTERS),
        ("of another scope", vec![made("scoped", Role::Admin, Some("shop"), None).await], |right| match right {
            Right::ReadAll | Right::OperateAll | Right::Administer => 403,
            Right::Open | Right::Read | Right::Request | Right::Operate => ENTERS,
        }),
        ("revoked", vec![revoked], refused),
        ("expired", vec![made("expired", Role::Admin, None, Some(0)).await], refused),
        ("malformed", vec![malformed], refused),
        ("of another API", vec!["Bearer of-another-api".into()], refused),
        ("two tokens", two, refused),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_both_ports_lets_in_whom_it_should_and_nobody_else() {
    let store = Arc::new(MemoryStore::new());
    let people = everybody(&store).await;
    for (door, expected) in ROUTES {
        let listed: Vec<_> =
            expected.iter().map(|(method, path, right)| ((*method).to_owned(), *path, *right)).collect();
        assert_eq!(routes(door), listed, "each route of {door:?} has a line of its own here");
        for (method, path, right) in expected {
            // A port for each, or those who fail again and again would be answered late.
            let tokens = || Directory::of(store.clone());
            let (url, _members, stop) = served_to(door, Lock::Open, tokens(), Anonymous::default());
            let (closed, _members, stop_closed) = served_to(door, Lock::Open, tokens(), Anonymous::everybody(None));
            let place = path.replace(['{', '}'], "");
            for (name, shows, status) in &people {
                let shown: Vec<_> = shows.iter().map(|shown| ("authorization", shown.as_str())).collect();
                for url in [&url, &closed] {
                    let (answered, _, said) = ask(method, url, &place, &shown).await;
                    let answered = if matches!(answered, 401 | 403) { answered } else { ENTERS };
                    let is_nobody = shows.is_empty() && *url == closed;
                    let wanted = if is_nobody { refused(*right) } else { status(*right) };
                    assert_eq!(answered, wanted, "{name} at {method} {path}: {said}");
                }
            }
            stop.cancel();
            stop_closed.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_only_the_file_of_this_node_opens_anything() {
    let (url, _members, stop) = served(Door::Monitor);
    let unknown = token(&MemoryStore::new(), "admin", Role::Admin, None, None).await;
    let (status, _, said) = ask("GET", &url, "/silences", &[("authorization", &unknown)]).await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("no token can be looked up"), "{said}");
    let own = format!("Bearer {TOKEN}");
    assert_eq!(ask("POST", &url, "/silences", &[("authorization", &own)]).await.0, 415, "it is let in");
    stop.cancel();
}
