//! Users of services in a set of tests: what `lucid-ops bootstrap` makes, and how each logs in.

use super::process::binary;
use bson::doc;
use lucid_embedded::Deployment;
use lucid_schemas::roles::Service;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// The members of a set as bootstrap takes them.
pub fn members(deployment: &mut Deployment) -> String {
    let all: Vec<String> = deployment.members().iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
    all.join(",")
}

/// The password of a service's user in every set of tests; with what a connection string must be written for.
pub fn password(service: Service) -> String {
    format!("{}:p@ss/w%rd", service.as_str())
}

/// The variables that bootstrap reads.
pub fn variables(deployment: &Deployment) -> Vec<(String, String)> {
    let administrator = deployment.administrator_password().expect("a set with authentication").to_owned();
    let mut all = vec![("MONGO_INITDB_ROOT_PASSWORD".to_owned(), administrator)];
    all.extend(Service::ALL.map(|service| (service.password_variable().to_owned(), password(service))));
    all
}

/// The connection string of a service, for members told as bootstrap takes them.
pub fn uri(members: &str, service: Service) -> String {
    let password = password(service).replace('%', "%25").replace(':', "%3A").replace('@', "%40").replace('/', "%2F");
    format!("mongodb://{}:{password}@{members}/?replicaSet=rs0&authSource=admin", service.user())
}

/// `lucid-ops bootstrap` for these members.
pub fn command(members: &str, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(binary("lucid-ops"));
    command.args(["bootstrap", "--members", members, "--json"]).envs(variables.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end, which must be a good one; what it says.
pub fn bootstrap(deployment: &mut Deployment) -> serde_json::Value {
    let members = members(deployment);
    done(&command(&members, &variables(deployment)).output().expect("it runs"))
}

/// What a bootstrap that ended well says.
pub fn done(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A user that is both kinds of workers.
const BOTH: &str = "lucid_both";

/// Users of a set whose logs tell what was refused to them.
pub struct Users {
    members: String,
    /// Each with how far it was read.
    logs: Vec<(PathBuf, usize)>,
}

impl Users {
    /// Makes them.
    pub async fn of(deployment: &mut Deployment) -> Self {
        bootstrap(deployment);
        let members = members(deployment);
        let roles = [Service::Worker.role(), Service::Restore.role()];
        let both = doc! { "createUser": BOTH, "pwd": BOTH, "roles": roles.as_slice() };
        let client = deployment.client().expect("a client");
        client.database("admin").run_command(both).await.expect("made");
        let logs = (0..deployment.members().len()).map(|member| (deployment.log(member), 0)).collect();
        let mut users = Self { members, logs };
        users.refused();
        users
    }

    /// The connection string of a service.
    pub fn uri(&self, service: Service) -> String {
        uri(&self.members, service)
    }

    /// That of a worker of every kind.
    pub fn uri_of_both(&self) -> String {
        format!("mongodb://{BOTH}:{BOTH}@{}/?replicaSet=rs0&authSource=admin", self.members)
    }

    /// What was refused since this was asked last.
    pub fn refused(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for (log, read) in &mut self.logs {
            let text = fs::read(&*log).unwrap_or_default();
            let new = String::from_utf8_lossy(text.get(*read..).unwrap_or_default()).into_owned();
            *read = text.len();
            let is_refusal =
                |line: &&str| line.contains("Checking authorization failed") || line.contains("not authorized on");
            all.extend(new.lines().filter(is_refusal).map(str::to_owned));
        }
        all
    }
}
