//! The storm that `chaos` lets loose, and the judgement afterwards.
//!
//! Clients ask two APIs for jobs on a set of three, four workers work, faults of two lanes hurt them all; then everything
//! is healed, every job must end, and history, repository, databases and logs are judged against what clients were told.
//! Invariant: nothing here looks at what a process believes, only at what it has left behind.

mod check;
mod evidence;
mod fleet;
mod island;
mod ledger;
mod load;
mod members;
mod place;
mod plan;
mod proof;
mod random;
mod report;

use crate::support::World;
use bson::{Document, doc};
use check::Broken;
use fleet::Fleet;
use futures::TryStreamExt;
use ledger::Ledger;
use load::{ALIKE, Client, Desk, KINDS, TARGETS, VARIED, VARIED_TARGET};
use lucid_schemas::{Job, State, collections::OPS, names::DEFAULT_OPS_DATABASE};
use place::Place;
use plan::{Counts, Lane};
use report::Report;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const CLIENTS: u64 = 3;
const DOCUMENTS: i64 = 700;
const VARIED_DOCUMENTS: u64 = 300;
const OPLOG_MIB: u32 = 16;
/// Within this every job ends once all is well again.
const CALM_WITHIN: Duration = Duration::from_secs(120);

/// How a run is done.
pub struct Options {
    pub seed: u64,
    pub seconds: u64,
    /// Also a wrong clock and a cut network, where the machine allows it.
    pub everything: bool,
    pub json: bool,
}

/// A whole run.
pub async fn run(options: &Options) -> Report {
    let mut world = World::start_with(|dir| {
        let small = lucid_embedded::Options { oplog_mib: OPLOG_MIB, ..lucid_embedded::Options::new(dir) };
        small.members(3)
    })
    .await;
    fill(&world).await;
    fleet::make_far(&world);
    let place = Place::of(&world);
    let logs = std::env::var_os("CHAOS_LOGS").map_or_else(|| world.dir().join("logs"), PathBuf::from);
    std::fs::create_dir_all(&logs).expect("a folder");
    let ports: Vec<u16> = world.deployment.members().iter().map(|member| member.port).collect();
    let fleet = Arc::new(Fleet::start(&world, &ports, logs.clone(), options.everything));
    let ledger = Arc::new(Ledger::default());
    let over = Arc::new(AtomicBool::new(false));
    let clients = clients(&world, &fleet, &ledger, &over, options.seed);

    let mut report = Report { seed: options.seed, seconds: options.seconds, ..Report::default() };
    report.left_out.clone_from(&fleet.left_out);
    let until = Instant::now() + Duration::from_secs(options.seconds);
    report.faults = rage(&mut world, (&fleet, place), options.seed, until, &mut report.violations).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client doesn't panic");
    }
    let until_ms = bson::DateTime::now().timestamp_millis();
    let healed = Instant::now();
    calm(&world, &fleet).await;
    report.drained = healed.elapsed();

    let fleet = Arc::into_inner(fleet).expect("all threads have ended");
    report.violations.extend(fleet.stop().into_iter().map(|what| Broken::of(what, &[])));
    let known = Arc::into_inner(ledger).expect("all clients have ended").into_known();
    let jobs = judge(&world, &known, &logs, &mut report).await;
    report.count(&jobs, &known, until_ms);
    report.print(&jobs, options.json);
    report
}

/// Databases of the same collections, whose documents tell them apart; and one with everything that there is.
async fn fill(world: &World) {
    let client = world.client();
    for (number, source) in (1_i64..).zip(ALIKE) {
        let rows = client.database(source).collection::<Document>("rows");
        let documents =
            (0..DOCUMENTS * number).map(|row| doc! { "_id": row, "of": source, "text": format!("{row}").repeat(50) });
        rows.insert_many(documents).await.expect("rows");
        let index = mongodb::IndexModel::builder().keys(doc! { "text": 1 }).build();
        rows.create_index(index).await.expect("an index");
        let pair = client.database(source).collection::<Document>("pair");
        pair.insert_many([doc! { "_id": 1, "of": source }, doc! { "_id": 2 }]).await.expect("a pair");
    }
    lucid_sample::load(&client, VARIED, VARIED_DOCUMENTS).await.expect("the varied one");
}

fn clients(
    world: &World,
    fleet: &Fleet,
    ledger: &Arc<Ledger>,
    over: &Arc<AtomicBool>,
    seed: u64,
) -> Vec<thread::JoinHandle<()>> {
    let marks = Arc::new(AtomicI64::new(0));
    let client = |number| {
        let addresses = Arc::clone(&fleet.addresses);
        let (ledger, over, marks) = (Arc::clone(ledger), Arc::clone(over), Arc::clone(&marks));
        let desk = Desk { addresses, ledger, over, marks, repository: [world.repository(), world.key_file()] };
        let client = Client::new(desk, seed, number);
        thread::spawn(move || client.work())
    };
    (0..CLIENTS).map(client).collect()
}

