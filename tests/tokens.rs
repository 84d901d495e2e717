//! Tokens on a real set: made by the verb, good on every node, worth nothing when they are revoked, and written down nowhere.

use crate::support::{
    Api, World,
    process::{Process, run},
};
use bson::Document;
use futures::TryStreamExt;
use lucid_embedded::Options;
use lucid_schemas::names::DEFAULT_OPS_DATABASE;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const WITHIN: Duration = Duration::from_secs(30);

/// `lucid-ops token ...` against MongoDB.
fn token(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&[&["token"], arguments].concat(), &[("MONGODB_URI", &world.uri())]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn created(world: &World, arguments: &[&str]) -> String {
    let (code, shown, said) = token(world, &[&["create"], arguments].concat());
    assert_eq!(code, Some(0), "{said}");
    shown.trim().to_owned()
}

/// The command lines of every process that this account sees.
fn command_lines() -> String {
    let entries = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let read = |path: &Path| fs::read(path.join("cmdline")).unwrap_or_default();
    entries.map(|entry| String::from_utf8_lossy(&read(&entry.path())).into_owned() + "\n").collect()
}

/// Everything that the engine keeps.
async fn kept(world: &World) -> String {
    let ops = world.client().database(DEFAULT_OPS_DATABASE);
    let mut text = String::new();
    let names = ops.list_collection_names().await.expect("listed");
    for name in names.into_iter().filter(|name| !name.starts_with("system.")) {
        let found = ops.collection::<Document>(&name).find(Document::new()).await.expect("read");
        for document in found.try_collect::<Vec<_>>().await.expect("read") {
            text += &document.to_string();
        }
    }
    text
}

/// A verb that is told the file of a token comes as its holder.
fn as_the_verb_comes(world: &World, api: &Api, shown: &str) {
    let file = world.dir().join("named");
    fs::write(&file, shown).expect("written");
    let file = file.display().to_string();
    let shown_by_verb = run(&["token", "show", "--json"], &[("LUCID_API", &api.url), ("LUCID_TOKEN_FILE", &file)]);
    let who: Value = serde_json::from_slice(&shown_by_verb.stdout).expect("JSON");
    assert!(who["name"].as_str().is_some_and(|name| name.starts_with("token:shop@")), "{who}");
}

/// The secret of a token stands in no document, no command line and no list.
async fn stands_nowhere(world: &World, shown: &str) {
    let secret = shown.rsplit('.').next().expect("a secret");
    let kept = kept(world).await;
    assert!(kept.contains("token:shop@") && !kept.contains(secret), "the secret is kept");
    assert!(!command_lines().contains(secret), "the secret stands on a command line");
    let (_, listed, _) = token(world, &["list"]);
    assert!(listed.contains("shop") && listed.contains("valid") && !listed.contains(secret), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_good_on_every_node_and_gone_when_it_is_revoked() {
    let world = World::start(1).await;
    let rows = world.client().database("shop").collection::<Document>("rows");
    rows.insert_one(bson::doc! { "_id": 1 }).await.expect("inserted");
    let (_first, api) = world.api();
    let (_second, other) = world.api();
    let (_worker, _) = world.worker(&[]);
    let monitor = ["monitor", "--listen", "127.0.0.1:0", "--metrics-port", "0", "--token-file", &world.token_file()];
    let mut monitor = Process::start(&monitor, &world.uri());
    let monitor = monitor.await_line("listening on ");

    let shown = created(&world, &["--name", "shop", "--role", "operator", "--database", "shop", "--expires", "1d"]);
    let (code, _, said) = token(&world, &["create", "--name", "shop", "--role", "admin"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("given before"), "{said}");
    let bearer = format!("Bearer {shown}");
    let with = [("authorization", bearer.as_str())];
    let call = |api: &Api, method: &str, path: &str, body: Option<&Value>| {
        api.anonymous().call_with(method, path, body, &with)
    };
    let (status, who) = call(&other, "GET", "/whoami", None);
    assert_eq!((status, &who["role"], &who["databases"]), (200, &json!("operator"), &json!(["shop"])), "{who}");
    let (status, job) = call(&api, "POST", "/backup", Some(&json!({ "database": "shop" })));
    assert_eq!(status, 202, "{job}");
    let id = job["job_id"].as_str().expect("an id").to_owned();
    assert!(job["requested_by"].as_str().is_some_and(|by| by.starts_with("token:shop@")), "{job}");
    api.succeeded(&id).await;
    assert_eq!(call(&api, "POST", "/backup", Some(&json!({ "database": "lucid" }))).0, 403);
    let on_monitor = Api::to_read(monitor);
    let begun = Instant::now();
    loop {
        let (status, answer) = call(&on_monitor, "GET", "/alerts", None);
        if status == 200 {
            break;
        }
        assert!(status == 503 && begun.elapsed() < WITHIN, "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(call(&on_monitor, "GET", "/stats", None).0, 403);

    as_the_verb_comes(&world, &api, &shown);
    stands_nowhere(&world, &shown).await;

    let (code, _, said) = token(&world, &["revoke", "shop"]);
    assert_eq!(code, Some(0), "{said}");
    let revoked = Instant::now();
    for (api, path) in [(&api, "/jobs"), (&other, "/jobs"), (&on_monitor, "/alerts")] {
        while call(api, "GET", path, None).0 == 200 {
            assert!(revoked.elapsed() < WITHIN, "it still opens {}", api.url);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(call(api, "GET", path, None).0, 401, "{}", api.url);
    }
    let (status, said) = call(&api, "GET", "/jobs", None);
    assert!(status == 401 && said["detail"].as_str().is_some_and(|detail| detail.contains("revoked")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_nothing_listens_until_somebody_says_that_he_means_it() {
    let world = World::start(1).await;
    let api = |more: &[&str]| {
        let token_file = world.token_file();
        [&["api", "--listen", "0.0.0.0:0", "--token-file", &token_file], more]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let refused = |more: &[&str]| {
        let arguments = api(more);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments, &[("MONGODB_URI", &world.uri())]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {said}");
        said
    };
    let said = refused(&[]);
    for words in ["0.0.0.0:0", "--plain-http", "lucid-ops token create", "--anonymous"] {
        assert!(said.contains(words), "{said}");
    }
    let said = refused(&["--anonymous", "none"]);
    assert!(said.contains("--plain-http") && !said.contains("token create"), "{said}");
    let said = refused(&["--plain-http"]);
    assert!(said.contains("lucid-ops token create") && !said.contains("--plain-http,"), "{said}");

    created(&world, &["--name", "ada", "--role", "viewer"]);
    let arguments = api(&["--plain-http"]);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut process = Process::start(&arguments, &world.uri());
    let url = process.await_line("listening on ").replace("0.0.0.0", "127.0.0.1");
    assert_eq!(Api::to_read(url).get("/jobs").0, 200, "an account of this machine");
    assert_eq!(token(&world, &["revoke", "ada"]).0, Some(0));
    let said = refused(&["--plain-http"]);
    assert!(said.contains("lucid-ops token create"), "one that is revoked is none: {said}");
}

/// A certificate that vouches for itself, and its key.
fn certificate(folder: &Path, name: &str) -> (String, String) {
    let path = |ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
    let (certificate, key) = (path("crt"), path("key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .output()
        .expect("openssl runs: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_verbs_come_with_a_certificate_that_they_trust_and_a_new_one_needs_no_start() {
    let world = World::bare(Options::new).await;
    let (first, first_key) = certificate(world.dir(), "first");
    let (second, second_key) = certificate(world.dir(), "second");
    let (used, used_key) = (world.dir().join("used.crt"), world.dir().join("used.key"));
    let put = |certificate: &str, key: &str| {
        fs::copy(key, &used_key).expect("copied");
        fs::copy(certificate, &used).expect("copied");
    };
    put(&first, &first_key);
    let token_file = world.token_file();
    let (used, used_key) = (used.display().to_string(), used_key.display().to_string());
    let named = ["--tls-cert-file", &used, "--tls-key-file", &used_key, "--token-file", &token_file];
    let api = [&["api", "--listen", "0.0.0.0:0", "--anonymous", "none"], &named[..]].concat();
    let mut api = Process::start(&api, &world.uri());
    let url = api.await_line("listening on ").replace("0.0.0.0", "127.0.0.1");
    let monitor = [&["monitor", "--listen", "0.0.0.0:0", "--metrics-port", "0"], &named[..]].concat();
    let mut monitor = Process::start(&monitor, &world.uri());
    let monitor_url = monitor.await_line("listening on ").replace("0.0.0.0", "127.0.0.1");
    assert!(url.starts_with("https://") && monitor_url.starts_with("https://"), "{url} {monitor_url}");

    let verb = |arguments: &[&str], ca_file: &str| {
        let services =
            [("LUCID_API", url.as_str()), ("LUCID_MONITOR", &monitor_url), ("LUCID_TOKEN_FILE", &token_file)];
        let ca_file = [("LUCID_CA_FILE", ca_file)];
        let trusted = if ca_file[0].1.is_empty() { &[][..] } else { &ca_file };
        run(arguments, &[&services[..], trusted].concat())
    };
    for arguments in [["jobs", "list"], ["alerts", "silences"], ["queues", "list"]] {
        let output = verb(&arguments, &first);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(verb(&arguments, &second).status.code(), Some(3), "it trusts another: {arguments:?}");
    }
    assert_eq!(verb(&["jobs", "list"], "").status.code(), Some(3), "the system knows no such certificate");
    put(&second, &second_key);
    let begun = Instant::now();
    while !verb(&["jobs", "list"], &second).status.success() || !verb(&["alerts", "silences"], &second).status.success()
    {
        assert!(begun.elapsed() < WITHIN, "the old certificate is still used");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
