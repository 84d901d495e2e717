//! Chaos: workers, APIs and members of a replica set of three die, freeze and are cut off while clients go on asking, and
//! in the end every promise was kept. What is done to them is a function of the seed; `tests/chaos` runs it for longer.

use crate::storm::{self, Options};

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_chaos_breaks_nothing() {
    let report = storm::run(&Options { seed: 7, seconds: 60, everything: false, json: false }).await;
    assert!(report.is_clean(), "{} promises were broken, see above", report.violations.len());
}

/// What `tests/chaos` runs: `CHAOS_SECONDS`, `CHAOS_SEED`, `CHAOS_JSON`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told to: run tests/chaos"]
async fn for_as_long_as_asked() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (Some(seconds), Some(seed)) = (number("CHAOS_SECONDS"), number("CHAOS_SEED")) else {
        panic!("run tests/chaos, which says for how long and with which seed");
    };
    let json = std::env::var_os("CHAOS_JSON").is_some();
    let report = storm::run(&Options { seed, seconds, everything: true, json }).await;
    assert!(report.is_clean(), "{} promises were broken", report.violations.len());
}
