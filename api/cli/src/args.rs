//! The command line: what can be typed, and nothing of what it does.

mod jobs;
mod prune;
mod repo;
mod schedules;
mod verify;

pub use jobs::{BackupsArgs, JobArgs, JobsCommand, ListArgs};
pub use prune::{KeepArgs, PruneArgs};
pub use repo::{
    BackupHereArgs, CatArgs, DiffArgs, KeyCommand, PinArgs, RepairArgs, RepoArgs, RepoCommand, RepoRestoreArgs,
    RepoVerifyArgs,
};
pub use schedules::{BackupScheduleArgs, SchedulesCommand, SetArgs};
pub use verify::{Level, ShareArgs, VerifyArgs};

use clap::{Args, Parser, Subcommand, builder::PossibleValuesParser};
use lucid_schemas::Kind;
use std::{net::SocketAddr, path::PathBuf};

/// Durable backup jobs for MongoDB: encrypted, verified, restorable.
#[derive(Debug, Parser)]
#[command(name = "lucid-ops", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log as JSON lines (for log collectors) instead of text.
    #[arg(long, global = true, env = "LUCID_LOG_JSON", hide_env_values = true)]
    pub log_json: bool,
}

const API_DEFAULT: &str = "http://127.0.0.1:8089";

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed (the job, or the service), canceled or blocked; 2 wrong usage or a refused request; \
                          3 not reachable (API or MongoDB); 130 interrupted.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API.
    Api(ApiArgs),
    /// Run jobs.
    Worker(WorkerArgs),
    /// Start everything on this machine: a private mongod as rs0, API and worker.
    Dev(DevArgs),
    /// Ask for a backup of a database.
    Backup(BackupArgs),
    /// Put a backup into a database.
    Restore(RestoreArgs),
    /// Prove that a backup is whole.
    Verify(VerifyArgs),
    /// Forget backups that no rule keeps, and free what only they needed.
    Prune(Box<PruneArgs>),
    /// Look at jobs, cancel them, let them go on.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Have jobs asked for by themselves.
    #[command(subcommand)]
    Schedules(SchedulesCommand),
    /// List backups.
    Backups(BackupsArgs),
    /// Pause and resume kinds of jobs, on every node.
    #[command(subcommand)]
    Queues(QueuesCommand),
    /// List the live workers.
    Workers(ClientArgs),
    /// Create repositories, look into them and restore from them, without any job.
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Say how the service is.
    Health(ClientArgs),
}

/// How to reach MongoDB.
#[derive(Debug, Args)]
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

/// `lucid-ops api`.
#[derive(Debug, Args)]
pub struct ApiArgs {
    /// Address to listen on; only loopback until the API has authentication.
    #[arg(long, env = "LUCID_LISTEN", default_value = "127.0.0.1:8089")]
    pub listen: SocketAddr,
    /// A name under which clients reach the API through a proxy, besides addresses, localhost and this node's name; may
    /// be repeated. Requests to any other name are refused, since a web page could have sent them.
    #[arg(long = "host", env = "LUCID_HOSTS", value_delimiter = ',', value_name = "NAME")]
    pub hosts: Vec<String>,
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
    /// A label that jobs may ask for; may be repeated.
    #[arg(long = "label", env = "LUCID_LABELS", value_delimiter = ',', value_name = "LABEL")]
    pub labels: Vec<String>,
    /// For how many days jobs that ended are kept (backups that succeeded are kept anyhow); 0 means for ever.
    #[arg(long, env = "LUCID_JOB_RETENTION_DAYS", default_value_t = 90)]
    pub job_retention_days: u32,
    /// Lease of a claimed job in milliseconds; a lost worker's job is taken over after that.
    #[arg(long, env = "LUCID_LEASE_MS", default_value_t = 30_000)]
    pub lease_ms: u32,
    /// How far this node's clock may be from the primary's, in milliseconds; beyond, it makes no jobs of schedules.
    #[arg(long, env = "LUCID_SKEW_LIMIT_MS", default_value_t = 30_000)]
    pub skew_limit_ms: u32,
    /// What is backed up by itself.
    #[command(flatten)]
    pub backups: BackupScheduleArgs,
    /// How to reach MongoDB.
    #[command(flatten)]
    pub mongo: MongoArgs,
}

