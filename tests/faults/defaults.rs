//! With every default: rounds each half minute, and what a rule says itself about how long it must be so.

use super::house::{Fault, House};
use lucid_embedded::Signal;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn with_its_defaults_a_member_that_is_killed_is_told_of_once() {
    const FAULT: Fault = Fault { name: "by default", must: &["member_down"], may: &["member_state"] };
    let mut house = House::at_leisure().await;
    house.calm().await;
    let known = house.alerts().await.len();
    let member = (house.world.deployment.primary().await.expect("a primary") + 1) % 3;
    let begun = (Instant::now(), bson::DateTime::now());
    house.world.deployment.kill(member, Signal::SIGKILL).await.expect("killed");
    let raised = house.raised(FAULT.must).await;
    House::report(&FAULT, begun, &raised, 1.0, 30.0);
    house.told(&raised, "firing").await;
    house.acknowledge(&raised[0]);
    house.world.deployment.restart(member).await.expect("restarted");
    house.calm().await;
    house.told(&raised, "resolved").await;
    house.check(&FAULT, known, &raised[0]).await;
}
