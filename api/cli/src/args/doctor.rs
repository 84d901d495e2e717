//! `lucid-ops doctor`: what is looked at.

use super::MongoArgs;
use clap::{Args, builder::PossibleValuesParser};
use lucid_schemas::roles::Service;
use std::path::PathBuf;

/// `lucid-ops doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Whose user that of the connection string is: what he may do is compared with what that service needs.
    #[arg(long = "as", value_name = "SERVICE", value_parser = PossibleValuesParser::new(Service::ALL.map(Service::as_str)))]
    pub service: Option<String>,
    /// Databases whose schemas migrations may change, as they were told to `lucid-ops bootstrap`; may be repeated.
    #[arg(
        long = "migration-database",
        env = "LUCID_MIGRATION_DATABASES",
        value_delimiter = ',',
        value_name = "DATABASE",
        default_value = "lucid"
    )]
    pub migration_databases: Vec<String>,
    /// A file that holds a secret, whose mode is looked at; may be repeated.
    #[arg(long = "secret", value_name = "FILE")]
    pub secrets: Vec<PathBuf>,
    /// A path whose disk is looked at, such as that of a repository; may be repeated.
    #[arg(long = "disk", env = "LUCID_DISKS", value_delimiter = ',', value_name = "PATH")]
    pub disks: Vec<PathBuf>,
    /// How to reach MongoDB.
    #[command(flatten)]
    pub mongo: MongoArgs,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}
