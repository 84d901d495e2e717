//! A rolling upgrade under load: members are restarted one after the other, then each service of the release before gives way to the
//! one of today. Every job that was asked for ends well, and nobody is told of anything but what was done.

use crate::{
    alerts::until,
    support::{
        Api, World, data,
        process::Process,
        receiver::{Receiver, channels_file},
    },
};
use bson::{Document, doc};
use futures::TryStreamExt;
use lucid_embedded::Signal;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const DOCUMENTS: u32 = 2_000;
/// Between two requests.
const PACE: Duration = Duration::from_millis(300);
/// A member that is restarted is down, and a set elects another primary; there is one monitor at a time, so for a moment there is none.
const EXPECTED: [&str; 6] =
    ["member_down", "member_state", "no_primary", "elections", "monitor_beside_primary", "store_silent"];

/// The program that people run before the upgrade; `None` where it isn't built.
fn released() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/previous");
    let told = Command::new(script).arg("--path").output().expect("it runs");
    let path = PathBuf::from(String::from_utf8(told.stdout).expect("a path").trim());
    path.exists().then_some(path)
}

/// Who asks for backups all the time, whoever serves.
struct Load {
    asked: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    done: std::thread::JoinHandle<()>,
}

impl Load {
    fn start(api: Api) -> Self {
        let (asked, stop) = (Arc::<Mutex<BTreeSet<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let (own, ends) = (Arc::clone(&asked), Arc::clone(&stop));
        let done = std::thread::spawn(move || {
            for number in 0.. {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                own.lock().expect("unbroken").insert(ask(&api, number, &ends));
                std::thread::sleep(PACE);
            }
        });
        Self { asked, stop, done }
    }

    fn count(&self) -> usize {
        self.asked.lock().expect("unbroken").len()
    }

    /// Waits until some more were accepted: what was done meanwhile has held up nobody for good.
    async fn goes_on(&self) {
        let before = self.count();
        until("asked for more", async || match self.count() {
            now if now >= before + 3 => Ok(()),
            now => Err(format!("{now} jobs")),
        })
        .await;
    }

    fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.done.join().expect("it ended");
        self.asked.lock().expect("unbroken").clone()
    }
}

/// Asks until there is an answer; under one key, so that it is one job however often it is asked for.
fn ask(api: &Api, number: u64, ends: &AtomicBool) -> String {
    let key = format!("upgrade-{number}");
    let body = json!({ "database": "lucid" });
    loop {
        let headers = [("idempotency-key", key.as_str())];
        let answer = api.try_call("POST", "/backup", Some(&body), &headers, Some(Duration::from_secs(20)));
        match answer {
            Ok((200 | 202, job)) => return job["job_id"].as_str().expect("a job id").to_owned(),
            Ok((503, _)) | Err(_) => std::thread::sleep(PACE),
            Ok((status, said)) => panic!("{status} {said}"),
        }
        assert!(!ends.load(Ordering::Relaxed), "nobody serves at the end");
    }
}

/// The services, each started by whichever program.
struct Services {
    uri: String,
    repository: String,
    key_file: String,
    token_file: String,
    listen: String,
    channels: String,
}

impl Services {
    fn of(world: &World, listen: String, channels: String) -> Self {
        let (repository, key_file, token_file) = (world.repository(), world.key_file(), world.token_file());
        Self { uri: world.uri(), repository, key_file, token_file, listen, channels }
    }

    fn spawn(&self, program: Option<&PathBuf>, arguments: &[&str]) -> Process {
        let mut command = Process::command(arguments, &[("MONGODB_URI", &self.uri)]);
        if let Some(program) = program {
            let mut older = Command::new(program);
            older.args(command.get_args());
            older.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = older;
        }
        Process::spawn(&mut command)
    }

    fn api(&self, program: Option<&PathBuf>) -> Process {
        let mut api = self.spawn(program, &["api", "--listen", &self.listen, "--token-file", &self.token_file]);
        api.await_line("listening on ");
        api
    }

