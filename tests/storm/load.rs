//! Clients that go on asking whatever happens: each remembers what it was told, and believes nothing else.

use super::{
    fleet::{Addresses, FAR},
    ledger::{Answer, Asked, Ledger, MARK_SECONDS},
    random::Random,
};
use crate::support::{Api, process::run};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

/// Small databases of the same collections that are backed up; like all sources they never change.
pub const ALIKE: [&str; 3] = ["storm_red", "storm_green", "storm_blue"];
/// A database with a collection of every kind.
pub const VARIED: &str = "storm_varied";
/// Databases that one or the other of the small ones is restored into.
pub const TARGETS: [&str; 2] = ["storm_east", "storm_west"];
/// The database that the varied one is restored into.
pub const VARIED_TARGET: &str = "storm_south";
/// Kinds that are paused now and then.
pub const KINDS: [&str; 3] = ["backup", "restore", "verify"];

const PATIENCE: Duration = Duration::from_secs(5);
/// More open jobs than this, and clients wait.
const CROWD: i64 = 25;

/// What the clients share.
#[derive(Clone)]
pub struct Desk {
    pub addresses: Addresses,
    pub ledger: Arc<Ledger>,
    pub over: Arc<AtomicBool>,
    pub marks: Arc<AtomicI64>,
    /// Where the repository is, and its key.
    pub repository: [String; 2],
}

/// One client.
pub struct Client {
    desk: Desk,
    random: Random,
}

impl Client {
    /// Client `number` of a run.
    pub fn new(desk: Desk, seed: u64, number: u64) -> Self {
        Self { desk, random: Random::of(seed, 100 + number) }
    }

    /// Asks until it is over.
    pub fn work(mut self) {
        while !self.desk.over.load(Ordering::Relaxed) {
            thread::sleep(self.random.duration(50, 600));
            if self.is_crowded() {
                continue;
            }
            match self.random.below(100) {
                0..40 => self.backup(),
                40..60 => self.verify(),
                60..73 => self.restore(),
                73..77 => self.copy(),
                77..84 => self.cancel(),
                84..85 => self.prune(),
                85..92 => self.retry(),
                92..94 => self.renew(),
                _ => self.pause(),
            }
        }
    }

    fn backup(&mut self) {
        let small = *self.random.pick(&ALIKE).expect("sources");
        let database = if self.random.percent(15) { VARIED } else { small };
        let mut body = json!({ "database": database });
        if self.random.percent(20) {
            body["compression"] = json!(false);
        }
        self.ask("backup", body);
    }

    fn verify(&mut self) {
        let latest = self.desk.ledger.latest(Some("backup"), 12);
        if let Some(backup) = self.random.pick(&latest).cloned() {
            let level = if self.random.percent(50) { "structure" } else { "data" };
            self.ask("verify", json!({ "backup": backup, "level": level }));
        }
    }

    fn restore(&mut self) {
        let Ok((200, page)) = self.call("GET", "/backups?state=succeeded&limit=20", None, &[]) else { return };
        let backups = page["backups"].as_array().cloned().unwrap_or_default();
        if let Some(backup) = self.random.pick(&backups) {
            let target = *self.random.pick(&TARGETS).expect("targets");
            let target = if backup["database"] == VARIED { VARIED_TARGET } else { target };
            let mut body = json!({ "backup": backup["job_id"], "database": target, "replace": true });
            if self.random.percent(15) {
                body["dry_run"] = json!(true);
            }
            self.ask("restore", body);
        }
    }

    fn copy(&mut self) {
        let latest = self.desk.ledger.latest(Some("backup"), 12);
        if let Some(backup) = self.random.pick(&latest).cloned() {
            self.ask("copy", json!({ "backup": backup, "to": FAR }));
        }
    }

    /// What it forgets is nobody's loss, as long as that is written down.
    fn prune(&mut self) {
        let keep = 2 + self.random.below(6);
        let at_once = self.random.percent(50);
        self.ask("prune", json!({ "keep": { "last": keep }, "grace_hours": 0, "at_once": at_once }));
    }

    /// Makes a new master key, as an operator does at the disk, and asks that everything be sealed with it. Where the disk is away, or
    /// somebody else is at it, there is none.
    fn renew(&mut self) {
        let [repository, key_file] = &self.desk.repository;
        run(&["repo", "key", "rotate", "--repository", repository, "--key-file", key_file], &[]);
        self.ask("reencrypt", json!({}));
    }

