//! Backup, verify and restore on a real replica set, without the engine: what goes in comes out, and nobody who comes
//! late or half-way does harm.

mod alone;
mod capped;
mod catalog;
mod context;
mod damage;
mod drill;
mod expiry;
mod failover;
mod manners;
mod needs;
mod nights;
mod offsite;
mod rehearsal;
mod room;
mod sample;
mod series;
mod snapshot;
mod swap;
mod whole;
mod world;
