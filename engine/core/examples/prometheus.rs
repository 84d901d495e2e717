//! Prints the alerting rules for Prometheus: `cargo run -p lucid-core --example prometheus > deploy/prometheus/alerts.yml`.

#![allow(clippy::print_stdout, reason = "a tool for developers")]

fn main() {
    print!("{}", lucid_core::rules::prometheus::alerts());
}
