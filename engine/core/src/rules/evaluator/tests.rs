//! For how long, with how much noise, and what no data means.

use super::*;

const INTERVAL_MS: i64 = 30_000;
const DAY_MS: i64 = 86_400_000;
static MEASURED: Rule = Rule { id: "disk_full", for_ms: 120_000, subject: &["on"], ..Rule::PLAIN };
static TOLD: Rule = Rule { id: "job_stuck", absent: ResolvedBy::Condition, subject: &["on"], ..Rule::PLAIN };

fn reading(rule: &'static Rule, verdict: Verdict) -> Reading {
    Reading { rule, labels: [("on".to_owned(), "pi-1".to_owned())].into(), verdict }
}

fn wrong(value: f64) -> Verdict {
    Verdict::Wrong { severity: Severity::Warning, value: Some(value), summary: format!("{value} % are used") }
}

/// From 85 on it is wrong, below 80 it is right.
fn used(percent: f64) -> Verdict {
    if percent >= 85.0 {
        wrong(percent)
    } else if percent >= 80.0 {
        Verdict::Between
    } else {
        Verdict::Right
    }
}

struct Life {
    evaluator: Evaluator,
    rule: &'static Rule,
    now_ms: i64,
}

impl Life {
    fn of(rule: &'static Rule) -> Self {
        Self { evaluator: Evaluator::default(), rule, now_ms: 1_000_000 }
    }

    /// Whether there should be an open alert after a round with this verdict, or with none.
    fn round(&mut self, verdict: Option<Verdict>) -> Standing {
        self.now_ms += INTERVAL_MS;
        let readings = verdict.map(|verdict| vec![reading(self.rule, verdict)]);
        self.take(readings.as_deref())
    }

    fn take(&mut self, readings: Option<&[Reading]>) -> Standing {
        let fingerprint = Fingerprint::of(self.rule.id, &reading(self.rule, Verdict::Right).labels);
        let mut judged = self.evaluator.round(self.now_ms, readings);
        judged.remove(&fingerprint).map_or(Standing::Undecided, |judged| judged.standing)
    }

    fn is_open(&mut self, verdict: Verdict) -> bool {
        matches!(self.round(Some(verdict)), Standing::Open { .. })
    }
}

#[test]
fn what_is_wrong_for_long_enough_counts_from_when_it_began() {
    let mut life = Life::of(&MEASURED);
    let began = life.now_ms + INTERVAL_MS;
    let open: Vec<bool> = (0..6).map(|_| life.is_open(wrong(90.0))).collect();
    assert_eq!(open, [false, false, false, false, true, true], "120 s after the first look at it");
    let Standing::Open { since_ms, value, .. } = life.round(Some(wrong(91.0))) else { panic!("it is open") };
    assert_eq!((since_ms, value), (began, Some(91.0)));
    assert!(life.is_open(used(82.0)), "nearly right isn't right");
    assert!(!life.is_open(used(79.0)));
    assert!(!life.is_open(used(90.0)), "and begins anew");
}

#[test]
fn no_data_is_no_health_and_no_proof() {
    let mut life = Life::of(&MEASURED);
    for _ in 0..5 {
        life.round(Some(wrong(90.0)));
    }
    for missing in [None, Some(Verdict::Unknown)] {
        let standing = life.round(missing);
        assert!(matches!(standing, Standing::Open { silent: true, .. }), "{standing:?}");
    }
    assert!(matches!(life.round(Some(used(82.0))), Standing::Open { silent: false, .. }));
    assert!(!life.is_open(Verdict::Right));
    for _ in 0..3 {
        assert!(!life.is_open(wrong(90.0)));
    }
    life.round(None);
    let open: Vec<bool> = (0..5).map(|_| life.is_open(wrong(90.0))).collect();
    assert_eq!(open, [false, false, false, false, true], "what wasn't seen doesn't count");
}

#[test]
fn a_subject_that_is_taken_away_is_gone_and_one_that_is_mended_is_over() {
    for (rule, how) in [(&MEASURED, ResolvedBy::Gone), (&TOLD, ResolvedBy::Condition)] {
        let mut life = Life::of(rule);
        while !life.is_open(wrong(90.0)) {}
        life.now_ms += INTERVAL_MS;
        assert_eq!(life.take(Some(&[])), Standing::Over(how));
    }
}

#[test]
fn a_rule_without_facts_takes_nothing_for_gone_and_stays_cold() {
    for rule in [&MEASURED, &TOLD] {
        let mut life = Life::of(rule);
        while !life.is_open(wrong(90.0)) || !life.evaluator.is_warm(life.now_ms, &[&MEASURED]) {}
        life.now_ms += INTERVAL_MS;
        let standing = life.take(Some(&[Reading::unknown(rule)]));
        assert!(matches!(standing, Standing::Open { silent: true, .. }), "{}: {standing:?}", rule.id);
        let other = if *rule == MEASURED { &TOLD } else { &MEASURED };
        assert!(!life.evaluator.is_warm(life.now_ms, &[rule]), "what it doesn't know may be there");
        assert!(life.evaluator.is_warm(life.now_ms, &[other]), "of other rules it knows enough");
        life.now_ms += MEASURED.for_ms;
        life.round(Some(wrong(90.0)));
        assert!(life.evaluator.is_warm(life.now_ms, &[rule]));
    }
}

