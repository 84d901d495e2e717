//! The metrics as text that Prometheus reads.

use crate::{
    Lock, Monitor, Seen,
    table::{COMPATIBLE, FAMILIES, Family, Point, Type, Value},
};
use prometheus::{
    Registry, TextEncoder,
    core::{Collector, Desc},
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

/// Makes the text, as often as it is asked for.
#[derive(Clone)]
pub struct Exposition {
    table: Registry,
    process: Registry,
    /// Who may read it.
    pub lock: Lock,
}

impl Exposition {
    /// Checks the table once and for all.
    ///
    /// # Errors
    /// Where a family has a name twice, or one that Prometheus can't read.
    pub fn new(monitor: Monitor, lock: Lock) -> prometheus::Result<Self> {
        let table = if monitor.compat { &*COMPATIBLE } else { &*FAMILIES };
        let descriptions = table.iter().map(|family| description(family)).collect::<prometheus::Result<_>>()?;
        let (registry, process) = (Registry::new(), monitor.registry.clone());
        registry.register(Box::new(Board { monitor, table, descriptions }))?;
        Ok(Self { table: registry, process, lock })
    }

    /// The text of this moment.
    ///
    /// # Errors
    /// Where a family is broken, which is a defect.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut all = self.table.gather();
        all.extend(self.process.gather());
        TextEncoder::new().encode_to_string(&all)
    }
}

fn description(family: &Family) -> prometheus::Result<Desc> {
    let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
    Desc::new(family.name.to_owned(), family.help.to_owned(), labels, std::collections::HashMap::new())
}

/// All families, from what is seen when they are collected.
struct Board {
    monitor: Monitor,
    table: &'static [&'static Family],
    descriptions: Vec<Desc>,
}

impl Collector for Board {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(self.table, &self.monitor.seen())
    }
}

/// Every family that has a point.
fn families(table: &[&Family], seen: &Seen) -> Vec<MetricFamily> {
    let filled = table.iter().map(|family| (family, (family.fill)(seen)));
    // The encoder takes none that is empty.
    filled.filter(|(_, points)| !points.is_empty()).map(|(family, points)| metric_family(family, points)).collect()
}

fn metric_family(family: &Family, points: Vec<Point>) -> MetricFamily {
    let mut made = MetricFamily::default();
    made.set_name(family.name.to_owned());
    made.set_help(family.help.to_owned());
    made.set_field_type(match family.kind {
        Type::Gauge => MetricType::GAUGE,
        Type::Counter => MetricType::COUNTER,
        Type::Histogram => MetricType::HISTOGRAM,
    });
    made.set_metric(points.into_iter().map(|point| metric(family, point)).collect());
    made
}

fn metric(family: &Family, Point { labels, value }: Point) -> Metric {
    let label = |(name, value): (&&str, String)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value);
        pair
    };
    let mut metric = Metric::from_label(family.labels.iter().zip(labels).map(label).collect());
    match value {
        Value::Number(number) if family.kind == Type::Counter => {
            let mut counter = Counter::default();
            counter.set_value(number);
            metric.set_counter(counter);
        }
        Value::Number(number) => {
            let mut gauge = Gauge::default();
            gauge.set_value(number);
            metric.set_gauge(gauge);
        }
        Value::Histogram(counted) => {
            // Without the last one, of all: the encoder adds it, as it is to be written.
            let buckets = counted.at_most.into_iter().map(|(at_most, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(at_most);
                bucket.set_cumulative_count(count);
                bucket
            });
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(counted.count);
            histogram.set_sample_sum(counted.sum);
            metric.set_histogram(histogram);
        }
    }
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::tests::{sample, seen};
    use lucid_ports::members::{Hello, Histogram as Counted, Member, Server};

    fn text(seen: &Seen) -> String {
        TextEncoder::new().encode_to_string(&families(&FAMILIES, seen)).expect("no family is broken")
    }

    #[test]
    fn a_histogram_reads_as_prometheus_wants_it() {
        let server = Server {
            latencies: [("reads", Counted::new([(16, 3), (32, 1), (128, 1)], 264))].into(),
            ..Server::default()
        };
        let said = text(&seen([("pi-1:27017", Ok(Member { server: Some(server), ..Member::default() }))]));
        let lines: Vec<&str> = said.lines().filter(|line| line.contains("mongodb_query_duration_seconds")).collect();
        assert!(lines[0].starts_with("# HELP ") && lines[1] == "# TYPE mongodb_query_duration_seconds histogram");
        let series = |suffix: &str, more: &str, value: &str| {
            let labels = format!("member=\"pi-1:27017\",op_type=\"reads\"{more}");
            format!("mongodb_query_duration_seconds{suffix}{{{labels}}} {value}")
        };
        assert_eq!(lines.len(), 2 + 18 + 1 + 2);
        assert_eq!(lines[2], series("_bucket", ",le=\"0.000127\"", "4"));
        assert_eq!(lines[3], series("_bucket", ",le=\"0.000255\"", "5"));
        assert_eq!(lines[19], series("_bucket", ",le=\"16.777215\"", "5"));
        assert_eq!(lines[20], series("_bucket", ",le=\"+Inf\"", "5"));
        assert_eq!(lines[21], series("_sum", "", "0.000264"));
        assert_eq!(lines[22], series("_count", "", "5"));
    }

    #[test]
    fn of_a_member_that_does_not_answer_only_that_is_told() {
        let member =
            || Member { server: Some(Server { uptime_seconds: Some(5.0), ..Server::default() }), ..Member::default() };
        let mut seen = seen([("a:1", Ok(member())), ("b:1", Err("no answer".into()))]);
        seen.members.members.insert("c:1".into(), None);
        let said = text(&seen);
        for silent in ["b:1", "c:1"] {
            let told: Vec<&str> = said.lines().filter(|line| line.contains(silent)).collect();
            assert_eq!(told, [format!("mongodb_up{{member=\"{silent}\"}} 0")]);
        }
        assert!(said.contains("mongodb_up{member=\"a:1\"} 1"));
        assert!(said.contains("mongodb_instance_uptime_seconds{member=\"a:1\"} 5"));
    }

    #[test]
    fn hostile_names_stay_within_their_label() {
        let hello = Hello { set: Some("r\"s\n0\\".into()), ..Hello::default() };
        let mut seen = seen([("a:1", Ok(Member { hello, ..Member::default() }))]);
        seen.members.members.insert("x\"} 1\nmongodb_up{member=\"y".into(), Some(sample(Err("no".into()))));
        let said = text(&seen);
        assert!(said.contains("mongodb_up{member=\"x\\\"} 1\\nmongodb_up{member=\\\"y\"} 0"), "{said}");
        assert!(said.contains("rs=\"r\\\"s\\n0\\\\\""), "{said}");
    }
}
