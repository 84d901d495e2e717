//! A set of three members, two monitors, and a webhook that is told; and what must be so of each fault.

use crate::{
    alerts::until,
    support::{
        Api, World,
        gate::Gate,
        process::Process,
        receiver::{Receiver, channels_file},
    },
};
use bson::{Document, doc};
use futures::TryStreamExt;
use lucid_core::rules;
use lucid_embedded::{Options, Signal};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

/// So many times sooner than by default a rule counts here.
const SOONER: f64 = 30.0;
/// The lease of the monitors that are in a hurry.
const LEASE: Duration = Duration::from_secs(3);
/// What the disk of the machine does that tests run on is no part of them; elections and leases that are lost are all of a test's making.
const OFF: [&str; 5] = ["disk_space", "disk_filling", "repository_full", "elections", "leases_lost"];
/// What a busy machine may do at any time; a monitor that was started anew may need longer to reach the store than a rule waits here.
const ALWAYS_MAY: [&str; 5] = ["clock_skew", "store_silent", "latency", "replication_lag", "worker_problem"];

/// A row of the table.
pub struct Fault {
    pub name: &'static str,
    /// Rules that must find it.
    pub must: &'static [&'static str],
    /// Rules that may, too: their alerts are true, but depend on how fast the set heals.
    pub may: &'static [&'static str],
}

/// What happens to the monitor that holds the claim to write alerts, while one is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    None,
    /// It is killed, and another one is started.
    Kill,
    /// It sleeps for longer than its lease.
    Freeze,
}

pub struct House {
    pub world: World,
    pub gates: Vec<Gate>,
    pub receiver: Receiver,
    /// Who tells people when it hears nothing for a minute.
    pub heart: Receiver,
    /// Those that run.
    pub monitors: Vec<(Process, Api)>,
    arguments: Vec<String>,
}

impl House {
    /// In a hurry: rounds each second, a lease of three, and each rule counts 30 times sooner.
    pub async fn in_a_hurry() -> Self {
        let more = ["--monitoring-interval", "1", "--lease-ms", "3000"];
        Self::start(&more, rules_file(SOONER)).await
    }

    /// With every default.
    pub async fn at_leisure() -> Self {
        Self::start(&[], rules_file(1.0)).await
    }

    async fn start(more: &[&str], rules: Value) -> Self {
        let options = |dir| Options {
            max_connections: Some(200),
            ..Options::new(dir).members(3).parameter("enableTestCommands", "1")
        };
        let mut world = World::start_with(options).await;
        let gates = Gate::before_all(&mut world).await;
        let (receiver, heart) = (Receiver::start(200), Receiver::start(200));
        let text = format!(
            "group_wait = \"1s\"\n[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n[heartbeat]\nurl = \"{}\"\nevery = \"1m\"\n",
            receiver.url, heart.url
        );
        let (channels, path) = (channels_file(&world, &text), world.dir().join("rules.json"));
        fs::write(&path, rules.to_string()).expect("written");
        let named = [
            ("--repository", world.repository()),
            ("--token-file", world.token_file()),
            ("--channels-file", channels.display().to_string()),
            ("--rules-file", path.display().to_string()),
        ];
        let named = named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        let first = ["monitor", "--listen", "127.0.0.1:0", "--metrics-port", "0"].map(str::to_owned);
        let arguments = first.into_iter().chain(more.iter().map(|word| (*word).to_owned())).chain(named).collect();
        let mut house = Self { world, gates, receiver, heart, monitors: Vec::new(), arguments };
        for _ in 0..2 {
            house.start_monitor();
        }
        house
    }

    pub fn start_monitor(&mut self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut process = Process::start(&arguments, &self.world.uri());
        process.await_line("metrics on ");
        let people = Api::new(process.await_line("listening on "), &self.world.token_file());
        self.monitors.push((process, people));
    }

    /// Waits until every monitor says that all is well, and nothing is open.
    pub async fn calm(&self) {
        until("calm", async || {
            for (_, people) in &self.monitors {
                let health = people.get("/health").1;
                if health["status"] != "healthy" {
                    return Err(health.to_string());
                }
            }
            match self.alerts().await.into_iter().find(|alert| text(alert, "state") != "resolved") {
                Some(open) => Err(open.to_string()),
                None => Ok(()),
            }
        })
        .await;
    }

