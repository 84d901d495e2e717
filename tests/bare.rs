//! A machine without containers: what deploy/install puts there, what systemd says of it, and that mongod takes its configuration.

mod guide;
mod mongod;
mod package;
mod root;
mod shell;

use root::{Root, SERVICES};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Output},
};

/// The most that an installed unit may be exposed, in tenths, as `systemd-analyze security` counts.
const EXPOSURE_MAX: &str = "20";

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn systemd_analyze(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(format!("--root={}", root.display()));
    command.output().unwrap_or_else(|error| {
        panic!("systemd-analyze doesn't run ({error}): install systemd (Debian and Ubuntu: apt-get install systemd)")
    })
}

#[test]
fn the_units_are_well_formed_and_leave_a_service_little_to_break_into() {
    let root = Root::new();
    root.install(&["--mongod", "--bind", "pi-1", "--init-repository"]);
    root.give_it_the_units_of_the_system();
    let units: Vec<_> = SERVICES.map(|name| format!("lucid-ops-{name}.service")).into();
    for unit in units.iter().map(String::as_str).chain(["mongod.service"]) {
        // A misspelt key is no failure there: it is told.
        let verified = systemd_analyze(root.path(), &["verify", "--man=no", unit]);
        assert_eq!((verified.status.code(), said(&verified)), (Some(0), String::new()), "{unit}");
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let secure = systemd_analyze(root.path(), &["security", "--offline=yes", "--no-pager", &threshold, unit]);
        assert!(secure.status.success(), "{unit}: {}", said(&secure));
    }
    // What the installer has added was read, too.
    let shown = systemd_analyze(root.path(), &["cat-config", "systemd/system/lucid-ops-worker.service"]);
    assert!(said(&shown).contains("ReadWritePaths="), "{}", said(&shown));
}

#[test]
fn what_is_installed_is_whole_and_each_secret_is_for_its_service_alone() {
    let root = Root::new();
    let told = root.install(&["--mongod", "--bind", "pi-1", "--init-repository"]);
    let init = root.variables("mongodb-init.env");
    let password = |variable: &str| {
        init.lines().find_map(|line| line.strip_prefix(&format!("{variable}="))).expect(variable).to_owned()
    };
    for (service, variable) in [
        ("api", "LUCID_API_PASSWORD"),
        ("worker", "LUCID_WORKER_PASSWORD"),
        ("restore", "LUCID_RESTORE_PASSWORD"),
        ("monitor", "LUCID_MONITOR_PASSWORD"),
    ] {
        let file = format!("etc/lucid-ops/credentials/{service}.uri");
        assert_eq!((root.mode(&file), root.owner(&file)), (0o600, 0), "{file}");
        assert!(root.text(&file).contains(&format!("://lucid_{service}:{}@", password(variable))), "{file}");
        let settings = root.text(&format!("etc/lucid-ops/{service}.env"));
        assert!(settings.contains("MONGO_REPLICA_SET=rs0"), "{settings}");
    }
    assert_eq!(root.mode("etc/lucid-ops/credentials"), 0o700);
    // Nowhere else, and not told.
    let secrets: Vec<_> =
        init.lines().filter_map(|line| line.split_once("_PASSWORD=")).map(|(_, secret)| secret).collect();
    assert_eq!(secrets.len(), 6);
    for (place, text) in root.texts("etc").into_iter().chain([("what is told".to_owned(), told)]) {
        let found = secrets.iter().filter(|secret| text.contains(**secret)).count();
        assert_eq!(found, usize::from(place.contains("/credentials/") && place.contains("uri")), "{place}");
    }
    let key = "etc/lucid-ops/rs0.key";
    assert_eq!((root.mode(key), root.owner(key)), (0o400, root.user("mongodb")), "or mongod refuses it");
    let repository = root.path().join(root::REPOSITORY.trim_start_matches('/'));
    for path in [repository.clone(), repository.join("config")] {
        assert_eq!(path.metadata().expect("made").uid(), root.user("lucid-backup"), "{path:?}");
    }
    assert!(root.text("etc/lucid-ops/mongod.conf").contains("bindIp: 127.0.0.1,pi-1"));
    let paths = root.text("etc/systemd/system/lucid-ops-restore.service.d/repository.conf");
    assert!(
        paths.contains(&format!("RequiresMountsFor={0}\n[Service]\nReadWritePaths={0}\n", root::REPOSITORY)),
        "{paths}"
    );
}