/// All lanes until then; what was done.
async fn rage(
    world: &mut World,
    (fleet, place): (&Arc<Fleet>, Place),
    seed: u64,
    until: Instant,
    broken: &mut Vec<Broken>,
) -> Counts {
    let disks = thread::spawn(move || hurt_the_place(&place, seed, until));
    let processes = {
        let fleet = Arc::clone(fleet);
        thread::spawn(move || {
            let mut done = Counts::new();
            for fault in Lane::of_processes(seed) {
                thread::sleep(fault.rest);
                if Instant::now() >= until {
                    return done;
                }
                note(&fault);
                *done.entry(fault.kind).or_default() += usize::from(fleet.suffer(&fault));
            }
            done
        })
    };
    let mut done = Counts::new();
    for fault in Lane::of_the_set(seed) {
        tokio::time::sleep(fault.rest).await;
        if Instant::now() >= until {
            break;
        }
        note(&fault);
        match members::suffer(&mut world.deployment, fleet, &fault).await {
            Ok(happened) => *done.entry(fault.kind).or_default() += usize::from(happened),
            Err(error) => {
                broken.push(Broken::of(format!("the set didn't recover from {}: {error}", fault.kind.as_str()), &[]));
                break;
            }
        }
    }
    let joined = tokio::task::spawn_blocking(|| (processes.join(), disks.join())).await;
    let (processes, disks) = joined.expect("it is waited for");
    done.extend(processes.expect("a lane doesn't panic"));
    let (disks, written) = disks.expect("a lane doesn't panic");
    done.extend(disks);
    broken.extend(written.map(|what| Broken::of(what, &[])));
    done.retain(|_, count| *count > 0);
    done
}

/// The lane of the repository's place: what was done, and what was written there meanwhile.
fn hurt_the_place(place: &Place, seed: u64, until: Instant) -> (Counts, Option<String>) {
    let mut done = Counts::new();
    for fault in Lane::of_the_place(seed) {
        thread::sleep(fault.rest);
        if Instant::now() >= until {
            break;
        }
        note(&fault);
        if let Err(written) = place.suffer(&fault) {
            return (done, Some(written));
        }
        *done.entry(fault.kind).or_default() += 1;
    }
    (done, None)
}

fn note(fault: &plan::Fault) {
    let at = bson::DateTime::now().try_to_rfc3339_string().unwrap_or_default();
    eprintln!("{at} {} ({}), {:?}", fault.kind.as_str(), fault.target, fault.lasts);
}

/// Everything runs again, nothing is paused, and every job comes to its end.
async fn calm(world: &World, fleet: &Fleet) {
    fleet.mend();
    let ops = world.client().database(DEFAULT_OPS_DATABASE).collection::<Document>(OPS);
    let begun = Instant::now();
    let mut resumed = false;
    while begun.elapsed() < CALM_WITHIN {
        let api = fleet.addresses.read().expect("no panic while locked")[0].clone();
        let post = |path: &str| api.try_call("POST", path, None, &[], Some(Duration::from_secs(10)));
        resumed = resumed || KINDS.iter().all(|kind| matches!(post(&format!("/queues/{kind}/resume")), Ok((200, _))));
        let blocked = ops.find(doc! { "state": State::Blocked.as_str() }).projection(doc! { "_id": 1 });
        let blocked: Vec<Document> = blocked.await.expect("a cursor").try_collect().await.expect("ids");
        for job in blocked {
            let _ = post(&format!("/jobs/{}/resume", job.get_str("_id").unwrap_or_default()));
        }
        if resumed && ops.count_documents(doc! { "open": true }).await.expect("a count") == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn judge(world: &World, known: &ledger::Known, logs: &std::path::Path, report: &mut Report) -> Vec<Job> {
    let ops = world.client().database(DEFAULT_OPS_DATABASE).collection::<Document>(OPS);
    let documents: Vec<Document> = ops.find(doc! {}).await.expect("a cursor").try_collect().await.expect("documents");
    let mut jobs = Vec::new();
    for document in &documents {
        match Job::from_document(document) {
            Ok(job) => jobs.push(job),
            Err(error) => report.violations.push(Broken::of(error.to_string(), &[])),
        }
    }
    let stored = evidence::repository(world, &jobs).await;
    report.violations.extend(check::history(&jobs, known, &stored.forgotten));
    report.forgotten_backups = stored.forgotten.len();
    report.void_manifests = stored.void;
    report.proven_backups = stored.proven;
    report.violations.extend(stored.broken);
    report.violations.extend(evidence::copies(world, &jobs).await);
    report.violations.extend(evidence::databases(world, &jobs, &[TARGETS[0], TARGETS[1], VARIED_TARGET]).await);
    let told = evidence::logs(logs);
    report.reconnects = told.reconnects;
    report.violations.extend(told.broken);
    jobs
}
