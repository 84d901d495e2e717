//! The file of channels: what it may say, and what is said of mistakes in it.

use super::*;
use bson::DateTime;
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

/// Every channel's example, as people read it.
const DOCUMENT: &str = include_str!("../../../../deploy/notifications.md");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(&Secret::new(text), Path::new("/nowhere"), &Rules::bundled())
}

fn channel(lines: &str) -> Result<Channel, String> {
    parse(&format!("[channels.one]\n{lines}")).map(|config| config.channel("one").expect("there").clone())
}

const HOOK: &str = "kind = \"webhook\"\nurl = \"https://example.org/hook\"\n";
const MAIL: &str = "kind = \"smtp\"\nhost = \"mail.example.org\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n";

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_example_of_the_documents_has_one_of_everything() {
    let example = DOCUMENT.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let folder = tempfile::tempdir().expect("a folder");
    let secret = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("written");
        fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(0o600)).expect("set");
    };
    secret("own.secret", "0123456789abcdef\n");
    secret("mail.password", "hunter2\n");
    secret("channels.toml", example);
    let config = Config::read(&folder.path().join("channels.toml"), &Rules::bundled()).expect("an example that works");
    let kinds: BTreeSet<_> = config
        .channels()
        .map(|channel| match channel.means {
            Means::Webhook(_) => "webhook",
            Means::Alertmanager(_) => "alertmanager",
            Means::Signed(..) => "signed",
            Means::Smtp(_) => "smtp",
        })
        .collect();
    assert_eq!(kinds.len(), 4);
    assert!(config.heartbeat.is_some() && config.quiet.is_some() && config.link.is_some() && !config.routes.is_empty());
    assert!(!format!("{config:?}").contains("hunter2"), "a secret is shown");
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = parse(&format!("[channels.one]\n{HOOK}")).expect("fine");
    assert_eq!((config.group_wait, config.repeat), (Duration::from_secs(30), Duration::from_secs(14_400)));
    let one = config.channel("one").expect("there");
    assert_eq!(
        (one.group, &one.means),
        (Group::All, &Means::Webhook(Http { url: Secret::new("https://example.org/hook"), authorization: None }))
    );
    assert_eq!(parse("").expect("fine"), Config::empty());
}

#[test]
fn a_problem_names_its_field_and_tells_no_value() {
    let cases = [
        ("kind = \"carrier pigeon\"", "channels.one.kind: must be one of webhook, alertmanager, signed, smtp"),
        ("url = \"https://example.org\"", "channels.one.kind: is missing"),
        ("kind = \"webhook\"", "channels.one.url: is missing"),
        ("kind = \"webhook\"\nurl = 5", "channels.one.url: must be a text in quotes"),
        (
            "kind = \"webhook\"\nurl = \"http://example.org/hunter2\"",
            "channels.one.url: is read by everybody on the way",
        ),
        ("kind = \"signed\"\nurl = \"https://example.org\"", "channels.one.secret: is missing"),
        (
            "kind = \"signed\"\nurl = \"https://example.org\"\nsecret = \"hunter2\"",
            "channels.one.secret: must be at least",
        ),
        (
            "kind = \"signed\"\nurl = \"https://example.org\"\nsecret_file = \"gone\"",
            "channels.one.secret_file: /nowhere/gone: ",
        ),
    ];
    for (lines, problem) in cases {
        let told = channel(lines).expect_err(problem);
        assert!(told.starts_with(problem) && !told.contains("hunter2"), "{told}");
    }
    let more = [
        (format!("{HOOK}urll = \"x\""), "channels.one.urll: is no field here"),
        (format!("{HOOK}authorization = \"a\\nb\""), "channels.one.authorization: can't stand in a header"),
        (format!("{HOOK}authorization = \"\""), "channels.one.authorization: is empty"),
        (format!("{HOOK}group_by = \"host\""), "channels.one.group_by: must be one of all, severity, rule"),
        (format!("{MAIL}user = \"a\""), "channels.one.password: is missing"),
        (format!("{MAIL}tls = \"none\""), "channels.one.tls: `none` is for this host only"),
        (format!("{MAIL}port = 70000"), "channels.one.port: must be a port"),
        (
            MAIL.replace("\"a@example.org\"", "\"a@example.org\\r\\nBcc: x@y.example\""),
            "channels.one.from: must be an address",
        ),
        (MAIL.replace("[\"b@example.org\"]", "[]"), "channels.one.to: is missing"),
    ];
    for (lines, problem) in more {
        let told = channel(&lines).expect_err(problem);
        assert!(told.starts_with(problem), "{told}");
    }
}

