//! One cluster prunes a repository: the first that claims it, until another one takes it over.

use crate::support::*;
use lucid_repository::*;

async fn owner(repository: &Repository) -> Option<String> {
    repository.owner().await.expect("told").map(|owner| owner.cluster)
}

fn refused_for(claimed: Result<bool, RepositoryError>, owner: &str) {
    match claimed {
        Err(error @ RepositoryError::OtherOwner { .. }) => {
            let said = error.to_string();
            assert!(said.contains(owner) && said.contains("--take-ownership") && !error.is_retryable(), "{said}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_belongs_to_the_first_until_it_is_taken_over() {
    let scratch = Scratch::at(super::PLACE).await;
    let repository = &scratch.repository;
    assert_eq!(owner(repository).await, None);
    for bad in ["", "a/b", "a\n", &"x".repeat(129)] {
        assert!(matches!(repository.claim(bad, true).await, Err(RepositoryError::BadName { .. })), "{bad:?}");
    }
    assert!(repository.claim("first-1", false).await.expect("nobody has it"));
    assert!(!repository.claim("first-1", false).await.expect("its own"));
    assert!(!repository.claim("first-1", true).await.expect("its own"));
    refused_for(repository.claim("second-2", false).await, "first-1");
    assert_eq!(owner(repository).await.as_deref(), Some("first-1"));
    assert!(repository.claim("second-2", true).await.expect("taken over"));
    refused_for(repository.claim("first-1", false).await, "second-2");
    assert_eq!(scratch.objects("owners"), ["owners/0000000002"], "the one before is of no use");
    assert_eq!(repository.scan().await.expect("looked at").oddities, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_is_the_first() {
    let scratch = Scratch::at(super::PLACE).await;
    let clusters: Vec<String> = (0..8).map(|number| format!("cluster-{number}")).collect();
    let claims = clusters.iter().map(|cluster| {
        let (repository, cluster) = (scratch.repository.clone(), cluster.clone());
        tokio::spawn(async move { repository.claim(&cluster, false).await })
    });
    let claims: Vec<_> = claims.collect();
    let mut claimed = 0;
    for claim in claims {
        claimed += usize::from(claim.await.expect("no panic").is_ok());
    }
    // The server that stands for buckets can't create only.
    assert!(claimed == 1 || (claimed > 1 && scratch.server.is_some()), "{claimed} own it");
    let owner = owner(&scratch.repository).await.expect("somebody has it");
    for cluster in clusters {
        let claimed = scratch.repository.claim(&cluster, false).await;
        if cluster == owner {
            assert!(!claimed.expect("its own"));
        } else {
            refused_for(claimed, &owner);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_owner_is_told_and_can_be_replaced() {
    let scratch = Scratch::at(super::PLACE).await;
    let repository = &scratch.repository;
    repository.claim("first-1", false).await.expect("nobody has it");
    let object = scratch.objects("owners").remove(0);
    let path = scratch.path().join(&object);
    let whole = std::fs::read(&path).expect("read");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let error = repository.claim("first-1", false).await.expect_err("nobody knows whose it is");
        let said = error.to_string();
        assert!(said.contains(&object) && said.contains("--take-ownership"), "byte {at}: {said}");
        assert_eq!(repository.scan().await.expect("looked at").oddities[0].object, object, "byte {at}");
    }
    assert!(repository.claim("second-2", true).await.expect("taken over"));
    assert_eq!(owner(repository).await.as_deref(), Some("second-2"));
    assert_eq!(repository.scan().await.expect("looked at").oddities, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_above_the_owner_says_nothing() {
    // On a folder: the server that stands for buckets doesn't list at once what others put there.
    for planted in ["owners/4294967294", "owners/0000000002"] {
        let scratch = Scratch::new().await;
        let repository = &scratch.repository;
        assert!(repository.claim("first-1", false).await.expect("nobody has it"));
        std::fs::write(scratch.path().join(planted), b"").expect("written");
        assert_eq!(owner(repository).await.as_deref(), Some("first-1"), "{planted}");
        assert!(!repository.claim("first-1", false).await.expect("its own"), "{planted}");
        refused_for(repository.claim("second-2", false).await, "first-1");
        assert!(repository.claim("second-2", true).await.expect("taken over"), "{planted}");
        assert_eq!(owner(repository).await.as_deref(), Some("second-2"), "{planted}");
    }
}
