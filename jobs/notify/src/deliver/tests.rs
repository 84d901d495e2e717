//! One message for what is due, on the twin and over real connections: once, again, over, and what becomes of it when sending fails.

use super::*;
use crate::{
    config::{Config, Subject},
    kit::{Answer, MailServer, Receiver, config, hook},
};
use lucid_core::alert::{Fence, Finding, Sighting, raise};
use lucid_ports::{Raised, memory::MemoryStore};
use lucid_schemas::alert::{AlertEventBody, AlertId, ResolvedBy, Severity, Token};
use std::{collections::BTreeMap, time::Duration};

const NOW: DateTime = DateTime::from_millis(1_736_424_000_000);
const FENCE: Fence = Fence { token: Token { generation: 1, epoch: 1 }, deadline: DateTime::MAX };

/// A store with a standing clock, and channels.
struct World {
    store: MemoryStore,
    config: Config,
    channels: Channels,
    hushed: Vec<&'static str>,
}

impl World {
    fn new(text: &str) -> Self {
        let config = config(text);
        Self { store: MemoryStore::at(NOW), config, channels: Channels::none(), hushed: Vec::new() }
    }

    async fn raise(&self, rule: &str, number: u64, severity: Severity) -> AlertId {
        let labels: BTreeMap<String, String> = [("number".to_owned(), number.to_string())].into();
        let notify = self.config.wanted(&Subject { rule, labels: &labels, severity });
        let finding = Finding {
            id: AlertId::compose(self.store.now(), number),
            rule: rule.into(),
            labels,
            severity,
            starts_at: self.store.now(),
            starts_at_uncertain: false,
            incident: None,
            previous: None,
            sighting: Sighting {
                value: None,
                summary: format!("{rule} of {number}"),
                rules_version: 1,
                times: 1,
                flapping: false,
            },
            notify,
        };
        let raised = self.store.raise_alert(&raise(&finding, FENCE, "monitor", &format!("{rule}{number}"))).await;
        assert!(matches!(raised, Ok(Raised::New(_))), "{raised:?}");
        finding.id
    }

    async fn ask(&self, id: &AlertId, command: Command) {
        let next = transition(&self.alert(id).await, &command, "monitor", &Uuid::new_v4().to_string()).expect("lawful");
        assert!(matches!(self.store.apply_alert(&next).await, Ok(AlertOutcome::Won(_))));
    }

    async fn resolve(&self, id: &AlertId) {
        self.ask(id, Command::Resolve { fence: FENCE, how: ResolvedBy::Condition, ended_at: None }).await;
    }

    async fn alert(&self, id: &AlertId) -> Alert {
        self.store.alert(id).await.expect("read").expect("there")
    }

    /// How often an event tells of this notice.
    async fn told(&self, id: &AlertId, sought: What) -> usize {
        let is_told = |body: &AlertEventBody| matches!(body, AlertEventBody::Notified { what, .. } if *what == sought);
        self.alert(id).await.events.iter().filter(|event| is_told(&event.body)).count()
    }

    async fn deliver(&self, channel: &str, group: &str) -> Result<NotifyResult, DeliverError> {
        let is_hushed = |alert: &Alert| self.hushed.contains(&alert.origin.rule.as_str());
        let held = Held { config: &self.config, now_ms: self.store.now().timestamp_millis(), is_hushed: &is_hushed };
        let delivery = Delivery {
            alerts: &self.store,
            channels: &self.channels,
            channel: self.config.channel(channel).expect("there"),
            group,
            held: &held,
            sender: Sender::within(Duration::from_millis(500)),
            by: "monitor:a",
            stop: &CancellationToken::new(),
        };
        delivery.deliver().await
    }

    async fn groups(&self) -> Vec<(String, String)> {
        let is_hushed = |alert: &Alert| self.hushed.contains(&alert.origin.rule.as_str());
        let held = Held { config: &self.config, now_ms: self.store.now().timestamp_millis(), is_hushed: &is_hushed };
        let due = self.store.due_alerts(DUE_MOST).await.expect("read");
        held.groups(&due).into_iter().map(|group| (group.channel, group.group)).collect()
    }
}

fn keys(body: &serde_json::Value) -> Vec<String> {
    let alerts = body["alerts"].as_array().expect("a list");
    alerts.iter().map(|alert| alert["annotations"]["dedup_key"].as_str().expect("a key").to_owned()).collect()
}

