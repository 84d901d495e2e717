//! What everything is measured on: a private replica set, of one member where nothing else is said, a database for each chapter, no-op jobs.

use crate::Outcome;
use bson::DateTime;
use lucid_embedded::{Deployment, Options};
use lucid_mongo::{Connection, MongoStore};
use lucid_ports::{Enqueue, Reach};
use lucid_schemas::{JobId, Kind, ManifestName, Request, Spec, VerifyLevel, VerifySpec};
use std::sync::Arc;
use tempfile::TempDir;

/// More than the default, as on any real server: a bench of a million jobs must not measure a cache of 256 MiB.
const CACHE_MIB: u32 = 1_024;

/// A private server.
pub struct Stage {
    pub deployment: Deployment,
    _dir: TempDir,
}

/// One chapter's database.
pub struct Hall {
    pub connection: Connection,
    pub store: Arc<MongoStore>,
    pub name: String,
}

impl Stage {
    pub async fn set() -> Outcome<Self> {
        Self::of(1).await
    }

    /// A set of so many members.
    pub async fn of(members: usize) -> Outcome<Self> {
        let dir = tempfile::Builder::new().prefix("lucid-bench-").tempdir()?;
        let options = Options { members, wired_tiger_cache_mib: CACHE_MIB, ..Options::new(dir.path().join("mongod")) };
        Ok(Self { deployment: Deployment::start(options).await?, _dir: dir })
    }

    /// A chapter's database, set up and empty.
    pub async fn hall(&self, name: &str) -> Outcome<Hall> {
        let name = format!("bench_{name}");
        let connection = lucid_mongo::connect(&self.deployment.uri(), &name).await?;
        connection.set_up().await?;
        Ok(Hall { store: connection.store(), connection, name })
    }

    /// Process id of the server.
    pub fn server(&mut self) -> Outcome<u32> {
        self.deployment.members().first().and_then(|member| member.pid).ok_or_else(|| "mongod has ended".into())
    }

    pub async fn end(self) -> Outcome<()> {
        Ok(self.deployment.stop().await?)
    }
}

/// What a bench worker reaches.
pub fn reach() -> Reach {
    Reach { kinds: vec![Kind::Verify], ..Reach::default() }
}

/// A job that does nothing, with a spec as large as real ones.
pub fn no_op() -> Enqueue {
    let chance = || uuid::Uuid::new_v4().as_u64_pair().0;
    let backup = JobId::compose(Kind::Backup, DateTime::now(), chance());
    let manifest = ManifestName { key: "manifests/1".into(), hash: "0".repeat(64) };
    let spec = VerifySpec::whole(backup, Some(manifest), VerifyLevel::Structure);
    let id = JobId::compose(Kind::Verify, DateTime::now(), chance());
    // Concurrency keys would limit how many run at once, which isn't what is measured.
    let request = Request { keys: Vec::new(), ..Request::new(id, Spec::Verify(spec), "api:bench", None) };
    Enqueue { request, delay_ms: 0, run_at: None, write: uuid::Uuid::new_v4().to_string() }
}
