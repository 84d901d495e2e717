//! What a worker counts about itself, for those who run it: in its card for all to see, and in the metrics of a process that has some.

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::{self, LabelPair, Metric, MetricFamily, MetricType},
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The label that tells workers of one process apart.
const WORKER: &str = "worker";

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counters of one worker since its start.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])* pub $name: Counter,)*
        }

        impl Metrics {
            /// Every counter by its name.
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }

        /// The name of each as a metric, and what it tells.
        pub const NAMES: &[(&str, &str)] = &[$((concat!("ops_worker_", stringify!($name), "_total"), concat!($($doc,)*)),)*];
    };
}

metrics! {
    /// Claims that were sent to the store; beside `claimed`, what several workers waste on one another.
    claim_attempts,
    /// Claims that were won.
    claimed,
    /// Claims that came too early: not due yet, or the lease of another worker runs.
    claimed_too_early,
    /// Jobs given back because no slot came free in time.
    given_back,
    /// Looks at the store for anything claimable.
    looks,
    /// Of those, by the safety poll or the timer of the next due job.
    polls,
    /// Changes of jobs that the feed told of.
    wakes,
    /// Of those, about kinds that this worker has no handler for: they cost nothing.
    wakes_of_other_kinds,
    /// Of those, while there was no room: looked for once there is.
    wakes_without_room,
    /// Of those, in a burst: one look serves many.
    wakes_in_bursts,
    /// Of those, and of the jobs that a look finds, left to a worker that stands before this one in the job's order, for a moment.
    wakes_left_to_others,
    /// Of those left to others, taken by them: the attempt was saved.
    wakes_settled_by_others,
    /// Times that the feed may have missed something.
    gaps,
}

impl Metrics {
    /// Puts them among the metrics of this process, as those of a worker of this name; one for each kind of worker that the process has.
    ///
    /// # Errors
    /// Where another one of this name is there already.
    pub fn register(self: &Arc<Self>, registry: &Registry, worker: &str) -> prometheus::Result<()> {
        let labels = || HashMap::from([(WORKER.to_owned(), worker.to_owned())]);
        let describe =
            |(name, help): &(&str, &str)| Desc::new((*name).to_owned(), help.trim().to_owned(), Vec::new(), labels());
        let descriptions = NAMES.iter().map(describe).collect::<prometheus::Result<_>>()?;
        registry.register(Box::new(Told { metrics: Arc::clone(self), worker: worker.to_owned(), descriptions }))
    }
}

/// The counters of one worker, as they are when they are collected.
struct Told {
    metrics: Arc<Metrics>,
    worker: String,
    descriptions: Vec<Desc>,
}

impl Collector for Told {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let counts = self.metrics.counts();
        NAMES
            .iter()
            .zip(counts)
            .map(|((name, help), (_, count))| family(name, help.trim(), &self.worker, count))
            .collect()
    }
}

fn family(name: &str, help: &str, worker: &str, count: u64) -> MetricFamily {
    let mut label = LabelPair::default();
    label.set_name(WORKER.to_owned());
    label.set_value(worker.to_owned());
    let mut counter = proto::Counter::default();
    #[allow(clippy::cast_precision_loss)] // Prometheus has no other numbers, and these are exact to 2^53.
    counter.set_value(count as f64);
    let mut metric = Metric::from_label(vec![label]);
    metric.set_counter(counter);
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::COUNTER);
    family.set_metric(vec![metric]);
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    #[test]
    fn workers_of_one_process_are_told_apart_and_read_as_prometheus_wants_it() {
        let (registry, jobs, alerts) = (Registry::new(), Arc::<Metrics>::default(), Arc::<Metrics>::default());
        jobs.register(&registry, "jobs").expect("registered");
        alerts.register(&registry, "alerts").expect("registered");
        assert!(alerts.register(&registry, "alerts").is_err(), "twice");
        jobs.claimed.count();
        jobs.claimed.count();
        let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("no family is broken");
        let of: Vec<_> = text.lines().filter(|line| line.contains("ops_worker_claimed_total")).collect();
        let wanted = [
            "# HELP ops_worker_claimed_total Claims that were won.",
            "# TYPE ops_worker_claimed_total counter",
            "ops_worker_claimed_total{worker=\"alerts\"} 0",
            "ops_worker_claimed_total{worker=\"jobs\"} 2",
        ];
        assert_eq!(of, wanted);
        assert_eq!(jobs.counts()[1], ("claimed", 2), "cards have them under their short names");
    }

    #[test]
    fn every_one_is_in_the_documents() {
        let document = include_str!("../../../api/monitor.md");
        for (name, help) in NAMES {
            let row = format!("| `{name}` | counter | times | worker | {} |", help.trim());
            assert!(document.contains(&row), "api/monitor.md lacks this row: {row}");
        }
    }
}