/// `lucid-ops dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Folder for all state.
    #[arg(long, default_value = ".lucid")]
    pub dir: PathBuf,
    /// Members of the private replica set.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub members: u8,
    /// Port of the API; 0 means any free one.
    #[arg(long, default_value_t = 8089)]
    pub api_port: u16,
    /// Port of the monitor (not built yet: accepted, unused).
    #[arg(long, default_value_t = 8091)]
    pub monitor_port: u16,
    /// Port of the metrics (not built yet: accepted, unused).
    #[arg(long, default_value_t = 9216)]
    pub metrics_port: u16,
    /// Port of the first mongod; 0 means any free one.
    #[arg(long, default_value_t = 0)]
    pub mongod_port: u16,
    /// Lease of a claimed job in milliseconds.
    #[arg(long, env = "LUCID_LEASE_MS", default_value_t = 30_000)]
    pub lease_ms: u32,
    /// What is backed up by itself.
    #[command(flatten)]
    pub backups: BackupScheduleArgs,
    /// Start only mongod and create the repository; API and workers are started by hand.
    #[arg(long)]
    pub mongod_only: bool,
}

/// How to reach the API, and how to print.
#[derive(Debug, Args, Clone)]
pub struct ClientArgs {
    /// Address of the API.
    #[arg(long, env = "LUCID_API", default_value = API_DEFAULT)]
    pub api: String,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}

/// How a job is run.
#[derive(Debug, Args, Default)]
pub struct RunArgs {
    /// From -10 to 10: higher runs sooner; each step is as if the job had been due for ten minutes longer.
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub priority: Option<i32>,
    /// Not before this time, such as 2025-01-09T02:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub run_at: Option<String>,
    /// How many seconds one attempt may take.
    #[arg(long = "timeout", value_name = "SECONDS")]
    pub timeout_seconds: Option<i64>,
    /// How many attempts may fail before the job does.
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<i32>,
    /// Only on a worker with this label; may be repeated.
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Refused while another job with this key is open.
    #[arg(long, value_name = "KEY")]
    pub unique_key: Option<String>,
    /// Only after this job has succeeded.
    #[arg(long, value_name = "JOB")]
    pub after: Option<String>,
    /// With --after: only if that job fails.
    #[arg(long, requires = "after")]
    pub on_failure: bool,
    /// Sent twice with the same key, the request makes one job.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// `lucid-ops backup`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Flags of a command line are bools.
pub struct BackupArgs {
    /// The database.
    pub database: String,
    /// Only these collections.
    #[arg(long, value_delimiter = ',')]
    pub collections: Option<Vec<String>>,
    /// Store without compression.
    #[arg(long)]
    pub no_compression: bool,
    /// Store without encryption (only where the repository allows it).
    #[arg(long)]
    pub no_encryption: bool,
    /// Fail rather than copy a collection that can't be read at the same instant as the others.
    #[arg(long)]
    pub require_consistent: bool,
    /// The repository by name.
    #[arg(long)]
    pub repository: Option<String>,
    /// Return at once instead of waiting for the end.
    #[arg(long, conflicts_with = "wait")]
    pub detach: bool,
    /// Wait for the end (the default).
    #[arg(long)]
    pub wait: bool,
    /// How the job is run.
    #[command(flatten)]
    pub run: RunArgs,
    /// How to reach the API.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `lucid-ops restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup job, or an unambiguous prefix of its id.
    pub backup: String,
    /// The database to restore into; the one that was backed up where absent.
    #[arg(long = "to", value_name = "DATABASE")]
    pub to: Option<String>,
    /// Only these collections.
    #[arg(long, value_delimiter = ',')]
    pub collections: Option<Vec<String>>,
    /// Replace collections of a database that exists.
    #[arg(long)]
    pub replace: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// How the job is run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Return at once instead of waiting for the end.
    #[arg(long)]
    pub detach: bool,
    /// How to reach the API.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `lucid-ops queues ...`.
#[derive(Debug, Subcommand)]
pub enum QueuesCommand {
    /// List the kinds, and who paused which.
    List(ClientArgs),
    /// Begin no more jobs of a kind; those that run go on.
    Pause {
        /// The kind.
        #[arg(value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
        kind: String,
        /// Why, for people.
        #[arg(long)]
        reason: Option<String>,
        /// How to reach the API.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Begin jobs of a kind again.
    Resume {
        /// The kind.
        #[arg(value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
        kind: String,
        /// How to reach the API.
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[cfg(test)]
mod documents;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
