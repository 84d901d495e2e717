//! What can be typed about schedules.

use super::{ClientArgs, KeepArgs};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use lucid_schemas::prune::KEEP_LAST;

/// What is backed up by itself, and how.
#[derive(Debug, Clone, Args)]
pub struct BackupScheduleArgs {
    /// Keep a schedule BACKUP_SCHEDULE with these times (five cron fields); changed whenever a service starts with
    /// another value. Taking the value away leaves the schedule as it is.
    #[arg(long, env = "BACKUP_SCHEDULE", value_name = "CRON")]
    pub backup_schedule: Option<String>,
    /// The databases of that schedule; each further one has a schedule BACKUP_SCHEDULE.NAME.
    #[arg(
        long = "backup-database",
        env = "BACKUP_DATABASE",
        value_delimiter = ',',
        default_value = "lucid",
        value_name = "NAME"
    )]
    pub backup_databases: Vec<String>,
    /// The clock of that schedule, as an IANA name.
    #[arg(long, env = "BACKUP_TIMEZONE", default_value = "UTC", value_name = "NAME")]
    pub backup_timezone: String,
    /// With BACKUP_SCHEDULE: for how many days backups are kept, counted from the newest one of their database, by a schedule
    /// BACKUP_RETENTION with the same times; 0 keeps them for ever. Also what a prune keeps that doesn't say.
    #[arg(long = "backup-retention-days", env = "BACKUP_RETENTION_DAYS", default_value_t = 30, value_name = "DAYS",
        value_parser = clap::value_parser!(i32).range(0..=36_500))]
    pub backup_retention_days: i32,
    /// How many of the newest backups of each database stay besides, however old they are.
    #[arg(long = "backup-keep-last", env = "BACKUP_KEEP_LAST", default_value_t = KEEP_LAST, value_name = "N",
        value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub backup_keep_last: i32,
    /// Whether backups are compressed unless a request says otherwise.
    #[arg(long, env = "BACKUP_COMPRESSION", default_value_t = true, action = clap::ArgAction::Set)]
    pub compression: bool,
    /// Whether backups are encrypted unless a request says otherwise.
    #[arg(long, env = "BACKUP_ENCRYPTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub encryption: bool,
}

/// A schedule by name.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// The schedule.
    pub name: String,
    /// How to reach the API.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `lucid-ops schedules set`: what isn't given stays as it is.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The schedule.
    pub name: String,
    /// When: minute, hour, day, month and weekday, such as '0 2 * * *'. Needed for a new schedule.
    #[arg(long)]
    pub cron: Option<String>,
    /// By which clock, as an IANA name such as Europe/Berlin [new: UTC].
    #[arg(long, value_name = "NAME")]
    pub timezone: Option<String>,
    /// The database to back up. A new schedule needs this, --verify, --prune or --copy-to.
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Only these collections.
    #[arg(long, value_delimiter = ',', conflicts_with = "verify")]
    pub collections: Option<Vec<String>>,
    /// The repository by name [new: main].
    #[arg(long, value_name = "NAME", conflicts_with = "verify")]
    pub repository: Option<String>,
    /// Verify this backup instead, given by its job's id.
    #[arg(long, value_name = "BACKUP", conflicts_with = "database")]
    pub verify: Option<String>,
    /// Prune the repository instead, and keep what is said.
    #[arg(long, conflicts_with_all = ["database", "collections", "verify"])]
    pub prune: bool,
    /// Which backups a prune keeps.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Copy every backup that isn't there yet into this repository instead.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["database", "collections", "verify", "prune"])]
    pub copy_to: Option<String>,
    /// What becomes of missed occurrences: left out, the newest made up for, or each of them [new: once].
    #[arg(long, value_parser = PossibleValuesParser::new(["skip", "once", "all"]))]
    pub missed: Option<String>,
    /// How many missed occurrences `all` makes up for at once [new: 24].
    #[arg(long, value_name = "NUMBER")]
    pub missed_limit: Option<i64>,
    /// What becomes of an occurrence while an earlier one's job is open: left out, or run all the same [new: skip].
    #[arg(long, value_parser = PossibleValuesParser::new(["skip", "allow"]))]
    pub overlap: Option<String>,
    /// Deal with nothing planned until then (RFC 3339); an earlier time than now makes up for what was missed since.
    #[arg(long, value_name = "TIME")]
    pub high_water: Option<String>,
    /// How to reach the API.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `lucid-ops schedules ...`.
#[derive(Debug, Subcommand)]
pub enum SchedulesCommand {
    /// List schedules.
    List(ClientArgs),
    /// Show one schedule.
    Show(ScheduleArgs),
    /// Make a schedule, or change one.
    Set(Box<SetArgs>),
    /// Let a schedule rest.
    Pause(ScheduleArgs),
    /// Let it go on, with what is planned from now on.
    Resume(ScheduleArgs),
    /// Ask for one of its jobs now.
    Run(ScheduleArgs),
    /// Remove a schedule; its jobs stay.
    Remove(ScheduleArgs),
}
