//! What is done with a damaged repository, and whether what came of it is what the matrix says.

use super::world::{Broken, back_up, changed};
use super::{ALL, Next, Pruned, Readable, Verified};
use crate::support::read;
use crate::*;

impl Broken<'_> {
    /// Opens it; none where that is refused by naming the object, as it may be.
    async fn opened(&self, deed: &str, is_refused: bool) -> Option<Repository> {
        match self.open().await {
            Ok(repository) => {
                assert!(!is_refused, "{} x {deed}: it opens", self.cell);
                Some(repository)
            }
            Err(error) => {
                assert!(is_refused && self.is_named(&error.to_string()), "{} x {deed}: {error}", self.cell);
                None
            }
        }
    }

    pub(super) async fn verifies(&self, expected: Verified) {
        let cell = format!("{} x verify", self.cell);
        let Some(repository) = self.opened("verify", matches!(expected, Verified::Refused)).await else { return };
        let (mut hurt, mut told) = (Vec::new(), false);
        for (number, (manifest, _)) in self.world.backups.iter().enumerate() {
            let findings = verify(&repository, manifest).await;
            for finding in &findings {
                let pack_of_index = finding.object.replace("/packs/", "/index/");
                let named =
                    [&finding.object, &pack_of_index].iter().any(|name| self.is_named(name) || self.is_manifest(name));
                assert!(named, "{cell}: {finding:?}");
            }
            told |= !findings.is_empty();
            if findings.iter().any(|finding| finding.needed && !finding.is_mended_by_next()) {
                hurt.push(number);
            }
        }
        match expected {
            Verified::Refused => unreachable!("it opens"),
            Verified::Clean => assert!(!told, "{cell}"),
            Verified::Care => assert!(told && hurt.is_empty(), "{cell}: {hurt:?}"),
            Verified::Hurt(some) => assert_eq!(hurt, some, "{cell}"),
        }
    }

    /// A manifest that isn't there is named by its job and epoch.
    fn is_manifest(&self, object: &str) -> bool {
        object.contains("/manifests/") && self.objects.iter().any(|hit| hit.starts_with(object))
    }

    pub(super) async fn reads(&self, expected: Readable) {
        let Some(repository) = self.opened("read", matches!(expected, Readable::Refused)).await else { return };
        let without = match expected {
            Readable::Without(some) => some,
            Readable::Refused | Readable::Whole => &[],
        };
        for number in ALL {
            match self.read(&repository, *number).await {
                Ok(()) => assert!(!without.contains(number), "{} x read {number}: it can be read", self.cell),
                Err(error) => {
                    let is_told = without.contains(number) && self.is_named(&error.to_string());
                    assert!(is_told, "{} x read {number}: {error}", self.cell);
                }
            }
        }
    }

    /// Reads a backup as a restore does; panics where it isn't what was backed up and no error says so.
    async fn read(&self, repository: &Repository, number: usize) -> Result<(), RepositoryError> {
        let (made, key) = &self.world.backups[number];
        let (manifest, _) = repository.read_manifest(key).await?;
        assert_eq!(manifest, *made, "{} x read {number}", self.cell);
        self.compare(repository, &manifest, &self.world.contents[number]).await
    }

    async fn compare(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        contents: &[Vec<Vec<u8>>; 2],
    ) -> Result<(), RepositoryError> {
        for (name, documents) in ["log", "people"].into_iter().zip(contents).filter(|(_, some)| !some.is_empty()) {
            let found = read(repository, manifest, name).await?;
            assert!(found == *documents, "{}: {name} of {} has other documents", self.cell, manifest.job);
        }
        Ok(())
    }

    pub(super) async fn prunes(&self, expected: Pruned) {
        let cell = format!("{} x prune", self.cell);
        let before = self.files();
        let refused = match expected {
            Pruned::Refused => true,
            Pruned::Kept => false,
        };
        let told = match self.prune().await {
            Ok(()) => self.prune().await.map(|()| None),
            Err(error) => Ok(Some(error)),
        };
        if let Some(error) = told.unwrap_or_else(|error| panic!("{cell}: {error} at the second one")) {
            assert!(refused && self.is_named(&error.to_string()), "{cell}: {error}");
            assert_eq!(self.files(), before, "{cell}");
        } else {
            assert!(!refused, "{cell}: it isn't refused");
            let forgotten = &self.world.packs.forgotten;
            assert!(before.contains(forgotten) && !self.files().contains(forgotten), "{cell}: it removes nothing");
        }
        self.put_right();
        let repository = self.open().await.expect("opens");
        for number in ALL {
            let whole = self.read(&repository, *number).await;
            assert!(whole.is_ok(), "{cell}: backup {number} afterwards: {whole:?}");
        }
    }

    async fn prune(&self) -> Result<(), RepositoryError> {
        let repository = self.open().await?;
        let (job, epoch, grace_ms) = ("prune_1".to_owned(), 1, 0);
        let options =
            PruneOptions { job, epoch, grace_ms, repack: true, at_once: false, known: [].into(), dry_run: None };
        repository.prune(&options, &|_, _, _| (), &|| false).await.map(drop)
    }

    pub(super) async fn backs_up(&self, expected: Next) {
        let cell = format!("{} x next backup", self.cell);
        let Some(repository) = self.opened("next backup", matches!(expected, Next::Refused)).await else { return };
        let [log, people] = self.world.contents[2].clone();
        let contents = [log, changed(people, &[200])];
        let (manifest, _) = back_up(&repository, "night_3", &contents).await.expect("committed");
        let hurt = verify(&repository, &manifest).await.into_iter().any(|finding| finding.needed);
        match expected {
            Next::Refused => unreachable!("it opens"),
            Next::Whole(others) => {
                assert!(!hurt, "{cell}");
                self.compare(&repository, &manifest, &contents).await.expect("whole");
                let mut whole = Vec::new();
                for number in ALL {
                    if self.read(&repository, *number).await.is_ok() {
                        whole.push(*number);
                    }
                }
                assert_eq!(whole, others, "{cell}");
            }
            Next::Inherits => {
                assert!(hurt, "{cell}: nobody is told");
                self.compare(&repository, &manifest, &contents).await.expect_err("damaged");
                let (manifest, _) = back_up(&repository, "night_4", &contents).await.expect("committed");
                assert_eq!(verify(&repository, &manifest).await, [], "{cell}: after a verification it is stored again");
                self.compare(&repository, &manifest, &contents).await.expect("whole");
            }
        }
    }
}

async fn verify(repository: &Repository, manifest: &Manifest) -> Vec<Finding> {
    let reader = repository.open_backup(manifest).await.expect("opens");
    reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect("verifies")
}

impl Finding {
    /// Whether it tells only of a pack that no index object lists.
    fn is_mended_by_next(&self) -> bool {
        self.problem == verify::PACK_UNLISTED && self.lost_documents.unwrap_or(0) == 0
    }
}
