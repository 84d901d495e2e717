//! `lucid-ops bootstrap`: from empty members to a set that services can use, whoever does it, and whatever happens to him.

use crate::support::{
    users::{self, bootstrap, command, done, members, variables},
    world::scratch,
};
use bson::{Bson, Document, doc};
use lucid_embedded::{Deployment, Options};
use lucid_schemas::{
    collections::{indexes, validators},
    roles::Service,
};
use mongodb::Client;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::Output,
};
use tempfile::TempDir;

async fn empty(members: usize) -> (TempDir, Deployment) {
    let dir = scratch();
    let options = Options::new(dir.path().join("mongod")).members(members);
    let deployment = Deployment::start_unfounded(options).await.expect("members start");
    (dir, deployment)
}

/// All that a bootstrap makes, as far as it doesn't differ from set to set.
#[derive(Debug, PartialEq)]
struct Made {
    hosts: Vec<String>,
    users: Vec<Document>,
    roles: Vec<Document>,
    definitions: BTreeSet<String>,
}

async fn made(client: &Client) -> Made {
    let admin = client.database("admin");
    let ask = async |command: Document| admin.run_command(command).await.expect("answered");
    let config = ask(doc! { "replSetGetConfig": 1 }).await;
    let members = config.get_document("config").expect("a config").get_array("members").expect("members").clone();
    let host = |member: &Bson| member.as_document().expect("a member").get_str("host").expect("a host").to_owned();
    let list = |answer: Document, field: &str, kept: &[&str]| -> Vec<Document> {
        let all = answer.get_array(field).expect("a list").iter().map(|each| each.as_document().expect("a document"));
        all.map(|each| each.clone().into_iter().filter(|(name, _)| kept.contains(&name.as_str())).collect()).collect()
    };
    let users = list(ask(doc! { "usersInfo": 1 }).await, "users", &["user", "roles", "mechanisms"]);
    let roles =
        list(ask(doc! { "rolesInfo": 1, "showPrivileges": true }).await, "roles", &["role", "privileges", "roles"]);
    let ops = client.database("lucid_ops");
    let mut definitions = BTreeSet::new();
    for name in ops.list_collection_names().await.expect("listed") {
        if !name.starts_with("system.") && name != "ops_events" {
            let found = ops.collection::<Document>(&name).list_index_names().await.expect("listed");
            definitions.extend(found.into_iter().map(|index| format!("{name}.{index}")));
        }
        definitions.insert(name);
    }
    Made { hosts: members.iter().map(host).collect(), users, roles, definitions }
}

