//! The judge: everything that is judged on real parts, one chapter a file. One test binary, linked once.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of the tests: its output is read to the end")]

mod alerting;
mod alerts;
mod away;
mod blocked;
mod burst;
mod chaos;
mod clusters;
mod damage;
mod differing;
mod doors;
mod dropped;
mod exactly_once;
mod failover;
mod faults;
mod floors;
mod full_disk;
mod history;
mod honest;
mod living;
mod members;
mod monitor;
mod motor;
mod neighbour;
mod notices;
mod offsite;
mod parts;
mod prometheus;
mod prune;
mod refusals;
mod requests;
mod roundtrip;
mod said;
mod schedules;
mod shape;
mod steering;
mod stopping;
mod storm;
mod stream;
mod support;
mod suspended;
mod swap;
mod takeover;
mod top;
mod upgrade;
