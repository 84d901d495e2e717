//! The commands in the documents are those of this program.

use super::Cli;
use clap::{Parser, error::ErrorKind};

/// What stands in quotes is one word.
pub fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap_or(line);
    let (mut words, mut quoted, mut word) = (Vec::new(), false, String::new());
    for character in line.trim().chars().chain([' ']) {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(character),
        }
    }
    words
}

#[test]
fn every_command_in_the_documents_is_understood() {
    let mut seen = 0;
    let documents = [
        include_str!("../../../../README.md"),
        include_str!("../../../alerts.md"),
        include_str!("../../../jobs.md"),
        include_str!("../../../monitor.md"),
        include_str!("../../../../schemas/failures.md"),
        include_str!("../../../../deploy/README.md"),
        include_str!("../../../../deploy/bare-metal.md"),
        include_str!("../../../../deploy/operations.md"),
    ];
    for document in documents {
        let inline = document.split('`').skip(1).step_by(2);
        let lines = document.lines().chain(inline).map(|line| line.trim().trim_start_matches("sudo "));
        for line in lines.filter(|line| line.starts_with("lucid-ops ") && !line.contains("...")) {
            if let Err(error) = Cli::try_parse_from(words(line)) {
                // A document may name a command without all that it takes.
                assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument, "{line}: {error}");
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
}