#[test]
fn operators_decide_for_how_long_it_must_be_so() {
    let mut parameters = Parameters::default();
    let sooner = crate::rules::Change { for_ms: Some(INTERVAL_MS), ..crate::rules::Change::default() };
    parameters.change(&[&MEASURED], MEASURED.id, sooner).expect("good");
    let mut life = Life { evaluator: Evaluator::new(parameters), ..Life::of(&MEASURED) };
    assert_eq!([wrong(90.0), wrong(90.0)].map(|verdict| life.is_open(verdict)), [false, true]);
    assert!(life.evaluator.is_warm(life.now_ms + 1, &[&MEASURED]));
}

#[test]
fn what_comes_and_goes_stays_open_until_it_is_quiet() {
    let mut life = Life::of(&TOLD);
    for _ in 0..FLAPS_MAX {
        assert!(life.is_open(wrong(1.0)));
        assert!(!life.is_open(Verdict::Right));
    }
    assert!(matches!(life.round(Some(wrong(1.0))), Standing::Open { flapping: true, .. }));
    let rounds = FLAPPING_MS / INTERVAL_MS;
    for round in 0..rounds {
        let standing = life.round(Some(Verdict::Right));
        assert_eq!(
            standing,
            Standing::Undecided,
            "round {round} of its quiet: open stays open, and nobody raises what isn't so"
        );
    }
    assert!(!life.is_open(Verdict::Right));
    assert!(matches!(life.round(Some(wrong(1.0))), Standing::Open { flapping: false, .. }), "it begins anew");
}

/// Another monitor has raised an alert of which this one has seen little.
#[test]
fn what_is_not_proven_right_leaves_an_open_alert_open() {
    for (verdict, expected) in [
        (Some(wrong(90.0)), Standing::Undecided),
        (Some(used(82.0)), Standing::Undecided),
        (Some(Verdict::Unknown), Standing::Unseen),
        (None, Standing::Undecided),
        (Some(Verdict::Right), Standing::Over(ResolvedBy::Condition)),
    ] {
        assert_eq!(Life::of(&MEASURED).round(verdict.clone()), expected, "{verdict:?}");
    }
}

#[test]
fn a_cold_evaluator_says_so() {
    let mut life = Life::of(&MEASURED);
    life.round(Some(Verdict::Right));
    assert!(!life.evaluator.is_warm(life.now_ms + MEASURED.for_ms, &[&MEASURED, &TOLD]));
    assert!(life.evaluator.is_warm(life.now_ms + MEASURED.for_ms + 1, &[&MEASURED, &TOLD]));
    life.round(None);
    assert!(!life.evaluator.is_warm(life.now_ms + DAY_MS, &[&MEASURED]), "it has seen nothing");
}

/// A small generator of numbers (SplitMix64).
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// From -spread to +spread.
    fn around(&mut self, middle: f64, spread: u32) -> f64 {
        middle - f64::from(spread)
            + f64::from(u32::try_from(self.below(u64::from(spread) * 2_000 + 1)).unwrap_or(0)) / 1_000.0
    }
}

/// How often an alert was resolved, at most, within half an hour; and in all.
fn resolves_in_a_day(rule: &'static Rule, mut verdict: impl FnMut(i64) -> Option<Verdict>) -> (usize, usize) {
    let mut life = Life::of(rule);
    let (mut open, mut resolves): (bool, Vec<i64>) = (false, Vec::new());
    for round in 0..DAY_MS / INTERVAL_MS {
        let is_open = life.round(verdict(round)).leaves_open(open);
        if open && !is_open {
            resolves.push(life.now_ms);
        }
        open = is_open;
    }
    let within = |from: &i64| resolves.iter().filter(|at| (*from..*from + FLAPPING_MS).contains(*at)).count();
    (resolves.iter().map(within).max().unwrap_or(0), resolves.len())
}

#[test]
fn a_day_of_noise_never_flaps_more_than_is_allowed() {
    let mut flapped = 0;
    for seed in 0..40 {
        let mut noise = Noise(seed);
        // Within the band between wrong and right; around each of its ends; and all over the place.
        let (most, all) = resolves_in_a_day(&MEASURED, |_| Some(used(noise.around(82.5, 2))));
        assert_eq!((most, all), (0, 0), "seed {seed}");
        for (rule, middle, spread) in [(&MEASURED, 85.0, 3), (&MEASURED, 82.0, 20), (&TOLD, 85.0, 3), (&TOLD, 82.0, 20)]
        {
            let mut noise = Noise(seed);
            let (most, all) = resolves_in_a_day(rule, |_| {
                let value = noise.around(middle, spread);
                (noise.below(20) > 0).then(|| used(value))
            });
            assert!(
                most <= FLAPS_MAX,
                "seed {seed}, {} around {middle}: {most} in half an hour, {all} in all",
                rule.id
            );
            flapped = flapped.max(most);
        }
        // A day with a real fault: one alert, however noisy the rest is.
        let mut noise = Noise(seed);
        let (_, all) = resolves_in_a_day(&MEASURED, |round| {
            let middle = if (600..900).contains(&round) { 92.0 } else { 70.0 };
            Some(used(noise.around(middle, 6)))
        });
        assert_eq!(all, 1, "seed {seed}");
    }
    assert_eq!(flapped, FLAPS_MAX, "the noise reaches the bound");
}