#[tokio::test]
async fn an_alert_is_told_once_again_after_hours_and_when_it_is_over() {
    let receiver = Receiver::start().await;
    let world = World::new(&hook("one", &receiver));
    let id = world.raise("backup_failed", 1, Severity::Critical).await;
    assert_eq!(world.groups().await, [("one".to_owned(), "all".to_owned())]);
    let result = world.deliver("one", "all").await.expect("told");
    assert_eq!((result.messages, result.firing), (1, 1));
    assert!(world.groups().await.is_empty(), "nothing is due");
    assert_eq!(world.deliver("one", "all").await.expect("nothing is due"), NotifyResult::default());
    world.store.advance(Duration::from_secs(4 * 3_600));
    assert_eq!(world.deliver("one", "all").await.expect("told").repeated, 1);
    world.resolve(&id).await;
    assert_eq!(world.deliver("one", "all").await.expect("told").resolved, 1);
    assert!(world.alert(&id).await.notify.is_empty());
    let bodies: Vec<_> = receiver.told().iter().map(crate::kit::Asked::json).collect();
    let words: Vec<_> = bodies.iter().map(|body| body["status"].as_str().expect("a word")).collect();
    assert_eq!(words, ["firing", "firing", "resolved"]);
    let all: Vec<_> = bodies.iter().flat_map(keys).collect();
    assert!(all.iter().all(|key| *key == all[0] && key.ends_with(&format!("/{id}"))), "{all:?}");
    let sequences: Vec<i64> = bodies
        .iter()
        .map(|body| body["alerts"][0]["annotations"]["sequence"].as_str().expect("a text").parse().expect("a number"))
        .collect();
    assert!(sequences.is_sorted_by(|one, next| one < next), "{sequences:?}");
    assert_eq!((world.told(&id, What::Firing).await, world.told(&id, What::Resolved).await), (1, 1));
}

#[tokio::test]
async fn two_hundred_alerts_are_one_message_for_each_channel() {
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let mail = MailServer::start(false).await;
    let text = format!(
        "{}{}[channels.mail]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         from = \"a@example.org\"\nto = [\"b@example.org\"]\n",
        hook("one", &one),
        hook("two", &two),
        mail.port
    );
    let world = World::new(&text);
    for number in 0..200 {
        world.raise("member_down", number, Severity::Critical).await;
    }
    for channel in ["one", "two", "mail"] {
        assert_eq!(world.deliver(channel, "all").await.expect("told").firing, 200, "{channel}");
    }
    assert!(world.groups().await.is_empty());
    for receiver in [one, two] {
        let asked = receiver.told();
        assert_eq!(asked.len(), 1);
        assert_eq!((keys(&asked[0].json()).len(), asked[0].json()["truncatedAlerts"].clone()), (200, 0.into()));
    }
    assert_eq!(mail.mails().len(), 1);
}

#[tokio::test]
async fn what_is_too_much_for_one_message_is_counted_and_follows() {
    let receiver = Receiver::start().await;
    let world = World::new(&hook("one", &receiver));
    for number in 0..230 {
        let severity = if number == 229 { Severity::Critical } else { Severity::Warning };
        world.raise("member_down", number, severity).await;
    }
    assert_eq!(world.deliver("one", "all").await.expect("told").firing, 200);
    assert_eq!(world.groups().await.len(), 1, "the rest is still due");
    assert_eq!(world.deliver("one", "all").await.expect("told").firing, 30);
    let bodies: Vec<_> = receiver.told().iter().map(crate::kit::Asked::json).collect();
    assert_eq!((bodies[0]["truncatedAlerts"].clone(), bodies[1]["truncatedAlerts"].clone()), (30.into(), 0.into()));
    assert_eq!(bodies[0]["alerts"][0]["labels"]["severity"], "critical", "what matters most is told first");
    let all: std::collections::BTreeSet<_> = bodies.iter().flat_map(keys).collect();
    assert_eq!(all.len(), 230, "each once");
}

