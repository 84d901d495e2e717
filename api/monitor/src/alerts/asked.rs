//! What somebody asks of a silence, checked by the primary's clock.

use super::comment;
use bson::DateTime;
use lucid_http::{ApiError, query::time};
use lucid_schemas::{
    FieldError,
    alert::Alert,
    http::{SilenceAlertBody, SilenceBody},
    silence::{MATCHERS_MAX, Matcher, SILENCE_MS_MAX, Subject, WINDOWS_MS_MAX, check_matchers},
};

const DAY_MS: i64 = 86_400_000;
/// Shorter than this it might be over before it is written.
const SECONDS_MIN: i64 = 60;

/// From when until when; now where no begin is given.
#[derive(Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Option<DateTime>,
    pub until: DateTime,
}

/// About just what an alert is about.
pub fn about(alert: &Alert, body: SilenceAlertBody) -> SilenceBody {
    let SilenceAlertBody { for_seconds, until, comment } = body;
    let rule = Matcher { on: Subject::Rule, value: alert.origin.rule.clone(), not: false };
    let label = |(name, value): (&String, &String)| Matcher {
        on: Subject::Label(name.clone()),
        value: value.clone(),
        not: false,
    };
    let matchers = std::iter::once(rule).chain(alert.origin.labels.iter().map(label)).take(MATCHERS_MAX).collect();
    SilenceBody { matchers, from: None, until, for_seconds, window: None, comment }
}

/// Checks a whole silence at this time; errors name its fields.
pub fn check(body: &SilenceBody, now: DateTime) -> Result<Span, ApiError> {
    let mut errors = check_matchers(&body.matchers);
    if let Some(window) = &body.window {
        errors.extend(window.check(now));
    }
    match comment(&body.comment) {
        Ok(said) if said.trim().is_empty() => errors.push(FieldError::new("comment", "must say why, for people")),
        Ok(_) => {}
        Err(ApiError::Invalid(wrong)) => errors.extend(wrong),
        Err(other) => return Err(other),
    }
    match span(body, now) {
        Ok(span) if errors.is_empty() => Ok(span),
        Ok(_) => Err(ApiError::Invalid(errors)),
        Err(error) => {
            errors.push(error);
            Err(ApiError::Invalid(errors))
        }
    }
}

fn span(body: &SilenceBody, now: DateTime) -> Result<Span, FieldError> {
    let at = |field: &str, text: &str| time(text).map_err(|problem| FieldError::new(field, problem));
    let from = body.from.as_deref().map(|text| at("from", text)).transpose()?.filter(|from| *from > now);
    let begin = from.unwrap_or(now);
    let (field, until) = match (&body.until, body.for_seconds) {
        (Some(text), None) => ("until", at("until", text)?),
        (None, Some(seconds)) => {
            let ms = begin.timestamp_millis().saturating_add(seconds.saturating_mul(1_000));
            ("for_seconds", DateTime::from_millis(ms))
        }
        (None, None) => return Err(FieldError::new("until", "is required, or 'for_seconds'")),
        (Some(_), Some(_)) => return Err(FieldError::new("for_seconds", "says the same as 'until': give one of them")),
    };
    let max_ms = if body.window.is_some() { WINDOWS_MS_MAX } else { SILENCE_MS_MAX };
    let ms_until = |at: DateTime| until.timestamp_millis().saturating_sub(at.timestamp_millis());
    if ms_until(begin) < SECONDS_MIN * 1_000 {
        return Err(FieldError::new(field, format!("must be at least {SECONDS_MIN} s after it begins")));
    }
    if ms_until(now) > max_ms {
        let days = max_ms / DAY_MS;
        return Err(FieldError::new(field, format!("must be at most {days} days ahead: nothing is silenced for ever")));
    }
    Ok(Span { from, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::silence::Window;

    const NOW: i64 = 1_795_500_000_000;

    fn body() -> SilenceBody {
        SilenceBody {
            matchers: vec!["rule=backup_overdue".parse().expect("a matcher")],
            for_seconds: Some(3_600),
            comment: "disks are changed".into(),
            ..SilenceBody::default()
        }
    }

    fn at(ms: i64) -> DateTime {
        DateTime::from_millis(NOW + ms)
    }

    fn text(ms: i64) -> String {
        at(ms).try_to_rfc3339_string().expect("a time")
    }

    #[test]
    fn the_span_is_counted_from_its_begin() {
        let span = |body: &SilenceBody| check(body, at(0)).expect("accepted");
        assert_eq!(span(&body()), Span { from: None, until: at(3_600_000) });
        let later = SilenceBody { from: Some(text(7_000)), ..body() };
        assert_eq!(span(&later), Span { from: Some(at(7_000)), until: at(3_607_000) });
        let past = SilenceBody { from: Some(text(-7_000)), ..body() };
        assert_eq!(span(&past), Span { from: None, until: at(3_600_000) }, "nothing is silenced in the past");
        let until = SilenceBody { until: Some(text(SILENCE_MS_MAX)), for_seconds: None, ..body() };
        assert_eq!(span(&until).until, at(SILENCE_MS_MAX));
        let window = Window { cron: "0 2 * * *".into(), timezone: "UTC".into(), duration_seconds: 3_600 };
        let yearly =
            SilenceBody { until: Some(text(WINDOWS_MS_MAX)), for_seconds: None, window: Some(window), ..body() };
        assert_eq!(span(&yearly).until, at(WINDOWS_MS_MAX));
    }

    #[test]
    fn each_misfit_is_named() {
        let day = DAY_MS / 1_000;
        for (wrong, field) in [
            (SilenceBody { for_seconds: None, ..body() }, "until"),
            (SilenceBody { until: Some(text(3_600_000)), ..body() }, "for_seconds"),
            (SilenceBody { for_seconds: Some(59), ..body() }, "for_seconds"),
            (SilenceBody { for_seconds: Some(-1), ..body() }, "for_seconds"),
            (SilenceBody { for_seconds: Some(30 * day + 1), ..body() }, "for_seconds"),
            (SilenceBody { for_seconds: Some(i64::MAX), ..body() }, "for_seconds"),
            (SilenceBody { from: Some(text(SILENCE_MS_MAX)), ..body() }, "for_seconds"),
            (SilenceBody { until: Some("tomorrow".into()), for_seconds: None, ..body() }, "until"),
            (SilenceBody { until: Some(text(-1)), for_seconds: None, ..body() }, "until"),
            (SilenceBody { from: Some("$$NOW".into()), ..body() }, "from"),
            (SilenceBody { matchers: Vec::new(), ..body() }, "matchers"),
            (SilenceBody { comment: " ".into(), ..body() }, "comment"),
            (SilenceBody { comment: "a\nb".into(), ..body() }, "comment"),
            (SilenceBody { comment: "x".repeat(501), ..body() }, "comment"),
            (
                SilenceBody {
                    window: Some(Window { cron: "x".into(), timezone: "UTC".into(), duration_seconds: 1 }),
                    ..body()
                },
                "window.cron",
            ),
        ] {
            let Err(ApiError::Invalid(errors)) = check(&wrong, at(0)) else { panic!("{wrong:?} is accepted") };
            let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(fields, [field], "{wrong:?}");
        }
    }
}
