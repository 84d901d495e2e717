//! The private mongod of `lucid-ops dev` and of the tests: find or fetch the program, start it as a replica set with
//! authentication, restart it on the same folder, stop it.
//!
//! Invariants: it listens on loopback only; no secret ever stands among a process's arguments; no mongod outlives
//! the process that started it, not even after `kill -9` (see [`Deployment`]).

mod binary;
mod client;
mod deployment;
mod error;
mod fetch;
mod folder;
mod launch;
mod options;
mod ports;
mod process;
mod replica;
mod trust;

pub use binary::{Mongod, Source};
pub use deployment::{Deployment, Member};
pub use error::Error;
pub use fetch::rclone;
pub use nix::sys::signal::Signal;
pub use options::Options;
pub use trust::{Untrusted, trusted_folder};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
