//! Telling people: channels, what they are told, and the jobs that tell it.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | the file of channels: who is told of what, and how |
//! | [`message`], [`body`], [`text`] | what is told, and the forms that it takes; pure |
//! | [`send`] | sends one message over one channel |
//! | [`secret`] | files that hold secrets |

pub mod body;
pub mod config;
#[cfg(test)]
mod kit;
pub mod message;
pub mod secret;
pub mod send;
pub mod text;
