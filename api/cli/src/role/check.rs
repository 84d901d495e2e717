//! What a service looks at before it starts, looked at without starting it. Each check is the one that the service itself makes.

use super::{access, backup_schedule, establish, monitor};
use crate::{
    args::{AccessArgs, ApiArgs, BackupScheduleArgs, DoorArgs, MongoArgs, MonitorArgs, ServeArgs, WorkerArgs},
    exit::Exit,
    repositories::{self, Named},
    secrets,
};
use lucid_repository::{Repository, Unlock, exposed};
use lucid_runtime::WorkerOptions;
use lucid_schemas::names::check_database;
use std::{
    fmt::{self, Display},
    net::SocketAddr,
    path::Path,
};

/// Something that is wrong.
pub struct Finding {
    /// What it is about: a variable, a flag, a file.
    pub about: String,
    /// A service wouldn't start.
    pub refuses: bool,
    problem: String,
}

impl Finding {
    /// What is overlooked.
    pub fn warns(about: &str, problem: impl Display, mend: impl Display) -> Self {
        Self { about: about.to_owned(), refuses: false, problem: format!("{problem}; {mend}") }
    }

    fn refuses(about: &str, problem: impl Display) -> Self {
        Self { about: about.to_owned(), refuses: true, problem: problem.to_string() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = if self.refuses { "error" } else { "warning" };
        write!(f, "{weight:<7}  {}: {}", self.about, self.problem)
    }
}

/// What is found, in the order in which it is looked for.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// What a check gives; where it refuses, that is noted.
    fn of<T>(&mut self, about: &str, checked: Result<T, Exit>) -> Option<T> {
        checked.map_err(|exit| self.0.push(Finding::refuses(about, exit))).ok()
    }

    /// The mode of a file with a secret. Where it isn't there, whoever reads it says so.
    fn secret(&mut self, path: &Path) {
        if let Some(exposed) = path.metadata().ok().and_then(|about| exposed(path, &about)) {
            self.0.push(Finding { about: path.display().to_string(), refuses: false, problem: exposed });
        }
    }

    fn listens(&mut self, service: &str, address: SocketAddr, args: &AccessArgs) {
        self.of("--listen", access::check_way(service, address, args));
    }

    fn schedules(&mut self, backups: &BackupScheduleArgs, mongo: &MongoArgs) {
        self.of("BACKUP_SCHEDULE", backup_schedule::read(backups, &mongo.ops_database));
    }

    fn lease(&mut self, lease_ms: u32) {
        let options = WorkerOptions::new("check").with_lease_ms(lease_ms);
        self.of("LUCID_LEASE_MS", options.check().map_err(Exit::usage));
    }

    /// The connection string, and, where it is asked for, the set behind it.
    async fn mongo(&mut self, mongo: &MongoArgs, own: Option<&DoorArgs>, connect: bool) {
        let named = own.and_then(|door| door.api_mongodb_uri_file.as_deref()).or(mongo.mongodb_uri_file.as_deref());
        let about = named.map_or("the connection string".to_owned(), |file| file.display().to_string());
        if let Some(file) = named {
            self.secret(file);
        }
        let database = check_database(&mongo.ops_database);
        self.of("LUCID_OPS_DATABASE", database.map_err(|problem| Exit::usage(format!("it {problem}"))));
        let uri = own.map_or_else(|| secrets::mongodb_uri(mongo), |door| secrets::api_uri(door, mongo));
        let Some(uri) = self.of(&about, uri) else { return };
        let Some(says) = self.of(&about, lucid_mongo::read_uri(&uri).map_err(Exit::usage)) else { return };
        if let (Some(wanted), Some(said)) = (&mongo.replica_set, says.replica_set)
            && *wanted != said
        {
            let problem = format!("it says replica set '{said}', but MONGO_REPLICA_SET is '{wanted}': make them agree");
            self.0.push(Finding::refuses(&about, problem));
        }
        if !says.has_user {
            self.0.push(Finding::warns(
                &about,
                "it names no user",
                "a set with authentication refuses it: write user and password into it",
            ));
        }
        if connect {
            self.of("MongoDB", establish(&uri, &mongo.ops_database, mongo.replica_set.as_deref()).await);
        }
    }

    async fn repositories(&mut self, named: &Named, connect: bool) {
        for file in &named.secrets {
            self.secret(file);
        }
        for (name, location) in &named.places {
            let about = format!("repository '{name}'");
            let unlock = named.unlock_of(name);
            if location.path().is_some() || connect {
                let opened = Repository::open(location, unlock).await;
                self.of(&about, opened.map(drop).map_err(Exit::failed));
            } else if let Unlock::KeyFile(file) = unlock {
                self.of(&about, lucid_repository::check_key_file(file).map_err(Exit::failed));
            }
        }
    }
}

/// What is wrong for an API.
pub async fn api(args: &ApiArgs, connect: bool) -> Vec<Finding> {
    let mut findings = Findings::default();
    findings.listens("API", args.door.listen, &args.door.access);
    findings.schedules(&args.backups, &args.mongo);
    findings.mongo(&args.mongo, Some(&args.door), connect).await;
    findings.0
}

/// What is wrong for both in one process.
pub async fn serve(args: ServeArgs, connect: bool) -> Vec<Finding> {
    let (api, worker) = args.split();
    let mut found = self::api(&api, connect).await;
    for finding in self::worker(&worker, connect).await {
        if found.iter().all(|before| before.to_string() != finding.to_string()) {
            found.push(finding);
        }
    }
    found
}

/// What is wrong for a worker.
pub async fn worker(args: &WorkerArgs, connect: bool) -> Vec<Finding> {
    let mut findings = Findings::default();
    findings.schedules(&args.backups, &args.mongo);
    findings.lease(args.lease_ms);
    if let Some(named) = findings.of("--repository", repositories::read(&args.repository)) {
        findings.repositories(&named, connect).await;
    }
    findings.mongo(&args.mongo, None, connect).await;
    findings.0
}

/// What is wrong for a monitor.
pub async fn monitor(args: &MonitorArgs, connect: bool) -> Vec<Finding> {
    let mut findings = Findings::default();
    let sampling = &args.sampling;
    findings.listens("monitor", args.listen, &args.access);
    findings.lease(args.lease_ms);
    findings.of("--repository", monitor::folders(&args.repositories));
    findings.of("LUCID_METRICS_BIND", monitor::lock(sampling));
    findings.of("LUCID_CHANNELS_FILE", monitor::channels(sampling.channels_file.as_deref()));
    findings.of("LUCID_RULES_FILE", monitor::judge(sampling.rules_file.as_deref(), args.mongo.ops_database.clone()));
    for file in [&sampling.channels_file, &sampling.metrics_password_file].into_iter().flatten() {
        findings.secret(file);
    }
    findings.mongo(&args.mongo, None, connect).await;
    findings.0
}
