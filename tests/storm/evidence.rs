//! The judgement over what jobs have left in the world: manifests and chunks in the repository, documents in databases,
//! words in logs.

use super::{
    check::{Broken, last_restores},
    fleet::{far_key_file, far_path},
};
use crate::support::{World, process::run};
use lucid_repository::{Location, ManifestEntry, Repository, Unlock, VerifyLevel};
use lucid_schemas::{Job, Kind, Spec, State, names::STAGING_PREFIX};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Of so many backups one is read to its last byte.
const SAMPLE: usize = 10;

/// What the repository has to answer for.
#[derive(Debug, Default)]
pub struct Stored {
    pub broken: Vec<Broken>,
    /// Manifests that no succeeded job names.
    pub void: usize,
    /// Backups that were proven.
    pub proven: usize,
    /// Jobs whose backups were forgotten, as they or the repository say.
    pub forgotten: BTreeSet<String>,
}

/// Each succeeded backup is there, whole, and nothing is listed that no job explains.
pub async fn repository(world: &World, jobs: &[Job]) -> Stored {
    let location = Location::folder(&world.repository_path()).expect("a location");
    let repository = Repository::open(&location, &Unlock::KeyFile(PathBuf::from(world.key_file()))).await;
    let repository = repository.expect("the repository opens");
    let listed = repository.manifests().await.expect("the repository lists its backups");
    let mut stored = Stored { broken: told_by_the_cli(world, &listed), ..Stored::default() };
    let mut named = BTreeSet::new();
    for job in jobs.iter().filter(|job| job.kind() == Kind::Backup && job.head.state == State::Succeeded) {
        let id = job.id().as_str();
        let manifest = job.head.result.as_ref().and_then(|result| result.get_document("manifest").ok());
        let key = manifest.and_then(|manifest| manifest.get_str("key").ok()).unwrap_or_default();
        named.insert(key.to_owned());
        let Some(entry) = listed.iter().find(|entry| entry.key == key) else {
            // The next prune notes it in the job, where the worker that forgot it had no time for that.
            if job.fate.is_some() || matches!(repository.forgotten(key).await, Ok(Some(_))) {
                stored.forgotten.insert(id.to_owned());
                continue;
            }
            stored.broken.push(Broken::of(format!("the manifest of {id} isn't in the repository"), &[id]));
            continue;
        };
        let level = if stored.proven.is_multiple_of(SAMPLE) { VerifyLevel::Data } else { VerifyLevel::Structure };
        if let Err(problem) = prove(&repository, entry, level).await {
            stored.broken.push(Broken::of(format!("the backup {id} isn't whole: {problem}"), &[id]));
        }
        stored.proven += 1;
    }
    for entry in listed.iter().filter(|entry| !named.contains(&entry.key)) {
        stored.void += 1;
        let job = jobs.iter().find(|job| job.id().as_str() == entry.job);
        // Only a worker that was lost past its point of no return leaves one behind.
        if !job.is_some_and(|job| entry.epoch <= job.head.epoch && job.head.epoch > 1) {
            let what = format!("the repository lists {}, which no job explains", entry.key);
            stored.broken.push(Broken::of(what, &[&entry.job]));
        }
    }
    stored
}

/// Each backup whose copy succeeded is there, too, and whole.
pub async fn copies(world: &World, jobs: &[Job]) -> Vec<Broken> {
    let copied = |job: &&Job| job.kind() == Kind::Copy && job.head.state == State::Succeeded;
    let backups: BTreeSet<&str> =
        jobs.iter().filter(copied).filter_map(|job| Some(job.request.spec.backup()?.as_str())).collect();
    if backups.is_empty() {
        return Vec::new();
    }
    let location = Location::folder(&far_path(world)).expect("a location");
    let repository = Repository::open(&location, &Unlock::KeyFile(PathBuf::from(far_key_file(world)))).await;
    let repository = repository.expect("the repository opens");
    let mut broken = Vec::new();
    for id in backups {
        let found = repository.manifests_of(id).await.expect("the repository lists its backups");
        let proven = match found.first() {
            Some(entry) => prove(&repository, entry, VerifyLevel::Structure).await,
            None => Err("it isn't there".to_owned()),
        };
        if let Err(problem) = proven {
            broken.push(Broken::of(format!("the copy of {id} isn't whole: {problem}"), &[id]));
        }
    }
    broken
}

