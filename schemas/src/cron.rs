//! When a schedule comes due: a cron expression in a time zone.
//!
//! Two days a year have clocks that are changed. What then holds depends on the expression:
//!
//! | expression | local time that is skipped | local time that comes twice |
//! |---|---|---|
//! | names its minutes and hours: `30 2 * * *`, `0 1,13 * * *` | due at the moment after the gap, once | due the first time only |
//! | repeats (`*` or `/` in minutes or hours): `*/15 * * * *` | left out | due both times |
//!
//! So a daily job runs once on every day, and one of every quarter of an hour runs every quarter of an hour. The rules
//! of the time zones are given, or those that this process goes by: see [`crate::zones`].

use crate::{
    FieldError,
    zones::{self, Rules, Zone},
};
use bson::DateTime;
use chrono::{DateTime as Chrono, Datelike, Duration, NaiveDateTime, SubsecRound, TimeZone, Utc};
use croner::{
    Cron, Direction,
    parser::{CronParser, Seconds, Year},
};

const EXAMPLE: &str = "minute, hour, day, month and weekday, such as '0 2 * * *'";
const CHARACTERS_MAX: usize = 100;
const YEARS: std::ops::Range<i32> = 1970..4_900;
/// Clocks are put back by less than this.
const FOLD_HOURS_MAX: i64 = 3;
/// Longer than any gap: an island that moves over the date line skips a day.
const GAP_MINUTES_MAX: i64 = 2 * 24 * 60;

/// What the fields are called, and how many values each has.
const FIELDS: [(&str, u32); 5] = [("minute", 60), ("hour", 24), ("day", 31), ("month", 12), ("weekday", 7)];

/// The times of a schedule, all on whole minutes.
#[derive(Debug, Clone)]
pub struct Calendar {
    cron: Cron,
    timezone: Zone,
    repeats: bool,
}

impl Calendar {
    /// Reads an expression of five fields (or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`) and the name of a
    /// time zone.
    ///
    /// # Errors
    /// What is wrong with the fields `cron` and `timezone`.
    pub fn new(cron: &str, timezone: &str) -> Result<Self, Vec<FieldError>> {
        Self::by(zones::installed(), cron, timezone)
    }

    /// The same by these rules of time zones.
    ///
    /// # Errors
    /// What is wrong with the fields `cron` and `timezone`.
    pub fn by(rules: &Rules, cron: &str, timezone: &str) -> Result<Self, Vec<FieldError>> {
        match (parse_cron(cron), parse_timezone(rules, timezone)) {
            (Ok(cron), Ok(timezone)) => {
                // A nickname has been written out by now.
                let mut time_of_day = cron.as_str().split_whitespace().take(2);
                let repeats = time_of_day.any(|field| field.contains(['*', '/', '?']));
                Ok(Self { cron, timezone, repeats })
            }
            (cron, timezone) => {
                let cron = cron.err().map(|problem| FieldError::new("cron", problem));
                let timezone = timezone.err().map(|problem| FieldError::new("timezone", problem));
                Err(cron.into_iter().chain(timezone).collect())
            }
        }
    }

    /// The same for somebody who asks for it now: refuses also what can't be meant. Schedules that are stored go on as they were.
    ///
    /// # Errors
    /// What is wrong with the fields `cron` and `timezone`.
    pub fn asked(cron: &str, timezone: &str) -> Result<Self, Vec<FieldError>> {
        let calendar = Self::new(cron, timezone)?;
        match calendar.long_step() {
            Some(problem) => Err(vec![FieldError::new("cron", problem)]),
            None => Ok(calendar),
        }
    }

    /// What somebody might not expect of the expression.
    pub fn remark(&self) -> Option<String> {
        let mut days = self.cron.as_str().split_whitespace().enumerate().filter(|(place, _)| [2, 4].contains(place));
        let both = days.all(|(_, field)| !field.starts_with(['*', '?']));
        let said = "day and weekday are both given: due on every day that fits one of them";
        self.long_step().or_else(|| both.then(|| said.to_owned()))
    }

