//! Whoever sends what is due, as jobs of kind `notify` do, but for the sending.

use super::gate::{Gate, Mutant, Turn};
use lucid_core::alert::{Command, Refusal, transition};
use lucid_notify::Channels;
use lucid_ports::{AlertOutcome, Alerts, StoreError};
use lucid_schemas::{
    alert::{Alert, AlertId, What},
    zones::installed,
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// The one channel.
const CHANNEL: &str = "hook";

/// What people heard, and may have heard.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub told: Vec<(AlertId, What)>,
    pub begun: BTreeSet<AlertId>,
}

/// Tells the channel what is due, as whoever sends does.
pub async fn tell(gate: &Gate, heard: &Mutex<Heard>) -> Result<(), StoreError> {
    let heard = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    for due in gate.due_alerts(100).await? {
        let (mut alert, mut begun) = (due.alert, Vec::new());
        for notice in due.due {
            let mut is_begun = gate.mutant == Mutant::NeverBegun;
            if !is_begun {
                let command = Command::BeginNotice { channel: CHANNEL.into(), what: notice.what };
                heard().begun.extend((notice.what == What::Firing).then(|| alert.id().clone()));
                (alert, is_begun) = ask(gate, alert, &command).await?;
            }
            begun.extend(is_begun.then_some(notice.what));
        }
        let is_due = |what: &What| alert.due(CHANNEL, *what).is_some();
        begun.retain(is_due);
        let rank = |what: &What| [What::Repeat, What::Firing, What::Resolved].iter().position(|known| known == what);
        let Some(most) = begun.iter().copied().max_by_key(rank) else { continue };
        Turn::default().await;
        heard().told.push((alert.id().clone(), most));
        Turn::default().await;
        for what in begun {
            let command = Command::TakeNotice { channel: CHANNEL.into(), what, repeat_in_ms: Some(60_000) };
            alert = ask(gate, alert, &command).await?.0;
        }
    }
    Ok(())
}

async fn ask(gate: &Gate, mut alert: Alert, command: &Command) -> Result<(Alert, bool), StoreError> {
    for _ in 0..8 {
        let next = match transition(&alert, command, "sender", &uuid::Uuid::new_v4().to_string()) {
            Ok(next) => next,
            Err(refusal) => return Ok((alert, matches!(refusal, Refusal::Begun { .. }))),
        };
        match gate.apply_alert(&next).await? {
            AlertOutcome::Won(now) => return Ok((*now, true)),
            AlertOutcome::Lost(Some(now)) => alert = *now,
            AlertOutcome::Lost(None) => break,
        }
    }
    Ok((alert, false))
}

/// A file of channels, read: nothing is ever sent there.
pub fn channels(folder: &Path) -> Channels {
    let path = folder.join("channels.toml");
    let text =
        format!("group_wait = \"1s\"\n[channels.{CHANNEL}]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\n");
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    Channels::open(path, installed()).expect("channels")
}
