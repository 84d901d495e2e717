//! Rounds: what is seen goes to every rule, and what they say is remembered. Every monitor evaluates, whoever writes alerts.
//!
//! Invariants: a round waits for nobody; rules whose facts are missing say nothing, and what they said before neither counts as over nor
//! grows; the clock of the rounds is never put back.

use crate::{
    Monitor, Seen,
    facts::{
        host::Machine,
        members::{Trail, databases, oplog_window, stream_lag},
    },
};
use bson::DateTime;
use lucid_core::rules::{
    Evaluator, Judged, Parameters, Reading, Rule,
    facts::{Facts, Members},
    host, jobs, members,
};
use lucid_ports::{members::Terms, watched};
use lucid_schemas::alert::Fingerprint;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// See [`evaluate`].
const SOON: Duration = Duration::from_secs(1);

/// What a round has found.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// When.
    pub at: Instant,
    /// What the primary's clock showed then, as far as that can be told.
    pub primary_at: Option<DateTime>,
    /// What there should be alerts about, and what not.
    pub judged: BTreeMap<Fingerprint, Judged>,
    /// Rules that haven't seen for long enough what they go by.
    pub cold: Vec<&'static Rule>,
    /// Every rule that was asked.
    pub rules: Vec<&'static Rule>,
    /// Whether what is found can be written: the store tells, and there is a primary.
    pub can_write: bool,
    /// The newest term of the set that any member tells.
    pub term: Option<i64>,
    /// What the clock of the rounds showed, in milliseconds; [`lucid_core::rules::Standing`] goes by it.
    pub clock_ms: i64,
}

/// Whoever wants to know what the newest round has found.
pub type Evaluations = watch::Receiver<Option<Arc<Evaluation>>>;

/// By whom it is judged, and how.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    /// The node of this monitor.
    pub node: String,
    /// The name of the engine's own database.
    pub own_database: String,
    /// What operators have changed of the rules.
    pub parameters: Parameters,
}

/// Evaluates as often as the terms say, until `stop`.
pub async fn evaluate(
    monitor: Monitor,
    judge: Judge,
    told: watch::Sender<Option<Arc<Evaluation>>>,
    stop: CancellationToken,
) {
    // What is pending must not begin anew where one round breaks off.
    let families = Arc::new(Mutex::new(Families::new(judge)));
    let (problems, own) = (monitor.problems.clone(), stop.clone());
    watched("evaluation", problems, stop, move || {
        let (monitor, told, stop, families) = (monitor.clone(), told.clone(), own.clone(), Arc::clone(&families));
        async move {
            let mut terms = monitor.terms.clone();
            while !stop.is_cancelled() {
                let begun = Instant::now();
                let round = families.lock().unwrap_or_else(PoisonError::into_inner).round(&monitor.seen());
                let is_blank = round.primary_at.is_none();
                told.send_replace(Some(Arc::new(round)));
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    // Before anything is known, the next round mustn't be far.
                    () = sleep(SOON), if is_blank => {}
                    () = Terms::due(&mut terms, begun) => {}
                }
            }
        }
    })
    .await;
}

/// Rules that go by the same facts, and what is remembered of them.
struct Family {
    evaluator: Evaluator,
    rules: &'static [&'static Rule],
}

/// All rules, and the clock of their rounds.
struct Families {
    began: Instant,
    judge: Judge,
    trail: Trail,
    machine: Machine,
    jobs: Family,
    members: Family,
    host: Family,
    /// What the primary's clock showed last, in milliseconds since 1970, and when.
    clock: Option<(i64, Instant)>,
}

impl Families {
    fn new(judge: Judge) -> Self {
        let family = |rules| Family { evaluator: Evaluator::new(judge.parameters.clone()), rules };
        let (jobs, members, host) = (family(&jobs::RULES), family(&members::RULES), family(&host::RULES));
        let (trail, machine) = (Trail::default(), Machine::default());
        Self { began: Instant::now(), judge, trail, machine, jobs, members, host, clock: None }
    }

    /// Asks every rule about what is seen.
    fn round(&mut self, seen: &Seen) -> Evaluation {
        let at = Instant::now();
        let told = seen.jobs.as_ref().ok();
        self.clock = told.map(|told| (told.facts.now_ms, told.clock_at)).or(self.clock);
        let mut all = Evaluation {
            at,
            primary_at: self.clock.map(|(shown, read_at)| later(shown, at.saturating_duration_since(read_at))),
            can_write: false,
            term: seen.answering().filter_map(|(_, member)| member.set.as_ref()?.term).max(),
            judged: BTreeMap::new(),
            cold: Vec::new(),
            rules: Vec::new(),
            clock_ms: whole_ms(at - self.began),
        };
        let Judge { node, own_database, parameters } = &self.judge;
        let of_jobs = match &seen.jobs {
            Ok(told) => jobs::read(&with_samples(told.facts.clone(), seen, own_database), parameters),
            Err(reason) => jobs::unknown(reason, parameters),
        };
        self.jobs.round(Some(&of_jobs), &mut all);
        let monitors = told.map(|told| told.facts.monitors.clone());
        let of_members = Members { monitors, ..self.trail.facts(at, seen, node) };
        all.can_write = told.is_some() && of_members.answering().any(|(_, figures)| figures.is_primary);
        let of_host = self.machine.facts(at, seen, node, of_members.monitors.as_ref());
        self.members.round(Some(&members::read(&of_members, parameters)), &mut all);
        self.host.round(Some(&host::read(&of_host, parameters)), &mut all);
        all
    }
}