    /// A step that leads out of its field at once: `*/90` minutes is every hour, which nobody means who writes it.
    fn long_step(&self) -> Option<String> {
        let mut fields = self.cron.as_str().split_whitespace().zip(FIELDS);
        fields.find_map(|(field, (name, places))| {
            let steps = field.split(',').filter_map(|part| part.split_once('/')?.1.parse::<u32>().ok());
            let step = steps.max().filter(|step| *step > places)?;
            Some(format!("has a step of {step} in the {name}, which has only {places} values: it can't be kept"))
        })
    }

    /// The first occurrence after `at`; `None` where there is none within some thousand years.
    pub fn next_after(&self, at: DateTime) -> Option<DateTime> {
        let at = in_range(at)?;
        let local = at.with_timezone(&self.timezone);
        let next = if self.repeats {
            self.cron.find_next_occurrence(&local, false).ok()?.to_utc()
        } else {
            let later = self.cron.iter_from(local.naive_local().and_utc(), Direction::Forward);
            later.filter_map(|local| self.instant(local.naive_utc())).find(|next| *next > at)?
        };
        Some(DateTime::from_chrono(next))
    }

    /// The last occurrence until `at`, which may be `at` itself.
    pub fn last_until(&self, at: DateTime) -> Option<DateTime> {
        let at = in_range(at)?;
        let local = at.with_timezone(&self.timezone);
        let last = if self.repeats {
            self.cron.find_previous_occurrence(&local, true).ok()?.to_utc()
        } else {
            // While an hour comes the second time, local times after this one have been already.
            let from = local.naive_local().and_utc() + Duration::hours(FOLD_HOURS_MAX);
            let earlier = self.cron.iter_from(from, Direction::Backward);
            earlier.filter_map(|local| self.instant(local.naive_utc())).find(|last| *last <= at)?
        };
        Some(DateTime::from_chrono(last))
    }

    /// What the clock of the time zone shows at `at`, with its distance from UTC, such as `2026-11-25 02:00 +01:00`.
    pub fn local(&self, at: DateTime) -> Option<String> {
        Some(in_range(at)?.with_timezone(&self.timezone).format("%Y-%m-%d %H:%M %:z").to_string())
    }

    /// When it is this local time first, or, where the clocks skip it, the moment after the gap.
    fn instant(&self, local: NaiveDateTime) -> Option<Chrono<Utc>> {
        (0..=GAP_MINUTES_MAX)
            .find_map(|minutes| self.timezone.from_local_datetime(&(local + Duration::minutes(minutes))).earliest())
            .map(|instant| instant.to_utc())
    }
}

fn parse_cron(text: &str) -> Result<Cron, String> {
    if text.chars().count() > CHARACTERS_MAX {
        return Err(format!("is longer than {CHARACTERS_MAX} characters"));
    }
    let is_nickname = text.trim().starts_with('@');
    let fields = text.split_whitespace().count();
    if !is_nickname && fields != 5 {
        return Err(format!("has {fields} fields; expected five: {EXAMPLE}"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| match (is_nickname, error) {
        (true, _) => "is no nickname: expected @hourly, @daily, @weekly, @monthly or @yearly".into(),
        (false, error) => format!("is no cron expression ({error}); expected {EXAMPLE}"),
    })?;
    // Of a date that comes at all, one comes within these years, leap days on a given weekday included.
    let from = Chrono::<Utc>::from_timestamp(1_767_225_600, 0).unwrap_or_default();
    cron.find_next_occurrence(&from, false).map_err(|_| "names a date that never comes".to_owned())?;
    Ok(cron)
}

fn parse_timezone(rules: &Rules, name: &str) -> Result<Zone, String> {
    rules.zone(name).ok_or_else(|| {
        let shown: String = name.chars().take(CHARACTERS_MAX).collect();
        format!("'{shown}' is no time zone: expected an IANA name such as Europe/Berlin, or UTC")
    })
}

/// The whole second, where calendars reach that far.
fn in_range(at: DateTime) -> Option<Chrono<Utc>> {
    let at = at.to_chrono();
    YEARS.contains(&at.year()).then(|| at.trunc_subsecs(0))
}

#[cfg(test)]
mod tests;
