//! Rules about the machines that monitors run on. Each monitor knows its own, so the one that writes alerts leaves those about others alone
//! as long as a monitor lives there.

use super::{
    Limits, Parameters, Reading, Rule, Verdict,
    facts::host::{Figures, Hosts},
};
use lucid_schemas::alert::Severity::{Critical, Warning};
use std::collections::BTreeMap;

const MINUTE_MS: i64 = 60_000;
/// About a machine; to Prometheus it is the instance.
const MACHINE: Rule = Rule { for_ms: 5 * MINUTE_MS, subject: &["monitor"], ..Rule::PLAIN };

/// A machine is hot. A Raspberry Pi slows itself down from 80 degrees on, and more from 85 on.
pub static HOST_HOT: Rule = Rule {
    id: "host_hot",
    finds: "the machine of a monitor is hot",
    severities: &[Warning, Critical],
    unit: "degrees Celsius",
    limits: Limits::above(Some(75.0), Some(82.0), Some(70.0)),
    promql: "max by (instance) (ops_host_temperature_celsius) > {limit}",
    ..MACHINE
};
/// A machine slows itself down, or its supply is too weak.
pub static HOST_SLOWED: Rule = Rule {
    id: "host_slowed",
    for_ms: MINUTE_MS,
    finds: "the machine of a monitor is slowed down: its supply is too weak, or it is too hot",
    severities: &[Warning],
    promql: "max by (instance) (ops_host_throttled) == 1",
    ..MACHINE
};
/// Little memory is left.
pub static HOST_MEMORY: Rule = Rule {
    id: "host_memory",
    finds: "the machine of a monitor has little memory left",
    severities: &[Warning, Critical],
    unit: "percent available",
    limits: Limits::below(Some(10.0), Some(5.0), Some(13.0)),
    promql: "100 * min by (instance) (ops_host_memory_available_bytes) / max by (instance) (ops_host_memory_bytes) < {limit}",
    ..MACHINE
};
/// Tasks wait for memory.
pub static HOST_MEMORY_WAITS: Rule = Rule {
    id: "host_memory_waits",
    finds: "tasks on the machine of a monitor wait for memory",
    severities: &[Warning],
    unit: "percent of the time",
    limits: Limits::above(Some(20.0), None, Some(10.0)),
    promql: "100 * max by (instance) (rate(ops_host_pressure_seconds_total{resource=\"memory\",share=\"some\"}[5m])) > {limit}",
    ..MACHINE
};
/// A disk is nearly full.
pub static HOST_DISK: Rule = Rule {
    id: "host_disk",
    finds: "a disk of the machine of a monitor has little space left",
    subject: &["monitor", "path"],
    severities: &[Warning, Critical],
    unit: "percent free",
    limits: Limits::below(Some(15.0), Some(5.0), Some(18.0)),
    promql: "100 * min by (instance, path) (ops_host_disk_free_bytes) / max by (instance, path) (ops_host_disk_bytes) < {limit}",
    ..MACHINE
};

/// Every rule about machines.
pub static RULES: [&Rule; 5] = [&HOST_HOT, &HOST_SLOWED, &HOST_MEMORY, &HOST_MEMORY_WAITS, &HOST_DISK];

/// What every rule says of every machine.
pub fn read(hosts: &Hosts, parameters: &Parameters) -> Vec<Reading> {
    let Hosts { monitor, figures, others } = hosts;
    let mut readings = Vec::new();
    let nothing = Figures::default();
    let told = figures.as_ref().unwrap_or(&nothing);
    let whole = whole(monitor, told, parameters);
    for other in others.iter().flatten() {
        let unknown = whole.iter().map(|(rule, _)| reading(rule, [("monitor", other)], Verdict::Unknown));
        readings.extend(unknown);
    }
    readings.extend(whole.into_iter().map(|(rule, verdict)| reading(rule, [("monitor", monitor)], verdict)));
    for (path, percent) in &told.disks_percent {
        let verdict = percent.map_or(Verdict::Unknown, |percent| {
            let summary = || format!("'{path}' on '{monitor}' has {percent:.0} % of its disk left");
            parameters.limits(&HOST_DISK).judge(percent, summary)
        });
        readings.push(reading(&HOST_DISK, [("monitor", monitor), ("path", path)], verdict));
    }
    match others {
        // Whoever was there may still be.
        None => readings.extend(RULES.map(Reading::unknown)),
        // Which disks others have, this one doesn't know.
        Some(others) if figures.is_none() || !others.is_empty() => readings.push(Reading::unknown(&HOST_DISK)),
        Some(_) => {}
    }
    readings.retain(|reading| parameters.counts(reading));
    readings
}

