//! The sign of life of a service: a file that says when it last had time for it, and where it can be asked.
//!
//! Invariant: it says nothing of MongoDB. Whoever is started anew because something else is down helps nobody.

use crate::exit::Exit;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};

const EVERY: Duration = Duration::from_secs(2);
/// Later than this on the busiest of nodes, too.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sign {
    /// Which service: `api`, `worker`, `monitor`, `serve`.
    pub role: String,
    /// Where it answers, once it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was written, in milliseconds of a clock of this host that nobody sets and that stands still while the host sleeps.
    beat_ms: u64,
}

impl Sign {
    /// Reads it.
    ///
    /// # Errors
    /// Where there is none, or it is too old: the service doesn't run, or hangs.
    pub fn read(path: &Path) -> Result<Self, Exit> {
        let told = |problem: String| Exit::failed(format!("no sign of life in {}: {problem}", path.display()));
        let text = fs::read(path).map_err(|error| told(error.to_string()))?;
        let sign: Self = serde_json::from_slice(&text).map_err(|error| told(error.to_string()))?;
        sign.check(now_ms()?).map_err(told)?;
        Ok(sign)
    }

    fn check(&self, now_ms: u64) -> Result<(), String> {
        let Some(age_ms) = now_ms.checked_sub(self.beat_ms) else {
            return Err(format!("the last one of '{}' is from before the host was started", self.role));
        };
        if age_ms > u64::try_from(STALE_AFTER.as_millis()).unwrap_or(u64::MAX) {
            return Err(format!("the last one of '{}' is {} s old", self.role, age_ms / 1_000));
        }
        Ok(())
    }
}

/// Shows that a service lives, for as long as its process has a moment for it.
pub struct Alive {
    url: watch::Sender<Option<String>>,
}

impl Alive {
    /// Begins, where a file is named. The service goes on where it can't be written: whoever asks is told that there is no sign.
    ///
    /// # Errors
    /// Where the host has no clock.
    pub fn begin(role: &'static str, file: Option<&Path>) -> Result<Self, Exit> {
        let (url, where_now) = watch::channel(None);
        now_ms()?;
        if let Some(file) = file {
            tokio::spawn(beat(role, file.to_owned(), where_now));
        }
        Ok(Self { url })
    }

    /// From now on it is to answer here.
    pub fn listens(&self, scheme: &str, address: SocketAddr) {
        self.url.send_replace(Some(format!("{scheme}://{}", reached(address))));
    }
}

/// Where a port that listens everywhere is reached from here.
fn reached(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn beat(role: &'static str, file: PathBuf, mut url: watch::Receiver<Option<String>>) {
    let mut complained = false;
    loop {
        let sign = Sign { role: role.into(), url: url.borrow_and_update().clone(), beat_ms: now_ms().unwrap_or(0) };
        let written = write(&file, &sign).await;
        if let (Err(error), false) = (&written, complained) {
            tracing::warn!(%error, file = %file.display(), "the sign of life can't be written: `lucid-ops healthcheck` finds none");
        }
        complained = written.is_err();
        tokio::select! {
            () = sleep(EVERY) => {}
            // What never listens is asked by its file alone.
            Ok(()) = url.changed() => {}
        }
    }
}

/// Whole or not at all: whoever reads meanwhile finds the one before.
async fn write(file: &Path, sign: &Sign) -> std::io::Result<()> {
    let unfinished = file.with_extension("new");
    tokio::fs::write(&unfinished, serde_json::to_vec(sign)?).await?;
    tokio::fs::rename(&unfinished, file).await
}

fn now_ms() -> Result<u64, Exit> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(|error| Exit::failed(format!("no clock: {error}")))?;
    u64::try_from(Duration::from(now).as_millis()).map_err(Exit::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_believed_for_half_a_minute_and_never_after_the_host_was_started_anew() {
        let sign = Sign { role: "worker".into(), url: None, beat_ms: 100_000 };
        assert_eq!(sign.check(130_000), Ok(()));
        assert!(sign.check(130_001).is_err_and(|problem| problem.contains("30 s old")));
        assert!(sign.check(99_999).is_err_and(|problem| problem.contains("before the host was started")));
    }

    #[test]
    fn a_port_that_listens_everywhere_is_asked_on_loopback() {
        for (listens, asked) in
            [("0.0.0.0:8089", "127.0.0.1:8089"), ("[::]:8091", "[::1]:8091"), ("192.0.2.7:8089", "192.0.2.7:8089")]
        {
            assert_eq!(reached(listens.parse().expect("an address")).to_string(), asked);
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("alive");
        assert!(Sign::read(&file).is_err(), "there is none yet");
        let alive = Alive::begin("api", Some(&file)).expect("a clock");
        alive.listens("http", "0.0.0.0:8089".parse().expect("an address"));
        let sign = loop {
            match Sign::read(&file) {
                Ok(sign) if sign.url.is_some() => break sign,
                Ok(_) | Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        assert_eq!((sign.role.as_str(), sign.url.as_deref()), ("api", Some("http://127.0.0.1:8089")));
    }
}
