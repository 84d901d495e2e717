//! A world per test: a replica set of its own, real processes, everything in one folder that goes away.

pub mod bucket;
pub mod data;
pub mod engine;
pub mod gate;
pub mod process;
pub mod prometheus;
pub mod receiver;
pub mod tools;
pub mod users;
pub mod world;

pub use world::{Api, World};