    fn worker(&self, program: Option<&PathBuf>) -> Process {
        let (repository, key_file) = (self.repository.as_str(), self.key_file.as_str());
        let arguments = ["worker", "--repository", repository, "--key-file", key_file, "--lease-ms", "3000"];
        let mut worker = self.spawn(program, &arguments);
        worker.await_line("worker ");
        worker
    }

    fn monitor(&self, program: Option<&PathBuf>) -> (Process, Api) {
        let mut arguments = vec!["monitor", "--listen", "127.0.0.1:0", "--metrics-port", "0"];
        arguments.extend(["--monitoring-interval", "1", "--lease-ms", "3000", "--repository", &self.repository]);
        arguments.extend(["--token-file", &self.token_file, "--channels-file", &self.channels]);
        let mut monitor = self.spawn(program, &arguments);
        let people = Api::to_read(monitor.await_line("listening on "));
        (monitor, people)
    }
}

async fn documents(world: &World, filter: Document) -> Vec<Document> {
    let ops = world.client().database("lucid_ops").collection::<Document>("ops");
    ops.find(filter).await.expect("a cursor").try_collect().await.expect("documents")
}

async fn calm(people: &Api) {
    until("healthy", async || match people.get("/health").1 {
        health if health["status"] == "healthy" => Ok(()),
        health => Err(health.to_string()),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_services_go_up_one_by_one_under_load_and_no_job_is_lost() {
    let Some(before) = released() else {
        eprintln!("LEFT OUT: the released program isn't built: run tests/previous");
        return;
    };
    let mut world = World::start(3).await;
    data::rows(&world, "lucid", DOCUMENTS).await;
    let receiver = Receiver::start(200);
    let text = format!("group_wait = \"1s\"\n[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n", receiver.url);
    let channels = channels_file(&world, &text).display().to_string();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let old = Some(&before);
    let services = Services::of(&world, free.to_string(), channels);
    let api = services.api(old);
    let mut workers = vec![services.worker(old), services.worker(old)];
    let (mut monitor, mut people) = services.monitor(old);
    let load = Load::start(Api::new(format!("http://{free}"), &world.token_file()));
    load.goes_on().await;

    // Members first, the primary last, as the guide says.
    let primary = world.deployment.primary().await.expect("a primary");
    for member in [(primary + 1) % 3, (primary + 2) % 3, primary] {
        world.deployment.kill(member, Signal::SIGTERM).await.expect("stopped");
        world.deployment.restart(member).await.expect("it is back");
        load.goes_on().await;
    }
    // Then the services: workers, monitor, API; in between both programs work side by side.
    for _ in 0..workers.len() {
        assert!(workers.remove(0).stop().success());
        load.goes_on().await;
        workers.push(services.worker(None));
        load.goes_on().await;
    }
    calm(&people).await;
    assert!(monitor.stop().success());
    (monitor, people) = services.monitor(None);
    load.goes_on().await;
    assert!(api.stop().success());
    let _api = services.api(None);
    load.goes_on().await;

    let asked = load.end();
    let states = until("over", async || {
        let jobs = documents(&world, doc! { "kind": "backup" }).await;
        let states: BTreeMap<String, String> = jobs
            .iter()
            .map(|job| ["_id", "state"].map(|field| job.get_str(field).expect("text").to_owned()).into())
            .collect();
        let open = states.values().filter(|state| ["queued", "running"].contains(&state.as_str())).count();
        if open == 0 { Ok(states) } else { Err(format!("{open} are open")) }
    })
    .await;
    assert_eq!(states.keys().cloned().collect::<BTreeSet<_>>(), asked, "no job is lost, and none is there twice");
    assert!(states.values().all(|state| state == "succeeded"), "{states:?}");
    calm(&people).await;
    for alert in documents(&world, doc! { "kind": "alert" }).await {
        let rule = alert.get_str("rule").expect("a rule");
        assert!(EXPECTED.contains(&rule), "{alert}");
    }
    assert!(monitor.stop().success());
}
