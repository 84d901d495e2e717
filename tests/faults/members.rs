//! Faults of members and of the network between them.

use super::house::{Blow, Fault, House};
use crate::play;
use lucid_embedded::Signal;
use std::net::TcpStream;

/// What may be told of any set that has lost its primary for a moment.
const ELECTION: &[&str] = &["no_primary", "no_majority", "member_state", "store_silent"];

/// A member that isn't primary.
async fn secondary(house: &House) -> usize {
    (house.world.deployment.primary().await.expect("a primary") + 1) % 3
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_killed_frozen_or_cut_off_is_told_of_once() {
    let mut house = House::in_a_hurry().await;
    let member = secondary(&house).await;
    play!(
        house,
        Fault { name: "secondary killed", must: &["member_down"], may: &["member_state"] },
        Blow::Kill,
        { house.world.deployment.kill(member, Signal::SIGKILL).await.expect("killed") },
        { house.world.deployment.restart(member).await.expect("restarted") }
    );
    let member = secondary(&house).await;
    play!(
        house,
        Fault { name: "secondary frozen", must: &["member_down"], may: &["member_state"] },
        Blow::Freeze,
        { house.world.deployment.kill(member, Signal::SIGSTOP).await.expect("stopped") },
        { house.world.deployment.kill(member, Signal::SIGCONT).await.expect("continued") }
    );
    let member = secondary(&house).await;
    play!(
        house,
        Fault { name: "secondary cut off", must: &["member_down"], may: &["member_state"] },
        Blow::None,
        { house.gates[member].shut() },
        { house.gates[member].open() }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_goes_is_a_member_down_and_nothing_that_stays() {
    let mut house = House::in_a_hurry().await;
    let member = house.world.deployment.primary().await.expect("a primary");
    play!(
        house,
        Fault { name: "primary killed", must: &["member_down"], may: ELECTION },
        Blow::Freeze,
        { house.world.deployment.kill(member, Signal::SIGKILL).await.expect("killed") },
        { house.world.deployment.restart(member).await.expect("restarted") }
    );
    let member = house.world.deployment.primary().await.expect("a primary");
    play!(
        house,
        Fault { name: "primary cut off", must: &["member_down"], may: ELECTION },
        Blow::Kill,
        { house.gates[member].shut() },
        { house.gates[member].open() }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_run_out_are_told_of_once() {
    let mut house = House::in_a_hurry().await;
    let member = secondary(&house).await;
    let port = house.world.deployment.members()[member].port;
    let mut clients = Vec::new();
    play!(
        house,
        Fault { name: "connections full", must: &["connections"], may: &["member_down", "member_state"] },
        Blow::None,
        {
            for _ in 0..150 {
                clients.push(TcpStream::connect(("127.0.0.1", port)).expect("connected"));
            }
        },
        { clients.clear() }
    );
}
