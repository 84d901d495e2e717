//! The world of one test.

use super::{
    process::{Process, run},
    users::Users,
};
use lucid_embedded::{Deployment, Options};
use lucid_schemas::{
    http::{EventList, JobView},
    roles::Service,
};
use mongodb::Client;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A lease that lets a test see a takeover without waiting half a minute.
pub const LEASE_MS: u64 = 3_000;

/// Set, every world has a user for each service, which may do nothing else than its role says.
const USERS: &str = "LUCID_TEST_USERS";

/// A replica set, a repository and a key, all its own.
pub struct World {
    pub deployment: Deployment,
    dir: TempDir,
    /// Where services have users of their own.
    users: Option<Users>,
}

impl World {
    /// Starts a replica set of so many members and makes a repository.
    pub async fn start(members: usize) -> Self {
        Self::start_with(|dir| Options::new(dir).members(members)).await
    }

    /// A replica set without a repository.
    pub async fn bare(options: impl FnOnce(PathBuf) -> Options) -> Self {
        let dir = scratch();
        let deployment = Deployment::start(options(dir.path().join("mongod"))).await.expect("a replica set starts");
        let mut world = Self { deployment, dir, users: None };
        if std::env::var_os(USERS).is_some() && world.deployment.administrator_password().is_some() {
            world.give_users().await;
        }
        world
    }

    /// Gives each service a user of its own; from now on the services of this world log in with them, and whatever is refused to one of
    /// them fails the test.
    pub async fn give_users(&mut self) {
        self.users = Some(Users::of(&mut self.deployment).await);
    }

    /// The connection string of a service.
    pub fn uri_of(&self, service: Service) -> String {
        self.users.as_ref().map_or_else(|| self.uri(), |users| users.uri(service))
    }

    /// What was refused until now, since the users were made or this was asked last.
    pub fn refused(&mut self) -> Vec<String> {
        self.users.as_mut().map(Users::refused).unwrap_or_default()
    }

    /// The same with other options.
    pub async fn start_with(options: impl FnOnce(PathBuf) -> Options) -> Self {
        let world = Self::bare(options).await;
        world.init_repository(&world.repository());
        world
    }

