//! What can be asked of a list of alerts.

use bson::DateTime;
use lucid_http::{ApiError, query, shortened};
use lucid_ports::{AlertFilter, AlertPlace};
use lucid_schemas::alert::{Alert, AlertState, Severity};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 500;
const RULE_CHARACTERS_MAX: usize = 100;
const KNOWN: [&str; 5] = ["state", "severity", "rule", "limit", "after"];
/// A word for all that isn't over.
const OPEN: &str = "open";

/// The filter of `GET /alerts`: what is open, unless told otherwise.
pub fn filter(query: &str) -> Result<AlertFilter, ApiError> {
    let mut filter = AlertFilter { states: open(), limit: LIMIT_DEFAULT, ..AlertFilter::default() };
    query::each(query, &KNOWN, |name, value| match name {
        "state" => states(value).map(|states| filter.states = states),
        "severity" => shortened(value).parse::<Severity>().map(|severity| filter.severity = Some(severity)),
        "rule" if (1..=RULE_CHARACTERS_MAX).contains(&value.chars().count()) => {
            filter.rule = Some(value.to_owned());
            Ok(())
        }
        "rule" => Err(format!("must have 1 to {RULE_CHARACTERS_MAX} characters")),
        "after" => place(value).map(|place| filter.after = Some(place)),
        _ => query::number(value, LIMIT_MAX).map(|limit| filter.limit = limit),
    })?;
    Ok(filter)
}

fn open() -> Vec<AlertState> {
    AlertState::ALL.into_iter().filter(|state| state.is_open()).collect()
}

fn states(value: &str) -> Result<Vec<AlertState>, String> {
    let mut states = Vec::new();
    for word in value.split(',') {
        match word {
            OPEN => states.extend(open()),
            word => states.push(shortened(word).parse().map_err(|problem| format!("{problem}, or {OPEN}"))?),
        }
    }
    Ok(states)
}

/// A place as clients send it back: the alert's id, then when it was written first.
pub fn cursor(alert: &Alert) -> String {
    let place = AlertPlace::of(alert);
    format!("{}.{}", place.id, place.created_at.timestamp_millis())
}

fn place(text: &str) -> Result<AlertPlace, String> {
    let read = || {
        let (id, at) = text.split_once('.')?;
        Some(AlertPlace { created_at: DateTime::from_millis(at.parse().ok()?), id: id.parse().ok()? })
    };
    read().ok_or_else(|| "must be what the page before names as 'next'".into())
}

/// Whether an alert that is open is wanted, by what is asked of it and not by its place.
pub fn wants(filter: &AlertFilter, state: AlertState, severity: Severity, rule: &str) -> bool {
    filter.states.contains(&state)
        && filter.severity.is_none_or(|wanted| wanted == severity)
        && filter.rule.as_deref().is_none_or(|wanted| wanted == rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_asked_for_unless_told_otherwise() {
        let plain = filter("").expect("a filter");
        assert_eq!((plain.states, plain.limit), (vec![AlertState::Raised, AlertState::Acknowledged], 100));
        let query = "state=resolved,open&severity=critical&rule=%24ne&limit=7&after=alert_x.1736388000001";
        let expected = AlertFilter {
            states: vec![AlertState::Resolved, AlertState::Raised, AlertState::Acknowledged],
            severity: Some(Severity::Critical),
            rule: Some("$ne".into()),
            fingerprint: None,
            after: Some(AlertPlace {
                created_at: DateTime::from_millis(1_736_388_000_001),
                id: "alert_x".parse().expect("an id"),
            }),
            limit: 7,
        };
        assert_eq!(filter(query).expect("a filter"), expected);
    }

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        for (query, field) in [
            ("state=", "state"),
            ("state=over", "state"),
            ("severity=high", "severity"),
            ("rule=", "rule"),
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("after=alert_x", "after"),
            ("after=backup_x.5", "after"),
            ("labels=x", "labels"),
            ("rule=a&rule=b", "rule"),
        ] {
            let Err(ApiError::Invalid(errors)) = filter(query) else { panic!("{query} is accepted") };
            assert_eq!(errors[0].field, field, "{query}");
        }
    }
}
