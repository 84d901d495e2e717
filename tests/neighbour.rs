//! The neighbour: an account on the machine that isn't the service's. What he can do over the loopback API and the files beside it.

use crate::support::{
    Api, World,
    process::{Process, binary, run},
    world::scratch,
};
use bson::{Document, doc};
use lucid_embedded::Options;
use lucid_schemas::http::JobView;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Who has no rights anywhere.
const NOBODY: &str = "65534";

/// Another account on this machine.
struct Neighbour {
    url: String,
    token_file: String,
}

impl Neighbour {
    /// `None` where only root could become somebody else, and this isn't root.
    fn of(world: &World, url: &str) -> Option<Self> {
        let may_be_him = nix::unistd::geteuid().is_root();
        may_be_him.then(|| Self { url: url.to_owned(), token_file: world.token_file() })
    }

    fn verb(&self, arguments: &[&str], token_file: Option<&str>) -> Output {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        // The folders on the way to the program may be closed to him; what is open already isn't.
        command.arg("/proc/self/fd/0").stdin(File::open(binary("lucid-ops")).expect("it is built")).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LUCID_API", &self.url).current_dir("/");
        command.envs(token_file.map(|file| ("LUCID_TOKEN_FILE", file)));
        command.output().expect("setpriv runs")
    }

