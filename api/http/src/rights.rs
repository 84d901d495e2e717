//! What routes need, and how they are entered.
//!
//! Invariants: every route names its [`Right`] (see `routes`), and isn't entered without it; who asks is told by headers and the peer's
//! address alone, never by a body; a token that isn't ours is refused wherever one is looked at, and none is ever repeated.

use crate::{ApiError, Caller, Gate};
use actix_web::{
    Error, HttpMessage, HttpRequest, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};
use lucid_schemas::access::Role;

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Whether the process lives, or what has a lock of its own: nobody is asked who he is.
    Open,
    /// Looking at something.
    Read,
    /// Looking at what is about all databases.
    ReadAll,
    /// Asking for a job, or taking it back: what more that needs follows from the job, and its handler asks the [`Caller`].
    Request,
    /// Changing what is there.
    Operate,
    /// The same where it is about all databases.
    OperateAll,
    /// Forgetting or replacing what is stored, which is about all databases.
    Administer,
}

impl Right {
    /// The least role that has it; `None`: nobody is asked.
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Open => None,
            Self::Read | Self::ReadAll => Some(Role::Viewer),
            Self::Request => Some(Role::Requester),
            Self::Operate | Self::OperateAll => Some(Role::Operator),
            Self::Administer => Some(Role::Admin),
        }
    }

    /// Whether a token with a scope doesn't have it.
    pub const fn is_of_all(self) -> bool {
        match self {
            Self::ReadAll | Self::OperateAll | Self::Administer => true,
            Self::Open | Self::Read | Self::Request | Self::Operate => false,
        }
    }
}

/// Lets a request in that has the right which its route needs; before its body is read.
pub(crate) async fn admit(
    right: Right,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if right != Right::Open {
        match enter(right, request.request()).await {
            Ok(caller) => drop(request.extensions_mut().insert(caller)),
            Err(refused) => return Ok(request.into_response(refused.error_response())),
        }
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

async fn enter(right: Right, request: &HttpRequest) -> Result<Caller, ApiError> {
    let gate: Option<&web::Data<Gate>> = request.app_data();
    let gate = gate.ok_or_else(|| ApiError::Broken("the port has no gate".into()))?;
    let caller = Caller::of(gate, request.headers(), request.peer_addr().map(|peer| peer.ip())).await?;
    caller.may(right)?;
    Ok(caller)
}
