//! Goldens: what the other ends were built against. A change of one is a change of what people rely on.

use super::*;
use crate::secret::Secret;
use bson::DateTime;
use lucid_schemas::alert::{Fingerprint, ResolvedBy, Severity, What};

const AT: DateTime = DateTime::from_millis(1_736_388_000_000);

fn firing() -> Notice {
    let labels = [("database".to_owned(), "shop".to_owned()), ("schedule".to_owned(), "nightly".to_owned())].into();
    Notice {
        id: Some("alert_20250109_020000_7k3fq2m8ab".into()),
        fingerprint: Fingerprint::of("backup_overdue", &labels),
        incident: "alert_20250109_020000_7k3fq2m8ab".into(),
        sequence: 3,
        what: What::Firing,
        rule: "backup_overdue".into(),
        labels,
        severity: Severity::Critical,
        severity_before: None,
        summary: "The newest backup of shop is 40 h old.".into(),
        value: Some(144_000.0),
        starts_at: AT,
        starts_at_uncertain: false,
        ends_at: None,
        resolved_by: None,
        is_silent: false,
        is_flapping: false,
    }
}

fn over() -> Notice {
    Notice {
        id: None,
        incident: "t7".into(),
        sequence: 9,
        what: What::Resolved,
        rule: "member_down".into(),
        labels: [("member".to_owned(), "pi-2:27017".to_owned())].into(),
        severity: Severity::Warning,
        severity_before: Some(Severity::Critical),
        summary: "pi-2:27017 doesn't answer.".into(),
        value: None,
        starts_at_uncertain: true,
        ends_at: Some(DateTime::from_millis(AT.timestamp_millis() + 60_000)),
        resolved_by: Some(ResolvedBy::Condition),
        is_silent: true,
        is_flapping: true,
        ..firing()
    }
}

fn message(notices: Vec<Notice>) -> Message {
    let sent_at = DateTime::from_millis(AT.timestamp_millis() + 90_000);
    Message::new("chat", "all", sent_at, Some("https://pi-1.example.org/".into()), notices)
}

fn golden(name: &str, value: &Value) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/body/goldens").join(name);
    let told = serde_json::to_string_pretty(value).expect("JSON") + "\n";
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, golden, "{}", path.display());
}

#[test]
fn bodies_are_the_committed_ones() {
    let message = message(vec![over(), firing()]);
    golden("webhook.json", &webhook(&message));
    golden("alertmanager.json", &alertmanager(&message));
    golden("own.json", &own(&message));
    let Mail { subject, text } = mail(&message);
    golden("mail.json", &serde_json::json!({ "subject": subject, "text": text.lines().collect::<Vec<_>>() }));
}

#[test]
fn a_message_is_over_only_where_all_of_it_is() {
    assert_eq!(webhook(&message(vec![over(), firing()]))["status"], "firing");
    assert_eq!(webhook(&message(vec![over()]))["status"], "resolved");
    assert_eq!(mail(&message(vec![over()])).subject, "[lucid-ops] RESOLVED: pi-2:27017 doesn't answer.");
    let again = Notice { what: What::Repeat, ..firing() };
    assert_eq!(webhook(&message(vec![again.clone()]))["alerts"][0]["status"], "firing");
    assert!(mail(&message(vec![again])).subject.starts_with("[lucid-ops] STILL CRITICAL: "));
}

#[test]
fn two_hundred_alerts_are_told_at_once_and_the_rest_is_counted() {
    let many =
        |count: usize| (0..count).map(|number| Notice { incident: format!("{number}"), ..over() }).collect::<Vec<_>>();
    let full = message(many(200));
    assert_eq!((full.notices.len(), full.left_out), (200, 0));
    let mut more = many(349);
    more.push(firing());
    let more = message(more);
    assert_eq!((more.notices.len(), more.left_out), (200, 150));
    assert_eq!(more.notices[0].rule, "backup_overdue", "what is so, and matters, is told first");
    assert_eq!(webhook(&more)["truncatedAlerts"], 150);
    assert_eq!(own(&more)["left_out"], 150);
    assert_eq!(mail(&more).subject, "[lucid-ops] 1 critical, 199 resolved, 150 more");
    assert!(mail(&more).text.ends_with("150 more follow in the next mail.\n"));
}

/// The severity is a label, and labels are who an alert is.
#[test]
fn an_alertmanager_is_told_that_what_mattered_less_before_is_over() {
    let risen = Notice { severity_before: Some(Severity::Warning), ..firing() };
    let told = alertmanager(&message(vec![risen]));
    let alerts = told.as_array().expect("a list");
    let ends: Vec<_> = alerts.iter().map(|alert| (&alert["labels"]["severity"], &alert["endsAt"])).collect();
    assert_eq!(ends.len(), 2);
    assert_eq!((ends[0].0, ends[1].0), (&"critical".into(), &"warning".into()));
    assert_eq!(ends[1].1, "2025-01-09T02:01:30Z", "when it was sent");
    assert!(ends[0].1.as_str() > Some("2025-02-01"), "open until we say so");
}

#[test]
fn a_hostile_name_changes_neither_the_subject_nor_the_lines_of_a_mail() {
    let hostile = "a\r\nBcc: x@evil.example\r\n\r\n<b>";
    let notice = Notice {
        summary: crate::text::plain(hostile),
        labels: [("collection".to_owned(), hostile.to_owned())].into(),
        ..firing()
    };
    let Mail { subject, text } = mail(&message(vec![notice.clone()]));
    assert!(!subject.contains(['\r', '\n']), "{subject}");
    assert!(!text.contains('\r') && text.lines().all(|line| !line.starts_with("Bcc")) && !text.contains('<'), "{text}");
    let exact = webhook(&message(vec![notice]));
    assert_eq!(exact["alerts"][0]["labels"]["collection"], hostile, "labels are exact");
}

/// Computed with another program: `printf '1736388090.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
#[test]
fn the_signature_is_hmac_sha256_over_time_and_body() {
    assert_eq!(
        signature(&Secret::new("0123456789abcdef"), 1_736_388_090, b"{\"a\":1}"),
        "v1=37c87830a4b328e1c411d752af14870774856a17c6e6376f7f0f0e7d0e9171bd"
    );
}
