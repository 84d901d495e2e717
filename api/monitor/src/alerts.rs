//! Alerts and silences over HTTP: what is open, who knows, and what nobody is told of for a while.
//!
//! Invariants: nobody waits for a store that isn't there: looking is answered from memory then, and says so, and changing is refused;
//! what is asked for happens under the law of alerts, or not at all; names of others are data.
//!
//! | room | what it is for |
//! |---|---|
//! | `list` | showing alerts |
//! | `change` | acknowledging and resolving |
//! | `silences` | making, showing and ending silences; `asked` checks what somebody asks for |
//! | `store` | how long the store is waited for |
//! | `trial` | trying a channel |
//! | `query`, `view` | what is asked of a list; what is shown |

mod asked;
mod change;
mod list;
mod query;
mod silences;
mod store;
mod trial;
mod view;

pub(crate) use change::{acknowledge, resolve};
pub(crate) use list::{list, look_at_open, show};
pub(crate) use silences::{end, list as list_silences, make, of_alert, show as show_silence};
pub(crate) use store::{desk, not_changed, read};
pub(crate) use trial::test;

use lucid_http::ApiError;

const TEXT_CHARACTERS_MAX: usize = 500;

/// What somebody says about something, for people: on one line.
fn comment(given: &str) -> Result<String, ApiError> {
    if given.chars().count() > TEXT_CHARACTERS_MAX || given.chars().any(char::is_control) {
        let problem = format!("must be at most {TEXT_CHARACTERS_MAX} characters on one line");
        return Err(ApiError::field("comment", problem));
    }
    Ok(given.to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
