//! What a port goes by when it lets somebody in, and when it takes his body.

use crate::{ApiError, Directory, Throttle, Token};
use lucid_schemas::access::Role;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Long enough for a few kilobytes over any line.
pub(crate) const BODY_WITHIN: Duration = Duration::from_secs(10);
/// So many bodies are received at once at most: who sends none to the end keeps nobody else from connecting.
const BODIES_MAX: usize = 128;

/// What somebody may do who shows no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anonymous {
    here: Option<Role>,
    elsewhere: Option<Role>,
}

impl Default for Anonymous {
    /// Accounts of this machine are requesters, and nobody else is anything.
    fn default() -> Self {
        Self { here: Some(Role::Requester), elsewhere: None }
    }
}

impl Anonymous {
    /// This for everybody, wherever he is.
    pub const fn everybody(role: Option<Role>) -> Self {
        Self { here: role, elsewhere: role }
    }

    pub(crate) const fn role(self, is_here: bool) -> Option<Role> {
        if is_here { self.here } else { self.elsewhere }
    }
}

/// Whether a peer is on this machine; one whose address nobody knows isn't.
pub(crate) fn is_here(peer: Option<IpAddr>) -> bool {
    peer.is_some_and(|address| address.to_canonical().is_loopback())
}

/// Who may do what at a port, and how long he may take to say it: data of its application.
#[derive(Debug)]
pub struct Gate {
    /// This node's name; what is done is signed with it.
    pub(crate) node: String,
    /// The one that this node keeps in a file; its holder may do everything.
    pub(crate) local: Token,
    /// Those of the store.
    pub(crate) tokens: Directory,
    /// What is anybody's.
    pub(crate) anonymous: Anonymous,
    /// Who shows tokens that aren't ours.
    pub(crate) throttle: Throttle,
    /// How long a client may take to send a body.
    pub(crate) body_within: Duration,
    bodies: Arc<Semaphore>,
}

impl Gate {
    /// Of the port of this node that these tokens open.
    pub fn new(node: String, local: Token, tokens: Directory, anonymous: Anonymous, throttle: Throttle) -> Self {
        let bodies = Arc::new(Semaphore::new(BODIES_MAX));
        Self { node, local, tokens, anonymous, throttle, body_within: BODY_WITHIN, bodies }
    }

    pub(crate) fn with_body_within(self, body_within: Duration) -> Self {
        Self { body_within, ..self }
    }

    /// A place for one more body.
    pub(crate) fn admit_body(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let crowded = |_| ApiError::Crowded(format!("{BODIES_MAX} clients are sending a body already"));
        Arc::clone(&self.bodies).try_acquire_owned().map_err(crowded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_here() {
        for address in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(is_here(address.parse().ok()), "{address}");
        }
        for address in ["10.0.0.1", "172.17.0.1", "::", "0.0.0.0", "fe80::1", "::ffff:10.0.0.1", ""] {
            assert!(!is_here(address.parse().ok()), "{address}");
        }
    }
}
