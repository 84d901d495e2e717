//! The files of Compose.

use super::{PROGRAM, deploy, read_by, text, understood};
use crate::args::words;
use serde_norway::Value;
use std::collections::BTreeSet;

const COMPOSE: [&str; 3] = ["compose.yaml", "compose.single.yaml", "compose.node.yaml"];
const OURS: [&str; 2] = ["pickme/lucid:database-backup", "pickme/lucid:database-monitoring"];
/// What these stacks call themselves, as the mission does.
const VOLUMES: [&str; 7] =
    ["lucid_mongo1", "lucid_mongo2", "lucid_mongo3", "lucid_backup", "lucid_monitoring", "mongo_data", "backup_data"];
const CONTAINERS: [&str; 8] = [
    "lucid_mongo",
    "lucid_mongo1",
    "lucid_mongo2",
    "lucid_mongo3",
    "lucid_api",
    "lucid_backup",
    "lucid_restore",
    "lucid_monitoring",
];

/// A file, with what is shared put in where it is used.
fn read(text: &str) -> Value {
    let mut value: Value = serde_norway::from_str(text).expect("YAML");
    value.apply_merge().expect("what is merged are maps");
    value
}

fn services(file: &Value) -> Vec<(String, &Value)> {
    let services = file["services"].as_mapping().expect("services");
    services.iter().map(|(name, service)| (name.as_str().expect("a name").to_owned(), service)).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn keys(value: &Value) -> Vec<String> {
    value.as_mapping().into_iter().flatten().filter_map(|(name, _)| name.as_str()).map(str::to_owned).collect()
}

#[test]
fn every_service_is_started_as_this_program_understands_and_is_told_nothing_that_it_does_not_read() {
    let mut seen = 0;
    for name in COMPOSE {
        for (service, said) in
            services(&read(&text(name))).into_iter().map(|(service, said)| (format!("{name}: {service}"), said))
        {
            let check = texts(&said["healthcheck"]["test"]);
            if let [cmd, program, words @ ..] = &check[..] {
                assert_eq!((cmd.as_str(), program.as_str()), ("CMD", PROGRAM), "{service}");
                assert_eq!(understood(&service, words), "healthcheck");
            }
            if !said["image"].as_str().is_some_and(|image| OURS.contains(&image)) {
                continue;
            }
            seen += 1;
            let verb = understood(&service, &texts(&said["command"]));
            // Groups of verbs take what their members read.
            let known = if verb == "repo" { read_by("worker") } else { read_by(&verb) };
            for variable in keys(&said["environment"]) {
                // What is emptied is kept from it.
                let is_kept_away = said["environment"][&variable].as_str() == Some("");
                assert!(is_kept_away || known.contains(&variable), "{service}: {verb} doesn't read {variable}");
            }
        }
    }
    assert!(seen > 12, "only {seen} services");
}

#[test]
fn nothing_runs_with_more_than_it_needs_and_no_port_is_open_to_the_network() {
    let known: BTreeSet<u16> = [8089, 8091, 9216, 27017, 9090, 3000].into();
    for name in COMPOSE {
        for (service, said) in
            services(&read(&text(name))).into_iter().map(|(service, said)| (format!("{name}: {service}"), said))
        {
            assert_eq!(said["read_only"].as_bool(), Some(true), "{service}");
            assert_eq!(texts(&said["cap_drop"]), ["ALL"], "{service}");
            assert_eq!(texts(&said["security_opt"]), ["no-new-privileges:true"], "{service}");
            assert!(said["pids_limit"].as_u64().is_some() && said["mem_limit"].as_str().is_some(), "{service}");
            assert!(said.get("privileged").is_none() && said.get("cap_add").is_none(), "{service}");
            if said["image"].as_str().is_some_and(|image| image.starts_with("pickme/lucid:")) {
                assert_eq!(said["user"].as_str(), Some("65532:65532"), "{service}");
            }
            if let Some(container) = said["container_name"].as_str() {
                assert!(CONTAINERS.contains(&container), "{service}: {container}");
            }
            for port in texts(&said["ports"]) {
                let [address, outside, inside] = port.split(':').collect::<Vec<_>>()[..] else {
                    panic!("{service}: {port}")
                };
                assert_eq!((address, outside), ("127.0.0.1", inside), "{service}");
                assert!(known.contains(&inside.parse().expect("a port")), "{service}: {port}");
            }
        }
    }
}

#[test]
fn what_is_mounted_and_read_exists_or_is_made_by_build_env() {
    let made: BTreeSet<String> = crate::verb::env::names().into_iter().collect();
    for name in COMPOSE {
        let file = read(&text(name));
        for (service, said) in services(&file) {
            for env_file in texts(&said["env_file"]) {
                let env_file = env_file.strip_prefix("env/").unwrap_or_else(|| panic!("{name}: {env_file}"));
                assert!(made.contains(env_file), "{name}: {service}: {env_file}");
            }
            for volume in texts(&said["volumes"]) {
                let source = volume.split(":/").next().unwrap_or_default();
                if let Some(path) = source.strip_prefix("./") {
                    assert!(deploy().join(path).exists(), "{name}: {service}: {volume}");
                } else {
                    let source = source.trim_start_matches("${LUCID_BACKUP_DIR:-").trim_end_matches('}');
                    assert!(file["volumes"].get(source).is_some(), "{name}: {service}: {volume}");
                }
            }
            for secret in texts(&said["secrets"]) {
                let path = file["secrets"][secret.as_str()]["file"].as_str().expect("a file");
                assert!(made.contains(path.trim_start_matches("./secrets/")), "{name}: {service}: {path}");
            }
            let dockerfile = said["build"]["dockerfile"].as_str();
            assert!(dockerfile.is_none_or(|path| deploy().join("..").join(path).exists()), "{name}: {service}");
        }
        for (_, volume) in file["volumes"].as_mapping().into_iter().flatten() {
            assert!(VOLUMES.contains(&volume["name"].as_str().expect("a name")), "{name}: {volume:?}");
        }
        for (_, network) in file["networks"].as_mapping().into_iter().flatten() {
            assert_eq!(network["name"].as_str(), Some("lucid_core_net"), "{name}");
        }
    }
}

#[test]
fn every_choice_of_the_stacks_is_explained() {
    let guide = text("README.md");
    for name in COMPOSE {
        for rest in text(name).split("${").skip(1) {
            let variable: String =
                rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
            assert!(guide.contains(&format!("`{variable}`")), "{name}: deploy/README.md says nothing of {variable}");
        }
    }
}

#[test]
fn commands_of_the_guide_are_understood() {
    let guide = text("README.md");
    let inside = guide
        .lines()
        .filter_map(|line| line.trim().split_once("docker exec "))
        .filter_map(|(_, rest)| rest.split_once(' '));
    let mut seen = 0;
    for (_, command) in inside.filter(|(_, command)| command.starts_with("lucid-ops ") && !command.contains("...")) {
        let command = command.split('`').next().unwrap_or_default();
        drop(understood("deploy/README.md", &words(command)[1..]));
        seen += 1;
    }
    assert!(seen > 3, "only {seen}");
}
