//! The files of images.

use super::{PROGRAM, deploy, read_by, text, understood};
use std::collections::BTreeSet;

const DOCKERFILES: [&str; 4] =
    ["Dockerfile", "Dockerfile.mongodb", "Dockerfile.database-backup", "Dockerfile.database-monitoring"];

/// Lines of a Dockerfile with continued ones joined, without comments.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.to_owned() + "\n").collect();
    let joined = lines.replace("\\\n", " ");
    let split = |line: &str| line.split_once(' ').map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()));
    joined.lines().filter_map(split).collect()
}

#[test]
fn images_run_what_this_program_understands_as_nobody_in_particular() {
    for name in DOCKERFILES {
        let known: BTreeSet<String> = read_by("api").into_iter().chain(read_by("monitor")).collect();
        let (mut checks, mut users) = (0, BTreeSet::new());
        for (instruction, rest) in instructions(&text(name)) {
            let words = |text: &str| {
                serde_json::from_str::<Vec<String>>(text).unwrap_or_else(|error| panic!("{name}: {text}: {error}"))
            };
            match instruction.as_str() {
                "HEALTHCHECK" => {
                    let words = words(rest.split_once("CMD ").expect("a command").1);
                    assert_eq!((words[0].as_str(), understood(name, &words[1..]).as_str()), (PROGRAM, "healthcheck"));
                    checks += 1;
                }
                "CMD" if !rest.contains("--replSet") => drop(understood(name, &words(&rest))),
                "CMD" | "ENTRYPOINT" => drop(words(&rest)),
                "USER" => drop(users.insert(rest)),
                "EXPOSE" => assert!(
                    rest.split(' ').all(|port| ["8089", "8091", "9216", "27017"].contains(&port)),
                    "{name}: {rest}"
                ),
                "ENV" => {
                    let own = rest.split(' ').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
                    for variable in own.filter(|variable| variable.starts_with("LUCID_")) {
                        assert!(known.contains(variable), "{name}: nobody reads {variable}");
                    }
                }
                _ => {}
            }
        }
        assert!(checks > 0 && users == BTreeSet::from(["65532:65532".to_owned()]), "{name}: {checks} {users:?}");
    }
}

#[test]
fn the_files_with_one_target_each_are_made_of_the_one_with_all() {
    let whole = text(DOCKERFILES[0]);
    let stages: Vec<&str> = whole.split("\n\n").collect();
    let of = |stage: &str| {
        stage.lines().find(|line| line.starts_with("FROM ")).and_then(|line| line.rsplit(' ').next().map(str::to_owned))
    };
    let targets: [(&str, &[&str]); 3] = [
        ("mongodb", &["build", "prebuilt", "binary", "folders", "mongod", "mongodb"]),
        ("database-backup", &["build", "prebuilt", "binary", "folders", "lucid-ops", "database-backup"]),
        ("database-monitoring", &["build", "prebuilt", "binary", "folders", "lucid-ops", "database-monitoring"]),
    ];
    for (target, wanted) in targets {
        let chosen = stages.iter().filter(|stage| of(stage).is_none_or(|name| wanted.contains(&name.as_str())));
        let text = chosen.copied().collect::<Vec<_>>().join("\n\n").trim_end().to_owned() + "\n";
        let place = deploy().join(format!("Dockerfile.{target}"));
        if std::env::var_os("LUCID_BLESS").is_some() {
            std::fs::write(&place, &text).expect("written");
        }
        assert!(
            self::text(&format!("Dockerfile.{target}")) == text,
            "{} isn't made of deploy/Dockerfile: run this test with LUCID_BLESS=1",
            place.display()
        );
    }
}
