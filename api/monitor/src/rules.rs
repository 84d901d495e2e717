//! The rules as operators see and change them.
//!
//! What they change is JSON, as all that this program is told in files and bodies, so that it needs no other reader, and whoever makes
//! such files has a tool for it already. By rule, only what is to be different:
//!
//! ```json
//! {
//!   "replication_lag": { "warning": 60, "critical": 300, "for_seconds": 300 },
//!   "unprotected_database": { "except": ["scratch", "copy_of_shop"] },
//!   "drill_overdue": { "off": true }
//! }
//! ```

use lucid_core::rules::{BadChange, Change, Limits, Parameters, Rule, all};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

/// The runbooks, as one document.
const RUNBOOKS: &str = include_str!("../../../deploy/runbooks.md");

/// What is in a rule's runbook: pairs of a question (what it means, what to look at, what to do) and the answer, in Markdown; none where
/// there is no such rule.
pub fn runbook(rule: &str) -> Option<Vec<(&'static str, &'static str)>> {
    let sections = RUNBOOKS.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    let (_, section) = sections.into_iter().find(|(title, _)| *title == rule)?;
    Some(section.lines().filter_map(|line| line.strip_prefix("- **")?.split_once(".** ")).collect())
}

/// Why a file of changes can't be taken. Each names the field.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It can't be read.
    #[error("the rules file {path} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// One of its fields can't be taken.
    #[error("the rules file {path}: {source}")]
    In {
        /// The file.
        path: String,
        /// Why.
        source: Box<RulesError>,
    },
    /// It isn't such a text.
    #[error("{field}: {problem}")]
    Field {
        /// The field, by its path.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It asks for what a rule doesn't have, or what makes no sense.
    #[error(transparent)]
    Change(#[from] BadChange),
}

/// What is changed of a rule.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "an object with what is different of this rule")]
struct Changed {
    for_seconds: Option<f64>,
    warning: Option<f64>,
    critical: Option<f64>,
    clear: Option<f64>,
    off: bool,
    except: BTreeSet<String>,
}

impl From<Changed> for Change {
    fn from(Changed { for_seconds, warning, critical, clear, off, except }: Changed) -> Self {
        #[allow(clippy::cast_possible_truncation)] // What is too much is as much as there can be.
        let for_ms = for_seconds.map(|seconds| (seconds * 1_000.0) as i64);
        Self { for_ms, warning, critical, clear, off, except }
    }
}

/// Reads a file of changes.
///
/// # Errors
/// Where it can't be read, or one of its fields can't be taken: nothing of it counts then.
pub fn read(path: &Path) -> Result<Parameters, RulesError> {
    let unreadable = |source| RulesError::Unreadable { path: path.display().to_string(), source };
    parse(&std::fs::read_to_string(path).map_err(unreadable)?)
        .map_err(|source| RulesError::In { path: path.display().to_string(), source: Box::new(source) })
}

/// What is changed, of its text.
///
/// # Errors
/// As [`read`].
pub fn parse(text: &str) -> Result<Parameters, RulesError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let field = |field: String, error: &serde_json::Error| {
        // Of the whole text, the path is a dot.
        let field = if field == "." { "it should be an object, with a field for each rule".to_owned() } else { field };
        RulesError::Field { field, problem: error.to_string() }
    };
    let changed: BTreeMap<String, Changed> = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| field(error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| field("after the end".to_owned(), &error))?;
    let mut parameters = Parameters::default();
    for (rule, changed) in changed {
        parameters.change(&all(), &rule, changed.into())?;
    }
    Ok(parameters)
}

/// A rule as it counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleView {
    /// Its name.
    pub rule: &'static str,
    /// What it finds.
    pub finds: &'static str,
    /// Names of the labels that its subjects have.
    pub subject: &'static [&'static str],
    /// How much what it finds can matter.
    pub severities: Vec<&'static str>,
    /// Of what its value and its limits are; empty where it measures nothing.
    pub unit: &'static str,
    /// Whether values below its limits are wrong, not those above.
    pub is_below: bool,
    /// Beyond it, somebody should look in the morning.
    pub warning: Option<f64>,
    /// Beyond it, somebody should look now.
    pub critical: Option<f64>,
    /// An open alert stays open until the value isn't beyond this either.
    pub clear: Option<f64>,
    /// For how long it must be so.
    pub for_seconds: i64,
    /// Rules whose open alerts explain what it finds.
    pub inhibited_by: &'static [&'static str],
    /// Whether it is switched off.
    pub off: bool,
    /// Subjects of which it says nothing.
    pub except: Vec<String>,
    /// Where its runbook is.
    pub runbook: String,
    /// The same condition for Prometheus, `{limit}` standing for the limit; absent where no metric tells.
    pub promql: Option<&'static str>,
}

/// Every rule, as these parameters have it.
pub fn views(parameters: &Parameters) -> Vec<RuleView> {
    all().into_iter().map(|rule| view(rule, parameters)).collect()
}

