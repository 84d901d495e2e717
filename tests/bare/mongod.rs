//! deploy/mongod.conf, as it is installed, in a real mongod.

use super::{root::Root, said};
use crate::support::process::binary;
use lucid_embedded::Mongod;
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::chown,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A mongod that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port; the configuration names one.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

/// What deploy/mongodb-health.sh says of it.
fn is_healthy(port: u16) -> bool {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("deploy/mongodb-health.sh");
    let bin = binary("lucid-ops").parent().expect("a folder").display().to_string();
    let mut command = Command::new(script);
    command.arg(format!("127.0.0.1:{port}")).env("PATH", format!("{bin}:/usr/bin:/bin"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it runs").success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_as_installed_becomes_a_set_that_every_service_can_log_in_to() {
    let port = free_port();
    let root = Root::of(&format!("127.0.0.1:{port}"));
    root.install(&["--mongod", "--bind", "127.0.0.2", "--init-repository"]);
    let (data, key) = (root.path().join("var/lib/mongodb"), root.path().join("etc/lucid-ops/rs0.key"));
    // Here it runs as whoever tests.
    for path in [&data, &key] {
        chown(path, Some(nix::unistd::geteuid().as_raw()), None).expect("given");
    }
    for (from, to) in [
        ("/var/lib/mongodb", data.display().to_string()),
        ("/etc/lucid-ops/rs0.key", key.display().to_string()),
        ("port: 27017", format!("port: {port}")),
    ] {
        root.edit("etc/lucid-ops/mongod.conf", from, &to);
    }
    assert!(!is_healthy(port), "nobody is there yet");
    let mongod = Mongod::find().await.expect("a mongod");
    let log = root.path().join("log");
    let mut command = Command::new(mongod.path());
    command.arg("--config").arg(root.path().join("etc/lucid-ops/mongod.conf"));
    // As the unit has it.
    command.args(["--replSet", "rs0", "--oplogSize", "2048"]);
    command.stdout(fs::File::create(&log).expect("a file")).stdin(Stdio::null());
    let mut running = Running(command.spawn().expect("it starts"));
    let start = Instant::now();
    while !is_healthy(port) {
        let log = fs::read_to_string(&log).unwrap_or_default();
        assert!(running.0.try_wait().expect("started").is_none(), "it ended: {log}");
        assert!(start.elapsed() < PATIENCE, "{log}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    takes_every_value(&fs::read_to_string(&log).expect("a log"));
    assert!(!Path::new(&format!("/tmp/mongodb-{port}.sock")).exists(), "no socket that every user could reach");
    let variables = root.variables("mongodb-init.env");
    let variables =
        variables.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.starts_with('#'));
    let mut bootstrap = Command::new(binary("lucid-ops"));
    let output = bootstrap.arg("bootstrap").envs(variables).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    every_service_can_log_in(&root);
}

/// The log tells what it was started with.
fn takes_every_value(log: &str) {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut options =
        lines.filter(|line| line["msg"] == "Options set by command line").map(|line| line["attr"]["options"].clone());
    let options = options.next_back().expect("it tells what it was started with");
    for (place, expected) in [
        ("/replication/replSet", Value::from("rs0")),
        ("/replication/oplogSizeMB", 2048.into()),
        ("/net/bindIp", "127.0.0.1,127.0.0.2".into()),
        ("/net/maxIncomingConnections", 1000.into()),
        ("/net/unixDomainSocket/enabled", false.into()),
        ("/security/authorization", "enabled".into()),
        ("/security/javascriptEnabled", false.into()),
        ("/setParameter/minSnapshotHistoryWindowInSeconds", 3600.into()),
    ] {
        let found = options.pointer(place).unwrap_or_else(|| panic!("{place} isn't in {options}"));
        let same = found.as_str().map_or_else(
            || found == &expected,
            |text| text == expected.as_str().map_or(expected.to_string(), str::to_owned),
        );
        assert!(same, "{place}: {found}");
    }
    assert!(options.pointer("/storage/wiredTiger/engineConfig/cacheSizeGB").is_some(), "{options}");
}

/// Each service would start, with its own user, password and settings, and the repository and its key.
fn every_service_can_log_in(root: &Root) {
    let repository = format!("main=file://{}{}", root.path().display(), super::root::REPOSITORY);
    let key = root.path().join("secrets/repository.key").display().to_string();
    let works = ["worker", "--repository", &repository, "--key-file", &key];
    for (file, role) in [
        ("database-backup.env", &works[..]),
        ("database-backup.env", &["api"]),
        ("database-restore.env", &works),
        ("database-monitoring.env", &["monitor"]),
    ] {
        let mut check = Command::new(binary("lucid-ops"));
        check.args(["config", "check", "--connect", "--env-file"]).arg(root.path().join("env").join(file)).args(role);
        let output = check.output().expect("it runs");
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), "nothing is wrong\n"), "{file}: {role:?}");
    }
}