/// So many changes of users, roles and the engine's collections the oplog holds.
async fn changes(client: &Client) -> u64 {
    let oplog = client.database("local").collection::<Document>("oplog.rs");
    let ours = doc! { "op": { "$ne": "n" }, "ns": { "$regex": "^(admin|lucid_ops)\\." } };
    oplog.count_documents(ours).await.expect("counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_at_once_make_one_set_and_again_nothing_changes() {
    let (_dir, mut deployment) = empty(3).await;
    let (told, secrets) = (members(&mut deployment), variables(&deployment));
    let children: Vec<_> = (0..3).map(|_| command(&told, &secrets).spawn().expect("it starts")).collect();
    let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect();
    for output in &outputs {
        done(output);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(secrets.iter().all(|(_, secret)| !said.contains(secret)), "a password is told: {said}");
    }
    deployment.settle().await.expect("one set of three");
    let client = deployment.client().expect("a client");
    let first = made(&client).await;
    assert_eq!(first.hosts.join(","), told);
    let names = |documents: &[Document], field: &str| -> BTreeSet<String> {
        documents.iter().map(|each| each.get_str(field).expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&first.roles, "role"), Service::ALL.map(|service| service.role().to_owned()).into());
    let users = Service::ALL.map(|service| service.user().to_owned()).into_iter().chain(["lucid".into()]).collect();
    assert_eq!(names(&first.users, "user"), users);
    for definition in validators() {
        assert!(first.definitions.contains(definition.collection), "{} is missing", definition.collection);
    }
    for index in indexes() {
        let name = format!("{}.{}", index.collection, index.index.get_str("name").expect("a name"));
        assert!(first.definitions.contains(&name), "{name} is missing");
    }
    for service in Service::ALL {
        let client = Client::with_uri_str(users::uri(&told, service)).await.expect("a client");
        client.database("admin").run_command(doc! { "ping": 1 }).await.expect("each service logs in");
    }

    let before = changes(&client).await;
    let said = bootstrap(&mut deployment);
    assert_eq!(said["changed"], false, "{said}");
    assert_eq!(changes(&client).await, before, "nothing is written the second time");
    assert_eq!(made(&client).await, first);
    deployment.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_and_repeated_it_is_the_same() {
    let (_dir, mut deployment) = empty(2).await;
    let (told, secrets) = (members(&mut deployment), variables(&deployment));
    // Each run is killed right after the first step that it has made itself; the last one has nothing left to make.
    let mut kills = Vec::new();
    loop {
        let mut child = command(&told, &secrets).spawn().expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let step = lines.map_while(Result::ok).find(|line| line.starts_with("made") || line.starts_with("changed"));
        let Some(step) = step else {
            assert!(child.wait().expect("it ends").success());
            break;
        };
        child.kill().expect("kill -9");
        child.wait().expect("it ended");
        assert!(!kills.contains(&step), "made again: {step}, after {kills:?}");
        kills.push(step);
    }
    assert!(kills.len() >= 8, "killed too seldom: {kills:?}");
    let of = |what: &str| kills.iter().any(|step| step.contains(what));
    assert!(of("replica set") && of("administrator") && of("member") && of("role") && of("user"), "{kills:?}");
    deployment.settle().await.expect("one set of two");
    let (_other_dir, mut other) = empty(2).await;
    bootstrap(&mut other);
    let mut whole = made(&other.client().expect("a client")).await;
    whole.hosts = told.split(',').map(str::to_owned).collect();
    assert_eq!(made(&deployment.client().expect("a client")).await, whole);
    deployment.stop().await.expect("stopped");
    other.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_is_set_right_and_only_that() {
    let (_dir, mut deployment) = empty(1).await;
    bootstrap(&mut deployment);
    let (told, mut secrets) = (members(&mut deployment), variables(&deployment));
    let admin = deployment.client().expect("a client").database("admin");
    // Another password, a role too many, a privilege too few.
    for (name, secret) in &mut secrets {
        if name == Service::Api.password_variable() {
            "another".clone_into(secret);
        }
    }
    let more = doc! { "grantRolesToUser": Service::Monitor.user(), "roles": ["root"] };
    admin.run_command(more).await.expect("granted");
    let fewer = doc! { "revokePrivilegesFromRole": Service::Worker.role(),
    "privileges": [{ "resource": { "db": "", "collection": "" }, "actions": ["find"] }] };
    admin.run_command(fewer).await.expect("revoked");
    let said = done(&command(&told, &secrets).output().expect("it runs"));
    let steps = said["steps"].as_array().expect("steps").iter();
    let changed: Vec<&str> =
        steps.filter(|step| step["did"] == "changed").map(|step| step["what"].as_str().expect("text")).collect();
    assert_eq!(changed, ["role lucid_ops_worker", "user lucid_api", "user lucid_monitor"]);
    let password = "another".to_owned();
    let uri = format!("mongodb://{}:{password}@{told}/?replicaSet=rs0&authSource=admin", Service::Api.user());
    let api = Client::with_uri_str(uri).await.expect("a client");
    api.database("admin").run_command(doc! { "ping": 1 }).await.expect("the new password holds");
    assert_eq!(done(&command(&told, &secrets).output().expect("it runs"))["changed"], false);

    // The administrator's own, which takes the one before.
    let old = std::mem::replace(&mut secrets[0].1, "newer".into());
    let refused = command(&told, &secrets).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("MONGO_INITDB_ROOT_PASSWORD_OLD"), "it says what to do");
    secrets.push(("MONGO_INITDB_ROOT_PASSWORD_OLD".into(), old));
    assert_eq!(done(&command(&told, &secrets).output().expect("it runs"))["changed"], true);
    assert_eq!(done(&command(&told, &secrets).output().expect("it runs"))["changed"], false);
    deployment.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_another_than_told_is_left_alone() {
    let (_dir, mut deployment) = empty(2).await;
    bootstrap(&mut deployment);
    let (told, secrets) = (members(&mut deployment), variables(&deployment));
    let client = deployment.client().expect("a client");
    let before = (made(&client).await, changes(&client).await);
    let refused = |members: &str, more: &[&str], expected: &str| {
        let output = command(members, &secrets).args(more).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    let (first, second) = told.split_once(',').expect("two");
    refused(first, &[], &format!("members that weren't told: {second}"));
    refused(&told, &["--replica-set", "rs1"], "belongs to the replica set 'rs0', not 'rs1'");
    let (_lone_dir, mut lone) = empty(1).await;
    bootstrap(&mut lone);
    let both = format!("{told},{}", members(&mut lone));
    refused(&both, &[], "two sets, both called 'rs0'");
    let options = Options::standalone(scratch().keep());
    let path = options.dir.clone();
    let mut standalone = Deployment::start(options).await.expect("started");
    refused(&members(&mut standalone), &[], "without a replica set: start it with --replSet rs0");
    assert_eq!((made(&client).await, changes(&client).await), before, "nothing was changed");
    // Nobody answers: it says who, within its bound.
    let silent = command("127.0.0.1:1", &secrets).args(["--within", "2"]).output().expect("it runs");
    assert_eq!(silent.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&silent.stderr).contains("127.0.0.1:1 isn't there yet"), "it names who is silent");
    for deployment in [deployment, lone, standalone] {
        deployment.stop().await.expect("stopped");
    }
    std::fs::remove_dir_all(path).expect("removed");
}
