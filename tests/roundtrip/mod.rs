//! Backup, verify and restore on a real replica set, without the engine: what goes in comes out, and nobody who comes
//! late or half-way does harm.

pub mod context;
mod damage;
mod failover;
pub mod sample;
mod snapshot;
mod swap;
mod whole;
pub mod world;