#[tokio::test]
async fn a_receiver_that_fails_for_a_while_gets_everything_afterwards_once() {
    let receiver = Receiver::start().await;
    let world = World::new(&hook("one", &receiver));
    let first = world.raise("backup_failed", 1, Severity::Critical).await;
    receiver.answer(Answer::Status(500));
    for _ in 0..3 {
        let error = world.deliver("one", "all").await.expect_err("it fails");
        assert!(matches!(error, DeliverError::Send(SendError::Away { .. })), "{error}");
        assert!(world.channels.failing().contains_key("one"), "the heartbeat stops");
    }
    let second = world.raise("backup_failed", 2, Severity::Critical).await;
    receiver.told();
    receiver.answer(Answer::Status(200));
    assert_eq!(world.deliver("one", "all").await.expect("told").firing, 2);
    assert!(world.channels.failing().is_empty());
    assert_eq!(world.deliver("one", "all").await.expect("nothing is due").messages, 0);
    assert_eq!(receiver.told().len(), 1);
    for id in [first, second] {
        assert_eq!(world.told(&id, What::Firing).await, 1);
    }
}

#[tokio::test]
async fn a_channel_that_hangs_holds_up_nobody() {
    let (hanging, fine) = (Receiver::start().await, Receiver::start().await);
    hanging.answer(Answer::Never);
    let world = World::new(&format!("{}{}", hook("one", &hanging), hook("two", &fine)));
    let id = world.raise("backup_failed", 1, Severity::Critical).await;
    let (late, told) = tokio::join!(world.deliver("one", "all"), world.deliver("two", "all"));
    assert!(matches!(late, Err(DeliverError::Send(SendError::Away { .. }))), "{late:?}");
    assert_eq!(told.expect("told").firing, 1);
    assert_eq!(world.alert(&id).await.head.notified, ["two"]);
}

#[tokio::test]
async fn what_is_over_before_its_group_left_is_never_told_and_what_may_have_arrived_is_told_to_be_over() {
    let receiver = Receiver::start().await;
    let world = World::new(&hook("one", &receiver));
    let short = world.raise("backup_failed", 1, Severity::Critical).await;
    world.resolve(&short).await;
    assert_eq!(world.deliver("one", "all").await.expect("nothing").messages, 0);
    assert!(receiver.told().is_empty());
    // It was sent, but the answer said that it wasn't taken; then it was over.
    let unsure = world.raise("backup_failed", 2, Severity::Critical).await;
    receiver.answer(Answer::Status(500));
    assert!(world.deliver("one", "all").await.is_err());
    world.resolve(&unsure).await;
    receiver.answer(Answer::Status(200));
    receiver.told();
    assert_eq!(world.deliver("one", "all").await.expect("told").resolved, 1);
    let bodies = receiver.told();
    assert_eq!((bodies.len(), bodies[0].json()["status"].clone()), (1, "resolved".into()));
    assert!(world.alert(&unsure).await.notify.is_empty(), "and it is never said to be so again");
}

/// Whoever sent it died before he could note it: his successor sends it again, with the same key.
#[tokio::test]
async fn a_message_of_a_sender_who_died_is_sent_again_with_the_same_key() {
    let receiver = Receiver::start().await;
    let world = World::new(&hook("one", &receiver));
    let id = world.raise("backup_failed", 1, Severity::Critical).await;
    world.ask(&id, Command::BeginNotice { channel: "one".into(), what: What::Firing }).await;
    assert_eq!(world.deliver("one", "all").await.expect("told").firing, 1);
    assert_eq!(keys(&receiver.told()[0].json()).len(), 1);
    assert_eq!(world.told(&id, What::Firing).await, 1);
}

