//! `lucid-ops bootstrap`: what is to be made.

use clap::Args;
use lucid_schemas::names::DEFAULT_OPS_DATABASE;

const AFTER: &str = "Passwords are read from the variables MONGO_INITDB_ROOT_PASSWORD, LUCID_API_PASSWORD, LUCID_WORKER_PASSWORD, \
                     LUCID_RESTORE_PASSWORD, LUCID_MONITOR_PASSWORD and LUCID_MIGRATION_PASSWORD, or from the files that these with _FILE behind them \
                     name. A service without one gets no user. One that has changed is set; for the administrator's, tell the one before as \
                     MONGO_INITDB_ROOT_PASSWORD_OLD. Run it where the first member is reached by loopback: on its machine, or in its network namespace.";

/// `lucid-ops bootstrap`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct BootstrapArgs {
    /// The members as HOST:PORT, under the names by which they and all clients know them; the set begins with the first.
    #[arg(long, env = "LUCID_BOOTSTRAP_MEMBERS", value_delimiter = ',', value_name = "HOST:PORT", required = true)]
    pub members: Vec<String>,
    /// Name of the set.
    #[arg(long, env = "MONGO_REPLICA_SET", value_name = "NAME", default_value = "rs0")]
    pub replica_set: String,
    /// Name of the administrator.
    #[arg(long, env = "MONGO_INITDB_ROOT_USERNAME", value_name = "NAME", default_value = "lucid")]
    pub administrator: String,
    /// Database of the engine itself.
    #[arg(long, env = "LUCID_OPS_DATABASE", value_name = "DATABASE", default_value = DEFAULT_OPS_DATABASE)]
    pub ops_database: String,
    /// Databases whose schemas migrations may change; may be repeated.
    #[arg(
        long = "migration-database",
        env = "LUCID_MIGRATION_DATABASES",
        value_delimiter = ',',
        value_name = "DATABASE",
        default_value = "lucid"
    )]
    pub migration_databases: Vec<String>,
    /// Options of a connection string that the members want, such as tls=true&tlsCAFile=/etc/lucid/ca.pem; no secrets.
    #[arg(long, env = "LUCID_MONGODB_OPTIONS", value_name = "OPTIONS", default_value = "")]
    pub mongodb_options: String,
    /// How many seconds it may take, with what it waits for.
    #[arg(long, env = "LUCID_BOOTSTRAP_WITHIN", value_name = "SECONDS", default_value_t = 120)]
    pub within: u16,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}
