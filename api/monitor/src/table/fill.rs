//! How families are filled: a point for each member, or for each count of each member.

use super::{Point, Value};
use crate::{Seen, jobs::Jobs};
use lucid_ports::members::{Collection, Counts, Histogram, Member, Server};
use std::collections::BTreeMap;

/// Without labels.
pub(super) fn one(value: impl Into<Option<f64>>) -> Vec<Point> {
    value.into().map(|value| point([], value)).into_iter().collect()
}

/// A number with labels.
pub(super) fn point<const N: usize>(labels: [&str; N], value: f64) -> Point {
    Point { labels: labels.into_iter().map(str::to_owned).collect(), value: Value::Number(value) }
}

/// A count as a value.
#[allow(clippy::cast_precision_loss)] // Prometheus has no other numbers, and these are exact to 2^53.
pub(super) const fn number(count: i64) -> f64 {
    count as f64
}

/// The same of one that is never below zero.
#[allow(clippy::cast_precision_loss)] // The same.
pub(super) const fn count(count: u64) -> f64 {
    count as f64
}

/// True is 1.
pub(super) fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// A point for each member that tells.
pub(super) fn members(seen: &Seen, value: impl Fn(&Member) -> Option<f64>) -> Vec<Point> {
    seen.answering().filter_map(|(address, member)| Some(point([address], value(member)?))).collect()
}

/// The same of what the server tells of itself.
pub(super) fn servers(seen: &Seen, value: impl Fn(&Server) -> Option<f64>) -> Vec<Point> {
    members(seen, |member| value(member.server.as_ref()?))
}

/// The same of counts.
pub(super) fn counted(seen: &Seen, count: impl Fn(&Server) -> Option<i64>) -> Vec<Point> {
    servers(seen, |server| count(server).map(number))
}

/// A point for each count of each member; labels are the member and the name.
pub(super) fn counts(seen: &Seen, counts: impl Fn(&Server) -> &Counts) -> Vec<Point> {
    of_servers(seen).flat_map(|(address, server)| named(address, counts(server)).collect::<Vec<_>>()).collect()
}

fn named<'a>(address: &'a str, counts: &'a Counts) -> impl Iterator<Item = Point> + 'a {
    counts.iter().map(move |(name, count)| point([address, name], number(*count)))
}

/// A histogram for each class of each member.
pub(super) fn histograms(seen: &Seen, of: impl Fn(&Server) -> &BTreeMap<&'static str, Histogram>) -> Vec<Point> {
    let points = |(address, server): (&str, &Server)| {
        let histograms = of(server).iter();
        let point = |(class, histogram): (&&str, &Histogram)| Point {
            labels: vec![address.to_owned(), (*class).to_owned()],
            value: Value::Histogram((*histogram).into()),
        };
        histograms.map(point).collect::<Vec<_>>()
    };
    of_servers(seen).flat_map(points).collect()
}

/// The servers that tell of themselves.
pub(super) fn of_servers(seen: &Seen) -> impl Iterator<Item = (&str, &Server)> {
    seen.answering().filter_map(|(address, member)| Some((address, member.server.as_ref()?)))
}

/// A point for each collection.
pub(super) fn collections(seen: &Seen, size: impl Fn(&Collection) -> i64) -> Vec<Point> {
    let largest = seen.members.collections.iter().flat_map(|collections| &collections.largest);
    largest.map(|known| point([&known.database, &known.name], number(size(known)))).collect()
}

/// Points of what the store tells; none where it doesn't.
pub(super) fn jobs(seen: &Seen, points: impl Fn(&Jobs) -> Vec<Point>) -> Vec<Point> {
    seen.jobs.as_ref().map(|jobs| points(jobs)).unwrap_or_default()
}
