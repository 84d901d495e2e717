//! Many lives, each from its seed; and that what is broken on purpose is found.

use super::{sender::channels, *};
use std::sync::atomic::Ordering;

const LIVES: u64 = 60;

#[test]
fn every_raise_is_resolved_once_and_told_to_whom_it_was_told_whoever_holds_the_claim() {
    let folder = tempfile::tempdir().expect("a folder");
    let channels = channels(folder.path());
    let mut met = [0; 6];
    for seed in 0..LIVES {
        let (wrong, model) = live(seed, Mutant::None, &channels);
        assert_eq!(wrong, Vec::<String>::new(), "seed {seed}");
        let history = model.history();
        let counted =
            [&model.gate.lost, &model.gate.late, &model.gate.stale].map(|count| count.load(Ordering::Relaxed));
        let of_life = [history.alerts.len(), history.told.len(), model.takeovers].into_iter().chain(counted);
        met.iter_mut().zip(of_life).for_each(|(sum, more)| *sum += more);
    }
    // Lives in which nothing happens prove nothing.
    println!("alerts, notices, takeovers, lost answers, late raises, stale claims: {met:?}");
    assert!(met.iter().all(|count| *count > 50), "{met:?}");
}

#[test]
fn what_is_broken_on_purpose_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let channels = channels(folder.path());
    for (mutant, sign) in [
        (Mutant::LateRaise, "was raised and no round had found that"),
        (Mutant::LateWrite, "was resolved and no round had found that"),
        (Mutant::AnyClaim, "was written under the claims"),
        (Mutant::Blind, "was raised and resolved (1, 0) times"),
        (Mutant::SilentEnd, "ALERT-5"),
        (Mutant::NeverBegun, "and not of its end"),
        (Mutant::NeverCold, "is gone, which nothing was"),
    ] {
        let found = |seed| live(seed, mutant, &channels).0.into_iter().any(|wrong| wrong.contains(sign));
        assert!((0..LIVES).any(found), "{mutant:?} isn't found");
    }
}
