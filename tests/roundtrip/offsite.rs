//! The first repository is gone: its copy, with a key of its own, is enough.

use super::{
    sample::{assert_same, contents, make},
    world::World,
};
use crate::support::process::run;

fn told(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_brings_back_what_was_backed_up() {
    let world = World::start(1).await;
    let (source, target) = (world.database("offsite").await, world.database("again").await);
    make(&world.client, &source).await;
    let original = contents(&world.client, &source).await;
    let (job, _) = world.back_up(&source).await;
    let folder = world.folder.parent().expect("a folder");
    let (near, near_key) = (world.folder.display().to_string(), folder.join("key").display().to_string());
    let (far, far_key) = (folder.join("far").display().to_string(), folder.join("far.key").display().to_string());
    let alone = [("LUCID_REPOSITORIES", &*format!("far=file://{far}")), ("LUCID_KEY_FILE", &*format!("far={far_key}"))];
    let both = [
        ("LUCID_REPOSITORIES", &*format!("near=file://{near},far=file://{far}")),
        ("LUCID_KEY_FILE", &*format!("near={near_key},far={far_key}")),
    ];
    let made = told(&["repo", "init"], &alone);
    assert!(made.contains(&format!("its key is in {far_key}:")), "{made}");
    assert_eq!(told(&["repo", "copy", "--all", "--to", "near"], &both), "there is no backup to copy\n");
    assert!(told(&["repo", "copy", "--all", "--to", "far"], &both).contains("is now in 'far', too"));
    assert!(told(&["repo", "copy", "--all", "--to", "far"], &both).contains("is in 'far' already"));

    std::fs::remove_dir_all(&world.folder).expect("lost");
    let (id, uri) = (job.job().id().as_str().to_owned(), world.uri().await);
    assert!(told(&["repo", "verify", &id], &alone).contains("is whole (data)"));
    let mut environment = alone.to_vec();
    environment.push(("MONGODB_URI", &uri));
    told(&["repo", "restore", &id, "--to", &target], &environment);
    assert_same(&original, &contents(&world.client, &target).await);
    world.stop().await;
}
