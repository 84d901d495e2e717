//! Whoever asks for jobs: enqueues them until it is acknowledged, cancels some, lets blocked ones go on. A node of its
//! own; it is stopped now and then, but doesn't die.

use super::{KINDS, schedules, stage::Stage, store::SimStore};
use bson::DateTime;
use lucid_core::{Command, transition};
use lucid_ports::{Enqueue, Outcome, Pause, Store, StoreError};
use lucid_schemas::{
    After, BackupSpec, CopySpec, JobId, Keep, Kind, ManifestName, MonitorSpec, NotifySpec, PruneSpec, ReencryptSpec,
    Request, RestoreSpec, Spec, State, VerifyLevel, VerifySpec, request::DEFAULT_ATTEMPTS,
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// Starts everything that is asked for, in the runtime that is entered.
pub fn start(store: &Arc<SimStore>) {
    for number in 0..store.stage.plan.jobs {
        let enqueue = draw(&store.stage, number);
        if number == 0 && store.stage.plan.poison {
            store.stage.ledger().poison = Some(enqueue.request.id.clone());
        }
        let after = Duration::from_millis(store.stage.up_to_ms(5_000));
        tokio::spawn(ask(Arc::clone(store), enqueue, after));
    }
    tokio::spawn(operate(Arc::clone(store)));
}

fn draw(stage: &Stage, number: usize) -> Enqueue {
    let mut chance = stage.chance();
    // A job that waits for slots isn't taken at once.
    let kind = if stage.plan.prompt { chance.of(&[Kind::Backup, Kind::Verify]) } else { chance.of(&KINDS) };
    let id = id_of(stage, kind, number);
    let mut request = Request::new(id, spec(kind, chance.one_in(2)), "client", None);
    request.unique_key = chance.one_in(4).then(|| "the same".to_owned());
    request.priority = i32::try_from(chance.below(3)).unwrap_or(0);
    request.max_attempts = 1 + i32::try_from(chance.below(4)).unwrap_or(0);
    request.timeout_ms = chance.one_in(6).then_some(1_000);
    if stage.plan.poison {
        request.max_attempts = DEFAULT_ATTEMPTS;
    }
    if number > 0 && chance.one_in(4) {
        // Perhaps of another kind, and then of a job that isn't there.
        let job = id_of(stage, chance.of(&KINDS), number - 1);
        request.after = Some(After { job, state: chance.of(&[State::Succeeded, State::Failed]) });
    }
    let delay_ms = if chance.one_in(2) { 0 } else { i64::try_from(chance.below(3_000)).unwrap_or(0) };
    Enqueue { write: format!("enqueue {}", request.id), request, delay_ms, run_at: None }
}

fn id_of(stage: &Stage, kind: Kind, number: usize) -> JobId {
    JobId::compose(kind, stage.twin.now(), u64::try_from(number).unwrap_or(0))
}

fn spec(kind: Kind, same_database: bool) -> Spec {
    let manifest = ManifestName { key: "manifests/1".into(), hash: "hash".into() };
    let backup = JobId::compose(Kind::Backup, DateTime::from_millis(0), 0);
    match kind {
        Kind::Backup => Spec::Backup(BackupSpec {
            database: "lucid".into(),
            collections: None,
            compression: true,
            encryption: true,
            require_consistent: false,
        }),
        Kind::Restore => Spec::Restore(RestoreSpec {
            backup,
            manifest,
            database: if same_database { "lucid".into() } else { "copy".into() },
            collections: None,
            replace: true,
            dry_run: false,
        }),
        Kind::Verify => Spec::Verify(VerifySpec::whole(backup, Some(manifest), VerifyLevel::Data)),
        Kind::Prune => Spec::Prune(PruneSpec::keeping(Keep { days: 30, ..Keep::default() })),
        Kind::Copy => {
            Spec::Copy(CopySpec { backup: Some(backup), manifest: Some(manifest), to: schedules::repository() })
        }
        Kind::Reencrypt => Spec::Reencrypt(ReencryptSpec {}),
        Kind::Monitor => Spec::Monitor(MonitorSpec::sample()),
        Kind::Notify => Spec::Notify(NotifySpec::sample()),
    }
}

/// Asks for one job, again and again until there is an answer; then perhaps changes its mind.
async fn ask(store: Arc<SimStore>, enqueue: Enqueue, after: Duration) {
    sleep(after).await;
    loop {
        match store.enqueue(&enqueue).await {
            Ok(job) => {
                store.stage.ledger().enqueued.insert(job.id().clone());
                break;
            }
            Err(error) if error.is_retryable() => sleep(Duration::from_millis(200)).await,
            Err(StoreError::NotUnique { .. }) => return store.stage.ledger().count("not unique"),
            Err(error) => {
                let id = &enqueue.request.id;
                return store.stage.ledger().violation(format!("SIM-15: {id} was not taken: {error}"));
            }
        }
    }
    if store.stage.one_in(3) {
        sleep(Duration::from_millis(store.stage.up_to_ms(4_000))).await;
        order(&store, &enqueue.request.id, &Command::RequestCancel).await;
    }
}

/// Makes a command of a person true, unless the law or the store refuses it.
async fn order(store: &SimStore, id: &JobId, command: &Command) {
    let write = format!("{} {id} {}", command.name(), store.process.now_ms());
    for _ in 0..20 {
        let Ok(Some(job)) = store.load(id).await else {
            continue;
        };
        let Ok(next) = transition(&job, command, &store.process.name, &write) else {
            return;
        };
        if let Ok(Outcome::Won(_)) = store.apply(&next).await {
            return;
        }
    }
}

/// Lets blocked jobs go on or gives them up, and pauses and unpauses kinds, once in a while.
async fn operate(store: Arc<SimStore>) {
    loop {
        sleep(Duration::from_secs(2)).await;
        pause(&store).await;
        let is_blocked =
            |id: &JobId| store.stage.ledger().latest(id).is_some_and(|job| job.head.state == State::Blocked);
        let enqueued = store.stage.ledger().enqueued.clone();
        for id in enqueued.iter().filter(|id| is_blocked(id)) {
            let backup = id.as_str().starts_with(Kind::Backup.as_str());
            let command = match store.stage.below(3) {
                0 if backup => Command::RequestCancel,
                1 => Command::GiveUp { reason: "drawn".into() },
                _ => Command::Resume,
            };
            order(&store, id, &command).await;
        }
    }
}

/// Pauses a kind, or lifts the pauses; in the end all of them.
async fn pause(store: &SimStore) {
    if !store.stage.is_calm() && !store.stage.plan.prompt && store.stage.one_in(6) {
        let kind = store.stage.chance().of(&KINDS);
        store.stage.ledger().count("paused");
        let pause = Pause { kind, by: "client".into(), reason: "drawn".into(), at: None };
        let paused = store.pause(&pause).await.is_ok();
        return store.stage.note(&store.process.name, &format!("pauses {kind}: {paused}"));
    }
    for kind in KINDS {
        while store.unpause(kind).await.is_err() {
            sleep(Duration::from_millis(200)).await;
        }
    }
}