fn view(rule: &'static Rule, parameters: &Parameters) -> RuleView {
    let Limits { side, warning, critical, clear } = parameters.limits(rule);
    RuleView {
        rule: rule.id,
        finds: rule.finds,
        subject: rule.subject,
        severities: rule.severities.iter().map(|severity| severity.as_str()).collect(),
        unit: rule.unit,
        is_below: side == lucid_core::rules::Side::Below,
        warning,
        critical,
        clear,
        for_seconds: parameters.for_ms(rule) / 1_000,
        inhibited_by: rule.inhibited_by,
        off: parameters.is_off(rule),
        except: parameters.exceptions(rule).map(str::to_owned).collect(),
        runbook: rule.runbook(),
        promql: Some(rule.promql).filter(|promql| !promql.is_empty()),
    }
}

/// The rules for people: a line each, and below it what is different from other rules.
pub fn table(views: &[RuleView]) -> String {
    let mut text = String::new();
    for view in views {
        let off = if view.off { " (off)" } else { "" };
        // Writing to a String can't fail.
        let _ = writeln!(text, "{:<24} {:<17} {}{off}", view.rule, view.severities.join(", "), view.finds);
        let mut terms = Vec::new();
        let side = if view.is_below { "below" } else { "above" };
        for (name, limit) in [("warning", view.warning), ("critical", view.critical)] {
            terms.extend(limit.map(|limit| format!("{name} {side} {limit} {}", view.unit)));
        }
        terms.extend(view.clear.map(|clear| format!("over at {clear}")));
        terms.extend((view.for_seconds > 0).then(|| format!("for {} s", view.for_seconds)));
        terms.extend((!view.except.is_empty()).then(|| format!("not of {}", view.except.join(", "))));
        if !terms.is_empty() {
            let _ = writeln!(text, "{:<24} {}", "", terms.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn what_is_written_is_changed_and_nothing_else() {
        let parameters = parse(
            r#"{ "replication_lag": { "warning": 60, "critical": 300, "for_seconds": 1.5 },
                 "unprotected_database": { "except": ["scratch"] }, "drill_overdue": { "off": true } }"#,
        );
        let views = views(&parameters.expect("good"));
        let of = |rule: &str| views.iter().find(|view| view.rule == rule).expect("a rule");
        let lag = of("replication_lag");
        assert_eq!((lag.warning, lag.critical, lag.clear, lag.for_seconds), (Some(60.0), Some(300.0), Some(20.0), 1));
        assert_eq!(of("unprotected_database").except, ["scratch"]);
        assert!(of("drill_overdue").off && !of("backup_overdue").off);
        assert_eq!(super::views(&Parameters::default()).len(), all().len());
        assert_eq!(super::views(&parse("{}").expect("good")), super::views(&Parameters::default()));
    }

    #[test]
    fn each_rule_has_its_runbook_at_hand() {
        for rule in all() {
            let runbook = runbook(rule.id).expect(rule.id);
            let questions: Vec<_> = runbook.iter().map(|(question, _)| *question).collect();
            assert_eq!(questions, ["What it means", "What to look at", "What to do"], "{}", rule.id);
        }
        assert_eq!(runbook("nobody"), None);
    }

    #[test]
    fn the_example_in_the_documents_is_one() {
        let (_, after) = include_str!("../../alerts.md").split_once("**Other limits.**").expect("the chapter");
        let example = after.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        assert_ne!(parse(example).expect("good"), Parameters::default());
    }

    #[test]
    fn a_bad_field_is_refused_by_its_name() {
        for (text, word) in [
            (r#"{ "replication_lag": { "warning": "60" } }"#, "replication_lag.warning: "),
            (r#"{ "replication_lag": { "warn": 60 } }"#, "replication_lag.warn: "),
            (r#"{ "replication_lag": { "for_seconds": -1 } }"#, "replication_lag.for_seconds: "),
            (r#"{ "replication_lag": { "critical": 3 } }"#, "replication_lag.critical: "),
            (r#"{ "no_primary": { "warning": 3 } }"#, "no_primary.warning: "),
            (r#"{ "nobody": { "off": true } }"#, "nobody: there is no such rule"),
            (r#"{ "replication_lag": 60 }"#, "replication_lag: "),
            ("{} {}", "after the end: "),
            ("", "it should be an object, with a field for each rule: "),
            ("[]", "it should be an object, with a field for each rule: "),
            (r#"{ "no_primary": null }"#, "no_primary: invalid type: null, expected an object with what is different"),
        ] {
            let said = refused(text);
            assert!(said.starts_with(word), "{text}: {said}");
        }
        let missing = read(Path::new("/nowhere/rules.json")).expect_err("missing").to_string();
        assert!(missing.contains("/nowhere/rules.json"), "{missing}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rules.json");
        std::fs::write(&path, r#"{ "nobody": {} }"#).expect("written");
        let said = read(&path).expect_err("nobody").to_string();
        assert!(said.starts_with(&format!("the rules file {}: nobody: ", path.display())), "{said}");
    }

    #[test]
    fn people_see_limits_in_their_unit_and_what_is_switched_off() {
        let parameters = parse(r#"{ "replication_lag": { "off": true }, "oplog_window": { "except": ["a:1"] } }"#);
        let table = table(&views(&parameters.expect("good")));
        assert!(table.contains("a member is behind the primary (off)\n"), "{table}");
        assert!(
            table.contains("warning above 30 seconds, critical above 120 seconds, over at 20, for 120 s\n"),
            "{table}"
        );
        assert!(table.contains("warning below 86400 seconds") && table.contains("not of a:1\n"), "{table}");
    }
}
