//! The HTTP API: requests are checked, become jobs, and jobs are shown. It talks to ports only.
//!
//! Invariants: a refused request has changed nothing; every answer that isn't 2xx is a problem document (except that
//! of `GET /health`, which keeps its shape when the service is down); which HTTP status a refusal has is said in
//! [`problem`] and nowhere else.
//!
//! | room | what it is for |
//! |---|---|
//! | `routes`, [`entry`] | which path leads where; serving |
//! | [`problem`] | how the API says no |
//! | `guard`, `body`, [`query`] | which requests are turned away unread, and what is read from the others |
//! | `rights`, `caller`, `scope`, [`Gate`], [`Directory`], [`Token`], [`secret`] | who may do what |
//! | `lookup` | from what a person typed to one job |
//! | `request`, `check` | asking for a job; what is checked before there is one |
//! | [`Throttle`], [`Tls`] | who guesses; over what one speaks |
//! | [`probe`] | whether the process runs, and is of use |
//! | `jobs`, `change`, `health` | showing jobs, ending them, and how the service is |
//! | `run`, `idempotency` | how a job is run; one job per key |
//! | `queues` | pausing kinds of jobs, and the workers |
//! | `schedules` | what makes jobs by itself |
//! | `stream` | live events of one job, and of all jobs |
//! | `whole` | all jobs: audit and export |
//! | `view`, [`json`], `around`, `waiting` | what a job looks like |

mod around;
mod body;
mod caller;
mod change;
mod check;
mod directory;
pub mod entry;
mod gate;
mod guard;
mod health;
mod idempotency;
mod jobs;
pub mod json;
mod lookup;
pub mod probe;
pub mod problem;
pub mod query;
mod queues;
mod request;
mod rights;
mod routes;
mod run;
mod schedules;
mod scope;
pub mod secret;
mod state;
mod stream;
mod throttle;
mod tls;
mod token;
mod view;
mod waiting;
mod whoami;
mod whole;

pub use body::{Body, shortened};
pub use caller::Caller;
pub use directory::{Directory, KEPT};
pub use gate::{Anonymous, Gate};
pub use guard::{Hosts, guard};
pub use problem::ApiError;
pub use rights::Right;
pub use routes::{ServeError, configure, serve, table};
pub use state::{ApiOptions, ApiState, write_token};
pub use stream::Streams;
pub use throttle::Throttle;
pub use tls::Tls;
pub use token::Token;

/// The answer of a request handler.
pub type Answer = Result<actix_web::HttpResponse, ApiError>;
