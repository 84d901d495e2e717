//! Names under which a restore builds collections before anything of the target is touched.

use crate::database::catalog::hex;
use lucid_schemas::{JobId, names::STAGING_PREFIX};
use sha2::{Digest, Sha256};
use std::fmt;

const HASH_BYTES: usize = 8;

/// The name of a staging collection: `__lucid_staging_<job hash>_<epoch>_<number>`. Only values of this type can be
/// dropped by name, and they are only made for the job at hand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StagingName {
    text: String,
    epoch: i64,
}

impl StagingName {
    /// The name number `number` of a claim; every number is used once.
    pub fn new(job: &JobId, epoch: i64, number: usize) -> Self {
        Self { text: format!("{}{epoch}_{number}", job_prefix(job)), epoch }
    }

    /// Reads a name, if it is one of this job's.
    pub fn parse(job: &JobId, name: &str) -> Option<Self> {
        let (epoch, number) = name.strip_prefix(&job_prefix(job))?.split_once('_')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (digits(epoch) && digits(number)).then_some(())?;
        Some(Self { text: name.to_owned(), epoch: epoch.parse().ok()? })
    }

    /// The claim that it belongs to.
    pub const fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for StagingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn job_prefix(job: &JobId) -> String {
    let digest = Sha256::digest(job.as_str());
    format!("{STAGING_PREFIX}{}_", hex(&digest[..HASH_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_job_at_hand_are_staging() {
        let job: JobId = "restore_20250109_020000_7k3fq2m8ab".parse().expect("an id");
        let other: JobId = "restore_20250109_020000_7k3fq2m8ac".parse().expect("an id");
        let name = StagingName::new(&job, 3, 14);
        assert_eq!(StagingName::parse(&job, name.as_str()), Some(name.clone()));
        assert_eq!(StagingName::parse(&other, name.as_str()), None);
        for hostile in ["", "orders", &format!("{name}_x"), &format!("{name}/"), STAGING_PREFIX] {
            assert_eq!(StagingName::parse(&job, hostile), None, "{hostile}");
        }
    }
}
