//! What is seen of an alert that is open: no event tells of it.

use super::{Decision, Guard, open};
use crate::alert::{Refusal, Sighting};
use lucid_schemas::{
    Stamp,
    alert::{Alert, Seen},
};

pub(super) fn again(alert: &Alert, sighting: &Sighting) -> Result<Decision, Refusal> {
    open(alert, "see_again")?;
    let seen = Seen {
        last_seen_at: Stamp::NOW,
        value: sighting.value,
        occurrences: alert.seen.occurrences.saturating_add(sighting.times),
        summary: sighting.summary.clone(),
        rules_version: sighting.rules_version,
        silent_since: None,
        flapping: sighting.flapping,
    };
    Ok(Decision { guards: vec![Guard::SeenLongAgo], seen, ..Decision::touch(alert) })
}

/// No data isn't health: it stays open, and says so.
pub(super) fn nothing(alert: &Alert) -> Result<Decision, Refusal> {
    open(alert, "miss_data")?;
    if alert.seen.silent_since.is_some() {
        return Err(Refusal::AlreadySilent);
    }
    let seen = Seen { silent_since: Some(Stamp::NOW), ..alert.seen.clone() };
    Ok(Decision { seen, ..Decision::touch(alert) })
}
