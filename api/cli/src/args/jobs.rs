//! What can be typed to look at jobs.

use super::ClientArgs;
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use lucid_schemas::{Kind, State};

/// `lucid-ops backups`.
#[derive(Debug, Args)]
pub struct BackupsArgs {
    /// Which of them.
    #[command(flatten)]
    pub list: ListArgs,
    /// How to reach the API.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Which part of a list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only in this state; may be several, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str)))]
    pub state: Vec<String>,
    /// Only what was asked for at this time or later, such as 2025-01-09T02:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what was asked for before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only what has this text in its id, its database, its error, or the name of who asked for it.
    #[arg(long)]
    pub text: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
    /// Only what comes after this job in the list.
    #[arg(long, value_name = "JOB")]
    pub after: Option<String>,
    /// All that there are.
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

/// A job by id.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// The job, or an unambiguous prefix of its id.
    pub job: String,
    /// How to reach the API.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `lucid-ops jobs ...`.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, newest first.
    List {
        /// Only of this kind.
        #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
        kind: Option<String>,
        /// Only those that require this label of their worker.
        #[arg(long)]
        label: Option<String>,
        /// Which of them.
        #[command(flatten)]
        list: ListArgs,
        /// How to reach the API.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show one job and its events.
    Show(JobArgs),
    /// Follow one job to its end: its events from the first on, and its progress, one a line.
    Watch(JobArgs),
    /// Fold the events of every job anew and compare; fails where one isn't what its events say.
    Audit(ClientArgs),
    /// Write every job document to standard output, one a line, as JSON.
    Export(ClientArgs),
    /// Ask for a job's end.
    Cancel(JobArgs),
    /// Let a blocked job go on.
    Resume(JobArgs),
    /// Give a blocked job up: it is cleaned up after, and fails with what it did and what it didn't.
    GiveUp {
        /// The job.
        #[command(flatten)]
        job: JobArgs,
        /// Why, for those who read its history.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Ask for the same again as a job that failed or was canceled, as a new job.
    Retry {
        /// The job.
        #[command(flatten)]
        job: JobArgs,
        /// Return at once instead of waiting for the end.
        #[arg(long)]
        detach: bool,
    },
}
