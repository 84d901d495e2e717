//! What people say about alerts, by the verbs and on a real set: that somebody knows, that it is over, and what nobody is to be told of.

use crate::support::{
    World,
    process::{Process, run},
};
use bson::DateTime;
use lucid_core::alert::{Fence, Finding, Sighting, raise};
use lucid_embedded::Options;
use lucid_mongo::connect;
use lucid_ports::{Alerts, Raised};
use lucid_schemas::{
    alert::{Alert, AlertId, Severity, Token},
    names::DEFAULT_OPS_DATABASE,
};
use serde_json::Value;
use std::{
    process::Output,
    time::{Duration, Instant},
};

const WITHIN: Duration = Duration::from_secs(60);
const USAGE: i32 = 2;

/// The verbs about alerts, at one monitor.
struct Verbs {
    url: String,
    token_file: String,
}

impl Verbs {
    fn run(&self, arguments: &[&str]) -> Output {
        let environment = [("LUCID_MONITOR", self.url.as_str()), ("LUCID_TOKEN_FILE", &self.token_file)];
        run(&[&["alerts"], arguments].concat(), &environment)
    }

    /// What it prints, where it does what is asked.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--json"]].concat())).expect("JSON")
    }

    /// Why it is refused.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(USAGE), "{arguments:?}: {said}");
        said
    }
}

/// An alert of a rule that only a later program knows, so that no monitor of this one touches it.
async fn raised(world: &World) -> Alert {
    let connection = connect(&world.uri(), DEFAULT_OPS_DATABASE).await.expect("connected");
    connection.set_up().await.expect("set up");
    let finding = Finding {
        id: AlertId::compose(DateTime::now(), 7),
        rule: "of_later".into(),
        labels: [("database".to_owned(), "shop\u{1b}[31m $".to_owned())].into(),
        severity: Severity::Critical,
        starts_at: DateTime::now(),
        starts_at_uncertain: false,
        incident: None,
        previous: None,
        sighting: Sighting {
            value: None,
            summary: "the shop is closed".into(),
            rules_version: i32::MAX,
            times: 1,
            flapping: false,
        },
        notify: Vec::new(),
    };
    let deadline = DateTime::from_millis(DateTime::now().timestamp_millis() + 300_000);
    let fence = Fence { token: Token { generation: 0, epoch: 0 }, deadline };
    match connection.store().raise_alert(&raise(&finding, fence, "monitor:a", "once")).await {
        Ok(Raised::New(alert)) => *alert,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_known_silenced_and_over_by_the_verbs() {
    let world = World::bare(Options::new).await;
    let alert = raised(&world).await;
    let (id, token_file) = (alert.id().as_str(), world.token_file());
    let arguments = ["monitor", "--listen", "127.0.0.1:0", "--metrics-port", "0", "--token-file", &token_file];
    let mut monitor = Process::start(&arguments, &world.uri());
    let url = monitor.await_line("listening on ");
    let verbs = Verbs { url: url.clone(), token_file };
    let begun = Instant::now();
    let is_reached = || String::from_utf8_lossy(&verbs.run(&["list", "--json"]).stdout).contains("\"from\": \"store\"");
    while !is_reached() {
        assert!(begun.elapsed() < WITHIN, "{:?}", verbs.run(&["list"]));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let line = |text: &str| text.lines().find(|line| line.starts_with(id)).map(str::to_owned);
    let shown = line(&verbs.told(&["list"])).expect("it is open");
    assert!(shown.contains("critical") && shown.contains("of_later: the shop is closed"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no name steers a terminal: {shown}");

    let without = Verbs { url, token_file: String::new() };
    let said = without.refused(&["ack", id]);
    assert!(said.contains("token"), "{said}");
    let known = verbs.json(&["ack", &id[..id.len() - 1], "--for", "2h", "--comment", "I look"]);
    assert_eq!((&known["state"], known["events"].as_array().map(Vec::len)), (&"acknowledged".into(), Some(2)));
    assert!(line(&verbs.told(&["list"])).expect("open").contains("acknowledged by token:local@"));

    let own = verbs.json(&["silence", id, "--for", "1h", "--comment", "a disk"]);
    let window = ["--cron", "0 2 * * 0", "--timezone", "Europe/Berlin", "--duration", "2h", "--for", "90d"];
    let fits = ["silence", "--match", "labels.database=shop", "--match", "severity!=warning", "--comment", "weekly"];
    let weekly = verbs.json(&[&fits[..], &window].concat());
    assert_eq!((&own["active"], &weekly["window"]["duration_seconds"]), (&true.into(), &7_200.into()));
    let listed = verbs.json(&["list"]);
    let ours = listed["alerts"].as_array().into_iter().flatten().find(|listed| listed["alert_id"] == id);
    assert_eq!(ours.expect("listed")["silenced_by"]["silence_id"], own["silence_id"], "{listed}");
    let said = verbs.refused(&["silence", "--match", "severity!=warning", "--for", "1h", "--comment", "all"]);
    assert!(said.contains("at least one"), "{said}");
    let said = verbs.refused(&["silence", id, "--for", "31d", "--comment", "for ever"]);
    assert!(said.contains("30 days"), "{said}");
    let ended = verbs.told(&["unsilence", own["silence_id"].as_str().expect("an id")]);
    assert!(ended.contains("was ended"), "{ended}");
    assert_eq!(verbs.json(&["silences"])["silences"].as_array().map(Vec::len), Some(1), "the weekly one stays");

    assert_eq!(verbs.told(&["resolve", id]), format!("{id} is resolved\n"));
    let said = verbs.refused(&["ack", id]);
    assert!(said.contains("resolved"), "{said}");
    assert_eq!(line(&verbs.told(&["list"])), None, "it is over");
    assert!(verbs.told(&["list", "--state", "resolved"]).contains(id));
    assert!(verbs.told(&["show", id]).contains("I look"));
    let said = run(&["jobs", "show", id], &[("LUCID_API", "http://127.0.0.1:1")]);
    let said = (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned());
    assert!(said.0 == Some(USAGE) && said.1.contains("lucid-ops alerts show"), "{said:?}");
}