/// Facts of the store, with what samples tell beside them.
fn with_samples(facts: Facts, seen: &Seen, own_database: &str) -> Facts {
    let (databases, oplog_window_seconds) = (databases(seen), oplog_window(seen));
    let change_stream_lag_seconds = stream_lag(seen);
    Facts { databases, oplog_window_seconds, change_stream_lag_seconds, own_database: own_database.to_owned(), ..facts }
}

impl Family {
    fn round(&mut self, readings: Option<&[Reading]>, all: &mut Evaluation) {
        all.judged.extend(self.evaluator.round(all.clock_ms, readings));
        all.rules.extend(self.rules);
        all.cold.extend(self.rules.iter().filter(|rule| !self.evaluator.is_warm(all.clock_ms, &[rule])));
    }
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn later(now_ms: i64, by: Duration) -> DateTime {
    DateTime::from_millis(now_ms.saturating_add(whole_ms(by)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{jobs::Jobs, seen::tests::seen};
    use lucid_core::rules::{
        Standing,
        facts::{Backups, Facts},
    };
    use lucid_schemas::alert::Severity;

    fn told(failed: i64) -> Seen {
        let backups = Backups { failed, reason: Some("wrong key".into()), ..Backups::default() };
        let facts = Facts { now_ms: 1_000, backups: [("lucid".to_owned(), backups)].into(), ..Facts::default() };
        Seen { jobs: Ok(Arc::new(Jobs { facts, ..Jobs::empty() })), ..seen([]) }
    }

    fn standing(evaluation: &Evaluation) -> &Standing {
        &evaluation.judged.values().find(|judged| judged.rule.id == "backup_failed").expect("judged").standing
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_store_told_is_judged_and_its_silence_proves_nothing() {
        let mut families = Families::new(Judge::default());
        let first = families.round(&told(2));
        assert!(matches!(standing(&first), Standing::Open { severity: Severity::Critical, silent: false, .. }));
        assert_eq!(first.primary_at, Some(DateTime::from_millis(1_000)));
        assert!(first.cold.contains(&&jobs::BACKUP_FAILED), "it has just begun");
        let silent = families.round(&seen([]));
        assert!(matches!(standing(&silent), Standing::Open { silent: true, .. }), "{silent:?}");
        assert!(!silent.can_write && silent.primary_at.is_some(), "its clock goes on");
        assert_eq!(*standing(&families.round(&told(0))), Standing::Over(lucid_schemas::alert::ResolvedBy::Condition));
    }

    #[tokio::test(start_paused = true)]
    async fn members_are_judged_beside_the_jobs_whether_the_store_answers_or_not() {
        let mut families = Families::new(Judge { node: "pi-1".into(), ..Judge::default() });
        let dead = || seen([("a:1", Ok(lucid_ports::members::Member::default())), ("b:1", Err("refused".to_owned()))]);
        for _ in 0..3 {
            families.round(&dead());
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        let found = families.round(&dead());
        let open = |rule: &str| {
            let of = |judged: &&Judged| judged.rule.id == rule && matches!(judged.standing, Standing::Open { .. });
            found.judged.values().filter(of).count()
        };
        assert_eq!((open("member_down"), open("store_silent"), open("monitor_blind")), (1, 1, 0));
        assert_eq!(found.rules.len(), lucid_core::rules::all().len(), "every rule was asked");
    }

    #[test]
    fn rounds_follow_the_newest_monitor_job() {
        use lucid_schemas::{Head, Job, JobId, Kind, MonitorSpec, Stamp};
        assert_eq!(Jobs::empty().interval(), None, "there is none, so each monitor's own counts");
        let mut told = Jobs::empty();
        told.watch.monitors = [5, 60]
            .map(|interval_seconds| {
                let id = JobId::compose(Kind::Monitor, DateTime::from_millis(0), 1);
                let request = MonitorSpec::every(interval_seconds).request(id, "monitor:pi-1");
                let head = Head::born(Stamp::At(DateTime::from_millis(0)));
                Job { request, head, lease: None, progress: None, events: Vec::new(), fate: None }
            })
            .into();
        assert_eq!(told.interval(), Some(Duration::from_secs(5)), "as long as whoever asks for health expects");
    }
}