    /// Every alert, as anybody finds it in Compass; oldest first.
    pub async fn alerts(&self) -> Vec<Document> {
        let ops = self.world.client().database("lucid_ops").collection::<Document>("ops");
        match ops.find(doc! { "kind": "alert" }).sort(doc! { "created_at": 1 }).await {
            Ok(found) => found.try_collect().await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// The place of the monitor that holds the claim among those that run.
    pub async fn holder(&self) -> usize {
        let ops = self.world.client().database("lucid_ops").collection::<Document>("ops");
        until("held", async || {
            let held = ops.find_one(doc! { "kind": "monitor", "state": "running" }).await.map_err(|e| e.to_string())?;
            let worker = held.and_then(|held| held.get_str("worker").ok().map(str::to_owned)).unwrap_or_default();
            let place = self.monitors.iter().position(|(process, _)| worker.contains(&format!("/{}-", process.id())));
            place.ok_or(worker)
        })
        .await
    }

    /// Deals it to the holder.
    pub async fn deal(&mut self, blow: Blow) {
        let holder = match blow {
            Blow::None => return,
            Blow::Kill | Blow::Freeze => self.holder().await,
        };
        match blow {
            Blow::None => {}
            Blow::Kill => {
                self.monitors.remove(holder).0.signal(Signal::SIGKILL);
                self.start_monitor();
            }
            Blow::Freeze => {
                self.monitors[holder].0.signal(Signal::SIGSTOP);
                tokio::time::sleep(LEASE * 2).await;
                self.monitors[holder].0.signal(Signal::SIGCONT);
            }
        }
    }

    /// Waits until there is an open alert of each of these rules; the documents.
    pub async fn raised(&self, rules: &[&str]) -> Vec<Document> {
        until(&format!("{rules:?} raised"), async || {
            let all = self.alerts().await;
            let open = |rule: &&str| {
                let is_it = |alert: &&Document| text(alert, "rule") == *rule && text(alert, "state") != "resolved";
                all.iter().find(is_it).cloned()
            };
            let found: Option<Vec<Document>> = rules.iter().map(open).collect();
            found.ok_or_else(|| format!("{:?} {}", all, self.monitors[0].1.get("/health").1))
        })
        .await
    }

    /// Waits until the webhook was told that each of these alerts is in this state.
    pub async fn told(&self, alerts: &[Document], word: &str) {
        until(&format!("told to be {word}"), async || {
            for alert in alerts {
                let told = self.receiver.told(text(alert, "rule"));
                if !told.iter().any(|(key, said)| *key == key_of(alert) && said == word) {
                    return Err(format!("{alert} {told:?}"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Somebody says that he knows, at any of the monitors.
    pub fn acknowledge(&self, alert: &Document) {
        let path = format!("/alerts/{}/acknowledge", text(alert, "_id"));
        let (status, answer) = self.monitors[0].1.call("POST", &path, Some(&json!({})));
        assert!(status == 200 && answer["state"] == "acknowledged", "{status} {answer}");
    }

    /// What `fault` must have left behind since `known` alerts were there, once it is over.
    pub async fn check(&self, fault: &Fault, known: usize, acknowledged: &Document) {
        let alerts = self.alerts().await.split_off(known);
        let mut told = BTreeMap::new();
        for alert in &alerts {
            let rule = text(alert, "rule");
            let is_wanted = [fault.must, fault.may, &ALWAYS_MAY].concat().contains(&rule);
            assert!(is_wanted, "{}: {rule} has nothing to do with it: {alert}", fault.name);
            told.insert(key_of(alert), self.story(alert).await);
        }
        for rule in fault.must {
            let of_rule = alerts.iter().filter(|alert| text(alert, "rule") == *rule);
            let subjects: Vec<_> = of_rule.map(|alert| text(alert, "fingerprint")).collect();
            let once: BTreeSet<_> = subjects.iter().collect();
            assert!(!once.is_empty() && once.len() == subjects.len(), "{}: {rule}: {alerts:?}", fault.name);
        }
        let story = &told[&key_of(acknowledged)];
        let words: Vec<&str> = story.iter().map(String::as_str).collect();
        assert_eq!(
            words,
            ["raised", "notified firing", "acknowledged", "resolved", "notified resolved"],
            "{}: {acknowledged}",
            fault.name
        );
        let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for alert in self
            .receiver
            .messages()
            .iter()
            .flat_map(|message| message["alerts"].as_array().cloned().unwrap_or_default())
        {
            let key = alert["annotations"]["dedup_key"].as_str().unwrap_or_default().to_owned();
            heard.entry(key).or_default().push(alert["status"].as_str().unwrap_or_default().to_owned());
        }
        for (key, story) in &told {
            let heard = heard.get(key).cloned().unwrap_or_default();
            // What was told while nothing could be written, another monitor may have told than the one that wrote it.
            let is_direct = key.contains("/t") && !heard.is_empty();
            let was_told = is_direct || story.iter().any(|word| word == "notified firing");
            let expected: &[&str] = if was_told { &["firing", "resolved"] } else { &[] };
            assert_eq!(heard, expected, "{}: {key}: {story:?}", fault.name);
        }
    }

    /// What happened to an alert, as the view tells it.
    async fn story(&self, alert: &Document) -> Vec<String> {
        let events = self.world.client().database("lucid_ops").collection::<Document>("ops_events");
        let of_it = doc! { "alert": text(alert, "_id"), "class": "alert" };
        let found = events.find(of_it).sort(doc! { "seq": 1 }).await.expect("found");
        let all: Vec<Document> = found.try_collect().await.expect("events");
        let word = |event: &Document| {
            let what = event.get_document("data").and_then(|data| data.get_str("what")).map(|what| format!(" {what}"));
            format!("{}{}", event.get_str("type").expect("a type"), what.unwrap_or_default())
        };
        all.iter().map(word).collect()
    }

    /// Says how long after the fault each rule has told, beside how long it should take at most.
    pub fn report(fault: &Fault, begun: (Instant, bson::DateTime), alerts: &[Document], sooner: f64, interval_s: f64) {
        for alert in alerts {
            let rule = text(alert, "rule");
            let known = rules::all().into_iter().find(|known| known.id == rule).expect("a rule that there is");
            let at = alert.get_datetime("created_at").expect("a time").timestamp_millis();
            let after_s = f64::from(i32::try_from(at - begun.1.timestamp_millis()).unwrap_or(i32::MAX)) / 1_000.0;
            let within_s =
                f64::from(i32::try_from(known.for_ms).unwrap_or(i32::MAX)) / sooner / 1_000.0 + 2.0 * interval_s;
            println!("{:<24} {rule:<24} raised after {after_s:>6.1} s of {within_s:>6.1} s", fault.name);
        }
    }
}

/// A field of an alert.
pub fn text<'a>(alert: &'a Document, field: &str) -> &'a str {
    alert.get_str(field).unwrap_or_default()
}

/// The name under which people are told of an alert.
fn key_of(alert: &Document) -> String {
    let incident = alert.get_str("incident").unwrap_or_else(|_| text(alert, "_id"));
    format!("{}/{incident}", text(alert, "fingerprint"))
}

/// All rules, counting so many times sooner; but for those that are off.
fn rules_file(sooner: f64) -> Value {
    let mut changes = Map::new();
    for rule in rules::all() {
        let for_ms = f64::from(i32::try_from(rule.for_ms).expect("weeks at most"));
        changes.insert(rule.id.to_owned(), json!({ "for_seconds": for_ms / sooner / 1_000.0 }));
    }
    for rule in OFF {
        changes.insert(rule.to_owned(), json!({ "off": true }));
    }
    // Half a minute late is late enough.
    changes["backup_overdue"]["critical"] = json!(5);
    changes.into()
}

/// One row of the table, from end to end: `inflict` it, deal a blow to the holder meanwhile, `mend` it.
#[macro_export]
macro_rules! play {
    ($house:ident, $fault:expr, $blow:expr, $inflict:block, $mend:block) => {{
        let fault = $fault;
        $house.calm().await;
        let known = $house.alerts().await.len();
        let begun = (std::time::Instant::now(), bson::DateTime::now());
        $inflict
        let raised = $house.raised(fault.must).await;
        $crate::faults::house::House::report(&fault, begun, &raised, 30.0, 1.0);
        $house.told(&raised, "firing").await;
        $house.acknowledge(&raised[0]);
        $house.deal($blow).await;
        $mend
        $house.calm().await;
        $house.told(&raised, "resolved").await;
        $house.check(&fault, known, &raised[0]).await;
    }};
}
