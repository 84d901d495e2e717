//! Faults on a set of three members that two monitors watch: a table of what must be told of each, what may be, and that nothing else is.
//!
//! Each fault is one incident: an alert that is raised, told once, acknowledged by somebody, over by itself when the fault is, and told
//! to be over once; whatever happens meanwhile to the monitor that writes alerts.

mod defaults;
mod holder;
mod house;
mod jobs;
mod members;
mod unwritten;
