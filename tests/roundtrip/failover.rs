//! The primary steps down in the middle: the job still ends well, and no document is lost or doubled.

use super::{
    sample::{assert_same, contents, make},
    world::{World, backup, restore},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Makes the primary step down once, when so many documents are done.
fn step_down_at(world: &Arc<World>, documents: usize) -> Box<dyn Fn(usize) + Send + Sync> {
    let (world, done) = (Arc::clone(world), AtomicBool::new(false));
    Box::new(move |so_far| {
        if so_far >= documents && !done.swap(true, Ordering::SeqCst) {
            let deployment = world.deployment.as_ref().expect("a set of its own");
            tokio::task::block_in_place(|| {
                let stepped = tokio::runtime::Handle::current().block_on(deployment.step_down());
                stepped.expect("another primary");
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_primary_in_the_middle_costs_time_only() {
    let world = Arc::new(World::start(3).await);
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let original = contents(&world.client, &source).await;

    let job = world.job(backup(&source));
    let mut claim = job.claim();
    claim.at_report = step_down_at(&world, 2_000);
    world.run(&job, &claim).await.expect("a backup");
    drop(claim);

    let restoring = world.job(restore(&job, &target));
    let mut claim = restoring.claim();
    claim.at_report = step_down_at(&world, 2_000);
    world.run(&restoring, &claim).await.expect("a restore");
    drop(claim);
    assert_same(&original, &contents(&world.client, &target).await);
    assert!(world.staging(&target).await.is_empty());

    // In the middle of the swap.
    for look in [0, 3, 6] {
        let restoring = world.job(restore(&job, &target));
        let mut claim = restoring.claim();
        let step_down = step_down_at(&world, look);
        claim.at_look = Box::new(step_down);
        world.run(&restoring, &claim).await.unwrap_or_else(|error| panic!("at look {look}: {error:?}"));
        drop(claim);
        assert_same(&original, &contents(&world.client, &target).await);
    }
    Arc::into_inner(world).expect("nobody else").stop().await;
}
