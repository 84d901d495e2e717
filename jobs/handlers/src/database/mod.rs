//! The replica set: what is asked of it, what is done to it.

pub(crate) mod builds;
pub(crate) mod catalog;
pub(crate) mod commands;
pub(crate) mod definition;
pub(crate) mod queries;
pub(crate) mod server;

pub(crate) use catalog::{Catalog, Entry};
pub(crate) use server::{Batches, Command, Server};
