//! Two stores, the same random life: after every step their documents are the same, byte for byte.
//!
//! Times are compared by their distance from the job's birth, in halves of the time that all times in here are apart.

use super::{
    chance::Chance,
    hostile::documents,
    kit::{Bench, LONG_MS, OVER_MS, bytes, enqueue, request},
};
use crate::{Enqueue, Outcome};
use bson::{Bson, DateTime, Document, Timestamp};
use lucid_core::{Command, Guard, LeaseChange, Transition, transition};
use lucid_schemas::{Event, EventBody, Failure, Job, JobId, Kind, Progress, Stamp, State};

const JOBS: usize = 4;
const TIMES_MS: [i64; 2] = [OVER_MS, LONG_MS];
const WORDS: [&str; 5] = ["w", "v", "$$NOW", "a.b", "$lease.token"];
const HALF_MS: i64 = LONG_MS / 2;

/// Leads the same random life on both benches, for so many steps; panics where they part. Both begin empty.
pub async fn agree(one: &Bench, other: &Bench, seed: u64, steps: u32) {
    let mut chance = Chance(seed);
    let mut jobs: Vec<JobId> = Vec::new();
    for step in 0..steps {
        let write = format!("${seed}-{step}");
        let about = if jobs.len() < JOBS || chance.one_in(10) {
            let born = birth(&mut chance, &write);
            for bench in [one, other] {
                bench.store.enqueue(&born).await.expect("enqueued");
            }
            jobs.push(born.request.id.clone());
            "enqueue".to_owned()
        } else {
            let id = chance.of(&jobs[jobs.len() - JOBS..]);
            // Each bench decides on its own job, by the same chances.
            let mut again = chance.clone();
            let left = act(one, &id, &mut chance, &write).await;
            let right = act(other, &id, &mut again, &write).await;
            assert_eq!(left, right, "seed {seed}, step {step}");
            left
        };
        for id in jobs.iter().rev().take(JOBS) {
            let (left, right) = (normal(one.document(id).await), normal(other.document(id).await));
            let same = bytes(&left) == bytes(&right);
            assert!(same, "seed {seed}, step {step}, after {about}:\n{left}\n{right}");
        }
    }
}

fn birth(chance: &mut Chance, write: &str) -> Enqueue {
    let mut asked = request(chance.of(&Kind::ALL));
    asked.requested_by = chance.of(&WORDS).into();
    asked.max_attempts = chance.of(&[1, 2, 5]);
    asked.requires.labels = if chance.one_in(2) { vec![] } else { vec![chance.of(&WORDS).into()] };
    asked.unique_key = chance.one_in(3).then(|| format!("user/{write}-$key"));
    Enqueue { delay_ms: chance.of(&TIMES_MS), write: write.into(), ..enqueue(asked) }
}

/// Does something with a job, and tells what came of it.
async fn act(bench: &Bench, id: &JobId, chance: &mut Chance, write: &str) -> String {
    let job = bench.store.load(id).await.expect("loaded").expect("the job is there");
    if chance.one_in(4) {
        let token = job.lease.as_ref().map_or("none", |lease| &lease.token);
        let progress = Progress {
            phase: chance.of(&WORDS).into(),
            documents: i64::try_from(chance.below(9)).unwrap_or(0),
            ..Progress::default()
        };
        let progress = (!chance.one_in(3)).then_some(&progress);
        let renewal = bench.store.renew(id, job.head.epoch, token, chance.of(&TIMES_MS), progress).await;
        return format!("renew: {renewal:?}");
    }
    let next = if chance.one_in(3) { Ok(crafted(&job, chance, write)) } else { lawful(&job, chance, write) };
    let next = match next {
        Ok(next) => next,
        Err(refusal) => return refusal,
    };
    match bench.store.apply(&next).await {
        Ok(Outcome::Won(_)) => format!("won {:?}", next.events),
        Ok(Outcome::Lost(_)) => format!("lost {:?}", next.events),
        Err(error) => format!("{error} on {:?}", next.events),
    }
}

fn error(chance: &mut Chance) -> Failure {
    Failure { code: chance.of(&WORDS).into(), message: chance.of(&WORDS).into(), retryable: chance.one_in(2) }
}

