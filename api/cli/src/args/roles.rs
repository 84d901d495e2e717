//! The services: what each needs to be told.

use super::{AccessArgs, AliveArgs, BackupScheduleArgs, Rate, SamplingArgs};
use clap::{Args, ValueEnum};
use lucid_schemas::Kind;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How to reach MongoDB.
#[derive(Debug, Clone, Args)]
pub struct MongoArgs {
    /// File that holds the connection string; else the variable MONGODB_URI is used.
    #[arg(long, value_name = "FILE")]
    pub mongodb_uri_file: Option<PathBuf>,
    /// Database of the engine itself.
    #[arg(long, env = "LUCID_OPS_DATABASE", default_value = lucid_schemas::names::DEFAULT_OPS_DATABASE)]
    pub ops_database: String,
    /// Name that the replica set must have; any where absent.
    #[arg(long, env = "MONGO_REPLICA_SET")]
    pub replica_set: Option<String>,
}

/// How a service ends.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// How many seconds stopping may take: running jobs are given back meanwhile, or taken over later. Container managers kill after 10.
    #[arg(long, env = "LUCID_STOP_WITHIN", value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub stop_within: u16,
}

impl StopArgs {
    /// All of it.
    pub fn bound(&self) -> Duration {
        Duration::from_secs(self.stop_within.into())
    }

    /// The handlers' part: what is left is for telling how they ended.
    pub fn grace_ms(&self) -> u64 {
        u64::from(self.stop_within) * 750
    }
}

/// Where the API listens, and whom it lets in.
#[derive(Debug, Args)]
pub struct DoorArgs {
    /// Address to listen on. One that others can reach needs more to be said: see --plain-http and --anonymous.
    #[arg(long, env = "LUCID_LISTEN", default_value = "127.0.0.1:8089")]
    pub listen: SocketAddr,
    /// File that the API keeps a token in, whose holder may do everything; else $XDG_RUNTIME_DIR/lucid-ops/token or, for root,
    /// /run/lucid-ops/token.
    #[arg(long, env = "LUCID_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A name under which clients reach the API through a proxy, besides addresses, localhost and this node's name; may
    /// be repeated. Requests to any other name are refused, since a web page could have sent them.
    #[arg(long = "host", env = "LUCID_HOSTS", value_delimiter = ',', value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Who may come.
    #[command(flatten)]
    pub access: AccessArgs,
    /// File that holds the connection string of the API, where it has a user of its own; else the variable LUCID_API_MONGODB_URI is used,
    /// and else that of the other services.
    #[arg(long, env = "LUCID_API_MONGODB_URI_FILE", value_name = "FILE")]
    pub api_mongodb_uri_file: Option<PathBuf>,
}

/// `lucid-ops api`.
#[derive(Debug, Args)]
pub struct ApiArgs {
    /// Where it listens.
    #[command(flatten)]
    pub door: DoorArgs,
    /// How it ends.
    #[command(flatten)]
    pub stop: StopArgs,
    /// Where it shows that it lives.
    #[command(flatten)]
    pub alive: AliveArgs,
    /// What is backed up by itself.
    #[command(flatten)]
    pub backups: BackupScheduleArgs,
    /// How to reach MongoDB.
    #[command(flatten)]
    pub mongo: MongoArgs,
}

/// Which repositories, and the key to them.
#[derive(Debug, Args)]
pub struct RepositoryArgs {
    /// A repository as NAME=URL, such as main=file:///mnt/backups or far=s3://bucket/prefix; may be repeated.
    #[arg(
        long = "repository",
        env = "LUCID_REPOSITORIES",
        value_delimiter = ',',
        value_name = "NAME=URL",
        required = true
    )]
    pub repositories: Vec<String>,
    /// File that holds the key of encrypted repositories, or NAME=FILE for one of them; may be repeated.
    #[arg(long = "key-file", env = "LUCID_KEY_FILE", value_delimiter = ',', value_name = "FILE")]
    pub key_files: Vec<String>,
    /// File with the settings of a bucket as lines like AWS_ACCESS_KEY_ID=..., instead of those in the environment; may be repeated.
    #[arg(long = "storage-file", env = "LUCID_STORAGE_FILES", value_delimiter = ',', value_name = "NAME=FILE")]
    pub storage_files: Vec<String>,
    /// Folder on a local disk for what backups into buckets build on; without it they store changed chunks whole.
    #[arg(long, env = "LUCID_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// How much of that disk each bucket may take, such as 20GB; best is what one full backup of everything takes.
    #[arg(long, env = "LUCID_CACHE_SIZE", value_name = "BYTES", default_value = "10GB")]
    pub cache_size: Rate,
    /// Store every chunk whole, never as its difference from another one: for collections in which people who mustn't read each other's
    /// documents write (see schemas/threat-model.md). Nightly backups take more room.
    #[arg(long, env = "LUCID_NO_DELTAS")]
    pub no_deltas: bool,
}

