//! Samples of every member of the replica set, each by a direct connection of its own.
//!
//! Invariants: one member's silence never delays another, nor anybody who reads the newest samples; a member is asked by one task at a
//! time, so that its silence never piles up; whatever a server answers, [`decode`] reads what it knows and leaves out the rest.
//!
//! | room | what it is for |
//! |---|---|
//! | [`decode`] | from documents to figures: where which version keeps them |
//! | `direct` | a connection to one member, and bounded questions |
//! | `look` | one look at one member |
//! | `sizes` | the sizes of all collections |
//! | `sampler` | looking again and again, and who is there to be looked at |

pub mod decode;
mod direct;
mod look;
mod sampler;
mod sizes;

pub use direct::{UriError, hello};
pub use sampler::Sampler;
