//! What a failure code means. Needs neither API nor MongoDB: at three in the morning both may be away.

use crate::{args::ExplainArgs, exit::Exit, output};
use lucid_schemas::Code;
use serde_json::{Map, Value, json};

/// Prints the page of a code, or the list of all codes.
///
/// # Errors
/// Where this version doesn't know the code, or where it can't be written.
pub fn run(args: &ExplainArgs) -> Result<(), Exit> {
    let asked = args.code.as_deref().map(known).transpose()?;
    let codes = asked.map_or_else(|| Code::ALL.to_vec(), |code| vec![code]);
    let text = match (args.json, asked) {
        (true, Some(code)) => format!("{:#}\n", as_json(code)),
        (true, None) => format!("{:#}\n", codes.into_iter().map(as_json).collect::<Value>()),
        (false, Some(code)) => page(code),
        (false, None) => codes.into_iter().map(line).collect(),
    };
    output::print(&text)
}

fn known(word: &str) -> Result<Code, Exit> {
    Code::of(word).ok_or_else(|| {
        Exit::usage(format!(
            "this version knows no failure code '{word}': `lucid-ops explain` lists those that it knows"
        ))
    })
}

fn page(code: Code) -> String {
    let plain = |text: &str| text.replace('`', "");
    let parts = code.page().into_iter().map(|(question, answer)| format!("\n{question}\n  {}\n", plain(answer)));
    format!("{code}\n{}", parts.collect::<String>())
}

/// The code, and what happened in one sentence.
fn line(code: Code) -> String {
    let happened = code.page().first().map_or("", |(_, answer)| *answer);
    let sentence = happened.split_once(". ").map_or(happened.trim_end_matches('.'), |(first, _)| first);
    format!("{:<26} {}\n", code.as_str(), sentence.replace('`', ""))
}

fn as_json(code: Code) -> Value {
    let name = |question: &str| question.to_lowercase().replace(' ', "_");
    let parts = code.page().into_iter().map(|(question, answer)| (name(question), json!(answer)));
    Value::Object(std::iter::once(("code".to_owned(), json!(code.as_str()))).chain(parts).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_people_and_its_parts_are_for_programs() {
        let page = page(Code::NoSpace);
        assert!(page.starts_with("no_space\n\nWhat happened\n  A disk is full"), "{page}");
        assert!(page.contains("lucid-ops prune --at-once") && !page.contains('`'), "{page}");
        let parts = as_json(Code::NoSpace);
        assert_eq!(parts["code"], "no_space");
        assert!(parts["what_to_do"].as_str().is_some_and(|text| text.contains("Free space there")), "{parts}");
        assert_eq!(line(Code::BadName).lines().count(), 1);
        assert!(known("of_a_later_version").is_err());
    }
}