/// A kind of jobs that workers run.
fn kind(word: &str) -> Result<Kind, String> {
    let all = || Kind::ALL.into_iter().filter(|kind| !kind.is_internal());
    let known = || all().map(Kind::as_str).collect::<Vec<_>>().join(", ");
    all()
        .find(|kind| kind.as_str() == word)
        .ok_or_else(|| format!("no worker runs jobs of such a kind; there are {}", known()))
}

/// `lucid-ops worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Which repositories it reaches.
    #[command(flatten)]
    pub repository: RepositoryArgs,
    /// How many jobs run at once.
    #[arg(long, env = "LUCID_SLOTS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub slots: u16,
    /// Read and write no more than so many bytes of documents a second, such as 20MB, all jobs together.
    #[arg(long, env = "LUCID_MAX_RATE", value_name = "BYTES")]
    pub max_rate: Option<Rate>,
    /// Which members backups are read from; with `any`, the one that the backup before was read from, if it's there. Where a set has several,
    /// collections whose ids are numbers or ObjectIds are read by id, so that they look the same on each; others, and those that a backup has
    /// read otherwise, are stored again when the member changes, and the job says so.
    #[arg(long, env = "LUCID_READ_FROM", value_enum, default_value = "primary")]
    pub read_from: Member,
    /// Leave processor and disk to whoever else wants them: run as `nice -n 19 ionice -c 3` does.
    #[arg(long, env = "LUCID_LOW_PRIORITY")]
    pub low_priority: bool,
    /// A label that jobs may ask for; may be repeated.
    #[arg(long = "label", env = "LUCID_LABELS", value_delimiter = ',', value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Run only jobs of these kinds: backup, restore, verify, prune, copy, reencrypt; all where absent. A drill counts as a restore, since it needs
    /// the same rights.
    #[arg(long, env = "LUCID_KINDS", value_delimiter = ',', value_name = "KIND", value_parser = kind)]
    pub kinds: Vec<Kind>,
    /// For how many days jobs that ended are kept (backups that succeeded are kept anyhow); 0 means for ever.
    #[arg(long, env = "LUCID_JOB_RETENTION_DAYS", default_value_t = 90)]
    pub job_retention_days: u32,
    /// Lease of a claimed job in milliseconds; a lost worker's job is taken over after that.
    #[arg(long, env = "LUCID_LEASE_MS", default_value_t = 30_000)]
    pub lease_ms: u32,
    /// How far this node's clock may be from the primary's, in milliseconds; beyond, it makes no jobs of schedules.
    #[arg(long, env = "LUCID_SKEW_LIMIT_MS", default_value_t = 30_000)]
    pub skew_limit_ms: u32,
    /// How it ends.
    #[command(flatten)]
    pub stop: StopArgs,
    /// Where it shows that it lives.
    #[command(flatten)]
    pub alive: AliveArgs,
    /// What is backed up by itself.
    #[command(flatten)]
    pub backups: BackupScheduleArgs,
    /// How to reach MongoDB.
    #[command(flatten)]
    pub mongo: MongoArgs,
}

/// `lucid-ops serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the API listens.
    #[command(flatten)]
    pub door: DoorArgs,
    /// What the worker does, and what both need.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

impl ServeArgs {
    /// What each of both is told. The API shows that they live: whoever asks it learns more than a file can tell.
    pub fn split(self) -> (ApiArgs, WorkerArgs) {
        let Self { door, mut worker } = self;
        let (stop, backups, mongo) = (worker.stop.clone(), worker.backups.clone(), worker.mongo.clone());
        let alive = std::mem::take(&mut worker.alive);
        (ApiArgs { door, stop, alive, backups, mongo }, worker)
    }
}

/// Where `lucid-ops dev` keeps everything, unless told otherwise.
pub const DEV_DIR: &str = ".lucid";

/// `lucid-ops dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Folder for all state.
    #[arg(long, default_value = DEV_DIR)]
    pub dir: PathBuf,
    /// Members of the private replica set.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub members: u8,
    /// Port of the API; 0 means any free one.
    #[arg(long, default_value_t = 8089)]
    pub api_port: u16,
    /// Port of the monitor; 0 means any free one.
    #[arg(long, default_value_t = 8091)]
    pub monitor_port: u16,
    /// What the monitor looks at.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Port of the first mongod; 0 means any free one.
    #[arg(long, default_value_t = 0)]
    pub mongod_port: u16,
    /// Lease of a claimed job in milliseconds.
    #[arg(long, env = "LUCID_LEASE_MS", default_value_t = 30_000)]
    pub lease_ms: u32,
    /// How it ends.
    #[command(flatten)]
    pub stop: StopArgs,
    /// What is backed up by itself.
    #[command(flatten)]
    pub backups: BackupScheduleArgs,
    /// Start only mongod and create the repository; API and workers are started by hand.
    #[arg(long)]
    pub mongod_only: bool,
}

/// A member of the set by its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Member {
    /// The primary.
    Primary,
    /// A secondary, or none.
    Secondary,
    /// A secondary or the primary.
    Any,
}
