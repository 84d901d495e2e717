//! No primary: nothing can be written, and people are told all the same. Afterwards the store knows, too, with the times that were true.

use super::house::{House, text};
use crate::alerts::until;
use lucid_embedded::Signal;
use std::{collections::BTreeSet, time::Duration};

const RULE: &str = "no_majority";

/// What the webhook was told of the rule: distinct keys, and how often that it is so.
fn told(house: &House) -> (BTreeSet<String>, usize) {
    let told = house.receiver.told(RULE);
    let firing = told.iter().filter(|(_, word)| word == "firing").count();
    (told.into_iter().map(|(key, _)| key).collect(), firing)
}

async fn lose_two_members(house: &mut House, also_the_holder: bool) {
    house.calm().await;
    until("heard", async || if house.heart.messages().is_empty() { Err(String::new()) } else { Ok(()) }).await;
    let holder = house.holder().await;
    let stays = house.world.deployment.primary().await.expect("a primary");
    let begun = bson::DateTime::now();
    for member in (0..3).filter(|member| *member != stays) {
        house.world.deployment.kill(member, Signal::SIGKILL).await.expect("killed");
    }
    if also_the_holder {
        house.monitors.remove(holder).0.signal(Signal::SIGKILL);
    }
    // For so long the last round that was written still says something.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let heard = house.heart.messages().len();
    until("told without a primary", async || {
        let told = house.receiver.told(RULE);
        if told.is_empty() { Err(house.monitors[0].1.get("/health").1.to_string()) } else { Ok(()) }
    })
    .await;
    assert_eq!(house.heart.messages().len(), heard, "nothing is well, so nothing is heard");
    let (keys, _) = told(house);
    assert!(keys.len() == 1 && keys.iter().all(|key| key.contains("/t")), "named after the term: {keys:?}");
    let over = bson::DateTime::now();
    for member in (0..3).filter(|member| *member != stays) {
        house.world.deployment.restart(member).await.expect("restarted");
    }
    until("told to be over", async || {
        let told = house.receiver.told(RULE);
        if told.iter().any(|(_, word)| word == "resolved") { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    let alert = until("written afterwards", async || {
        let alerts = house.alerts().await;
        let written = alerts.iter().find(|alert| text(alert, "rule") == RULE).cloned();
        written.filter(|alert| text(alert, "state") == "resolved").ok_or_else(|| format!("{alerts:?}"))
    })
    .await;
    house.calm().await;
    let (keys, firing) = told(house);
    assert_eq!(keys.len(), 1, "one incident for whoever merges by its key: {keys:?}");
    assert!(firing <= house.monitors.len(), "at most once by each monitor: {:?}", house.receiver.told(RULE));
    let incident = alert.get_str("incident").expect("named before it was written");
    assert!(keys.iter().all(|key| key.ends_with(&format!("/{incident}"))), "{keys:?} {alert}");
    let at = |name: &str| *alert.get_datetime(name).expect("a time");
    assert!(begun <= at("starts_at") && at("starts_at") <= over, "{begun} {over} {alert}");
    assert!(over <= at("resolved_at") && at("starts_at") < at("created_at"), "{over} {alert}");
    let alerts = house.alerts().await;
    let of_rule: Vec<_> = alerts.iter().filter(|alert| text(alert, "rule") == RULE).collect();
    assert_eq!(of_rule.len(), 1, "{of_rule:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_primary_two_monitors_tell_of_one_incident_which_is_written_afterwards() {
    let mut house = House::in_a_hurry().await;
    lose_two_members(&mut house, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_primary_and_no_holder_the_other_monitor_tells() {
    let mut house = House::in_a_hurry().await;
    lose_two_members(&mut house, true).await;
    // A dark house is told of from outside: the heartbeat was silent for longer than its period, and is heard again.
    let heard = house.heart.messages().len();
    until("heard again", async || if house.heart.messages().len() > heard { Ok(()) } else { Err(String::new()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_is_cut_off_says_that_it_is_blind_and_nothing_else() {
    let house = House::in_a_hurry().await;
    house.calm().await;
    let before = house.receiver.messages().len();
    for gate in &house.gates {
        gate.shut();
    }
    until("told to be blind", async || match house.receiver.told("monitor_blind") {
        told if told.is_empty() => Err(house.monitors[0].1.get("/health").1.to_string()),
        told => Ok(told),
    })
    .await;
    for gate in &house.gates {
        gate.open();
    }
    until("told to be over", async || {
        let told = house.receiver.told("monitor_blind");
        if told.iter().any(|(_, word)| word == "resolved") { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    house.calm().await;
    let messages = house.receiver.messages().split_off(before);
    let alerts = messages.iter().flat_map(|message| message["alerts"].as_array().cloned().unwrap_or_default());
    let rules: BTreeSet<String> = alerts.map(|alert| alert["labels"]["alertname"].to_string()).collect();
    assert_eq!(rules, BTreeSet::from(["\"monitor_blind\"".to_owned()]));
}
