//! Telling people: channels, what they are told, and the jobs that tell it.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | the file of channels: who is told of what, and how |
//! | [`channels`] | the same as long as the process runs: read again when it changes |
//! | [`message`], [`body`], [`text`] | what is told, and the forms that it takes; pure |
//! | [`send`] | sends one message over one channel |
//! | [`due`] | what is to be told now, of what is due; pure |
//! | [`deliver`], [`handler`] | notify jobs: tell a channel what is due, and note it |
//! | [`heartbeat`] | says outside that all is well, as long as it is |
//! | [`direct`] | tells what can't be written while there is no primary |
//! | [`secret`] | files that hold secrets |

pub mod body;
pub mod channels;
pub mod config;
pub mod deliver;
pub mod direct;
pub mod due;
pub mod handler;
pub mod heartbeat;
#[cfg(test)]
mod kit;
pub mod message;
pub mod secret;
pub mod send;
pub mod text;

pub use channels::Channels;
pub use config::Config;
pub use direct::Direct;
pub use handler::{Hush, Hushed, NotifyHandler};
pub use send::Sender;