fn lawful(job: &Job, chance: &mut Chance, write: &str) -> Result<Transition, String> {
    let epoch = job.head.epoch;
    let worker: String = chance.of(&WORDS).into();
    let command = match chance.below(12) {
        0..=3 => Command::Claim { worker: worker.clone(), lease_ms: chance.of(&TIMES_MS), slots: Vec::new() },
        4 => Command::Release { epoch, reason: chance.of(&WORDS).into() },
        5 => Command::Record { epoch, fact: fact(chance) },
        6 => Command::Commit { epoch, fact: fact(chance) },
        7 => Command::Succeed { epoch, result: chance.of(&documents()) },
        8 => Command::Fail { epoch, error: error(chance), retry_in_ms: chance.of(&TIMES_MS), out_of_time: false },
        9 => Command::ConfirmCancel { epoch },
        10 => chance.of(&[
            Command::RequestCancel,
            Command::Expire,
            Command::GiveUp { reason: chance.clone().of(&WORDS).into() },
        ]),
        _ => Command::Resume,
    };
    transition(job, &command, &worker, write).map_err(|refusal| refusal.to_string())
}

fn fact(chance: &mut Chance) -> EventBody {
    let cluster_time = Timestamp { time: 1, increment: 2 };
    chance.of(&[
        EventBody::SnapshotTaken { cluster_time },
        EventBody::CommitStarted {},
        EventBody::SwapStarted { entries: 2, list_hash: "$$ROOT".into() },
    ])
}

/// A head that no law would make: a store doesn't decide, it writes what it is given.
fn crafted(job: &Job, chance: &mut Chance, write: &str) -> Transition {
    let mut head = job.head.clone();
    let count = 1 + chance.below(3);
    let bodies = [fact(chance), EventBody::Canceled {}, EventBody::Succeeded { result: chance.of(&documents()) }];
    let events: Vec<Event> = (job.head.version + 1..)
        .zip(bodies.into_iter().take(count))
        .map(|(seq, body)| Event { seq, at: Stamp::NOW, by: chance.of(&WORDS).into(), write: write.into(), body })
        .collect();
    let times = [None, Some(Stamp::NOW), Some(Stamp::NOW.plus(LONG_MS)), Some(Stamp::NOW.plus(3 * OVER_MS))];
    head.version = events.last().map_or(0, |event| event.seq);
    head.epoch += i64::from(chance.one_in(2));
    head.state = chance.of(&State::ALL);
    head.attempt = chance.of(&[0, 1, -1, 1_000]);
    head.worker = chance.of(&[None, Some(chance.clone().of(&WORDS).into())]);
    head.run_at = chance.of(&times[1..]).unwrap_or(Stamp::NOW);
    head.rank_at = chance.of(&times[1..]).unwrap_or(Stamp::NOW);
    head.priority = chance.of(&[0, -3, 7]);
    head.reserved_at = chance.of(&times);
    head.holds = chance.of(&[vec![], vec![format!("{write}#0")], vec!["$taken#0".into(), "a.b#1".into()]]);
    head.started_at = chance.of(&times);
    head.finished_at = chance.of(&times);
    head.result = if chance.one_in(2) { None } else { Some(chance.of(&documents())) };
    head.error = if chance.one_in(2) { None } else { Some(error(chance)) };
    let lease_ms = chance.of(&TIMES_MS);
    let taken = LeaseChange::Take { worker: chance.of(&WORDS).into(), lease_ms };
    let mut before = job.clone();
    before.head.version -= i64::from(chance.one_in(8));
    before.head.epoch -= i64::from(chance.one_in(8));
    Transition {
        before,
        guards: chance.of(&[
            vec![],
            vec![],
            vec![Guard::Due],
            vec![Guard::LeaseOver],
            vec![Guard::Due, Guard::LeaseOver],
            vec![Guard::ReservationOver],
            vec![Guard::Before(distant(OVER_MS)), Guard::NotBefore(distant(OVER_MS))],
            vec![Guard::NotBefore(distant(OVER_MS)), Guard::Before(distant(LONG_MS))],
        ]),
        events,
        head,
        lease: chance.of(&[LeaseChange::Keep, LeaseChange::Drop, taken]),
        write: write.into(),
    }
}

/// The document with times as distances from its birth.
pub(super) fn normal(mut document: Document) -> Document {
    let born_ms = document.get_datetime("created_at").map_or(0, |at| at.timestamp_millis());
    for (_, value) in document.iter_mut() {
        relate(value, born_ms);
    }
    document
}

fn relate(value: &mut Bson, born_ms: i64) {
    match value {
        Bson::DateTime(at) => {
            let since_ms = at.timestamp_millis().saturating_sub(born_ms);
            let halves = since_ms.saturating_add(HALF_MS / 2).div_euclid(HALF_MS);
            *value = Bson::String(format!("birth {halves:+} halves"));
        }
        Bson::Document(inner) => inner.iter_mut().for_each(|(_, value)| relate(value, born_ms)),
        Bson::Array(items) => items.iter_mut().for_each(|item| relate(item, born_ms)),
        _ => {}
    }
}

/// A moment so far from now that all clocks agree on which side it is.
pub(super) fn distant(ms: i64) -> DateTime {
    DateTime::from_millis(DateTime::now().timestamp_millis().saturating_add(ms))
}