#[tokio::test]
async fn what_is_hushed_or_quiet_waits_and_is_told_afterwards_if_it_is_still_so() {
    let receiver = Receiver::start().await;
    let quiet = "[quiet]\nfrom = \"22:00\"\nto = \"07:00\"\nzone = \"UTC\"\n";
    let mut world = World::new(&format!("{quiet}{}", hook("one", &receiver)));
    let (hushed, passing) =
        (world.raise("hushed", 1, Severity::Critical).await, world.raise("hushed", 2, Severity::Critical).await);
    world.hushed = vec!["hushed"];
    assert!(world.groups().await.is_empty(), "nobody is asked to tell it");
    assert_eq!(world.deliver("one", "all").await.expect("nothing").messages, 0);
    world.resolve(&passing).await;
    world.hushed = Vec::new();
    assert_eq!(world.deliver("one", "all").await.expect("told").firing, 1);
    world.hushed = vec!["hushed"];
    world.resolve(&hushed).await;
    assert_eq!(world.deliver("one", "all").await.expect("told").resolved, 1, "who knows of it is told that it is over");
    world.hushed = Vec::new();
    // At night.
    world.store.set_now(DateTime::parse_rfc3339_str("2025-01-09T23:00:00Z").expect("a time"));
    let (warning, rising) =
        (world.raise("lag", 3, Severity::Warning).await, world.raise("lag", 4, Severity::Warning).await);
    assert_eq!(world.deliver("one", "all").await.expect("nothing").messages, 0);
    let labels = BTreeMap::new();
    let notify = world.config.wanted(&Subject { rule: "lag", labels: &labels, severity: Severity::Critical });
    world.ask(&rising, Command::ChangeSeverity { fence: FENCE, to: Severity::Critical, notify }).await;
    assert_eq!(world.deliver("one", "all").await.expect("told").firing, 1, "it matters now, and doesn't wait");
    world.store.set_now(DateTime::parse_rfc3339_str("2025-01-10T07:00:00Z").expect("a time"));
    assert_eq!(world.deliver("one", "all").await.expect("told").repeated, 1);
    assert_eq!(world.told(&warning, What::Firing).await, 1);
}

#[tokio::test]
async fn groups_go_in_messages_of_their_own() {
    let receiver = Receiver::start().await;
    let world = World::new(&format!("{}group_by = \"severity\"\n", hook("one", &receiver)));
    world.raise("lag", 1, Severity::Warning).await;
    world.raise("lag", 2, Severity::Critical).await;
    world.raise("lag", 3, Severity::Critical).await;
    let groups = [("one".to_owned(), "critical".to_owned()), ("one".to_owned(), "warning".to_owned())];
    assert_eq!(world.groups().await, groups);
    assert_eq!(world.deliver("one", "critical").await.expect("told").firing, 2);
    assert_eq!(world.deliver("one", "all").await.expect("nothing").messages, 0, "a group of another configuration");
    assert_eq!(world.groups().await, groups[1..]);
}

#[tokio::test]
async fn whoever_acknowledges_hears_only_that_it_is_over() {
    let receiver = Receiver::start().await;
    let world = World::new(&hook("one", &receiver));
    let id = world.raise("lag", 1, Severity::Critical).await;
    world.deliver("one", "all").await.expect("told");
    world.ask(&id, Command::Acknowledge { for_ms: None, comment: String::new() }).await;
    world.store.advance(Duration::from_secs(24 * 3_600));
    assert_eq!(world.deliver("one", "all").await.expect("nothing").messages, 0);
    world.resolve(&id).await;
    assert_eq!(world.deliver("one", "all").await.expect("told").resolved, 1);
}

#[tokio::test]
async fn a_channel_that_nobody_has_is_late_after_a_while() {
    let receiver = Receiver::start().await;
    let mut world = World::new(&hook("one", &receiver));
    world.raise("lag", 1, Severity::Critical).await;
    world.raise("hushed", 2, Severity::Critical).await;
    let late = async |world: &World| {
        let is_hushed = |alert: &Alert| world.hushed.contains(&alert.origin.rule.as_str());
        let held = Held { config: &world.config, now_ms: world.store.now().timestamp_millis(), is_hushed: &is_hushed };
        held.late(&world.store.due_alerts(DUE_MOST).await.expect("read"), 120_000)
    };
    world.store.advance(Duration::from_secs(120));
    assert!(late(&world).await.is_empty());
    world.store.advance(Duration::from_secs(1));
    assert_eq!(late(&world).await.into_iter().collect::<Vec<_>>(), ["one"]);
    world.hushed = vec!["lag", "hushed"];
    assert!(late(&world).await.is_empty(), "what waits on purpose isn't late");
    // Another node may have it; but one that nobody has any more isn't asked for, nor missed, for ever.
    world.hushed = Vec::new();
    world.config = config(&hook("another", &receiver));
    assert_eq!((late(&world).await.len(), world.groups().await.len()), (1, 1));
    world.store.advance(Duration::from_secs(24 * 3_600));
    assert_eq!((late(&world).await.len(), world.groups().await.len()), (0, 0));
}
