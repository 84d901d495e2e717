//! Expressions, time zones, and the two days a year that are longer or shorter.

use super::{Calendar, Rules};
use bson::DateTime;

fn at(text: &str) -> DateTime {
    DateTime::parse_rfc3339_str(text).expect("a time")
}

fn calendar(cron: &str, timezone: &str) -> Calendar {
    Calendar::new(cron, timezone).expect("a calendar")
}

/// The occurrences in (`from`, `until`], as text; read forwards and backwards, which must agree.
fn between(calendar: &Calendar, from: &str, until: &str) -> Vec<String> {
    let (from, until) = (at(from), at(until));
    let forwards: Vec<_> = std::iter::successors(calendar.next_after(from), |last| calendar.next_after(*last))
        .take_while(|next| *next <= until)
        .collect();
    let before = |last: &DateTime| calendar.last_until(DateTime::from_millis(last.timestamp_millis() - 1));
    let mut backwards: Vec<_> =
        std::iter::successors(calendar.last_until(until), before).take_while(|last| *last > from).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards, "{calendar:?}");
    let text = |at: &DateTime| at.try_to_rfc3339_string().expect("a time").replace(":00Z", "Z");
    forwards.iter().map(text).collect()
}

#[test]
fn a_daily_job_follows_the_local_clock() {
    let nightly = calendar("0 2 * * *", "Europe/Berlin");
    let times = between(&nightly, "2026-11-24T10:00:00Z", "2026-11-27T00:00:00Z");
    assert_eq!(times, ["2026-11-25T01:00Z", "2026-11-26T01:00Z"]);
    assert_eq!(nightly.last_until(at("2026-11-25T01:00:00Z")), Some(at("2026-11-25T01:00:00Z")), "itself included");
    assert_eq!(nightly.next_after(at("2026-11-25T00:59:59.999Z")), Some(at("2026-11-25T01:00:00Z")));
    assert_eq!(nightly.last_until(at("2026-11-25T01:00:00.001Z")), Some(at("2026-11-25T01:00:00Z")));
}

#[test]
fn a_named_time_that_is_skipped_comes_right_after_the_gap_and_once() {
    // From 02:00 to 03:00 on 28 March 2027, that is at 01:00 UTC.
    let (from, until) = ("2027-03-27T12:00:00Z", "2027-03-29T12:00:00Z");
    assert_eq!(
        between(&calendar("30 2 * * *", "Europe/Berlin"), from, until),
        ["2027-03-28T01:00Z", "2027-03-29T00:30Z"]
    );
    assert_eq!(
        between(&calendar("0,20,40 2 * * *", "Europe/Berlin"), from, "2027-03-28T12:00:00Z"),
        ["2027-03-28T01:00Z"]
    );
    assert_eq!(
        between(&calendar("30 2,3 * * *", "Europe/Berlin"), from, "2027-03-28T12:00:00Z"),
        ["2027-03-28T01:00Z", "2027-03-28T01:30Z"]
    );
}

#[test]
fn a_named_time_that_comes_twice_is_due_once() {
    // From 03:00 back to 02:00 on 31 October 2027, that is at 01:00 UTC.
    let (from, until) = ("2027-10-30T12:00:00Z", "2027-10-31T23:00:00Z");
    assert_eq!(between(&calendar("30 2 * * *", "Europe/Berlin"), from, until), ["2027-10-31T00:30Z"]);
    assert_eq!(
        between(&calendar("30 2,3 * * *", "Europe/Berlin"), from, until),
        ["2027-10-31T00:30Z", "2027-10-31T02:30Z"]
    );
}

#[test]
fn what_repeats_keeps_its_distance() {
    let half_hourly = calendar("*/30 * * * *", "Europe/Berlin");
    let spring = between(&half_hourly, "2027-03-28T00:00:00Z", "2027-03-28T02:00:00Z");
    assert_eq!(spring, ["2027-03-28T00:30Z", "2027-03-28T01:00Z", "2027-03-28T01:30Z", "2027-03-28T02:00Z"]);
    let autumn = between(&half_hourly, "2027-10-31T00:00:00Z", "2027-10-31T02:00:00Z");
    assert_eq!(autumn, ["2027-10-31T00:30Z", "2027-10-31T01:00Z", "2027-10-31T01:30Z", "2027-10-31T02:00Z"]);
}

#[test]
fn other_clocks_other_gaps() {
    // Half an hour on Lord Howe Island, two hours at Troll, a whole day on Samoa.
    let howe = calendar("15 2 * * *", "Australia/Lord_Howe");
    assert_eq!(between(&howe, "2027-10-02T00:00:00Z", "2027-10-03T00:00:00Z"), ["2027-10-02T15:30Z"]);
    let troll = calendar("30 2 * * *", "Antarctica/Troll");
    assert_eq!(between(&troll, "2027-10-30T12:00:00Z", "2027-10-31T12:00:00Z"), ["2027-10-31T00:30Z"]);
    let samoa = calendar("0 12 * * *", "Pacific/Apia");
    assert_eq!(
        between(&samoa, "2011-12-29T00:00:00Z", "2011-12-31T12:00:00Z"),
        ["2011-12-29T22:00Z", "2011-12-30T10:00Z", "2011-12-30T22:00Z"]
    );
}

