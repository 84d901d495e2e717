//! The HTTP API: requests are checked, become jobs, and jobs are shown. It talks to ports only.
//!
//! Invariants: a refused request has changed nothing; every answer that isn't 2xx is a problem document (except that
//! of `GET /health`, which keeps its shape when the service is down); which HTTP status a refusal has is said in
//! [`problem`] and nowhere else.
//!
//! | room | what it is for |
//! |---|---|
//! | `routes` | which path leads where; serving |
//! | [`problem`] | how the API says no |
//! | `guard`, `body`, `query` | which requests are turned away unread, and what is read from the others |
//! | `lookup` | from what a person typed to one job |
//! | `request`, `check` | asking for a job; what is checked before there is one |
//! | `jobs`, `change`, `health` | showing jobs, ending them, and how the service is |
//! | `schedules` | what makes jobs by itself |
//! | `view`, `json`, `waiting` | what a job looks like |

mod body;
mod change;
mod check;
mod guard;
mod health;
mod jobs;
mod json;
mod lookup;
pub mod problem;
mod query;
mod request;
mod routes;
mod schedules;
mod state;
mod view;
mod waiting;

pub use problem::ApiError;
pub use routes::{ServeError, configure, serve};
pub use state::{ApiOptions, ApiState};

/// The answer of a request handler.
type Answer = Result<actix_web::HttpResponse, ApiError>;
