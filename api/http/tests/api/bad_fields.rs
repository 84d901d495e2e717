//! Every bad field is named, and nothing is enqueued. `LONG` stands for 300 characters, `GOOD` for a good backup.

use crate::{errors::is_problem, world::World};

/// A body, and the field that it is refused for.
type Case = (&'static str, &'static str);

const BACKUPS: &[Case] = &[
    (r#"{"database":"lucid","colections":[]}"#, "colections"),
    (r#"{"database":5}"#, "database"),
    (r#"{"database":null}"#, "database"),
    (r#"{"database":"lucid","database":"lucid"}"#, "database"),
    (r"{}", "database"),
    (r"[]", "(body)"),
    (r#"["lucid"]"#, "(body)"),
    (r#""lucid""#, "(body)"),
    (r#"{"database":"lucid","collections":"sessions"}"#, "collections"),
    (r#"{"database":"lucid","collections":["sessions",5]}"#, "collections[1]"),
    (r#"{"database":"lucid","compression":"yes"}"#, "compression"),
    (r#"{"database":"lucid","encryption":1}"#, "encryption"),
    (r#"{"database":"lucid","require_consistent":{}}"#, "require_consistent"),
    (r#"{"database":"lucid","repository":""}"#, "repository"),
    (r#"{"database":"lucid","repository":"../main"}"#, "repository"),
    (r#"{"database":""}"#, "database"),
    (r#"{"database":"../x"}"#, "database"),
    (r#"{"database":"a$b"}"#, "database"),
    (r#"{"database":"a\u0000b"}"#, "database"),
    (r#"{"database":"\ud800"}"#, "database"),
    (r#"{"database":"LONG"}"#, "database"),
    (r#"{"database":"admin"}"#, "database"),
    (r#"{"database":"local"}"#, "database"),
    (r#"{"database":"config"}"#, "database"),
    (r#"{"database":"lucid_ops"}"#, "database"),
    (r#"{"database":"nowhere"}"#, "database"),
    (r#"{"database":"lucid","collections":[]}"#, "collections"),
    (r#"{"database":"lucid","collections":[""]}"#, "collections[0]"),
    (r#"{"database":"lucid","collections":["../x"]}"#, "collections[0]"),
    (r#"{"database":"lucid","collections":["a$b"]}"#, "collections[0]"),
    (r#"{"database":"lucid","collections":["a\u0000b"]}"#, "collections[0]"),
    (r#"{"database":"lucid","collections":["LONG"]}"#, "collections[0]"),
    (r#"{"database":"lucid","collections":["system.users"]}"#, "collections[0]"),
    (r#"{"database":"lucid","collections":["sessions","sessions"]}"#, "collections[1]"),
];

const RESTORES: &[Case] = &[
    (r#"{"database":"x"}"#, "backup"),
    (r#"{"backup":5}"#, "backup"),
    (r#"{"backup":"GOOD","databse":"x"}"#, "databse"),
    (r#"{"backup":"GOOD","database":""}"#, "database"),
    (r#"{"backup":"GOOD","database":"../x"}"#, "database"),
    (r#"{"backup":"GOOD","database":"a$b"}"#, "database"),
    (r#"{"backup":"GOOD","database":"a\u0000b"}"#, "database"),
    (r#"{"backup":"GOOD","database":"LONG"}"#, "database"),
    (r#"{"backup":"GOOD","database":"lucid"}"#, "database"),
    (r#"{"backup":"GOOD","database":"admin","replace":true}"#, "database"),
    (r#"{"backup":"GOOD","database":"lucid_ops","replace":true}"#, "database"),
    (r#"{"backup":"GOOD","database":"x","collections":["a\u0000b"]}"#, "collections[0]"),
    (r#"{"backup":"GOOD","database":"x","replace":"yes"}"#, "replace"),
    (r#"{"backup":"GOOD","database":"x","dry_run":1}"#, "dry_run"),
];

const VERIFICATIONS: &[Case] = &[
    (r#"{"backup":"GOOD","level":"DATA"}"#, "level"),
    (r#"{"backup":"GOOD","lvl":"data"}"#, "lvl"),
    (r#"{"backup":"GOOD","sample":"5"}"#, "sample"),
    (r#"{"backup":"GOOD","sample":"0%"}"#, "sample"),
    (r#"{"backup":"GOOD","sample":5}"#, "sample"),
    (r#"{"backup":"GOOD","sample":"5%","seed":"one"}"#, "seed"),
    (r#"{"backup":"GOOD","seed":1}"#, "seed"),
    (r#"{"backup":"GOOD","part":"8/7"}"#, "part"),
    (r#"{"backup":"GOOD","part":"3/7","sample":"5%"}"#, "part"),
    (r#"{"backup":"GOOD","level":"structure","sample":"5%"}"#, "sample"),
    (r#"{"backup":"GOOD","level":"drill","part":"3/7"}"#, "part"),
    (r#"{"backup":"a\u0000b"}"#, "backup"),
    (r"{}", "backup"),
];

#[actix_web::test]
async fn every_bad_field_is_named_and_nothing_is_enqueued() {
    let world = World::new().await;
    let good = world.good_backup().await;
    for (path, cases) in [("/backup", BACKUPS), ("/restore", RESTORES), ("/verify", VERIFICATIONS)] {
        for (body, field) in cases {
            let body = body.replace("GOOD", good.as_str()).replace("LONG", &"x".repeat(300));
            let reply = world.post_text(path, &body).await;
            let what = format!("{path} {body}");
            is_problem(&reply, 422, &what);
            assert_eq!(reply.blamed(), [*field], "{what}: {}", reply.body);
            assert!(reply.body["detail"].as_str().expect("a detail").contains(field), "{what}");
        }
    }
    assert_eq!(world.jobs().await, 1, "only the good backup is there");
}

#[actix_web::test]
async fn an_answer_to_thousands_of_bad_names_stays_short() {
    let world = World::new().await;
    let body = format!(r#"{{"database":"lucid","collections":[{}"$"]}}"#, r#""$","#.repeat(15_000));
    let reply = world.post_text("/backup", &body).await;
    is_problem(&reply, 422, "thousands");
    assert_eq!(reply.blamed().len(), 50);
    assert!(reply.body.to_string().len() < 10_000);
    assert!(reply.body["detail"].as_str().expect("a detail").ends_with("and 14951 more"), "{}", reply.body["detail"]);
}
