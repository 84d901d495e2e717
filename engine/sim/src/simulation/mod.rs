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

use lucid_schemas::Kind;

/// What is played: the kinds that people ask for. What only monitors ask for is tried beside them, on the same engine.
const KINDS: [Kind; 6] = [Kind::Backup, Kind::Restore, Kind::Verify, Kind::Prune, Kind::Copy, Kind::Reencrypt];