#[test]
fn a_day_of_month_or_a_weekday() {
    let either = calendar("0 0 13 * FRI", "UTC");
    let times = between(&either, "2026-11-09T00:00:00Z", "2026-11-21T00:00:00Z");
    assert_eq!(times, ["2026-11-13T00:00Z", "2026-11-20T00:00Z"]);
    let weekly = calendar("@weekly", "UTC");
    assert_eq!(weekly.next_after(at("2026-11-24T00:00:00Z")), Some(at("2026-11-29T00:00:00Z")));
    let leap_day = calendar("0 0 29 2 *", "UTC");
    assert_eq!(leap_day.next_after(at("2026-11-24T00:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
}

#[test]
fn a_step_beyond_its_field_is_not_taken_any_more_and_told_of_where_it_is_stored() {
    for cron in ["*/90 * * * *", "0 */25 * * *", "0 0 */32 * *", "0 0 1 */13 *", "0 0 * * */8", "0,*/61 * * * *"] {
        let errors = Calendar::asked(cron, "UTC").expect_err(cron);
        assert!(errors[0].field == "cron" && errors[0].problem.contains("can't be kept"), "{cron}: {errors:?}");
        // One that is stored may be one that croner itself takes.
        if let Ok(stored) = Calendar::new(cron, "UTC") {
            assert_eq!(stored.remark().as_deref(), Some(errors[0].problem.as_str()), "{cron}");
        }
    }
    for cron in ["*/60 */24 * * *", "*/7 * * * *", "@hourly"] {
        assert!(Calendar::asked(cron, "UTC").is_ok(), "{cron}");
    }
}

#[test]
fn days_by_two_fields_are_told_of() {
    for cron in ["0 0 13 * FRI", "0 0 1,15 * 1-5"] {
        let remark = calendar(cron, "UTC").remark().expect(cron);
        assert!(remark.contains("fits one of them"), "{remark}");
    }
    for cron in ["0 0 13 * *", "0 0 * * FRI", "*/60 */24 * * *", "0 0 */2 * 1", "@weekly", "@monthly"] {
        assert_eq!(calendar(cron, "UTC").remark(), None, "{cron}");
    }
}

#[test]
fn every_mistake_names_its_field() {
    for cron in [
        "",
        "@reboot",
        "@daily x",
        "0 2 * *",
        "0 2 * * * *",
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "-1 * * * *",
        "a b c d e",
        "$now 1 1 1 1",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "0 2 * * *\u{0}",
        &"1,".repeat(60),
    ] {
        let errors = Calendar::new(cron, "UTC").expect_err(cron);
        assert_eq!((errors.len(), errors[0].field.as_str()), (1, "cron"), "{cron}: {errors:?}");
    }
    for timezone in
        ["", "Berlin", "europe/berlin", "Europe/Berlin ", "+01:00", "Mars/Olympus", "$$NOW", &"x".repeat(500)]
    {
        let errors = Calendar::new("0 2 * * *", timezone).expect_err(timezone);
        assert_eq!((errors.len(), errors[0].field.as_str()), (1, "timezone"), "{timezone}: {errors:?}");
        assert!(errors[0].problem.len() < 250, "{errors:?}");
    }
    assert_eq!(Calendar::new("x", "y").expect_err("both").len(), 2);
}

#[test]
fn the_ends_of_time_have_no_occurrences() {
    let nightly = calendar("0 2 * * *", "Pacific/Kiritimati");
    for end in [DateTime::MIN, DateTime::MAX] {
        assert_eq!((nightly.next_after(end), nightly.last_until(end)), (None, None));
    }
}

#[test]
fn a_schedule_goes_by_the_rules_that_are_given() {
    let folder = crate::zones::tests::folder(None);
    let rules = Rules::of_folder(folder.path()).expect("rules");
    let of = |rules: &Rules| Calendar::by(rules, "0 2 * * *", "America/Vancouver").expect("a calendar");
    // A winter's night: with clocks that are never put back, two o'clock is at nine.
    assert_eq!(of(&rules).next_after(at("2028-01-15T00:00:00Z")), Some(at("2028-01-15T09:00:00Z")));
    assert_eq!(of(&rules).last_until(at("2028-01-15T10:30:00Z")), Some(at("2028-01-15T09:00:00Z")));
    assert!(Calendar::by(&rules, "0 2 * * *", "Europe/Berlin").is_ok(), "what the folder lacks is there");
}
