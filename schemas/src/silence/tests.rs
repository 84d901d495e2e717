//! What is silenced, and when.

use super::*;
use bson::doc;

fn at(time: &str) -> DateTime {
    DateTime::parse_rfc3339_str(format!("2026-11-{time}Z")).expect("a time")
}

fn silence(window: Option<(&str, &str, i64)>) -> Silence {
    Silence {
        id: SilenceId::compose(at("24T10:00:00"), 7),
        matchers: vec!["rule=backup_overdue".parse().expect("a matcher")],
        from: at("24T10:00:00"),
        until: at("30T10:00:00"),
        window: window.map(|(cron, timezone, duration_seconds)| Window {
            cron: cron.into(),
            timezone: timezone.into(),
            duration_seconds,
        }),
        by: "token:local@pi-1".into(),
        comment: "disks are changed".into(),
        created_at: at("24T09:00:00"),
        ended_at: None,
        ended_by: None,
        write: "w".into(),
    }
}

#[test]
fn matchers_are_written_as_they_are_read() {
    for text in ["rule=backup_overdue", "severity!=critical", "labels.database=a=b!=c", "labels.a b.$c="] {
        assert_eq!(text.parse::<Matcher>().expect(text).to_string(), text);
    }
    for text in ["rule", "labels.=x", "label.x=y", "=x", "", "!=x"] {
        assert!(text.parse::<Matcher>().is_err(), "{text}");
    }
}

#[test]
fn who_asks_must_say_what_he_means() {
    let blamed = |texts: &[&str]| {
        let matchers: Vec<Matcher> = texts.iter().map(|text| text.parse().expect(text)).collect();
        check_matchers(&matchers).into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    assert!(blamed(&["rule=backup_overdue", "labels.database!=shop"]).is_empty());
    assert_eq!(blamed(&[]), ["matchers"]);
    assert_eq!(blamed(&["rule!=backup_overdue", "severity!=warning"]), ["matchers"]);
    assert_eq!(blamed(&["rule="]), ["matchers[0].value"]);
    assert_eq!(blamed(&["rule=x", "severity=fatal"]), ["matchers[1].value"]);
    assert_eq!(blamed(&["rule=x"; MATCHERS_MAX + 1]), ["matchers"]);
    // What can never hold would keep nothing quiet.
    assert_eq!(blamed(&["rule=x", "rule=y"]), ["matchers[1]"]);
    assert_eq!(blamed(&["labels.a=x", "rule=x", "labels.a!=x"]), ["matchers[2]"]);
    assert!(blamed(&["rule=x", "rule!=y", "rule!=z", "labels.a=y"]).is_empty());
}

#[test]
fn a_silence_holds_from_its_begin_until_its_end() {
    let plain = silence(None);
    for (time, holds) in [("24T09:59:59", false), ("24T10:00:00", true), ("30T09:59:59", true), ("30T10:00:00", false)]
    {
        assert_eq!(plain.is_active(at(time)), holds, "{time}");
    }
    let ended = Silence { ended_at: Some(at("25T00:00:00")), ..plain };
    assert!(!ended.is_active(at("25T00:00:01")) && ended.is_over(at("24T10:00:00")));
}

#[test]
fn a_window_holds_by_its_own_clock() {
    let nightly = silence(Some(("0 2 * * *", "Europe/Berlin", 3_600)));
    for (time, holds) in [
        // Berlin is an hour ahead in winter.
        ("25T00:59:59", false),
        ("25T01:00:00", true),
        ("25T01:59:59", true),
        ("25T02:00:00", false),
        ("24T01:30:00", false),
        ("30T01:30:00", true),
    ] {
        assert_eq!(nightly.is_active(at(time)), holds, "{time}");
    }
    let under_way = Silence { from: at("25T01:30:00"), ..nightly };
    assert!(!under_way.is_active(at("25T01:45:00")), "it begins with the first window that begins within it");
    let unknown = silence(Some(("0 2 * * *", "Europe/Atlantis", 3_600)));
    assert!(!unknown.is_active(at("25T01:30:00")), "what can't be told silences nothing");
}

#[test]
fn windows_leave_half_of_the_time() {
    let blamed = |cron: &str, zone: &str, seconds| {
        let window = Window { cron: cron.into(), timezone: zone.into(), duration_seconds: seconds };
        window.check(at("24T10:00:00")).into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    assert!(blamed("0 2 * * *", "UTC", 43_200).is_empty());
    assert_eq!(blamed("0 2 * * *", "UTC", 43_201), ["window.duration_seconds"]);
    assert_eq!(blamed("* * * * *", "UTC", 60), ["window.duration_seconds"]);
    assert_eq!(blamed("0 2,3 * * *", "UTC", 3_600), ["window.duration_seconds"], "the shortest gap counts");
    assert_eq!(blamed("0 2 * * *", "UTC", 0), ["window.duration_seconds"]);
    assert_eq!(blamed("0 2 * *", "Europe/Atlantis", 60), ["window.cron", "window.timezone"]);
}

#[test]
fn a_later_shape_is_not_read_as_this_one() {
    let stored = doc! { "_id": "silence_1", "schema": SILENCE_SCHEMA + 1 };
    let refused = Silence::from_document(stored).expect_err("later");
    assert!(refused.contains("silence_1") && refused.contains("upgrade"), "{refused}");
}
