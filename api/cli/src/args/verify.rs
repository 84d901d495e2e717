//! How a verification is asked for.

use super::{ClientArgs, RunArgs};
use clap::{Args, ValueEnum};
use lucid_schemas::{Part, Sample};

/// How deeply a backup is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Objects exist, have their sizes, refer to each other.
    Structure,
    /// Every byte is read, decrypted and hashed.
    Data,
    /// Also restored into a scratch database, compared there, and dropped.
    Drill,
}

impl Level {
    /// As programs say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Data => "data",
            Self::Drill => "drill",
        }
    }
}

/// Which share is read.
#[derive(Debug, Args)]
pub struct ShareArgs {
    /// Read a sample only, such as 5% of the packs.
    #[arg(long, value_name = "PERCENT", conflicts_with = "part")]
    pub sample: Option<Sample>,
    /// Choose the sample by this number, to read one again.
    #[arg(long, value_name = "N", requires = "sample")]
    pub seed: Option<i64>,
    /// Read one part of several only: 3/7 on the third of seven days.
    #[arg(long, value_name = "N/M")]
    pub part: Option<Part>,
}

/// `lucid-ops verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The backup job, or an unambiguous prefix of its id.
    pub backup: String,
    /// How deeply.
    #[arg(long, value_enum, default_value = "data")]
    pub level: Level,
    /// Which share.
    #[command(flatten)]
    pub share: ShareArgs,
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