    fn refused(&self, arguments: &[&str]) {
        let output = self.verb(arguments, None);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("needs a token of role") && said.contains(&self.token_file), "{arguments:?}: {said}");
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tomorrow() -> String {
    let at = bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() + 86_400_000);
    at.try_to_rfc3339_string().expect("a date of these years")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_neighbour_puts_nothing_over_what_is_there_and_forgets_no_backup() {
    let world = World::start(1).await;
    let users = world.client().database("lucid").collection::<Document>("users");
    users.insert_one(doc! { "_id": 1, "of": "last week" }).await.expect("inserted");
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    users.update_one(doc! { "_id": 1 }, doc! { "$set": { "of": "today" } }).await.expect("updated");
    let Some(neighbour) = Neighbour::of(&world, &api.url) else {
        eprintln!("left out: only root can become another account");
        return;
    };

    neighbour.refused(&["restore", &backup, "--to", "lucid", "--replace"]);
    neighbour.refused(&["restore", &backup, "--to", "beside"]);
    neighbour.refused(&["prune", "--keep-last", "1", "--grace-hours", "0"]);
    neighbour.refused(&["verify", &backup, "--level", "drill"]);
    neighbour.refused(&["backup", "lucid", "--no-encryption"]);
    neighbour.refused(&["queues", "pause", "backup"]);
    neighbour.refused(&["schedules", "set", "mine", "--cron", "0 2 * * *", "--prune", "--keep-last", "1"]);
    let named = neighbour.verb(&["jobs", "list"], Some(&neighbour.token_file));
    assert!(String::from_utf8_lossy(&named.stderr).contains("Permission denied"), "he can't read it: {named:?}");

    // Looking, asking for a backup and a verification, and taking that back, are free.
    assert!(said(&neighbour.verb(&["jobs", "list"], None)).contains(&backup));
    let own: JobView =
        serde_json::from_str(&said(&neighbour.verb(&["backup", "lucid", "--json"], None))).expect("a job");
    assert_eq!(own.state, "succeeded");
    assert!(own.requested_by.starts_with("anonymous:"), "{}", own.requested_by);
    said(&neighbour.verb(&["verify", &own.job_id], None));
    let tomorrow = tomorrow();
    let later = ["backup", "lucid", "--run-at", &tomorrow, "--detach", "--json"];
    let later: Value = serde_json::from_str(&said(&neighbour.verb(&later, None))).expect("JSON");
    said(&neighbour.verb(&["jobs", "cancel", later["job_id"].as_str().expect("an id")], None));
    let body = json!({ "database": "lucid", "job": { "run_at": tomorrow } });
    let other = api.accepted("/backup", &body);
    neighbour.refused(&["jobs", "cancel", &other]);
    assert_eq!(api.job(&other).state, "queued");

    let today = users.find_one(doc! { "_id": 1 }).await.expect("read").expect("there");
    assert_eq!(today.get_str("of").ok(), Some("today"));
    // Whoever has the token may all of it.
    said(&api.verb(&["jobs", "cancel", &other]));
    said(&api.verb(&["restore", &backup, "--to", "lucid", "--replace"]));
    let last_week = users.find_one(doc! { "_id": 1 }).await.expect("read").expect("there");
    assert_eq!(last_week.get_str("of").ok(), Some("last week"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_takes_no_token_that_somebody_else_has_prepared_and_keeps_its_own() {
    let world = World::start(1).await;
    let (first, api) = world.api();
    let token = fs::read_to_string(world.token_file()).expect("a token");
    assert!(first.stop().success());
    let (_second, again) = world.api();
    assert_eq!(fs::read_to_string(world.token_file()).expect("a token"), token, "it is kept");
    let pause = |api: &Api| api.call("POST", "/queues/backup/pause", Some(&json!({}))).0;
    assert_eq!((pause(&again), pause(&again.anonymous())), (200, 401));
    drop(api);

    let planted = world.dir().join("planted");
    fs::write(&planted, &token).expect("written");
    fs::set_permissions(&planted, PermissionsExt::from_mode(0o600)).expect("mode");
    let start = |file: &Path| {
        let file = file.display().to_string();
        Process::command(&["api", "--listen", "127.0.0.1:0", "--token-file", &file], &[("MONGODB_URI", &world.uri())])
            .stdin(Stdio::null())
            .output()
            .expect("it runs")
    };
    if nix::unistd::geteuid().is_root() {
        chown(&planted, NOBODY.parse().ok(), None).expect("given away");
    } else {
        fs::set_permissions(&planted, PermissionsExt::from_mode(0o644)).expect("mode");
    }
    let refused = start(&planted);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&planted.display().to_string()) && said.contains("remove it"), "{said}");
    assert!(!said.contains(token.trim()), "the token is shown");
}

#[test]
fn dev_runs_nothing_that_was_put_where_accounts_share_a_folder() {
    let scratch = scratch();
    let (shared, ran) = (scratch.path().join("tmp"), scratch.path().join("ran"));
    let planted = shared.join("lucid-ops/mongod-6.0.5-x86_64");
    fs::create_dir_all(planted.parent().expect("a folder")).expect("a folder");
    let script = format!("#!/bin/sh\necho ran >{}\necho 'db version v6.0.5'\n", ran.display());
    fs::write(&planted, script).expect("written");
    // The very length of the program that it stands for.
    File::options().write(true).open(&planted).and_then(|file| file.set_len(140_783_984)).expect("as long");
    fs::set_permissions(&planted, PermissionsExt::from_mode(0o755)).expect("mode");
    let dev = |dir: &Path| {
        let dir = dir.display().to_string();
        let mut command = Process::command(&["dev", "--dir", &dir, "--api-port", "0"], &[]);
        command.env_clear().env("TMPDIR", &shared).env("PATH", scratch.path()).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = dev(&scratch.path().join("own"));
    assert!(said.contains("set HOME, XDG_CACHE_HOME or LUCID_CACHE"), "{said}");
    assert!(!ran.exists(), "it was run");
    // Nor does it take a state folder whose secrets somebody else knows.
    let prepared = scratch.path().join("prepared");
    fs::create_dir(&prepared).expect("a folder");
    fs::set_permissions(&prepared, PermissionsExt::from_mode(0o777)).expect("mode");
    let said = dev(&prepared);
    assert!(said.contains("others can prepare and exchange"), "{said}");
    assert_eq!(fs::read_dir(&prepared).expect("listed").count(), 0);
}

/// Everything below that others than its owner could read or write.
fn reachable(path: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(path).expect("listed") {
        let (path, about) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))).expect("an entry");
        let mode = about.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            found.push(format!("{} {mode:04o}", path.display()));
        }
        if about.is_dir() {
            reachable(&path, found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_for_its_own_account_whatever_the_shell_says() {
    let world = World::bare(Options::new).await;
    let rows = world.client().database("lucid").collection::<Document>("rows");
    rows.insert_many((0..500).map(|number| doc! { "_id": number })).await.expect("inserted");
    let place = world.dir().join("place");
    fs::create_dir(&place).expect("a folder");
    fs::set_permissions(&place, PermissionsExt::from_mode(0o755)).expect("mode");
    let (key, uri) = (place.join("key").display().to_string(), world.uri());
    let repository = format!("main=file://{}", place.join("repository").display());
    fs::create_dir(place.join("repository")).expect("it was there before");
    fs::set_permissions(place.join("repository"), PermissionsExt::from_mode(0o755)).expect("mode");
    let token = place.join("run/token").display().to_string();
    let anybodys = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(binary("lucid-ops")).args(arguments);
        command.env("MONGODB_URI", &uri).env("LUCID_TOKEN_FILE", &token).env("LUCID_LOG", "info");
        command
    };
    let with_key = ["--repository", &repository, "--key-file", &key];
    let init = anybodys(&[&["repo", "init", "--allow-plain"], &with_key[..]].concat()).output().expect("it runs");
    said(&init);
    let mut api = Process::spawn(&mut anybodys(&["api", "--listen", "127.0.0.1:0"]));
    let api = Api::new(api.await_line("listening on "), &token);
    let mut worker = Process::spawn(&mut anybodys(&[&["worker"], &with_key[..]].concat()));
    worker.await_line("worker ");
    for encryption in [true, false] {
        let id = api.accepted("/backup", &json!({ "database": "lucid", "encryption": encryption }));
        api.succeeded(&id).await;
    }
    let mut found = Vec::new();
    reachable(&place, &mut found);
    // Their own folder is what it was made as.
    found.retain(|entry| !entry.ends_with("/place/repository 0755"));
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_others_can_enter_is_warned_about() {
    let world = World::start(1).await;
    let list = || {
        let (repository, key_file) = (world.repository(), world.key_file());
        let said = run(&["repo", "list", "--repository", &repository, "--key-file", &key_file], &[]);
        assert!(said.status.success());
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    assert!(!list().contains("chmod"), "it was made for its owner only");
    fs::set_permissions(world.repository_path(), PermissionsExt::from_mode(0o750)).expect("mode");
    let (said, wanted) = (list(), format!("`chmod 700 {}`", world.repository_path().display()));
    assert!(said.contains("0750") && said.contains(&wanted), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_others_can_reach_shows_in_health() {
    let world = World::start(1).await;
    let (_api_process, api) = world.api();
    let uri_file = world.dir().join("uri");
    fs::write(&uri_file, world.uri()).expect("written");
    for (path, mode) in [(uri_file.as_path(), 0o644), (Path::new(&world.key_file()), 0o640)] {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("mode");
    }
    let uri_file = uri_file.display().to_string();
    let (_worker, name) = world.worker(&["--mongodb-uri-file", &uri_file]);
    let told = |path: &str, mode: &str| {
        let (_, health) = api.get("/health");
        let problems = health["problems"].as_array().cloned().unwrap_or_default();
        problems.iter().filter_map(Value::as_str).any(|problem| {
            problem.contains(&name) && problem.contains(mode) && problem.contains(&format!("`chmod 600 {path}`"))
        })
    };
    let begun = Instant::now();
    while !(told(&uri_file, "0644") && told(&world.key_file(), "0640")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", api.get("/health").1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
