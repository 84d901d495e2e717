//! The verbs on repositories themselves, which need neither an API nor a job history.

use super::{Level, MongoArgs, RepositoryArgs, ShareArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `lucid-ops repo ...`.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Create a repository, and its key file where there is none.
    Init {
        /// Which, and how to print.
        #[command(flatten)]
        repo: RepoArgs,
        /// Also admit unencrypted backups.
        #[arg(long)]
        allow_plain: bool,
        /// Leave a repository alone that is there and that the key opens.
        #[arg(long)]
        if_absent: bool,
    },
    /// List the backups that a repository holds, whatever the job history says.
    List(RepoArgs),
    /// List the collections of a backup.
    Ls(BackupHereArgs),
    /// Print the documents of a collection of a backup.
    Cat(CatArgs),
    /// Say what a repository holds, and what it takes on disk.
    Stats(RepoArgs),
    /// Say what differs between two backups.
    Diff(DiffArgs),
    /// Prove that a backup, or every one, is whole.
    Verify(RepoVerifyArgs),
    /// Look at every object of a repository.
    Scan(RepoArgs),
    /// Make the index again, save chunks from packs that can't be listed, and name packs that aren't to be trusted.
    Repair(RepairArgs),
    /// Keep a backup whatever a prune is asked to keep.
    Pin(PinArgs),
    /// Let prunes judge a pinned backup again.
    Unpin(BackupHereArgs),
    /// List, add, remove and rotate the keys that open a repository.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Seal with the newest master key what older ones have sealed.
    Reencrypt(RepoArgs),
    /// Copy a backup, or every one, into another repository, such as one off-site.
    Copy(RepoCopyArgs),
    /// Put a backup into a MongoDB without any job history: all it needs is the repository and its key.
    Restore(RepoRestoreArgs),
}

/// Which repositories, and how to print.
#[derive(Debug, Args)]
pub struct RepoArgs {
    /// Which.
    #[command(flatten)]
    pub repository: RepositoryArgs,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}

/// One backup of a repository.
#[derive(Debug, Args)]
pub struct BackupHereArgs {
    /// The backup job, or an unambiguous prefix of its id; or `latest`, or `latest:DATABASE`.
    pub backup: String,
    /// Where it is, and how to print.
    #[command(flatten)]
    pub repo: RepoArgs,
}

/// `lucid-ops repo pin`.
#[derive(Debug, Args)]
pub struct PinArgs {
    /// The backup job, or an unambiguous prefix of its id; or `latest`, or `latest:DATABASE`.
    pub backup: String,
    /// Why, for people.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Where it is, and how to print.
    #[command(flatten)]
    pub repo: RepoArgs,
}

/// `lucid-ops repo key ...`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the key slots.
    List(RepoArgs),
    /// Add a key, proven by opening the repository with it; an existing key stays as it is.
    Add {
        /// The file of the new key; made where there is none.
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
        /// A name, for people.
        #[arg(long, default_value = "")]
        label: String,
        /// Which repository, with a key that opens it.
        #[command(flatten)]
        repo: RepoArgs,
    },
    /// Remove a key slot, if another one opens with the key given.
    Remove {
        /// The slot's id, as `list` shows it.
        slot: String,
        /// Which repository, with the key that stays.
        #[command(flatten)]
        repo: RepoArgs,
    },
    /// Make a new master key: from then on everything is sealed with it, and nothing new builds on what is there. Whoever has the
    /// repository open opens it again by himself, with a key that stays.
    Rotate(RekeyArgs),
    /// Give up all master keys but the newest, once `repo reencrypt` has left nothing that needs them.
    Retire(RekeyArgs),
}

/// `lucid-ops repo key rotate` and `retire`.
#[derive(Debug, Args)]
pub struct RekeyArgs {
    /// Another key file that stays, beside the one that opens the repository now. May be given several times.
    #[arg(long = "keep", value_name = "FILE")]
    pub keep: Vec<PathBuf>,
    /// Drop the slots of all keys that aren't given here; they open nothing any more.
    #[arg(long)]
    pub drop_others: bool,
    /// Which repository, with a key that stays.
    #[command(flatten)]
    pub repo: RepoArgs,
}

/// `lucid-ops repo cat`.
#[derive(Debug, Args)]
pub struct CatArgs {
    /// The backup job, or an unambiguous prefix of its id; or `latest`, or `latest:DATABASE`.
    pub backup: String,
    /// The collection.
    pub collection: String,
    /// At most so many documents.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Write BSON as mongodump does, for bsondump or mongorestore, instead of one line of canonical extended JSON each.
    #[arg(long)]
    pub bson: bool,
    /// Where it is.
    #[command(flatten)]
    pub repo: RepoArgs,
}

/// `lucid-ops repo diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The older backup: a job, an unambiguous prefix of its id, `latest`, or `latest:DATABASE`.
    pub older: String,
    /// The newer backup, named in the same way.
    pub newer: String,
    /// Also print the `_id` of each document that differs.
    #[arg(long)]
    pub documents: bool,
    /// Where they are, and how to print.
    #[command(flatten)]
    pub repo: RepoArgs,
}

/// `lucid-ops repo verify`.
#[derive(Debug, Args)]
pub struct RepoVerifyArgs {
    /// The backup job, or an unambiguous prefix of its id; or `latest`, or `latest:DATABASE`.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub backup: Option<String>,
    /// Every backup.
    #[arg(long)]
    pub all: bool,
    /// How deeply.
    #[arg(long, value_enum, default_value = "data")]
    pub level: Level,
    /// Which share.
    #[command(flatten)]
    pub share: ShareArgs,
    /// Where it is, and how to print.
    #[command(flatten)]
    pub repo: RepoArgs,
}

/// `lucid-ops repo copy`.
#[derive(Debug, Args)]
pub struct RepoCopyArgs {
    /// The backup job, or an unambiguous prefix of its id; or `latest`, or `latest:DATABASE`.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub backup: Option<String>,
    /// Every backup that isn't there yet, the oldest first.
    #[arg(long)]
    pub all: bool,
    /// The name of the repository to copy into; it is one of those given, and the backups are in the others.
    #[arg(long = "to", value_name = "NAME")]
    pub to: String,
    /// Where it is, and how to print.
    #[command(flatten)]
    pub repo: RepoArgs,
}

/// `lucid-ops repo repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Which repositories, and how to print.
    #[command(flatten)]
    pub repo: RepoArgs,
}

/// `lucid-ops repo restore`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // Flags of a command line are bools.
pub struct RepoRestoreArgs {
    /// The backup job, or an unambiguous prefix of its id; or `latest`, or `latest:DATABASE`.
    pub backup: String,
    /// The database to restore into.
    #[arg(long = "to", value_name = "DATABASE")]
    pub to: String,
    /// Only these collections.
    #[arg(long, value_delimiter = ',')]
    pub collections: Option<Vec<String>>,
    /// Replace collections of a database that exists.
    #[arg(long, conflicts_with = "salvage")]
    pub replace: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Restore what is whole of a damaged backup, into a database that doesn't exist yet, and tell what is lost.
    #[arg(long)]
    pub salvage: bool,
    /// Where it is, and how to print.
    #[command(flatten)]
    pub repo: RepoArgs,
    /// How to reach MongoDB.
    #[command(flatten)]
    pub mongo: MongoArgs,
}
