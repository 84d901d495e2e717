//! S3 that fails, lies about failing, or dies: nothing is lost, and a backup ends well or says why not.

use std::time::Duration;

use crate::support::proxy::Proxy;
use crate::support::server::settings;
use crate::support::*;
use lucid_repository::*;

async fn whole(repository: &Repository, manifest: &Manifest, people: &[Vec<u8>]) {
    let reader = repository.open_backup(manifest).await.expect("opens");
    assert_eq!(reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect("verifies"), []);
    assert_eq!(read(repository, manifest, "people").await.expect("sound"), people);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_in_ten_fails_and_nobody_notices() {
    let scratch = Scratch::at(Place::S3).await;
    let port = scratch.server.as_ref().expect("on S3").port;
    let proxy = Proxy::start(port, 10).await;
    let far = Location::parse("s3://bucket/repo").expect("valid").with_settings(settings(proxy.port));
    let repository = Repository::open(&far, &scratch.key()).await.expect("opens");
    let mut people = documents(0..60_000, 400, "a");
    for job in ["night_1", "night_2"] {
        let (manifest, _, _) =
            back_up(&repository, job, Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
        whole(&repository, &manifest, &people).await;
        people.truncate(50_000);
    }
    let (job, epoch, grace_ms) = ("prune_1".to_owned(), 1, 0);
    let options = PruneOptions { job, epoch, grace_ms, repack: true, at_once: true, known: [].into(), dry_run: None };
    let first = repository.manifests_of("night_1").await.expect("listed").remove(0);
    repository.forget(&first.key, "prune_0", "the test").await.expect("forgotten");
    repository.prune(&options, &|_, _, _| (), &|| false).await.expect("pruned");
    let second = repository.manifests_of("night_2").await.expect("listed").remove(0).manifest.expect("sound");
    whole(&repository, &second, &people[..50_000]).await;
    assert!(proxy.failures() > 5, "it was tried: {} failures", proxy.failures());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_loses_nothing() {
    let mut scratch = Scratch::at(Place::S3).await;
    let people = documents(0..120_000, 400, "a");
    let (before, _, _) =
        back_up(&scratch.repository, "night_1", Domain::Sealed, &[("people", ContentOrder::Any, &people[..10_000])])
            .await;
    let (repository, all) = (scratch.repository.clone(), people.clone());
    let backup = tokio::spawn(async move {
        back_up(&repository, "night_2", Domain::Sealed, &[("people", ContentOrder::Any, &all)]).await
    });
    let server = scratch.server.as_mut().expect("on S3");
    for wait_ms in [300, 500, 500] {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        assert!(wait_ms > 300 || !backup.is_finished(), "it is killed in the middle");
        server.kill();
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.restart();
    }
    let (after, _, _) = backup.await.expect("it waits for the server");
    whole(&scratch.repository, &before, &people[..10_000]).await;
    whole(&scratch.repository, &after, &people).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_without_the_secret() {
    let scratch = Scratch::at(Place::S3).await;
    let port = scratch.server.as_ref().expect("on S3").port;
    let wrong = [
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "wrong-and-secret".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ];
    let settings = |more: &[(&str, String)]| -> StorageSettings {
        wrong.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let place = || Location::parse("s3://bucket/repo").expect("valid");
    let refused = Repository::open(&place().with_settings(settings(&[])), &scratch.key()).await.expect_err("refused");
    assert!(!refused.is_retryable() && !refused.to_string().contains("wrong-and-secret"), "{refused}");
    let odd = settings(&[("AWS_SECRET_ACES_KEY", "wrong-and-secret".to_owned())]);
    let refused = Repository::open(&place().with_settings(odd), &scratch.key()).await.expect_err("refused");
    let told = refused.to_string();
    assert!(told.contains("AWS_SECRET_ACES_KEY") && !told.contains("wrong-and-secret"), "{told}");
    let elsewhere = Location::parse("s3://none/repo").expect("valid");
    let elsewhere = elsewhere.with_settings(scratch.server.as_ref().expect("on S3").settings());
    let refused = Repository::open(&elsewhere, &scratch.key()).await.expect_err("refused");
    assert!(matches!(refused, RepositoryError::NotInitialised { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_made_once_and_only_where_nothing_else_is() {
    let scratch = Scratch::at(Place::S3).await;
    let again = Repository::init(&scratch.location(), &scratch.key(), &InitOptions::default()).await;
    assert!(matches!(again, Err(RepositoryError::AlreadyInitialised { .. })));
    std::fs::create_dir(scratch.path().with_file_name("other")).expect("made");
    std::fs::write(scratch.path().with_file_name("other").join("photo.jpg"), "x").expect("written");
    let other = Location::parse("s3://bucket/other").expect("valid");
    let other = other.with_settings(scratch.server.as_ref().expect("on S3").settings());
    let refused = Repository::init(&other, &scratch.key(), &InitOptions::default()).await;
    assert!(matches!(refused, Err(RepositoryError::ForeignFolder { ref entry, .. }) if entry == "photo.jpg"));
}
