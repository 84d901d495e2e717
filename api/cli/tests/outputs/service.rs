//! What the verbs speak to: an API over a store in memory, and a repository that holds two backups.

use async_trait::async_trait;
use lucid_client::Client;
use lucid_http::{ApiOptions, ApiState, Streams, Token, serve};
use lucid_ports::{Catalog, Problems, Store, StoreError, memory::MemoryStore};
use lucid_schemas::{
    RepositoryName,
    http::{BackupBody, ScheduleBody},
};
use serde_json::json;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../jobs/repository/tests/golden/v1_sealed");

/// What opens the API.
pub const TOKEN: &str = "a-secret-of-the-tests";

/// The API, the repository, and everything else that verbs are given.
pub struct Service {
    folder: TempDir,
    url: String,
    finished: String,
    open: String,
    fresh: AtomicU32,
    _runtime: Runtime,
}

struct OneDatabase;

#[async_trait]
impl Catalog for OneDatabase {
    async fn collections(&self, database: &str) -> Result<Vec<String>, StoreError> {
        Ok(if database == "lucid" { vec!["people".into()] } else { Vec::new() })
    }
}

impl Service {
    /// Starts it, with one job that has ended and one that waits.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(Path::new(GOLDEN), &folder.path().join("repository"));
        fs::copy(format!("{GOLDEN}.key"), folder.path().join("key")).expect("a key");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        runtime.block_on(begin(listener));
        let client = Client::new(&url).and_then(|client| client.with_token(TOKEN)).expect("a client");
        let body = BackupBody { database: "lucid".into(), ..BackupBody::default() };
        let [finished, open] = [(); 2].map(|()| client.backup(&body).expect("accepted").job_id);
        client.cancel(&finished).expect("canceled");
        let schedule = ScheduleBody {
            kind: Some("backup".into()),
            cron: "0 2 * * *".into(),
            spec: json!({ "database": "lucid" }),
            ..ScheduleBody::default()
        };
        client.put_schedule("other", &schedule).expect("made");
        Self { folder, url, finished, open, fresh: AtomicU32::new(0), _runtime: runtime }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn finished_job(&self) -> &str {
        &self.finished
    }

    pub fn open_job(&self) -> &str {
        &self.open
    }

    /// A repository as an argument: the one with backups, or one that isn't there yet.
    pub fn repository(&self, new: bool) -> String {
        let place = if new { self.new_path("repository") } else { self.folder.path().join("repository") };
        format!("main=file://{}", place.display())
    }

    pub fn key_file(&self) -> String {
        self.folder.path().join("key").display().to_string()
    }

    pub fn new_key_file(&self) -> String {
        self.new_path("key").display().to_string()
    }

    fn new_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}-{}", self.fresh.fetch_add(1, Ordering::Relaxed)))
    }
}

async fn begin(listener: TcpListener) {
    let store = Arc::new(MemoryStore::new());
    let name = RepositoryName { name: "main".into(), id: "id-of-main".into() };
    store.bind_repository(&name).await.expect("bound");
    let token = Token::new(Zeroizing::new(TOKEN.into()), "token".into());
    let state = ApiState {
        store: store.clone(),
        alerts: store.clone(),
        archive: store.clone(),
        tokens: store.clone(),
        schedules: store.clone(),
        history: store,
        catalog: Arc::new(OneDatabase),
        streams: Streams::default(),
        problems: Problems::default(),
        options: ApiOptions::new("here".into(), "lucid_ops".into(), token),
    };
    listener.set_nonblocking(true).expect("as servers want it");
    tokio::spawn(serve(listener, state, None, CancellationToken::new()));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a golden repository") {
        let (entry, to) = (entry.expect("an entry"), to.to_owned());
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}
