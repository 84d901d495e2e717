//! What the rules go by, made of what is known at a moment.

pub mod host;
pub mod members;
