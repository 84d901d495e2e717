//! Names of objects (format, section 2). No two writers ever name the same object: so what is removed late was never stored again.

use crate::keys::FIRST_KEY_ID;
use crate::names::{hex, is_hex};
use crate::{Domain, RepositoryError};

/// Folder of the generation objects.
pub(crate) const GENERATIONS: &str = "generations";

/// Folder of the owners.
pub(crate) const OWNERS: &str = "owners";

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
    /// What is noted of manifests that were removed.
    Forgotten,
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
            Self::Forgotten => "forgotten",
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

/// What the name of a manifest's object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestName {
    pub(crate) domain: Domain,
    pub(crate) job: String,
    pub(crate) epoch: i64,
    /// By which it is known for ever, whatever it is sealed with: the name that it was first written under.
    pub(crate) key: String,
    /// Which master key it was encrypted anew with; none: it is as it was first written.
    pub(crate) resealed: Option<u32>,
}

/// What parts a name from the id of the master key.
const RESEALED: &str = ".k";

/// The object of a manifest that a writer encrypts anew.
pub(crate) fn resealed_manifest(key: &str, key_id: u32, writer: &[u8; 32]) -> String {
    format!("{key}{RESEALED}{key_id}.{}", hex(&writer[..16]))
}

/// What the name of a chunk list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListName<'a> {
    /// 64 hex digits.
    pub(crate) id: &'a str,
    /// 32 hex digits; none: a program from before named it, by its content alone.
    pub(crate) writer: Option<&'a str>,
    /// The master that it is sealed with: later ones than the first are named.
    pub(crate) key_id: u32,
}

impl<'a> ListName<'a> {
    /// The full name.
    pub(crate) fn object(&self, domain: Domain) -> String {
        let mut name = Folder::Lists.object(domain, self.id);
        if let Some(writer) = self.writer {
            name.extend([".", writer]);
        }
        if self.key_id > FIRST_KEY_ID { format!("{name}{RESEALED}{}", self.key_id) } else { name }
    }

    /// Reads a full name; none where it isn't that of a chunk list.
    pub(crate) fn parse(domain: Domain, object: &'a str) -> Option<Self> {
        let name = object.strip_prefix(&Folder::Lists.of(domain))?.strip_prefix('/')?;
        let (stem, key_id) = match name.split_once(RESEALED) {
            Some((stem, key_id)) => (stem, key_id.parse().ok()?),
            None => (name, FIRST_KEY_ID),
        };
        let (id, writer) = match stem.split_once('.') {
            Some((id, writer)) => (id, Some(writer)),
            None => (stem, None),
        };
        let named = Self { id, writer, key_id };
        let is_plausible = is_hex::<32>(id) && writer.is_none_or(is_hex::<16>);
        (is_plausible && named.object(domain) == object).then_some(named)
    }
}

/// What the name of a record of a forgotten backup says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForgottenName {
    /// The key of its manifest.
    pub(crate) manifest: String,
    /// The master that it is sealed with; the first one's in the plain domain.
    pub(crate) key_id: u32,
}

impl ForgottenName {
    /// The full name of what this writer, 32 hex digits, writes.
    pub(crate) fn object(&self, domain: Domain, writer: &str) -> String {
        let stem = self.manifest.rsplit('/').next().unwrap_or_default();
        Folder::Forgotten.object(domain, &format!("{stem}{RESEALED}{}.{writer}", self.key_id))
    }

    /// Reads a full name; none where it isn't that of such a record.
    pub(crate) fn parse(domain: Domain, object: &str) -> Option<Self> {
        let name = object.strip_prefix(&Folder::Forgotten.of(domain))?.strip_prefix('/')?;
        let (stem, rest) = name.split_once(RESEALED)?;
        let (key_id, writer) = rest.split_once('.')?;
        let key_id = key_id.parse().ok()?;
        let manifest = ManifestName::parse(&Folder::Manifests.object(domain, stem)).ok()?;
        let named = Self { manifest: manifest.key, key_id };
        (is_hex::<16>(writer) && named.object(domain, writer) == object).then_some(named)
    }
}

/// Which master key an object must be sealed with by its name; none: the name doesn't say.
pub(crate) fn resealed_with(object: &str) -> Option<u32> {
    if let Some(forgotten) = ForgottenName::parse(Domain::Sealed, object) {
        return Some(forgotten.key_id);
    }
    if let Ok(name) = ManifestName::parse(object) {
        return name.resealed;
    }
    ListName::parse(Domain::Sealed, object).map(|list| list.key_id)
}

