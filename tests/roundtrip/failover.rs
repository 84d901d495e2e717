//! The primary steps down in the middle: the job still ends well, and no document is lost or doubled.

use lucid_embedded::Signal;

use super::{
    sample::{assert_same, contents, make},
    world::{World, backup, restore, wait_for},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What happens to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    StepsDown,
    /// It stays away until it is started again.
    Dies,
    /// It says nothing until it is waked, while its connections stay open: as if its cable were pulled.
    FallsSilent,
}

/// Lets it happen once, when a count is reached.
fn strike_at(world: &Arc<World>, count: usize, fate: Fate) -> Box<dyn Fn(usize) + Send + Sync> {
    let (world, done) = (Arc::clone(world), AtomicBool::new(false));
    Box::new(move |so_far| {
        if so_far >= count && !done.swap(true, Ordering::SeqCst) {
            let deployment = world.deployment.as_ref().expect("a set of its own");
            wait_for(async {
                let mut deployment = deployment.lock().await;
                eprintln!("strikes");
                match fate {
                    Fate::StepsDown => drop(deployment.step_down().await.expect("another primary")),
                    Fate::Dies => {
                        let primary = deployment.primary().await.expect("a primary");
                        deployment.kill(primary, Signal::SIGKILL).await.expect("killed");
                    }
                    Fate::FallsSilent => {
                        let primary = deployment.primary().await.expect("a primary");
                        deployment.kill(primary, Signal::SIGSTOP).await.expect("suspended");
                    }
                }
            });
            eprintln!("struck");
        }
    })
}

async fn start_all(world: &World) {
    let mut deployment = world.deployment.as_ref().expect("a set of its own").lock().await;
    for member in 0..3 {
        if deployment.members()[member].pid.is_none() {
            deployment.restart(member).await.expect("it serves again");
        } else {
            deployment.kill(member, Signal::SIGCONT).await.expect("awake");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_primary_in_the_middle_costs_time_only() {
    let world = Arc::new(World::start(3).await);
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let original = contents(&world.client, &source).await;

    for fate in [Fate::StepsDown, Fate::Dies] {
        eprintln!("{fate:?}: backup");
        let job = world.job(backup(&source));
        let mut claim = job.claim();
        claim.at_report = strike_at(&world, 2_000, fate);
        let result = world.run(&job, &claim).await.expect("a backup");
        drop(claim);
        start_all(&world).await;
        let expected: usize = original.values().map(|(_, _, documents)| documents.len()).sum();
        // Measurements are counted by their buckets.
        assert!(usize::try_from(result.get_i64("documents").expect("told")).expect("few") < expected);

        eprintln!("{fate:?}: restore");
        let restoring = world.job(restore(&job, &target));
        let mut claim = restoring.claim();
        claim.at_report = strike_at(&world, 2_000, fate);
        world.run(&restoring, &claim).await.expect("a restore");
        drop(claim);
        start_all(&world).await;
        assert_same(&original, &contents(&world.client, &target).await);
        assert!(world.staging(&target).await.is_empty());

        // In the middle of the swap.
        let looks: &[usize] = if fate == Fate::Dies { &[1] } else { &[0, 3, 6] };
        for look in looks.iter().copied() {
            eprintln!("{fate:?}: swap, look {look}");
            let restoring = world.job(restore(&job, &target));
            let mut claim = restoring.claim();
            claim.at_look = strike_at(&world, look, fate);
            let outcome = world.run(&restoring, &claim).await;
            outcome.unwrap_or_else(|error| panic!("at look {look}: {error:?}"));
            drop(claim);
            start_all(&world).await;
            assert_same(&original, &contents(&world.client, &target).await);
        }
    }
    Arc::into_inner(world).expect("nobody else").stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_says_nothing_any_more_is_given_up() {
    let world = Arc::new(World::start(3).await);
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let original = contents(&world.client, &source).await;

    eprintln!("backup");
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    claim.at_report = strike_at(&world, 2_000, Fate::FallsSilent);
    world.run(&job, &claim).await.expect("a backup");
    drop(claim);
    start_all(&world).await;

    eprintln!("restore");
    let restoring = world.job(restore(&job, &target));
    let mut claim = restoring.claim();
    claim.at_report = strike_at(&world, 2_000, Fate::FallsSilent);
    world.run(&restoring, &claim).await.expect("a restore");
    drop(claim);
    start_all(&world).await;
    assert_same(&original, &contents(&world.client, &target).await);
    Arc::into_inner(world).expect("nobody else").stop().await;
}
