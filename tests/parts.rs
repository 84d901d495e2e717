//! A backup of some collections says so wherever it is told of: in lists, results and JSON, of jobs and of repository verbs.

use crate::support::{Api, World, data, process::run};
use bson::{Document, doc};
use serde_json::{Value, json};
use std::process::Output;

const WORDS: &str = "lucid (1 collection)";
const ALONE: &str = "of these collections of its database alone: rows";

fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

fn lines(output: &Output) -> Vec<Value> {
    said(output);
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Of the one backup that these lines tell of, or of each.
fn assert_marked(told: &[Value], part: &str) {
    let named = |line: &&Value| ["job", "backup"].iter().any(|field| line[field] == *part);
    let line = told.iter().find(named).unwrap_or_else(|| panic!("{part} isn't in {told:?}"));
    assert_eq!((&line["partial"], &line["selected"]), (&json!(true), &json!(["rows"])), "{line}");
}

async fn back_up(api: &Api, more: Value) -> String {
    let mut body = json!({ "database": "lucid" });
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let id = api.accepted("/backup", &body);
    api.succeeded(&id).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_some_collections_says_so_wherever_it_is_told_of() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 300).await;
    let others = world.client().database("lucid").collection::<Document>("others");
    others.insert_many([doc! { "_id": 1 }, doc! { "_id": 2 }]).await.expect("inserted");
    let (far, far_key) = (
        format!("far=file://{}", world.dir().join("far").display()),
        format!("far={}", world.dir().join("far.key").display()),
    );
    said(&run(&["repo", "init", "--repository", &far, "--key-file", &far_key], &[]));
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&["--repository", &far, "--key-file", &far_key]);
    let whole = back_up(&api, json!({})).await;
    let part = back_up(&api, json!({ "collections": ["rows"] })).await;

    let (main, key, uri) = (world.repository(), world.key_file(), world.uri());
    let near = ["--repository", &main, "--key-file", &key];
    let repo = |arguments: &[&str]| run(&[&["repo"], arguments, &near[..]].concat(), &[("MONGODB_URI", &uri)]);
    let backups = api.get("/backups").1;
    assert_eq!((&backups["backups"][0]["partial"], &backups["backups"][1]["partial"]), (&json!(true), &json!(false)));
    for told in [
        api.verb(&["backups"]),
        repo(&["list"]),
        repo(&["stats"]),
        repo(&["ls", &part]),
        repo(&["cat", &part, "rows", "--limit", "1"]),
        repo(&["verify", &part]),
        repo(&["verify", "--all"]),
        repo(&["pin", &part, "--reason", "a test"]),
        repo(&["unpin", &part]),
    ] {
        assert!(said(&told).contains(WORDS), "{}", said(&told));
    }
    assert_eq!(lines(&repo(&["cat", &part, "rows", "--limit", "1"])).len(), 1, "documents alone");
    for told in [&["list"][..], &["verify", &part], &["verify", "--all"], &["pin", &part, "--reason", "x"]] {
        assert_marked(&lines(&repo(&[told, &["--json"]].concat())), &part);
    }
    let verified = lines(&repo(&["verify", &whole, "--json"]));
    assert_eq!((&verified[0]["partial"], &verified[0]["selected"]), (&json!(false), &Value::Null));
    assert!(!said(&repo(&["verify", &whole])).contains(WORDS));
    a_comparison_says_what_it_cannot_compare(&repo, (&whole, &part));

    let both = ["--repository", &far, "--key-file", &far_key];
    for word in ["newly stored", "already"] {
        let copied = said(&repo(&[&["copy", &part, "--to", "far"], &both[..]].concat()));
        assert!(copied.contains(WORDS) && copied.contains(word), "{copied}");
    }
    assert_marked(&lines(&repo(&[&["copy", &part, "--to", "far", "--json"], &both[..]].concat())), &part);
    jobs_say_so(&api, &part).await;
}

fn a_comparison_says_what_it_cannot_compare(repo: &dyn Fn(&[&str]) -> Output, (whole, part): (&str, &str)) {
    for (pair, which) in [([whole, part], "newer"), ([part, whole], "older")] {
        let diff = said(&repo(&["diff", pair[0], pair[1]]));
        assert!(diff.contains(WORDS) && diff.contains(&format!("not asked for in the {which} backup")), "{diff}");
        assert!(!diff.contains("gone") && !diff.contains("new\n"), "{diff}");
        let lines = lines(&repo(&["diff", pair[0], pair[1], "--documents", "--json"]));
        assert!(lines.iter().all(|line| line["partial"] == true), "{lines:?}");
        let of = |field: &str, name: &str| lines.iter().filter(|line| line[field] == *name).collect::<Vec<_>>();
        assert!(of("collection", "others").len() == 2 && of("name", "others").len() == 1, "{lines:?}");
        for line in [of("collection", "others"), of("name", "others")].concat() {
            assert_eq!(line["not_asked_for"], which, "{line}");
        }
        assert_eq!(of("name", "rows")[0].get("not_asked_for"), None);
    }
    let same = lines(&repo(&["diff", whole, whole, "--json"]));
    assert!(same.iter().all(|line| line["partial"] == false), "{same:?}");
}

/// Results in the API, and the last sentence of the verbs that wait for them.
async fn jobs_say_so(api: &Api, part: &str) {
    let restore = json!({ "backup": part, "database": "copy", "dry_run": true });
    for (path, body) in [
        ("/verify", json!({ "backup": part })),
        ("/verify", json!({ "backup": part, "level": "drill" })),
        ("/restore", restore),
        ("/restore", json!({ "backup": part, "database": "copy" })),
        ("/copy", json!({ "backup": part, "to": "far" })),
    ] {
        let id = api.accepted(path, &body);
        let result = api.succeeded(&id).await.result.expect("a result");
        assert_eq!((&result["partial"], &result["selected"]), (&json!(true), &json!(["rows"])), "{path}: {result}");
        let shown = said(&api.verb(&["jobs", "show", &id]));
        assert!(shown.contains("partial") && shown.contains("rows"), "{shown}");
    }
    for verb in [
        &["verify", part][..],
        &["verify", part, "--level", "drill"],
        &["restore", part, "--to", "another", "--dry-run"],
        &["restore", part, "--to", "another"],
        &["copy", part, "--to", "far"],
    ] {
        let told = said(&api.verb(verb));
        assert!(told.contains(ALONE), "{told}");
    }
    let another = back_up(api, json!({ "collections": ["others"] })).await;
    let all = said(&api.verb(&["copy", "--all", "--to", "far"]));
    assert!(all.contains(&format!("of some collections of their database alone: {another}")), "{all}");
}
