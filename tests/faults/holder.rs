//! Whoever writes alerts is killed, or sleeps for longer than its lease, in each step of an alert's life: there is one alert all the same,
//! told once, and over once.

use super::house::{Blow, Fault, House};
use crate::alerts::until;
use lucid_embedded::Signal;

/// When the holder is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is so, but not for long enough.
    Pending,
    /// It is raised, and nobody was told yet.
    Raised,
    /// People were told, and it is still so.
    Told,
    /// It isn't so any more, and nobody has written that yet.
    Ending,
}

const FAULT: Fault = Fault { name: "holder hit", must: &["member_down"], may: &["member_state"] };

async fn hit_in_each_step(blow: Blow) {
    let mut house = House::in_a_hurry().await;
    for step in [Step::Pending, Step::Raised, Step::Told, Step::Ending] {
        house.calm().await;
        let known = house.alerts().await.len();
        let member = (house.world.deployment.primary().await.expect("a primary") + 1) % 3;
        house.world.deployment.kill(member, Signal::SIGSTOP).await.expect("stopped");
        if step == Step::Pending {
            until("missed", async || match house.monitors[0].1.get("/health").1 {
                health if health["answering"] == 2 => Ok(()),
                health => Err(health.to_string()),
            })
            .await;
            house.deal(blow).await;
        }
        let raised = house.raised(FAULT.must).await;
        if step == Step::Raised {
            house.deal(blow).await;
        }
        house.told(&raised, "firing").await;
        house.acknowledge(&raised[0]);
        if step == Step::Told {
            house.deal(blow).await;
        }
        house.world.deployment.kill(member, Signal::SIGCONT).await.expect("continued");
        if step == Step::Ending {
            house.deal(blow).await;
        }
        house.calm().await;
        house.told(&raised, "resolved").await;
        println!("{step:?} {blow:?}");
        house.check(&FAULT, known, &raised[0]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_killed_in_any_step_leaves_one_alert() {
    hit_in_each_step(Blow::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_sleeps_in_any_step_writes_nothing_late() {
    hit_in_each_step(Blow::Freeze).await;
}