    /// Makes a repository, and a key where there is none.
    pub fn init_repository(&self, repository: &str) {
        let made = run(&["repo", "init", "--repository", repository, "--key-file", &self.key_file()], &[]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn uri(&self) -> String {
        self.deployment.uri()
    }

    pub fn client(&self) -> Client {
        self.deployment.client().expect("a client")
    }

    /// `main=file:///...`
    pub fn repository(&self) -> String {
        format!("main=file://{}", self.repository_path().display())
    }

    pub fn repository_path(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    pub fn key_file(&self) -> String {
        self.dir.path().join("key").display().to_string()
    }

    /// Where the APIs of this world keep their token.
    pub fn token_file(&self) -> String {
        self.dir.path().join("token").display().to_string()
    }

    /// An API process on any free port, and its address.
    pub fn api(&self) -> (Process, Api) {
        self.api_at("127.0.0.1:0")
    }

    /// An API process at this address.
    pub fn api_at(&self, address: &str) -> (Process, Api) {
        self.api_with(&["--listen", address])
    }

    /// An API process with these arguments.
    pub fn api_with(&self, more: &[&str]) -> (Process, Api) {
        let token_file = self.token_file();
        let mut process =
            Process::start(&[&["api", "--token-file", &token_file], more].concat(), &self.uri_of(Service::Api));
        let url = process.await_line("listening on ");
        (process, Api::new(url, &token_file))
    }

    /// A worker process with a short lease, ready, and its name. It runs jobs of all kinds, so it has the rights of both kinds of workers.
    pub fn worker(&self, more: &[&str]) -> (Process, String) {
        self.worker_at(&self.uri_of_both(), more)
    }

    /// A worker with the user of this service.
    pub fn worker_of(&self, service: Service, more: &[&str]) -> (Process, String) {
        self.worker_at(&self.uri_of(service), more)
    }

    /// A worker whose connections the server knows by this application name.
    pub fn worker_called(&self, app_name: &str) -> (Process, String) {
        self.worker_at(&format!("{}&appName={app_name}", self.uri_of_both()), &[])
    }

    fn uri_of_both(&self) -> String {
        self.users.as_ref().map_or_else(|| self.uri(), Users::uri_of_both)
    }

    fn worker_at(&self, uri: &str, more: &[&str]) -> (Process, String) {
        let (repository, key_file) = (self.repository(), self.key_file());
        let lease_ms = LEASE_MS.to_string();
        let mut arguments =
            vec!["worker", "--repository", &repository, "--key-file", &key_file, "--lease-ms", &lease_ms];
        arguments.extend(more);
        let mut process = Process::start(&arguments, uri);
        let name = process.await_line("worker ");
        (process, name.trim_end_matches(" is ready").to_owned())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let refused = self.refused();
        if std::thread::panicking() {
            eprintln!("refused to services: {refused:#?}");
        } else {
            assert!(refused.is_empty(), "refused to a service: {refused:#?}");
        }
    }
}

/// A folder below the one of this test run.
pub fn scratch() -> TempDir {
    let base = std::env::var_os("LUCID_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new().prefix("world-").tempdir_in(base).expect("a folder")
}

/// An API as a client sees it: status and JSON. He has the token, and shows it where something is to be done.
#[derive(Clone, Default)]
pub struct Api {
    pub url: String,
    token_file: String,
    token: Option<String>,
}

impl Api {
    /// The API at this address, which keeps its token there.
    pub fn new(url: String, token_file: &str) -> Self {
        let token = std::fs::read_to_string(token_file).expect("an API that listens has a token");
        Self { url, token_file: token_file.to_owned(), token: Some(token.trim().to_owned()) }
    }

    /// A service at this address that is only read.
    pub fn to_read(url: String) -> Self {
        Self { url, ..Self::default() }
    }

    /// Runs a verb of the command line that calls it.
    pub fn verb(&self, arguments: &[&str]) -> Output {
        run(arguments, &[("LUCID_API", &self.url), ("LUCID_TOKEN_FILE", &self.token_file)])
    }

    /// The same for somebody who has no token.
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// One request; any status is an answer.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.call_with(method, path, body, &[])
    }

    /// The same with headers.
    pub fn call_with(&self, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> (u16, Value) {
        self.try_call(method, path, body, headers, None).expect("the API answers")
    }

    /// The same where the API may be dead, or silent for `patience`: an error leaves open what became of the request.
    pub fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
        patience: Option<Duration>,
    ) -> Result<(u16, Value), ureq::Error> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(patience);
        let agent: ureq::Agent = config.build().into();
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let shown = self.token.iter().filter(|_| method != "GET").map(|token| format!("Bearer {token}"));
        let request = shown.fold(request, |request, token| request.header("authorization", token));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = match body {
            Some(body) => {
                agent.run(request.header("content-type", "application/json").body(body.to_string()).expect("a request"))
            }
            None => agent.run(request.body(()).expect("a request")),
        };
        let mut answer = answer?;
        let text = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None)
    }

    /// Asks for a job that must be accepted.
    pub fn accepted(&self, path: &str, body: &Value) -> String {
        let (status, answer) = self.call("POST", path, Some(body));
        assert_eq!(status, 202, "{answer}");
        answer["job_id"].as_str().expect("a job id").to_owned()
    }

    pub fn job(&self, id: &str) -> JobView {
        let (status, answer) = self.get(&format!("/jobs/{id}"));
        assert_eq!(status, 200, "{answer}");
        serde_json::from_value(answer).expect("a job")
    }

    pub fn events(&self, id: &str) -> EventList {
        let (status, answer) = self.get(&format!("/jobs/{id}/events"));
        assert_eq!(status, 200, "{answer}");
        serde_json::from_value(answer).expect("events")
    }

    /// Waits until the job is as wanted.
    pub async fn await_job(&self, id: &str, within: Duration, wanted: impl Fn(&JobView) -> bool) -> JobView {
        let begun = Instant::now();
        loop {
            let job = self.job(id);
            if wanted(&job) {
                return job;
            }
            assert!(begun.elapsed() < within, "still not as wanted: {job:#?}\n{:#?}", self.events(id));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the end, which must be a good one.
    pub async fn succeeded(&self, id: &str) -> JobView {
        let ended = self
            .await_job(id, Duration::from_secs(120), |job| {
                matches!(job.state.as_str(), "succeeded" | "failed" | "canceled" | "blocked")
            })
            .await;
        assert_eq!(ended.state, "succeeded", "{ended:#?}");
        ended
    }
}
