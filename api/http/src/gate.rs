//! What a port goes by when it lets somebody in, and when it takes his body.

use crate::{ApiError, Token};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Long enough for a few kilobytes over any line.
pub(crate) const BODY_WITHIN: Duration = Duration::from_secs(10);
/// So many bodies are received at once at most: who sends none to the end keeps nobody else from connecting.
const BODIES_MAX: usize = 128;

/// Who may do what at a port, and how long he may take to say it: data of its application.
#[derive(Debug)]
pub struct Gate {
    /// This node's name; what is done is signed with it.
    pub(crate) node: String,
    /// What opens all that isn't anybody's.
    pub(crate) token: Token,
    /// How long a client may take to send a body.
    pub(crate) body_within: Duration,
    bodies: Arc<Semaphore>,
}

impl Gate {
    /// Of the port of this node that this token opens.
    pub fn new(node: String, token: Token) -> Self {
        Self::with_body_within(node, token, BODY_WITHIN)
    }

    pub(crate) fn with_body_within(node: String, token: Token, body_within: Duration) -> Self {
        Self { node, token, body_within, bodies: Arc::new(Semaphore::new(BODIES_MAX)) }
    }

    /// A place for one more body.
    pub(crate) fn admit_body(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let crowded = |_| ApiError::Crowded(format!("{BODIES_MAX} clients are sending a body already"));
        Arc::clone(&self.bodies).try_acquire_owned().map_err(crowded)
    }
}
