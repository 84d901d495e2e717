//! Scratch databases: where a drill restores a backup, and where what a swap will do is tried first.
//!
//! Invariant: no database is dropped but those whose name says that this job made them. Each claim has one of its own, so that a worker
//! that wakes up late touches nothing that a successor uses.

use crate::{
    database::{Server, catalog::hex, commands, queries},
    error::{Error, Result},
};
use bson::doc;
use lucid_schemas::{Code, JobId, names::DRILL_PREFIX};
use sha2::{Digest, Sha256};

const HASH_BYTES: usize = 8;

/// The name of a scratch database: `__lucid_drill_<job hash>_<epoch>`. Only values of this type can be dropped, and they are only made
/// for the job at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScratchName {
    text: String,
    epoch: i64,
}

impl ScratchName {
    fn new(job: &JobId, epoch: i64) -> Self {
        Self { text: format!("{}{epoch}", prefix(job)), epoch }
    }

    /// Reads a name, if it is one of this job's.
    fn parse(job: &JobId, name: &str) -> Option<Self> {
        let epoch = name.strip_prefix(&prefix(job))?;
        let is_number = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { text: name.to_owned(), epoch: epoch.parse().ok().filter(|_| is_number)? })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn prefix(job: &JobId) -> String {
    format!("{DRILL_PREFIX}{}_", hex(&Sha256::digest(job.as_str())[..HASH_BYTES]))
}

/// The scratch database of a claim, in which nothing is yet; what earlier claims of the job have left is dropped.
///
/// Fails with `scratch_exists` where somebody else has made a database of that name.
pub(crate) async fn begin(server: &Server, job: &JobId, epoch: i64) -> Result<ScratchName> {
    // What a predecessor still sends goes into a database of its own.
    clear(server, job, |other| other < epoch).await?;
    let scratch = ScratchName::new(job, epoch);
    if server.patiently(|| databases(server, &scratch.text)).await?.is_empty() {
        return Ok(scratch);
    }
    let why = format!("database '{}' exists, and this job hasn't made it: drop or rename it", scratch.text);
    Err(Error::refused(Code::ScratchExists, why))
}

/// Drops the scratch database of a claim, whatever came of the work in it.
pub(crate) async fn finish<T>(server: &Server, scratch: &ScratchName, outcome: Result<T>) -> Result<T> {
    let dropped = server.tell(commands::drop_scratch(scratch)?).await;
    let done = outcome?;
    dropped?;
    Ok(done)
}

/// Drops the scratch databases of these claims of a job.
pub(crate) async fn clear(server: &Server, job: &JobId, goes: impl Fn(i64) -> bool) -> Result<()> {
    let prefix = prefix(job);
    for name in server.patiently(|| databases(server, &prefix)).await? {
        if let Some(scratch) = ScratchName::parse(job, &name).filter(|scratch| goes(scratch.epoch)) {
            server.tell(commands::drop_scratch(&scratch)?).await?;
        }
    }
    Ok(())
}

/// Names of databases that begin so.
async fn databases(server: &Server, prefix: &str) -> Result<Vec<String>> {
    // The prefix is made of letters, digits and '_': nothing in it means anything else in a pattern.
    let body = doc! { "listDatabases": 1, "nameOnly": true, "filter": { "name": { "$regex": format!("^{prefix}") } } };
    let reply = server.ask(queries::command("admin", "list scratch databases", true, &body)?).await?;
    let list = reply.get_array("databases").map(Vec::as_slice).unwrap_or_default();
    let names = list.iter().filter_map(|entry| entry.as_document()?.get_str("name").ok().map(str::to_owned));
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_the_job_at_hand_are_scratch() {
        let job: JobId = "verify_20250109_020000_7k3fq2m8ab".parse().expect("an id");
        let other: JobId = "verify_20250109_020000_7k3fq2m8ac".parse().expect("an id");
        let name = ScratchName::new(&job, i64::MAX);
        assert!(name.as_str().len() < 64, "the server takes it: {}", name.as_str());
        assert_eq!(ScratchName::parse(&job, name.as_str()), Some(name.clone()));
        assert_eq!(ScratchName::parse(&other, name.as_str()), None);
        for hostile in ["", "orders", "admin", &format!("{}x", name.as_str()), &prefix(&job), DRILL_PREFIX] {
            assert_eq!(ScratchName::parse(&job, hostile), None, "{hostile}");
        }
        assert!(
            lucid_schemas::names::check_user_database(name.as_str(), "lucid_ops").is_err(),
            "nobody's but a drill's"
        );
    }
}
