//! Which silence keeps an alert quiet.

use bson::DateTime;
use lucid_schemas::{alert::Severity, silence::Silence};
use std::collections::BTreeMap;

/// The first of these silences that holds at this time (of the primary's clock) for what this rule found about this subject.
pub fn is_silenced<'a>(
    silences: &'a [Silence],
    rule: &str,
    severity: Severity,
    labels: &BTreeMap<String, String>,
    now: DateTime,
) -> Option<&'a Silence> {
    silences.iter().find(|silence| {
        // None would hold for all.
        !silence.matchers.is_empty()
            && silence.matchers.iter().all(|matcher| matcher.holds(rule, severity.as_str(), labels))
            && silence.is_active(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::silence::SilenceId;

    const NOW: i64 = 1_795_500_000_000;

    fn silence(matchers: &[&str]) -> Silence {
        Silence {
            id: SilenceId::compose(DateTime::from_millis(NOW), 7),
            matchers: matchers.iter().map(|text| text.parse().expect("a matcher")).collect(),
            from: DateTime::from_millis(NOW),
            until: DateTime::from_millis(NOW + 1_000),
            window: None,
            by: "token:local@pi-1".into(),
            comment: "work".into(),
            created_at: DateTime::from_millis(NOW),
            ended_at: None,
            ended_by: None,
            write: "w".into(),
        }
    }

    #[test]
    fn all_of_a_silence_must_fit() {
        let labels = BTreeMap::from([("database".to_owned(), "$shop".to_owned()), ("rule".to_owned(), "x".to_owned())]);
        let holds = |matchers: &[&str], ms| {
            let silences = [silence(matchers)];
            let now = DateTime::from_millis(NOW + ms);
            is_silenced(&silences, "backup_overdue", Severity::Critical, &labels, now).is_some()
        };
        assert!(holds(&["rule=backup_overdue"], 0));
        assert!(holds(&["rule=backup_overdue", "severity=critical", "labels.database=$shop"], 0));
        assert!(holds(&["labels.database=$shop", "labels.member!=pi-1"], 0), "what isn't there isn't equal");
        assert!(holds(&["labels.rule=x"], 0), "a label that is named like something else is a label");
        assert!(!holds(&["rule=backup_overdue", "severity!=critical"], 0));
        assert!(!holds(&["rule=x"], 0));
        assert!(!holds(&["labels.database=shop"], 0) && !holds(&["labels.database=$"], 0));
        assert!(!holds(&["labels.member="], 0), "what isn't there isn't empty");
        assert!(!holds(&["rule=backup_overdue"], 1_000) && !holds(&["rule=backup_overdue"], -1), "in its time only");
        assert!(!holds(&[], 0), "one about nothing silences nothing");
    }

    #[test]
    fn the_first_that_holds_is_named() {
        let silences = [silence(&["rule=other"]), silence(&["rule=lag"]), silence(&["severity=warning"])];
        let found = is_silenced(&silences, "lag", Severity::Warning, &BTreeMap::new(), DateTime::from_millis(NOW));
        assert_eq!(found.map(|silence| &silence.matchers), Some(&silences[1].matchers));
    }
}
