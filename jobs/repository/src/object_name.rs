//! Names of objects (format, section 2). No two writers ever name the same object, except for chunk lists.

use crate::names::{hex, is_hex};
use crate::{Domain, RepositoryError};

/// Folder of the generation objects.
pub(crate) const GENERATIONS: &str = "generations";

const MAX_JOB_BYTES: usize = 128;

/// The folders of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    Packs,
    Index,
    Lists,
    Manifests,
    /// Beside each manifest that is pinned, under the same name.
    Pins,
    /// Packs that writers pass over.
    Distrust,
}

impl Folder {
    /// Its full name.
    pub(crate) fn of(self, domain: Domain) -> String {
        let folder = match self {
            Self::Packs => "packs",
            Self::Index => "index",
            Self::Lists => "lists",
            Self::Manifests => "manifests",
            Self::Pins => "pins",
            Self::Distrust => "distrust",
        };
        format!("{domain}/{folder}")
    }

    /// The full name of an object in it.
    pub(crate) fn object(self, domain: Domain, name: &str) -> String {
        format!("{}/{name}", self.of(domain))
    }
}

/// Names of what one writer writes.
#[derive(Clone, Debug)]
pub(crate) struct WriterNames {
    domain: Domain,
    stem: String,
}

impl WriterNames {
    /// Checks the job's name: it becomes a file name.
    pub(crate) fn new(domain: Domain, job: &str, epoch: i64, writer: &[u8; 32]) -> Result<Self, RepositoryError> {
        let bad = |reason: &str| RepositoryError::BadName { what: "job", name: job.into(), reason: reason.into() };
        if !is_job(job) {
            return Err(bad("1 to 128 letters, digits, '_' or '-' are possible"));
        }
        if epoch < 0 {
            return Err(bad("its epoch is negative"));
        }
        Ok(Self { domain, stem: format!("{job}.{epoch}.{}", hex(&writer[..16])) })
    }

    /// The n-th pack, without its folder.
    pub(crate) fn pack(&self, number: u32) -> String {
        format!("{}.{number:06}", self.stem)
    }

    /// The n-th index object.
    pub(crate) fn index(&self, number: u32) -> String {
        Folder::Index.object(self.domain, &format!("{}.{number:06}", self.stem))
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> String {
        Folder::Manifests.object(self.domain, &self.stem)
    }
}

/// What the name of a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestName {
    pub(crate) domain: Domain,
    pub(crate) job: String,
    pub(crate) epoch: i64,
}

impl ManifestName {
    /// Reads a manifest's full name; `BadName` for anything else, so that no other object can be reached through one.
    pub(crate) fn parse(key: &str) -> Result<Self, RepositoryError> {
        let parsed = [Domain::Sealed, Domain::Plain].into_iter().find_map(|domain| {
            let stem = key.strip_prefix(&Folder::Manifests.of(domain))?.strip_prefix('/')?;
            let (rest, writer) = stem.rsplit_once('.')?;
            let (job, epoch) = rest.rsplit_once('.')?;
            let number: i64 = epoch.parse().ok().filter(|number| *number >= 0)?;
            // One name for each: no sign, no zeros in front.
            let plausible = is_job(job) && is_hex::<16>(writer) && number.to_string() == epoch;
            plausible.then(|| Self { domain, job: job.into(), epoch: number })
        });
        parsed.ok_or_else(|| RepositoryError::BadName {
            what: "manifest key",
            name: key.into(),
            reason: "it isn't the name of a manifest".into(),
        })
    }
}

/// The two objects of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// What is to go.
    Doom,
    /// Which backups count.
    Close,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Doom => "doom",
            Self::Close => "close",
        }
    }
}

/// The full name of an object of a generation.
pub(crate) fn generation_name(stage: Stage, number: i64) -> String {
    format!("{GENERATIONS}/{number:020}.{}", stage.word())
}

/// Which generation an object belongs to.
pub(crate) fn parse_generation(object: &str) -> Option<(Stage, i64)> {
    let (number, word) = object.strip_prefix(GENERATIONS)?.strip_prefix('/')?.split_once('.')?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    let stage = [Stage::Doom, Stage::Close].into_iter().find(|stage| stage.word() == word)?;
    (generation_name(stage, number) == object).then_some((stage, number))
}

/// Whether the last part of this name is one that a writer gives to packs and index objects.
pub(crate) fn is_writers_own(object: &str) -> bool {
    let parts: Vec<&str> = object.rsplit('/').next().unwrap_or_default().split('.').collect();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts[..], [job, epoch, writer, number]
        if is_job(job) && digits(epoch) && is_hex::<16>(writer) && digits(number) && number.len() >= 6)
}

/// The job whose writer gave this name to a pack, an index object or a manifest.
pub(crate) fn job_of(object: &str) -> Option<&str> {
    if ManifestName::parse(object).is_ok() || is_writers_own(object) {
        return object.rsplit('/').next()?.split('.').next();
    }
    None
}

fn is_job(job: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=MAX_JOB_BYTES).contains(&job.len()) && job.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_known_by_its_name() {
        let names = WriterNames::new(Domain::Sealed, "backup_20250109_020000_7k3f", 3, &[0xab; 32]).expect("good");
        assert!(is_writers_own(&names.index(1)) && is_writers_own(&names.pack(1_234_567)));
        assert_eq!(job_of(&names.index(1)), job_of(&names.manifest()));
        assert_eq!(job_of(&names.manifest()), Some("backup_20250109_020000_7k3f"));
        for stray in [".DS_Store", "sealed/packs/x", &names.manifest(), &format!("{}.bak", names.index(1))] {
            assert!(!is_writers_own(stray), "{stray}");
        }
        let parsed = ManifestName::parse(&names.manifest()).expect("its own");
        assert_eq!(
            (parsed.job.as_str(), parsed.epoch, parsed.domain),
            ("backup_20250109_020000_7k3f", 3, Domain::Sealed)
        );
        for bad in [
            "config",
            "sealed/packs/a.1.b",
            "sealed/manifests/../../config",
            "sealed/manifests/",
            &names.manifest().replace(".3.", ".+3."),
            &names.manifest().replace(".3.", ".03."),
            &names.manifest().replace(".abab", ".ABAB"),
            "/sealed/manifests/a.1.ab",
            "",
        ] {
            assert!(ManifestName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn generations_count_from_one() {
        assert_eq!(parse_generation(&generation_name(Stage::Close, 1)), Some((Stage::Close, 1)));
        for bad in [&generation_name(Stage::Doom, 0), &generation_name(Stage::Doom, -5), "generations/1.doom"] {
            assert_eq!(parse_generation(bad), None, "{bad}");
        }
    }

    #[test]
    fn hostile_jobs_are_refused() {
        for job in ["", "../x", "a/b", "a.b", "a\0b", "é", &"x".repeat(129)] {
            assert!(WriterNames::new(Domain::Sealed, job, 1, &[0; 32]).is_err(), "{job}");
        }
        assert!(WriterNames::new(Domain::Sealed, "a", -1, &[0; 32]).is_err());
    }
}
