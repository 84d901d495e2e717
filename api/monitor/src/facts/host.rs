//! What the rules about machines go by: each monitor knows its own.

use crate::{Seen, host::Host};
use lucid_core::rules::facts::host::{Figures, Hosts};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Waits are told over so long, once so much is known.
const RATES_OVER: Duration = Duration::from_mins(5);
/// Of the past, a look is kept so often.
const KEPT_EVERY: Duration = Duration::from_secs(30);

/// What a monitor remembers of its machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Seconds that tasks had waited for memory, oldest first; at most one is older than the rate needs.
    waited: VecDeque<(Instant, f64)>,
}

impl Machine {
    /// What is known at this time by the monitor on this node, of those that live on these.
    pub fn facts(&mut self, now: Instant, seen: &Seen, node: &str, monitors: Option<&BTreeSet<String>>) -> Hosts {
        let figures = seen.host.as_deref();
        let figures = figures.map(|host| Figures { memory_waits_percent: self.waits(now, host), ..figures_of(host) });
        let others = monitors.map(|monitors| monitors.iter().filter(|other| *other != node).cloned().collect());
        Hosts { monitor: node.to_owned(), figures, others }
    }

    /// Percents of the time in which some task waited for memory.
    fn waits(&mut self, now: Instant, host: &Host) -> Option<f64> {
        let waited = *host.pressure_seconds.get(&("memory", "some"))?;
        while self.waited.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATES_OVER) {
            self.waited.pop_front();
        }
        let told = self.waited.front().and_then(|(at, before)| {
            let (passed, grown) = (now.duration_since(*at).as_secs_f64(), waited - before);
            (passed > 0.0 && grown >= 0.0).then(|| 100.0 * grown / passed)
        });
        if self.waited.back().is_none_or(|(at, _)| now.duration_since(*at) >= KEPT_EVERY) {
            self.waited.push_back((now, waited));
        }
        told
    }
}

fn figures_of(host: &Host) -> Figures {
    let percent = |(part, whole): (f64, f64)| (whole > 0.0).then(|| 100.0 * part / whole);
    let hottest = host.celsius.iter().max_by(|one, other| one.1.total_cmp(other.1));
    let slowed = host.throttled.iter().filter(|(_, (now, _))| *now).map(|(reason, _)| (*reason).to_owned());
    Figures {
        hottest: hottest.map(|(sensor, celsius)| (sensor.clone(), *celsius)),
        slowed: (!host.throttled.is_empty()).then(|| slowed.collect()),
        memory_percent: host.memory.and_then(|(total, available)| percent((available, total))),
        memory_waits_percent: None,
        disks_percent: host
            .disks
            .iter()
            .map(|(path, disk)| (path.clone(), disk.and_then(|disk| percent(disk.bytes))))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{host::Disk, seen::tests::seen};
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_machine_tells_what_it_has_and_waits_are_told_over_minutes() {
        let mut machine = Machine::default();
        let with = |host: Host| Seen { host: Some(Arc::new(host)), ..seen([]) };
        let host = |waited: f64| Host {
            celsius: [("cpu".to_owned(), 61.5), ("wifi".to_owned(), 40.0)].into(),
            throttled: [("under_voltage", (true, true)), ("throttled", (false, true))].into(),
            pressure_seconds: [(("memory", "some"), waited)].into(),
            memory: Some((200.0, 30.0)),
            disks: [
                ("/data".to_owned(), Some(Disk { bytes: (5.0, 50.0), files: (0.0, 0.0) })),
                ("/hanging".to_owned(), None),
            ]
            .into(),
            ..Host::default()
        };
        let monitors = ["pi-1".to_owned(), "pi-2".to_owned()].into();
        let first = machine.facts(Instant::now(), &with(host(100.0)), "pi-1", Some(&monitors));
        assert_eq!((first.monitor.as_str(), first.others), ("pi-1", Some(["pi-2".to_owned()].into())));
        let figures = first.figures.expect("looked at");
        let expected = Figures {
            hottest: Some(("cpu".into(), 61.5)),
            slowed: Some(["under_voltage".to_owned()].into()),
            memory_percent: Some(15.0),
            memory_waits_percent: None,
            disks_percent: [("/data".to_owned(), Some(10.0)), ("/hanging".to_owned(), None)].into(),
        };
        assert_eq!(figures, expected);
        let mut told = None;
        for minute in 1..=10 {
            tokio::time::advance(Duration::from_mins(1)).await;
            let waited = if minute <= 5 { 100.0 } else { 100.0 + 30.0 * f64::from(minute - 5) };
            let facts = machine.facts(Instant::now(), &with(host(waited)), "pi-1", None);
            told = facts.figures.and_then(|figures| figures.memory_waits_percent);
        }
        assert!(told.is_some_and(|percent| (percent - 50.0).abs() < 0.1), "of the last five minutes: {told:?}");
        tokio::time::advance(Duration::from_mins(1)).await;
        let begun_anew = machine.facts(Instant::now(), &with(host(1.0)), "pi-1", None).figures.expect("looked at");
        assert_eq!(begun_anew.memory_waits_percent, None, "the machine was started meanwhile");
        let bare = machine.facts(Instant::now(), &with(Host::default()), "pi-1", None).figures;
        assert_eq!(bare, Some(Figures::default()), "what a platform doesn't tell is absent");
        let cut_off = machine.facts(Instant::now(), &seen([]), "pi-1", None);
        assert_eq!(cut_off.others, None, "without the store nobody knows who lives");
        assert_eq!(machine.facts(Instant::now(), &seen([]), "pi-1", None).figures, None);
    }
}