#[test]
fn a_second_installation_changes_only_what_differs_and_none_is_made_by_a_dry_run() {
    let root = Root::new();
    let all = ["--mongod", "--bind", "pi-1", "--init-repository"];
    let before = root.everything();
    let planned = root.install(&[&all[..], &["--dry-run"]].concat());
    assert_eq!(root.everything(), before, "a dry run");
    assert!(planned.contains("make user lucid-backup") && planned.contains("lucid-ops-worker.service"), "{planned}");
    root.install(&all);
    let first = root.everything();
    let again = root.install(&all);
    assert_eq!(root.everything(), first, "{again}");
    assert!(again.lines().all(|line| !["write", "make", "keep"].iter().any(|did| line.starts_with(did))), "{again}");
    // A new password, and what somebody has changed himself.
    root.generate(&["--replace", "database-monitoring.env"]);
    root.edit("etc/lucid-ops/mongod.conf", "cacheSizeGB", "# mine\n      cacheSizeGB");
    let changed = root.install(&all);
    let written: Vec<_> = changed.lines().filter(|line| line.starts_with("write")).collect();
    assert!(written.len() == 1 && written[0].ends_with("monitor.uri"), "{changed}");
    assert!(root.text("etc/lucid-ops/mongod.conf").contains("# mine"));
}

#[test]
fn an_uninstallation_leaves_data_and_secrets_and_says_where() {
    let root = Root::new();
    root.install(&["--mongod", "--bind", "pi-1", "--init-repository"]);
    let told = root.install(&["--uninstall"]);
    let left: Vec<_> =
        root.everything().into_keys().filter(|path| !path.starts_with("env") && !path.starts_with("secrets")).collect();
    for gone in ["usr/bin/lucid-ops", "system/lucid-ops-", "mongod.service.d/lucid.conf"] {
        assert!(left.iter().all(|path| !path.contains(gone)), "{gone}: {left:?}");
    }
    for kept in ["etc/lucid-ops/credentials/repository.key", "etc/lucid-ops/rs0.key", "backups/config"] {
        assert!(left.iter().any(|path| path.ends_with(kept)), "{kept}: {left:?}");
    }
    for place in ["/etc/lucid-ops", "/var/lib/mongodb", root::REPOSITORY] {
        assert!(told.contains(place), "{place}: {told}");
    }
    root.install(&["--uninstall"]);
}

#[test]
fn what_can_not_be_done_is_refused_before_anything_is() {
    let root = Root::new();
    let before = root.everything();
    let refused = |arguments: &[&str], because: &str| {
        let output = root.try_install(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(because), "{arguments:?}: {}", said(&output));
    };
    refused(&["--services", "api,web"], "no service 'web'");
    refused(&["--binary", "/nowhere/lucid-ops"], "isn't there");
    refused(&["--services"], "needs a value");
    refused(&["--surprise"], "isn't known");
    refused(&["--root", "/nowhere"], "no root of a system");
    assert_eq!(root.everything(), before);
    refused(&["--mongod"], "--bind");
    refused(&["--mongod", "--bind", "pi-1/24"], "neither an address nor a name");
    fs::remove_file(root.path().join("secrets/repository.key")).expect("there");
    refused(&["--services", "worker"], "repository.key isn't there");
    fs::remove_file(root.path().join("env/database-monitoring.env")).expect("there");
    refused(&["--services", "monitor"], "build-env.sh");
}