    fn ask(&mut self, kind: &'static str, mut body: Value) {
        let number = self.desk.marks.fetch_add(1, Ordering::Relaxed);
        let mut run = json!({});
        let mark = (!self.random.percent(10)).then_some(MARK_SECONDS + number);
        run["timeout_seconds"] = json!(mark.unwrap_or(1));
        if self.random.percent(30) {
            run["priority"] = json!(i64::try_from(self.random.below(21)).unwrap_or(0) - 10);
        }
        // What times out again and again would keep everybody waiting in the end.
        if mark.is_none() || self.random.percent(20) {
            run["max_attempts"] = json!(1 + self.random.below(3));
        }
        if self.random.percent(15) {
            run["unique_key"] = json!(format!("{kind}-{}", self.random.below(2)));
        }
        if self.random.percent(10) {
            let soon = bson::DateTime::from_system_time(SystemTime::now() + self.random.duration(500, 3_000));
            run["run_at"] = json!(soon.try_to_rfc3339_string().expect("a date of today"));
        }
        body["job"] = run;
        let answers = if self.random.percent(25) {
            self.post_twice(kind, &body, &format!("storm-{number}"))
        } else {
            vec![Answer::of(self.call("POST", &format!("/{kind}"), Some(&body), &[]))]
        };
        self.desk.ledger.asked(Asked { kind, body, mark, answers });
    }

    /// The same through both APIs at once, with one key; then once more where no answer told the job.
    fn post_twice(&self, kind: &str, body: &Value, key: &str) -> Vec<Answer> {
        let apis = self.apis();
        let post = |api: &Api| {
            let headers = [("Idempotency-Key", key)];
            Answer::of(api.try_call("POST", &format!("/{kind}"), Some(body), &headers, Some(PATIENCE)))
        };
        let mut answers: Vec<Answer> = thread::scope(|scope| {
            let calls: Vec<_> = apis.iter().map(|api| scope.spawn(|| post(api))).collect();
            calls.into_iter().map(|call| call.join().expect("no panic")).collect()
        });
        if answers.contains(&Answer::Unknown) {
            answers.extend(self.apis().first().map(post));
        }
        answers
    }

    fn cancel(&mut self) {
        let latest = self.desk.ledger.latest(None, 10);
        if let Some(id) = self.random.pick(&latest).cloned()
            && Answer::of(self.call("DELETE", &format!("/jobs/{id}"), None, &[])).accepted().is_some()
        {
            self.desk.ledger.canceled(&id);
        }
    }

    fn retry(&mut self) {
        let latest = self.desk.ledger.latest(None, 40);
        if let Some(id) = self.random.pick(&latest).cloned() {
            let answer = Answer::of(self.call("POST", &format!("/jobs/{id}/retry"), None, &[]));
            self.desk.ledger.retried(&id, answer);
        }
    }

    /// Pauses a kind for a moment. Whoever pauses sees to it that it goes on, whatever happens meanwhile.
    fn pause(&mut self) {
        let kind = *self.random.pick(&KINDS).expect("kinds");
        let _ = self.call("POST", &format!("/queues/{kind}/pause"), Some(&json!({ "reason": "storm" })), &[]);
        thread::sleep(self.random.duration(300, 2_000));
        let resume = format!("/queues/{kind}/resume");
        while !matches!(self.call("POST", &resume, None, &[]), Ok((200, _))) && !self.desk.over.load(Ordering::Relaxed)
        {
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_crowded(&mut self) -> bool {
        let health = self.call("GET", "/health", None, &[]);
        let open = health.ok().and_then(|(_, health)| {
            Some(health["open_jobs"].as_object()?.values().filter_map(Value::as_i64).sum::<i64>())
        });
        open.is_some_and(|open| open > CROWD)
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<(u16, Value), ureq::Error> {
        let apis = self.apis();
        self.random.pick(&apis).expect("APIs").try_call(method, path, body, headers, Some(PATIENCE))
    }

    fn apis(&self) -> Vec<Api> {
        self.desk.addresses.read().expect("no panic while locked").clone()
    }
}
