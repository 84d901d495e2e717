//! The command line: what can be typed, and nothing of what it does.

mod access;
mod alerts;
mod alive;
mod bootstrap;
mod config;
mod copy;
mod doctor;
mod env;
mod explain;
mod jobs;
mod monitor;
mod prune;
mod rate;
mod repo;
mod roles;
mod schedules;
mod top;
mod verify;

pub use access::{AccessArgs, CreateTokenArgs, TokenCommand};
pub use alerts::{AlertsCommand, ListAlertsArgs, MonitorClientArgs, RulesArgs, SilenceArgs};
pub use alive::{AliveArgs, HealthcheckArgs};
pub use bootstrap::BootstrapArgs;
pub use config::{CheckArgs, CheckedRole, ConfigCommand};
pub use copy::{CopyArgs, ReencryptArgs};
pub use doctor::DoctorArgs;
pub use env::{EnvCommand, GenerateArgs, MEMBERS, REPLICA_SET};
pub use explain::ExplainArgs;
pub use jobs::{BackupsArgs, JobArgs, JobsCommand, ListArgs};
pub use monitor::{MonitorArgs, SamplingArgs};
pub use prune::{KeepArgs, PruneArgs};
pub use rate::Rate;
pub use repo::{
    BackupHereArgs, CatArgs, DiffArgs, KeyCommand, PinArgs, RekeyArgs, RepairArgs, RepoArgs, RepoCommand, RepoCopyArgs,
    RepoRestoreArgs, RepoVerifyArgs,
};
pub use roles::{
    ApiArgs, DEV_DIR, DevArgs, DoorArgs, Member, MongoArgs, RepositoryArgs, ServeArgs, StopArgs, WorkerArgs,
};
pub use schedules::{BackupScheduleArgs, SchedulesCommand, SetArgs};
pub use top::TopArgs;
pub use verify::{Level, ShareArgs, VerifyArgs};

use clap::{Args, Parser, Subcommand, builder::PossibleValuesParser};
use lucid_schemas::Kind;
use std::path::PathBuf;

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
    /// Serve the HTTP API and run jobs, in one process.
    Serve(Box<ServeArgs>),
    /// Watch the members of the replica set, jobs and backups; serve health and metrics.
    Monitor(MonitorArgs),
    /// Start everything on this machine: a private mongod as rs0, API, worker and monitor.
    Dev(DevArgs),
    /// Make a replica set with users, roles and the engine's collections of members that are empty, or what is missing of it.
    Bootstrap(BootstrapArgs),
    /// Say what is wrong with the replica set, the rights of a user and this machine, and how to mend it.
    Doctor(DoctorArgs),
    /// Ask for a backup of a database.
    Backup(BackupArgs),
    /// Put a backup into a database.
    Restore(RestoreArgs),
    /// Prove that a backup is whole.
    Verify(VerifyArgs),
    /// Forget backups that no rule keeps, and free what only they needed.
    Prune(Box<PruneArgs>),
    /// Copy a backup, or every one, into another repository, such as one off-site.
    Copy(CopyArgs),
    /// Seal with the newest master key what older ones have sealed in a repository.
    Reencrypt(ReencryptArgs),
    /// Look at jobs, cancel them, let them go on.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Have jobs asked for by themselves.
    #[command(subcommand)]
    Schedules(SchedulesCommand),
    /// Look at alerts, say that somebody knows, have nobody told for a while.
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Make, list and revoke tokens: who may do what over the API.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Say what a failure code means, and what to do.
    Explain(ExplainArgs),
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
    /// Look at the variables, flags and files of a service before it is started.
    #[command(subcommand)]
    Config(Box<ConfigCommand>),
    /// Make the files of variables that MongoDB and the services are started with; list all variables.
    #[command(subcommand)]
    Env(EnvCommand),
    /// Print what completes commands in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write those of all commands.
    Man {
        /// Write them into this folder, each of its own name.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Say how the service is.
    Health(ClientArgs),
    /// Say to a container manager whether the service in this container lives; it ends within two seconds, by 0 or 1.
    Healthcheck(HealthcheckArgs),
    /// Show on one screen members, jobs, the last good backups and open alerts, over and over.
    Top(TopArgs),
}

/// How to reach the API, and how to print.
#[derive(Debug, Args, Clone)]
pub struct ClientArgs {
    /// Address of the API.
    #[arg(long, env = "LUCID_API", default_value = API_DEFAULT)]
    pub api: String,
    /// File with a token; where neither it nor the variable LUCID_TOKEN is given, that of the API of this account, or of `lucid-ops dev` in
    /// this folder, is shown for what changes something.
    #[arg(long, env = "LUCID_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// File with certificates, in PEM form, that are trusted instead of the system's where the address is https.
    #[arg(long, env = "LUCID_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
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
pub use documents::words;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
