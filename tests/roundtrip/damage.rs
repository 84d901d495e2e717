//! Damage is found, named, and never restored.

use super::{
    sample::make,
    world::{World, restore, verify},
};
use lucid_ports::JobError;
use lucid_schemas::VerifyLevel;
use std::{fs, path::PathBuf};

fn files(folder: &PathBuf, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_byte_anywhere_is_found_and_never_restored() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let (backup, _) = world.back_up(&source).await;
    let mut objects = Vec::new();
    files(&world.folder, &mut objects);
    let is_about_data =
        |path: &PathBuf| ["packs", "index", "manifests"].iter().any(|word| path.to_string_lossy().contains(word));
    objects.retain(is_about_data);
    assert!(objects.len() >= 3, "{objects:?}");
    let mut collections_named = 0;
    for path in &objects {
        let sound = fs::read(path).expect("read");
        for place in [sound.len() / 3, sound.len() - 1] {
            let mut damaged = sound.clone();
            damaged[place] ^= 0x10;
            fs::write(path, &damaged).expect("written");
            let job = world.job(verify(&backup, VerifyLevel::Data));
            let Err(JobError::Failed(failure)) = world.run(&job, &job.claim()).await else {
                panic!("{} byte {place} wasn't found", path.display());
            };
            assert_eq!(failure.code, "backup_damaged");
            assert!(!failure.retryable);
            let object = path.file_name().expect("a name").to_string_lossy();
            assert!(failure.message.contains(&*object), "{} isn't named: {}", object, failure.message);
            collections_named += usize::from(failure.message.contains("collection '"));
        }
        fs::remove_file(path).expect("removed");
        let job = world.job(restore(&backup, &target));
        assert!(world.run(&job, &job.claim()).await.is_err(), "{} is missing", path.display());
        fs::write(path, &sound).expect("written");
    }
    assert!(collections_named > 0, "damage in a pack names a collection");
    let names = world.client.database(&target).list_collection_names().await.expect("names");
    assert!(names.is_empty(), "the target was touched: {names:?}");
    world.restore(&backup, &target).await.expect("all is well again");
    world.stop().await;
}