impl ManifestName {
    /// Reads a manifest's full name; `BadName` for anything else, so that no other object can be reached through one.
    pub(crate) fn parse(key: &str) -> Result<Self, RepositoryError> {
        let parsed = [Domain::Sealed, Domain::Plain].into_iter().find_map(|domain| {
            let stem = key.strip_prefix(&Folder::Manifests.of(domain))?.strip_prefix('/')?;
            let (stem, resealed) = split_resealed(stem)?;
            let (rest, writer) = stem.rsplit_once('.')?;
            let (job, epoch) = rest.rsplit_once('.')?;
            let number: i64 = epoch.parse().ok().filter(|number| *number >= 0)?;
            // One name for each: no sign, no zeros in front.
            let plausible = is_job(job) && is_hex::<16>(writer) && number.to_string() == epoch;
            let key = Folder::Manifests.object(domain, stem);
            plausible.then(|| Self { domain, job: job.into(), epoch: number, key, resealed })
        });
        parsed.ok_or_else(|| RepositoryError::BadName {
            what: "manifest key",
            name: key.into(),
            reason: "it isn't the name of a manifest".into(),
        })
    }
}

/// The first name of a manifest, and the master key that it was encrypted anew with.
fn split_resealed(stem: &str) -> Option<(&str, Option<u32>)> {
    let Some((first, rest)) = stem.split_once(RESEALED) else { return Some((stem, None)) };
    let (digits, writer) = rest.split_once('.')?;
    let key_id: u32 = digits.parse().ok().filter(|key_id| *key_id > FIRST_KEY_ID)?;
    (key_id.to_string() == digits && is_hex::<16>(writer)).then_some((first, Some(key_id)))
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

/// The full name of the n-th owner.
pub(crate) fn owner_name(number: u32) -> String {
    format!("{OWNERS}/{number:010}")
}

/// Which owner an object is.
pub(crate) fn parse_owner(object: &str) -> Option<u32> {
    let number = object.strip_prefix(OWNERS)?.strip_prefix('/')?.parse().ok()?;
    (owner_name(number) == object && (1..u32::MAX).contains(&number)).then_some(number)
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

/// Whether it can be the name of a job, or of a cluster.
pub(crate) fn is_job(job: &str) -> bool {
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
    fn what_is_encrypted_anew_keeps_its_key_and_says_with_what() {
        let key = WriterNames::new(Domain::Sealed, "a-1", 3, &[0xab; 32]).expect("good").manifest();
        let anew = resealed_manifest(&key, 2, &[0xcd; 32]);
        let parsed = ManifestName::parse(&anew).expect("its own");
        assert_eq!((parsed.key.as_str(), parsed.resealed, parsed.epoch), (key.as_str(), Some(2), 3));
        assert_eq!((resealed_with(&anew), resealed_with(&key)), (Some(2), None));
        for bad in
            [anew.replace(".k2.", ".k1."), anew.replace(".k2.", ".k02."), format!("{key}.k2"), anew.clone() + ".k3"]
        {
            assert!(ManifestName::parse(&bad).is_err(), "{bad}");
        }
        let (id, by) = ("ab".repeat(32), "cd".repeat(16));
        for (key_id, writer) in [(1, None), (2, None), (1, Some(&*by)), (77, Some(&*by))] {
            let list = ListName { id: &id, writer, key_id };
            let object = list.object(Domain::Sealed);
            assert_eq!((ListName::parse(Domain::Sealed, &object), resealed_with(&object)), (Some(list), Some(key_id)));
        }
        let first = ListName { id: &id, writer: None, key_id: 1 }.object(Domain::Sealed);
        for bad in ["sealed/lists/x", "sealed/lists/x.k2", &format!("{first}.k01"), &format!("{first}.{by}.{by}")] {
            assert_eq!(ListName::parse(Domain::Sealed, bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_noted_of_a_forgotten_manifest_is_found_by_its_key() {
        let manifest = WriterNames::new(Domain::Plain, "a-1", 3, &[0xab; 32]).expect("good").manifest();
        let (named, writer) = (ForgottenName { manifest, key_id: 12 }, "cd".repeat(16));
        let object = named.object(Domain::Plain, &writer);
        assert_eq!(ForgottenName::parse(Domain::Plain, &object), Some(named));
        assert_eq!(ForgottenName::parse(Domain::Sealed, &object), None);
        for bad in [object.replace(".k12.", ".k012."), object.replace(".k12", ""), format!("{object}.x")] {
            assert_eq!(ForgottenName::parse(Domain::Plain, &bad), None, "{bad}");
        }
    }

    #[test]
    fn generations_and_owners_count_from_one() {
        assert_eq!(parse_generation(&generation_name(Stage::Close, 1)), Some((Stage::Close, 1)));
        for bad in [&generation_name(Stage::Doom, 0), &generation_name(Stage::Doom, -5), "generations/1.doom"] {
            assert_eq!(parse_generation(bad), None, "{bad}");
        }
        assert_eq!(parse_owner(&owner_name(1)), Some(1));
        for bad in [&owner_name(0), &owner_name(u32::MAX), "owners/1", "owners/0000000001.bak", "owners"] {
            assert_eq!(parse_owner(bad), None, "{bad}");
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
