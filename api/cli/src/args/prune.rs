//! What can be typed about retention.

use super::{ClientArgs, RunArgs};
use clap::Args;
use lucid_schemas::Keep;

/// Which backups stay. What several of these keep is kept, and the newest backup of each database always.
#[derive(Debug, Args, Clone, Default)]
pub struct KeepArgs {
    /// Keep so many of the newest backups of each database that this cluster made.
    #[arg(long = "keep-last", value_name = "N")]
    pub last: Option<i32>,
    /// Keep the newest backup of each of so many hours.
    #[arg(long = "keep-hourly", value_name = "N")]
    pub hourly: Option<i32>,
    /// Keep the newest backup of each of so many days.
    #[arg(long = "keep-daily", value_name = "N")]
    pub daily: Option<i32>,
    /// Keep the newest backup of each of so many weeks.
    #[arg(long = "keep-weekly", value_name = "N")]
    pub weekly: Option<i32>,
    /// Keep the newest backup of each of so many months.
    #[arg(long = "keep-monthly", value_name = "N")]
    pub monthly: Option<i32>,
    /// Keep the newest backup of each of so many years.
    #[arg(long = "keep-yearly", value_name = "N")]
    pub yearly: Option<i32>,
    /// Keep all backups that are at most so many days older than the newest; alone, also the last 7.
    #[arg(long = "keep-days", value_name = "N")]
    pub days: Option<i32>,
}

impl KeepArgs {
    /// What was asked for; none where nothing was.
    pub fn read(&self) -> Option<Keep> {
        let number = |number: Option<i32>| number.unwrap_or(0);
        let given = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly, self.days];
        given.iter().any(Option::is_some).then(|| Keep {
            last: number(self.last),
            hourly: number(self.hourly),
            daily: number(self.daily),
            weekly: number(self.weekly),
            monthly: number(self.monthly),
            yearly: number(self.yearly),
            days: number(self.days),
        })
    }
}

/// `lucid-ops prune`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Flags of a command line are bools.
pub struct PruneArgs {
    /// Which backups stay; where nothing is said, those of the last BACKUP_RETENTION_DAYS and the last
    /// BACKUP_KEEP_LAST of the API.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Only say which backups would go, which would stay, and why.
    #[arg(long)]
    pub dry_run: bool,
    /// Free space in this run, not the next one: restores that another cluster runs from this repository may fail.
    #[arg(long)]
    pub at_once: bool,
    /// Don't write packs anew that are mostly unneeded.
    #[arg(long)]
    pub no_repack: bool,
    /// Leave alone for so many hours what nobody needs [24]; 0 only where no other cluster backs up to the repository.
    #[arg(long, value_name = "HOURS")]
    pub grace_hours: Option<i32>,
    /// Prune here from now on, although another cluster has pruned the repository so far: it is gone, or has given it up.
    #[arg(long)]
    pub take_ownership: bool,
    /// Judge the backups of another cluster, which is gone, in place of this one's; its id is in the results of prunes.
    #[arg(long, value_name = "ID")]
    pub cluster: Option<String>,
    /// Note as lost the backups whose manifests are missing: somebody has removed them for good, and no folder was moved.
    #[arg(long)]
    pub accept_loss: bool,
    /// Forget more than half of a database's backups at once, which a prune doesn't do without this word.
    #[arg(long)]
    pub forget_many: bool,
    /// The repository by name.
    #[arg(long)]
    pub repository: Option<String>,
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