async fn prove(repository: &Repository, entry: &ManifestEntry, level: VerifyLevel) -> Result<(), String> {
    let manifest = entry.manifest.as_ref().map_err(ToString::to_string)?;
    let reader = repository.open_backup(manifest).await.map_err(|error| error.to_string())?;
    let findings = reader.verify(level, &|_| (), &|| false).await.map_err(|error| error.to_string())?;
    match findings.iter().find(|finding| finding.needed) {
        Some(finding) => Err(format!("{}: {}", finding.object, finding.problem)),
        None => Ok(()),
    }
}

/// `lucid-ops repo list` tells the same.
fn told_by_the_cli(world: &World, listed: &[ManifestEntry]) -> Vec<Broken> {
    let (repository, key_file) = (world.repository(), world.key_file());
    let told = run(&["repo", "list", "--json", "--repository", &repository, "--key-file", &key_file], &[]);
    let keys: BTreeSet<String> = String::from_utf8_lossy(&told.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["key"].as_str().map(str::to_owned))
        .collect();
    let there: BTreeSet<String> = listed.iter().map(|entry| entry.key.clone()).collect();
    if told.status.success() && keys == there {
        return Vec::new();
    }
    let missing: Vec<_> = keys.symmetric_difference(&there).collect();
    vec![Broken::of(format!("`repo list` ended with {} and differs in {missing:?}", told.status), &[])]
}

/// Each target holds what the last restore that succeeded has put there, and nothing besides.
pub async fn databases(world: &World, jobs: &[Job], targets: &[&str]) -> Vec<Broken> {
    let client = world.client();
    let mut broken = Vec::new();
    let sources: BTreeMap<&str, &str> = jobs.iter().filter_map(source).collect();
    for (target, (restore, backup)) in last_restores(jobs) {
        let id = restore.id().as_str();
        let Some(source) = sources.get(backup) else {
            broken.push(Broken::of(format!("{id} restored {backup}, which is no job"), &[id]));
            continue;
        };
        let differences = lucid_sample::compare(&client, source, target).await.expect("two databases");
        for difference in differences {
            broken.push(Broken::of(format!("{target} differs from {source} after {id}: {difference}"), &[id]));
        }
    }
    for target in targets {
        let names = client.database(target).list_collection_names().await.expect("names");
        let staging = names.iter().filter(|name| name.starts_with(STAGING_PREFIX));
        broken.extend(staging.map(|name| Broken::of(format!("{target}.{name} was left behind"), &[])));
    }
    broken
}

fn source(job: &Job) -> Option<(&str, &str)> {
    match &job.request.spec {
        Spec::Backup(spec) => Some((job.id().as_str(), spec.database.as_str())),
        Spec::Restore(_)
        | Spec::Verify(_)
        | Spec::Prune(_)
        | Spec::Copy(_)
        | Spec::Reencrypt(_)
        | Spec::Monitor(_)
        | Spec::Notify(_) => None,
    }
}

/// What the logs of the processes tell.
#[derive(Debug, Default)]
pub struct Told {
    pub broken: Vec<Broken>,
    pub reconnects: usize,
}

/// Reads the logs: a panic is a defect, whatever became of it.
pub fn logs(folder: &Path) -> Told {
    let mut told = Told::default();
    for entry in fs::read_dir(folder).expect("the logs").flatten() {
        let text = fs::read(entry.path()).unwrap_or_default();
        for line in String::from_utf8_lossy(&text).lines() {
            if line.contains("the change stream broke") {
                told.reconnects += 1;
            }
            if line.contains("panicked at") || line.contains("is a defect") {
                told.broken.push(Broken::of(format!("{}: {line}", entry.file_name().display()), &[]));
            }
        }
    }
    told
}