/// What is said of a machine as a whole.
fn whole(monitor: &str, told: &Figures, parameters: &Parameters) -> [(&'static Rule, Verdict); 4] {
    let judge = |rule: &'static Rule, value: Option<f64>, summary: &dyn Fn(f64) -> String| {
        let verdict = value.map_or(Verdict::Unknown, |value| parameters.limits(rule).judge(value, || summary(value)));
        (rule, verdict)
    };
    let slowed = told.slowed.as_ref().map_or(Verdict::Unknown, |reasons| {
        let words = reasons.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let summary = format!("'{monitor}' is slowed down: {words}");
        if reasons.is_empty() { Verdict::Right } else { Verdict::Wrong { severity: Warning, value: None, summary } }
    });
    let sensor = told.hottest.as_ref().map_or("", |(sensor, _)| sensor);
    [
        judge(&HOST_HOT, told.hottest.as_ref().map(|(_, celsius)| *celsius), &|celsius| {
            format!("'{monitor}' is at {celsius:.0} degrees ({sensor})")
        }),
        (&HOST_SLOWED, slowed),
        judge(&HOST_MEMORY, told.memory_percent, &|percent| {
            format!("'{monitor}' has {percent:.0} % of its memory left")
        }),
        judge(&HOST_MEMORY_WAITS, told.memory_waits_percent, &|percent| {
            format!("tasks on '{monitor}' wait for memory for {percent:.0} % of the time")
        }),
    ]
}

