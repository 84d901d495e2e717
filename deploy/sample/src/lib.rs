//! Sample databases: one with every kind of collection, index and value for trying and judging a backup, one of any
//! size for measuring; a comparison of two databases, and the plainest possible reader as the floor for figures.
//!
//! Invariants: what is loaded depends on nothing but the arguments (no clock, no chance); a database that is not a
//! sample is never dropped unless told so.

mod batch;
mod catalog;
mod change;
mod claim;
mod compare;
mod contents;
mod drain;
mod error;
mod generate;
mod load;
mod random;
mod sets;
mod shapes;
mod types;

pub use change::{Change, change};
pub use claim::prepare;
pub use compare::{Compared, Difference, compare, compare_each};
pub use drain::{Drained, drain};
pub use error::Error;
pub use generate::generate;
pub use load::{Loaded, fill, load};
pub use sets::{Edge, generate_edge};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
