//! Private sets with real mongods: start, restart, elections, and no mongod left behind.

use bson::{Document, doc};
use lucid_embedded::{Deployment, Error, Options, Signal};
use nix::{sys::signal::kill, unistd::Pid};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Set in the child process of `no_mongod_outlives_a_killed_parent`: the folder to use.
const CHILD_DIR: &str = "LUCID_EMBEDDED_TEST_DIR";

async fn insert(set: &Deployment, id: i32) {
    let notes = set.client().expect("client").database("test").collection::<Document>("notes");
    notes.insert_one(doc! { "_id": id }).await.expect("insert");
}

async fn count(set: &Deployment) -> u64 {
    let notes = set.client().expect("client").database("test").collection::<Document>("notes");
    notes.count_documents(doc! {}).await.expect("count")
}

fn runs(pid: u32) -> bool {
    kill(Pid::from_raw(i32::try_from(pid).expect("a process id")), None).is_ok()
}

fn wait_until_gone(pids: &[u32]) {
    let start = Instant::now();
    while pids.iter().any(|pid| runs(*pid)) {
        assert!(start.elapsed() < Duration::from_secs(30), "a mongod is left: {pids:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_keeps_its_data_over_stops_kills_and_moves() {
    let scratch = tempfile::tempdir().expect("scratch folder");
    let options = Options::new(scratch.path().join("set"));
    let mut set = Deployment::start(options.clone()).await.expect("start");
    assert!(!set.version().is_empty());
    insert(&set, 1).await;
    let first_port = set.members()[0].port;

    set.kill(0, Signal::SIGKILL).await.expect("kill");
    assert_eq!(set.members()[0].pid, None);
    assert!(matches!(set.kill(0, Signal::SIGTERM).await, Err(Error::NotRunning { member: 0 })));
    set.restart(0).await.expect("restart");
    set.primary().await.expect("a primary again");
    insert(&set, 2).await;
    let pid = set.members()[0].pid.expect("it runs");
    set.stop().await.expect("stop");
    assert!(!runs(pid));

    // Somebody else took the port meanwhile: the set moves.
    let taken = std::net::TcpListener::bind(("127.0.0.1", first_port)).expect("bind");
    std::thread::spawn(move || taken.incoming().for_each(drop));
    let mut set = Deployment::start(options.clone()).await.expect("start on another port");
    assert_ne!(set.members()[0].port, first_port);
    insert(&set, 3).await;
    assert_eq!(count(&set).await, 3);

    let second = Deployment::start(options.clone());
    let waited = tokio::time::timeout(Duration::from_secs(1), second).await;
    assert!(waited.is_err(), "a folder in use is waited for, never shared");
    let moved = set.members()[0].port;
    drop(set);
    let mut set = Deployment::start(options).await.expect("start right after a drop");
    assert_eq!(set.members()[0].port, moved, "the port is free again, so it is kept");
    assert_eq!(count(&set).await, 3);
    set.stop().await.expect("stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_elect_another_primary() {
    let scratch = tempfile::tempdir().expect("scratch folder");
    let mut set = Deployment::start(Options::new(scratch.path()).members(3)).await.expect("start");
    insert(&set, 1).await;
    let first = set.primary().await.expect("primary");
    let second = set.step_down().await.expect("step down");
    assert_ne!(first, second);
    insert(&set, 2).await;
    set.kill(second, Signal::SIGKILL).await.expect("kill");
    let third = set.primary().await.expect("primary");
    assert_ne!(second, third);
    insert(&set, 3).await;
    set.restart(second).await.expect("restart");
    set.kill(third, Signal::SIGSTOP).await.expect("suspend");
    let fourth = set.primary().await.expect("primary");
    assert_ne!(fourth, third, "a suspended member is primary no more");
    assert_eq!(count(&set).await, 3);
    set.stop().await.expect("a suspended member stops too");
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_is_on_unless_told_otherwise() {
    let scratch = tempfile::tempdir().expect("scratch folder");
    let mut set = Deployment::start(Options::standalone(scratch.path().join("closed"))).await.expect("start");
    let anonymous = format!("mongodb://127.0.0.1:{}/?directConnection=true", set.members()[0].port);
    let client = mongodb::Client::with_uri_str(&anonymous).await.expect("client");
    client.list_database_names().await.expect_err("nobody gets in without a password");
    let client = mongodb::Client::with_uri_str(set.uri()).await.expect("client");
    client.list_database_names().await.expect("the administrator does");
    assert!(!format!("{set:?}").contains(set.uri().split(['@', ':']).nth(2).expect("a password")));
    set.stop().await.expect("stop");

    let open = Options { auth: false, ..Options::new(scratch.path().join("open")) };
    let mut set = Deployment::start(open.clone()).await.expect("start");
    assert!(!set.uri().contains('@'));
    insert(&set, 1).await;
    let port = set.members()[0].port;
    set.stop().await.expect("stop");
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("bind");
    let pinned = Options { mongod_port: Some(port), ..open };
    assert!(matches!(Deployment::start(pinned).await, Err(Error::PortTaken { .. })), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mongod_that_refuses_to_start_is_quoted() {
    let scratch = tempfile::tempdir().expect("scratch folder");
    let options = Options::new(scratch.path()).parameter("noSuchParameter", "1");
    let message = Deployment::start(options.clone()).await.expect_err("unknown parameter").to_string();
    assert!(message.contains("noSuchParameter"), "{message}");
    let healed = Options { extra_parameters: Vec::new(), ..options };
    Deployment::start(healed).await.expect("the unfinished start is forgotten").stop().await.expect("stop");
}

/// The child is this very test, told by a variable that it is to start a set and hang.
#[test]
fn no_mongod_outlives_a_killed_parent() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return runtime.block_on(hang_with_a_set(Path::new(&dir)));
    }
    let scratch = tempfile::tempdir().expect("scratch folder");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "no_mongod_outlives_a_killed_parent"])
        .env(CHILD_DIR, scratch.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("child");
    let ready = scratch.path().join("pids");
    while !ready.exists() {
        assert!(child.try_wait().expect("child").is_none(), "the child ended too early");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pids = std::fs::read_to_string(&ready).expect("pids");
    let pids: Vec<u32> = pids.lines().map(|line| line.parse().expect("a process id")).collect();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| runs(*pid)));
    child.kill().expect("kill -9");
    child.wait().expect("child");
    // Start again at once, while the orphans are still about to end.
    let again = Options::new(scratch.path().join("set")).members(2);
    let set = runtime.block_on(Deployment::start(again)).expect("start after the crash");
    wait_until_gone(&pids);
    assert_eq!(runtime.block_on(count(&set)), 1);
    runtime.block_on(set.stop()).expect("stop");
}

/// One of the mongods is suspended, so that it cannot end by being asked to.
async fn hang_with_a_set(dir: &Path) {
    let mut set = Deployment::start(Options::new(dir.join("set")).members(2)).await.expect("start");
    insert(&set, 1).await;
    let pids: Vec<String> = set.members().iter().filter_map(|member| member.pid).map(|pid| pid.to_string()).collect();
    set.kill(1, Signal::SIGSTOP).await.expect("suspend");
    let part = dir.join("pids.part");
    std::fs::write(&part, pids.join("\n")).and_then(|()| std::fs::rename(&part, dir.join("pids"))).expect("write");
    std::future::pending::<()>().await;
}