fn reading<const N: usize>(rule: &'static Rule, labels: [(&str, &String); N], verdict: Verdict) -> Reading {
    let labels: BTreeMap<String, String> =
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    Reading { rule, labels, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Evaluator, FLAPPING_MS, FLAPS_MAX, Judged, Standing};
    use lucid_schemas::alert::Severity;

    fn well() -> Figures {
        Figures {
            hottest: Some(("cpu".into(), 55.0)),
            slowed: Some([].into()),
            memory_percent: Some(40.0),
            memory_waits_percent: Some(0.5),
            disks_percent: [("/data".to_owned(), Some(60.0))].into(),
        }
    }

    fn hosts(change: impl FnOnce(&mut Figures)) -> Hosts {
        let mut figures = well();
        change(&mut figures);
        Hosts { monitor: "pi-1".into(), figures: Some(figures), others: Some([].into()) }
    }

    fn wrong(hosts: &Hosts) -> Vec<(&'static str, Said)> {
        let readings = read(hosts, &Parameters::default()).into_iter();
        let wrong = readings.filter_map(|reading| match reading.verdict {
            Verdict::Wrong { severity, summary, .. } => Some((reading.rule.id, (severity, summary))),
            Verdict::Between | Verdict::Right | Verdict::Unknown => None,
        });
        wrong.collect()
    }

    type Said = (Severity, String);
    type Case = (fn(&mut Figures), &'static str, Severity, &'static str);

    #[test]
    fn each_rule_fires_beyond_its_limits_and_names_the_machine() {
        assert_eq!(wrong(&hosts(|_| {})), []);
        let one = |change: fn(&mut Figures)| match &wrong(&hosts(change))[..] {
            [(rule, (severity, summary))] => {
                assert!(summary.contains("'pi-1'"), "{summary}");
                (*rule, *severity, summary.clone())
            }
            other => panic!("{other:?}"),
        };
        let cases: [Case; 8] = [
            (|figures| figures.hottest = Some(("cpu".into(), 76.0)), "host_hot", Warning, "76 degrees (cpu)"),
            (|figures| figures.hottest = Some(("cpu".into(), 90.0)), "host_hot", Critical, "90 degrees"),
            (|figures| figures.slowed = Some(["under_voltage".into()].into()), "host_slowed", Warning, "under_voltage"),
            (|figures| figures.memory_percent = Some(9.0), "host_memory", Warning, "9 %"),
            (|figures| figures.memory_percent = Some(1.0), "host_memory", Critical, "1 %"),
            (|figures| figures.memory_waits_percent = Some(30.0), "host_memory_waits", Warning, "30 %"),
            (|figures| figures.disks_percent = [("/data".into(), Some(9.0))].into(), "host_disk", Warning, "'/data'"),
            (|figures| figures.disks_percent = [("/data".into(), Some(2.0))].into(), "host_disk", Critical, "2 %"),
        ];
        for (change, rule, severity, word) in cases {
            let said = one(change);
            assert_eq!((said.0, said.1), (rule, severity));
            assert!(said.2.contains(word), "{}", said.2);
        }
    }

    #[test]
    fn what_a_platform_does_not_tell_raises_nothing() {
        for figures in [None, Some(Figures::default())] {
            let bare = Hosts { monitor: "pi-1".into(), figures, others: Some([].into()) };
            let said = read(&bare, &Parameters::default());
            assert!(said.iter().all(|reading| reading.verdict == Verdict::Unknown), "{said:?}");
        }
    }

    #[test]
    fn machines_of_others_are_neither_well_nor_gone() {
        let mut evaluator = Evaluator::default();
        let hot = hosts(|figures| figures.hottest = Some(("cpu".into(), 99.0)));
        for minute in 0..=6 {
            evaluator.round(minute * MINUTE_MS, Some(&read(&hot, &Parameters::default())));
        }
        // The one that writes alerts runs elsewhere now.
        let elsewhere = Hosts { monitor: "pi-2".into(), others: Some(["pi-1".to_owned()].into()), ..hosts(|_| {}) };
        // While the store is silent, it can't tell whether others live.
        let cut_off = Hosts { others: None, ..elsewhere.clone() };
        for (minute, hosts) in [(7, &elsewhere), (8, &cut_off), (9, &elsewhere)] {
            let judged = evaluator.round(minute * MINUTE_MS, Some(&read(hosts, &Parameters::default())));
            let is_hot = |judged: &&Judged| judged.rule.id == "host_hot" && judged.labels["monitor"] == "pi-1";
            let standing = &judged.values().find(is_hot).expect("known").standing;
            assert!(matches!(standing, Standing::Open { silent: true, .. }), "{standing:?} with {:?}", hosts.others);
        }
        let alone = Hosts { others: Some([].into()), ..elsewhere };
        let judged = evaluator.round(10 * MINUTE_MS, Some(&read(&alone, &Parameters::default())));
        let gone = judged
            .values()
            .any(|judged| matches!(judged.standing, Standing::Over(_)) && judged.labels["monitor"] == "pi-1");
        assert!(gone, "no monitor lives there any more");
    }

    #[test]
    fn a_disk_that_does_not_answer_is_neither_well_nor_gone() {
        let mut evaluator = Evaluator::default();
        let disk = |percent: Option<f64>| hosts(|figures| figures.disks_percent = [("/data".into(), percent)].into());
        let mut standing = |minute: i64, hosts: &Hosts| {
            let judged = evaluator.round(minute * MINUTE_MS, Some(&read(hosts, &Parameters::default())));
            judged.into_values().find(|judged| judged.rule.id == "host_disk").expect("known").standing
        };
        for minute in 0..=5 {
            standing(minute, &disk(Some(2.0)));
        }
        let hanging = standing(6, &disk(None));
        assert!(matches!(hanging, Standing::Open { silent: true, .. }), "{hanging:?}");
        let untold = hosts(|figures| figures.disks_percent.clear());
        assert!(matches!(standing(7, &untold), Standing::Over(_)), "the monitor isn't told of it any more");
    }

    #[test]
    fn a_day_of_noise_never_flaps_more_than_is_allowed() {
        let (mut noise, mut evaluator, mut open) = (5_u64, Evaluator::default(), BTreeMap::new());
        let mut resolves: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        let mut below = |bound: u32| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(noise >> 33).unwrap_or(0) % bound
        };
        for round in 0..2_880_i64 {
            let swing = if round % 60 < 30 { 20 } else { 0 };
            let noisy = hosts(|figures| {
                figures.hottest = Some(("cpu".into(), f64::from(60 + swing + below(20))));
                figures.memory_percent = Some(f64::from(30 - swing + below(6)));
                figures.memory_waits_percent = Some(f64::from(swing + below(20)));
                figures.disks_percent = [("/data".into(), Some(f64::from(25 - swing / 2 + below(8))))].into();
            });
            for (fingerprint, judged) in evaluator.round(round * 30_000, Some(&read(&noisy, &Parameters::default()))) {
                let is_open = judged.standing.leaves_open(open.get(&fingerprint) == Some(&true));
                if open.insert(fingerprint.clone(), is_open) == Some(true) && !is_open {
                    resolves.entry(fingerprint).or_default().push(round * 30_000);
                }
            }
        }
        assert!(!resolves.is_empty(), "nothing was ever wrong");
        for times in resolves.values() {
            let within = |from: &i64| times.iter().filter(|at| (*from..from + FLAPPING_MS).contains(*at)).count();
            assert!(times.iter().all(|from| within(from) <= FLAPS_MAX), "{times:?}");
        }
    }
}
