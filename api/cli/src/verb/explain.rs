//! What a failure code means, or an alert. Needs neither API nor MongoDB: at three in the morning both may be away.

use crate::{args::ExplainArgs, exit::Exit, output};
use lucid_monitor::rules::runbook;
use lucid_schemas::Code;
use serde_json::{Map, Value, json};

/// Questions with their answers, in Markdown.
type Page = Vec<(&'static str, &'static str)>;

/// Prints the page of a code or the runbook of a rule, or the list of all codes.
///
/// # Errors
/// Where this version knows neither, or where it can't be written.
pub fn run(args: &ExplainArgs) -> Result<(), Exit> {
    let text = match (&args.word, args.json) {
        (Some(word), true) => format!("{:#}\n", as_json(word, known(word)?)),
        (Some(word), false) => page(word, known(word)?),
        (None, true) => {
            format!("{:#}\n", Code::ALL.iter().map(|code| as_json(code.as_str(), code.page())).collect::<Value>())
        }
        (None, false) => Code::ALL.iter().copied().map(line).collect(),
    };
    output::print(&text)
}

fn known(word: &str) -> Result<Page, Exit> {
    Code::of(word).map(Code::page).or_else(|| runbook(word)).ok_or_else(|| {
        Exit::usage(format!(
            "this version knows no failure code and no rule '{word}': `lucid-ops explain` lists codes, `lucid-ops alerts rules` lists rules"
        ))
    })
}

fn page(word: &str, page: Page) -> String {
    let plain = |text: &str| text.replace('`', "");
    let parts = page.into_iter().map(|(question, answer)| format!("\n{question}\n  {}\n", plain(answer)));
    format!("{word}\n{}", parts.collect::<String>())
}

/// The code, and what happened in one sentence.
fn line(code: Code) -> String {
    let happened = code.page().first().map_or("", |(_, answer)| *answer);
    let sentence = happened.split_once(". ").map_or(happened.trim_end_matches('.'), |(first, _)| first);
    format!("{:<26} {}\n", code.as_str(), sentence.replace('`', ""))
}

fn as_json(word: &str, page: Page) -> Value {
    let name = |question: &str| question.to_lowercase().replace(' ', "_");
    let parts = page.into_iter().map(|(question, answer)| (name(question), json!(answer)));
    let kind = if Code::of(word).is_some() { "code" } else { "rule" };
    Value::Object(std::iter::once((kind.to_owned(), json!(word))).chain(parts).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_people_and_its_parts_are_for_programs() {
        let text = page("no_space", known("no_space").expect("a code"));
        assert!(text.starts_with("no_space\n\nWhat happened\n  A disk is full"), "{text}");
        assert!(text.contains("lucid-ops prune --at-once") && !text.contains('`'), "{text}");
        let parts = as_json("no_space", Code::NoSpace.page());
        assert_eq!(parts["code"], "no_space");
        assert!(parts["what_to_do"].as_str().is_some_and(|text| text.contains("Free space there")), "{parts}");
        assert_eq!(line(Code::BadName).lines().count(), 1);
        assert!(known("of_a_later_version").is_err());
    }

    #[test]
    fn an_alert_is_explained_by_the_name_of_its_rule() {
        let text = page("member_down", known("member_down").expect("a rule"));
        assert!(text.starts_with("member_down\n\nWhat it means\n  A member doesn't answer"), "{text}");
        let parts = as_json("member_down", known("member_down").expect("a rule"));
        assert!(parts["rule"] == "member_down" && parts["what_to_do"].is_string(), "{parts}");
        let rules = lucid_monitor::rules::views(&lucid_monitor::rules::parse("{}").expect("no change"));
        assert!(rules.iter().all(|rule| Code::of(rule.rule).is_none()), "no word means both");
    }
}
