//! What can be typed of `lucid-ops env`.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use std::path::PathBuf;

/// The members where nobody names others: those of deploy/compose.yaml.
pub const MEMBERS: &str = "mongo1:27017,mongo2:27017,mongo3:27017";
/// The replica set where nobody names another.
pub const REPLICA_SET: &str = "rs0";
/// The files that can be made anew. The others can't: MongoDB knows the administrator by the password in `mongodb-init.env`, and the members
/// each other by their key.
pub const REPLACEABLE: [&str; 5] =
    ["mongodb.env", "database-backup.env", "database-restore.env", "database-monitoring.env", "database-migration.env"];

/// `lucid-ops env ...`.
#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// Make the files of variables that MongoDB and the services are started with, with random passwords, and the keys of the replica set and of
    /// the repository. What is there stays as it is; what is missing is made with the passwords of what is there.
    Generate(GenerateArgs),
    /// Print the table of all variables: default, who reads it, meaning.
    Table,
}

/// `lucid-ops env generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Folder of the files; made, for this account alone, where there is none.
    #[arg(long, value_name = "DIR", default_value = "deploy/env")]
    pub dir: PathBuf,
    /// Folder of the keys of the replica set and of the repository; else `secrets` beside the other folder.
    #[arg(long, value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// The members of the replica set as HOST:PORT, by names that members and services resolve alike [new: those of deploy/compose.yaml].
    #[arg(long, env = "LUCID_BOOTSTRAP_MEMBERS", value_delimiter = ',', value_name = "HOST:PORT")]
    pub members: Vec<String>,
    /// The name of the replica set [new: rs0].
    #[arg(long, env = "MONGO_REPLICA_SET", value_name = "NAME")]
    pub replica_set: Option<String>,
    /// The repository of backups as workers see it.
    #[arg(long, value_name = "NAME=URL", default_value = "main=file:///data/backups")]
    pub repository: String,
    /// Give this file new passwords, which `lucid-ops bootstrap` then sets, and leave the rest of it as it is; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(REPLACEABLE))]
    pub replace: Vec<String>,
}