#[test]
fn a_problem_of_the_whole_file_names_its_place() {
    let whole = [
        ("password = \"hunter2", "line 1: this isn't TOML"),
        ("a = 1\n\nb = hunter2", "line 3: this isn't TOML"),
        ("chanels = {}", "chanels: is no field here"),
        ("repeat = \"30s\"", "repeat: must be at least"),
        ("repeat = 4", "repeat: must be a time such as"),
        ("group_wait = \"1h\"", "group_wait: must be at most"),
        ("channels = { One = { kind = \"webhook\", url = \"https://a.example\" } }", "channels.One"),
        ("[[routes]]\nto = [\"pager\"]", "routes[0].to: there is no channel 'pager'"),
        ("[[routes]]\nseverity = \"bad\"", "routes[0].severity: must be one of warning, critical"),
        ("[quiet]\nfrom = \"22:00\"\nto = \"7\"\nzone = \"UTC\"", "quiet.to: must be a time of day"),
        ("[quiet]\nfrom = \"22:00\"\nto = \"22:00\"\nzone = \"UTC\"", "quiet.to: is the same"),
        ("[quiet]\nfrom = \"22:00\"\nto = \"07:00\"\nzone = \"Berlin\"", "quiet.zone: is no time zone"),
        ("[heartbeat]\nurl = \"https://a.example\"", "heartbeat.every: is missing"),
        ("[heartbeat]\nurl = \"https://a.example\"\nevery = \"5s\"", "heartbeat.every: must be at least"),
        ("[[routes]]\nseverity = \"warning\"\nto = []", "routes[0].to: must name a channel"),
    ];
    for (text, problem) in whole {
        let told = parse(text).expect_err(problem);
        assert!(told.starts_with(problem) && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_file_that_others_can_read_is_refused_and_so_is_one_that_it_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("channels.toml");
    fs::write(
        &path,
        format!("[channels.one]\n{}", HOOK.replace("url = \"https://example.org/hook\"", "url_file = \"url\"")),
    )
    .expect("written");
    fs::write(folder.path().join("url"), "https://example.org/hook\n").expect("written");
    let read = || Config::read(&path, &Rules::bundled());
    let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
    mode(&path, 0o644);
    mode(&folder.path().join("url"), 0o644);
    assert!(read().expect_err("readable").contains("channels.toml: others can reach it"));
    mode(&path, 0o600);
    let problem = read().expect_err("readable");
    assert!(
        problem.contains("channels.toml: channels.one.url_file: ") && problem.contains("others can reach it"),
        "{problem}"
    );
    mode(&folder.path().join("url"), 0o600);
    assert!(read().is_ok());
}

#[test]
fn an_alertmanager_is_told_at_its_api() {
    for (given, whole) in [
        ("http://127.0.0.1:9093", "http://127.0.0.1:9093/api/v2/alerts"),
        ("https://example.org/am/", "https://example.org/am/api/v2/alerts"),
        ("https://example.org/api/v2/alerts", "https://example.org/api/v2/alerts"),
    ] {
        let Means::Alertmanager(to) =
            channel(&format!("kind = \"alertmanager\"\nurl = \"{given}\"")).expect("fine").means
        else {
            panic!("another kind")
        };
        assert_eq!(to.url.expose(), whole);
    }
}

#[test]
fn routes_say_who_is_told_and_nothing_falls_between_them() {
    let channels = ["day", "night", "shop"].map(|name| format!("[channels.{name}]\n{HOOK}")).concat();
    let config = parse(&format!(
        "{channels}\n[[routes]]\nseverity = \"critical\"\nto = [\"night\", \"day\"]\n\
         [[routes]]\nrule = \"backup_overdue\"\nlabels = {{ database = \"shop\" }}\nto = [\"shop\"]\n"
    ))
    .expect("fine");
    let told = |rule: &str, pairs: &[(&str, &str)], severity| {
        let labels = labels(pairs);
        let told = config.told(&Subject { rule, labels: &labels, severity });
        told.into_iter().map(|channel| channel.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told("no_primary", &[], Severity::Critical), ["day", "night"]);
    assert_eq!(told("backup_overdue", &[("database", "shop")], Severity::Critical), ["day", "night", "shop"]);
    assert_eq!(told("backup_overdue", &[("database", "shop"), ("a", "b")], Severity::Warning), ["shop"]);
    // Nobody has thought of these: all are told.
    assert_eq!(told("backup_overdue", &[("database", "shop2")], Severity::Warning), ["day", "night", "shop"]);
    assert_eq!(told("job_stuck", &[], Severity::Warning), ["day", "night", "shop"]);
}

#[test]
fn quiet_hours_go_by_the_clocks_of_their_zone_and_are_for_warnings() {
    let config = parse("[quiet]\nfrom = \"22:00\"\nto = \"07:00\"\nzone = \"Europe/Berlin\"").expect("fine");
    let at = |text: &str| DateTime::parse_rfc3339_str(text).expect("a time").timestamp_millis();
    let cases = [
        ("2025-01-09T20:59:59Z", false),
        ("2025-01-09T21:00:00Z", true),
        ("2025-01-10T05:59:59Z", true),
        ("2025-01-10T06:00:00Z", false),
        // An hour earlier in summer.
        ("2025-07-09T20:00:00Z", true),
        ("2025-07-10T05:00:00Z", false),
        ("2025-07-09T12:00:00Z", false),
    ];
    for (time, is_quiet) in cases {
        assert_eq!(config.is_quiet(Severity::Warning, at(time)), is_quiet, "{time}");
        assert!(!config.is_quiet(Severity::Critical, at(time)), "{time}");
    }
    let noon = parse("[quiet]\nfrom = \"12:00\"\nto = \"13:30\"\nzone = \"UTC\"").expect("fine");
    assert!(noon.is_quiet(Severity::Warning, at("2025-01-09T13:29:59.999Z")));
    assert!(!noon.is_quiet(Severity::Warning, at("2025-01-09T13:30:00Z")));
    assert!(!noon.is_quiet(Severity::Warning, at("2025-01-09T11:59:59Z")));
}

#[test]
fn two_definitions_of_one_name_have_two_hashes_and_the_same_one_has_one() {
    let hash = |lines: &str| channel(lines).expect("fine").definition();
    let login = |password: &str| format!("{MAIL}user = \"a\"\npassword = \"{password}\"\n");
    let all = [
        HOOK.to_owned(),
        HOOK.replace("/hook", "/hook2"),
        HOOK.replace("webhook", "alertmanager"),
        format!("{HOOK}authorization = \"Bearer x\""),
        format!("{HOOK}group_by = \"rule\""),
        MAIL.to_owned(),
        login("hunter2"),
        login("hunter3"),
    ];
    let hashes: BTreeSet<_> = all.iter().map(|lines| hash(lines)).collect();
    assert_eq!(hashes.len(), all.len());
    assert!(hashes.iter().all(|hash| hash.len() == 16));
    assert_eq!(
        hash(&login("hunter2")),
        hash(&format!("password = \"hunter2\"\n{MAIL}user = \"a\"\ngroup_by = \"all\""))
    );
    let other = parse(&format!("[channels.two]\n{HOOK}")).expect("fine").channel("two").expect("there").definition();
    assert_ne!(other, hash(HOOK), "the name is salt");
}
