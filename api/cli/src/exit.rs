//! How the program ends.

use crate::output;
use lucid_client::render::lines;
use std::{fmt, process::ExitCode};
use tokio::signal::unix::SignalKind;

/// An end other than "done", with what to tell the user.
#[derive(Debug)]
pub struct Exit {
    code: u8,
    message: String,
}

/// What was asked for was tried and failed.
pub const FAILED: u8 = 1;
/// The command line or the request is wrong; nothing was tried.
pub const USAGE: u8 = 2;
/// API or MongoDB can't be reached.
pub const UNREACHABLE: u8 = 3;

/// Shells number an end by a signal so.
const BY_SIGNAL: i32 = 128;

/// Ended because a signal came.
pub fn signaled(signal: SignalKind, message: impl fmt::Display) -> Exit {
    Exit::new(u8::try_from(BY_SIGNAL + signal.as_raw_value()).unwrap_or(FAILED), message)
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Exit {
    /// An end with this code and message.
    pub fn new(code: u8, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// Tried and failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(FAILED, message)
    }

    /// Wrong usage.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(USAGE, message)
    }

    /// Says why on standard error.
    pub fn tell(&self) {
        if !self.message.is_empty() {
            // It may quote a file or a server.
            output::say(format_args!("lucid-ops: {}", lines(&self.message).trim_end()));
        }
    }

    /// Says why, and gives the code.
    pub fn report(&self) -> ExitCode {
        self.tell();
        ExitCode::from(self.code)
    }
}
