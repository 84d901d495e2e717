//! Every interleaving of three workers over the production law, within bounds.

mod actor;
mod sameness;
mod search;
mod stored;
mod tests;
mod world;
