//! A token for one database: alerts and silences about others, or about none, are as if they weren't there.

use super::{ids, world::World};
use lucid_http::secret::mint;
use lucid_ports::{NewToken, Tokens};
use lucid_schemas::{access::Role, alert::Severity};
use serde_json::{Value, json};

async fn token(world: &World) -> String {
    let name = "shop".parse().expect("a name");
    let (shown, hash) = mint(&name, &[3; 32]);
    let (role, databases) = (Role::Operator, Some(vec!["shop".to_owned()]));
    let new = NewToken { name, hash, role, databases, expires_in_ms: None, by: "me".into(), write: "w".into() };
    world.store.add_token(&new).await.expect("asked").expect("made");
    shown.to_string()
}

fn about(database: &str) -> Value {
    let matcher = json!({ "on": "labels.database", "value": database });
    json!({ "matchers": [matcher], "for_seconds": 3_600, "comment": "moving" })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_one_database_sees_and_says_what_is_about_that_one() {
    let world = World::new();
    let shop = token(&world).await;
    let his = world.raised("backup_overdue", ("database", "shop"), Severity::Critical).await;
    let others = [
        world.raised("backup_overdue", ("database", "lucid"), Severity::Critical).await,
        world.raised("lag", ("member", "pi-2"), Severity::Warning).await,
    ];
    let ask = |method: &'static str, path: String, body: Option<Value>| {
        let (world, shop) = (&world, &shop);
        async move { world.send(method, &path, body.as_ref(), Some(shop)).await }
    };
    let (_, list) = ask("GET", "/alerts".into(), None).await;
    assert_eq!(ids(&list), [his.id().as_str()]);
    let comment = json!({ "comment": "mine" });
    for other in &others {
        world.resolved(other).await;
        let id = other.id();
        for (method, rest, body) in [
            ("GET", "", None),
            ("POST", "/acknowledge", Some(comment.clone())),
            ("POST", "/resolve", Some(comment.clone())),
            ("POST", "/silence", Some(json!({ "for_seconds": 3_600, "comment": "mine" }))),
        ] {
            let (status, said) = ask(method, format!("/alerts/{id}{rest}"), body).await;
            assert_eq!(status, 404, "{method} {rest}: {said}");
        }
    }
    let (_, over) = ask("GET", "/alerts?state=resolved".into(), None).await;
    assert_eq!(ids(&over), Vec::<&str>::new());
    let (status, said) = ask("POST", format!("/alerts/{}/acknowledge", his.id()), Some(comment)).await;
    assert_eq!((status, &said["acknowledged_by"]), (200, &json!("token:shop@pi-1")), "{said}");

    let (_, foreign) = world.post("/silences", &about("lucid")).await;
    let (status, own) = ask("POST", "/silences".into(), Some(about("shop"))).await;
    assert_eq!((status, &own["by"]), (201, &json!("token:shop@pi-1")), "{own}");
    let by_rule = json!({ "matchers": [{ "on": "rule", "value": "lag" }], "for_seconds": 3_600, "comment": "all" });
    for body in [about("lucid"), by_rule] {
        let (status, said) = ask("POST", "/silences".into(), Some(body)).await;
        assert_eq!(status, 403, "{said}");
    }
    let foreign = foreign["silence_id"].as_str().expect("an id");
    for method in ["GET", "DELETE"] {
        assert_eq!(ask(method, format!("/silences/{foreign}"), None).await.0, 404, "{method}");
    }
    let (_, silences) = ask("GET", "/silences".into(), None).await;
    let seen: Vec<_> = silences["silences"].as_array().into_iter().flatten().map(|one| &one["silence_id"]).collect();
    assert_eq!(seen, [&own["silence_id"]]);
}
