//! Whole workers under every kind of misfortune, on virtual time.

mod bent;
mod client;
mod conductor;
mod feed;
mod handler;
mod ledger;
mod node;
mod panics;
mod plan;
mod schedules;
mod stage;
mod store;
mod tests;
mod watchdog;
