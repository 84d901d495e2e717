//! One file for each kind of job that has all of it in one place: what it is asked to do, what comes of it, what the rest of the
//! house has to know, and a sample for tests. Older kinds still have their parts beside each other in [`crate::spec`].

pub mod monitor;
pub mod notify;

pub use monitor::{MonitorResult, MonitorSpec};
pub use notify::{NotifyResult, NotifySpec};
