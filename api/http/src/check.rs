//! What is checked before there is a job. Handlers check again when they run: these are the early, friendly answers.

use crate::{ApiError, ApiState, Caller, body::shortened, lookup};
use bson::Document;
use lucid_ports::JobFilter;
use lucid_schemas::{
    BackupSpec, FieldError, Job, Kind, ManifestName, RepositoryName, RestoreSpec, Spec, State, names::STAGING_PREFIX,
};

/// Blocked restores are rare.
const BLOCKED_LOOKED_AT: u32 = 100;

/// Checks a backup, and finds the repository that it goes to.
pub(crate) async fn backup(state: &ApiState, spec: &BackupSpec, repository: &str) -> Result<RepositoryName, ApiError> {
    let mut errors = Spec::Backup(spec.clone()).check(&state.options.ops_database);
    // A name that the server wouldn't take isn't sent to it.
    if !errors.iter().any(|error| error.field == "database") {
        errors.extend(missing_sources(state, spec, &errors).await?);
    }
    with_repository(state, errors, repository).await
}

/// Checks what needs nothing but a repository, and finds that.
pub(crate) async fn repository(state: &ApiState, spec: &Spec, repository: &str) -> Result<RepositoryName, ApiError> {
    with_repository(state, spec.check(&state.options.ops_database), repository).await
}

/// Finds the repository that a field names.
pub(crate) async fn named(state: &ApiState, field: &str, name: &str) -> Result<RepositoryName, ApiError> {
    let known = state.store.repositories().await?;
    let found = known.iter().find(|known| known.name == name).cloned();
    found.ok_or_else(|| ApiError::field(field, unknown_repository(name, &known)))
}

async fn with_repository(
    state: &ApiState,
    mut errors: Vec<FieldError>,
    repository: &str,
) -> Result<RepositoryName, ApiError> {
    let known = state.store.repositories().await?;
    match known.iter().find(|known| known.name == repository) {
        Some(found) if errors.is_empty() => return Ok(found.clone()),
        Some(_) => {}
        None => errors.push(FieldError::new("repository", unknown_repository(repository, &known))),
    }
    Err(ApiError::Invalid(errors))
}

async fn missing_sources(
    state: &ApiState,
    spec: &BackupSpec,
    known_errors: &[FieldError],
) -> Result<Vec<FieldError>, ApiError> {
    let mut there = state.catalog.collections(&spec.database).await?;
    there.retain(|name| !name.starts_with(STAGING_PREFIX));
    if there.is_empty() {
        let problem = format!("there is no database '{}', or it is empty", spec.database);
        return Ok(vec![FieldError::new("database", problem)]);
    }
    let wanted = spec.collections.as_deref().unwrap_or_default();
    let mut errors = missing(wanted, &there, &format!("is no collection of '{}'", spec.database));
    errors.retain(|error| known_errors.iter().all(|known| known.field != error.field));
    Ok(errors)
}

fn missing(wanted: &[String], there: &[String], problem: &str) -> Vec<FieldError> {
    let absent = wanted.iter().enumerate().filter(|(_, name)| !there.contains(name));
    absent
        .map(|(place, name)| {
            FieldError::new(format!("collections[{place}]"), format!("'{}' {problem}", shortened(name)))
        })
        .collect()
}

pub(crate) fn unknown_repository(name: &str, known: &[RepositoryName]) -> String {
    let names: Vec<_> = known.iter().map(|repository| repository.name.as_str()).collect();
    let advice = if names.is_empty() {
        "none is known yet: start a worker with --repository NAME=URL".into()
    } else {
        format!("known: {}", names.join(", "))
    };
    format!("there is no repository '{}'; {advice}", shortened(name))
}

/// Whether a restore into this database is stuck halfway: then another one would only wait for it.
async fn not_blocked(state: &ApiState, database: &str) -> Result<(), ApiError> {
    let filter = JobFilter {
        kind: Some(Kind::Restore),
        states: vec![State::Blocked],
        limit: BLOCKED_LOOKED_AT,
        ..JobFilter::default()
    };
    let blocked = state.store.list(&filter).await?.jobs;
    let there = blocked.iter().find(|job| job.request.spec.database().is_some_and(|other| other == database));
    there.map_or(Ok(()), |job| {
        Err(ApiError::Excluded(format!(
            "{0} is blocked halfway into '{database}': let it go on (`lucid-ops jobs resume {0}`), or give it up \
             (`lucid-ops jobs give-up {0}`)",
            job.id()
        )))
    })
}

/// Checks a restore.
pub(crate) async fn restore(state: &ApiState, spec: &RestoreSpec, source: &Source) -> Result<(), ApiError> {
    if !spec.dry_run {
        not_blocked(state, &spec.database).await?;
    }
    let mut errors = Spec::Restore(spec.clone()).check(&state.options.ops_database);
    let database_is_fine = !errors.iter().any(|error| error.field == "database");
    if let (Some(wanted), Some(listed)) = (&spec.collections, source.collections()) {
        let absent = missing(wanted, &listed, &format!("is not in {}", source.job.id()));
        let new = absent.into_iter().filter(|error| errors.iter().all(|known| known.field != error.field));
        errors.extend(new.collect::<Vec<_>>());
    }
    // Not even into a database without colliding names: whoever restores there must say that he knows it exists.
    if database_is_fine && !spec.replace {
        let there = state.catalog.collections(&spec.database).await?;
        if there.iter().any(|name| !name.starts_with(STAGING_PREFIX)) {
            let problem = format!(
                "'{}' exists; pass replace: true (--replace) to replace its collections of the same names, or name another \
                 database (--to)",
                spec.database
            );
            errors.push(FieldError::new("database", problem));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(errors)) }
}

/// A backup that a restore or a verification is about.
pub(crate) struct Source {
    pub(crate) job: Job,
    pub(crate) manifest: ManifestName,
    pub(crate) database: String,
    pub(crate) repository: RepositoryName,
}

/// A backup that was made, or one that may still be.
pub(crate) enum Found {
    Made(Source),
    Open(Job, RepositoryName),
}

impl Source {
    /// The backup with this id or prefix; only one that succeeded will do.
    pub(crate) async fn find(state: &ApiState, caller: &Caller, given: &str) -> Result<Self, ApiError> {
        Self::of(look_up(state, caller, given).await?)
    }

    /// The same, or one that is still open.
    pub(crate) async fn find_or_open(state: &ApiState, caller: &Caller, given: &str) -> Result<Found, ApiError> {
        let job = look_up(state, caller, given).await?;
        match &job.request.requires.repository {
            Some(repository) if !job.head.state.is_terminal() => {
                let repository = repository.clone();
                Ok(Found::Open(job, repository))
            }
            _ => Self::of(job).map(Found::Made),
        }
    }

    fn of(job: Job) -> Result<Self, ApiError> {
        if job.head.state != State::Succeeded {
            let problem = format!("{} is {}: only a backup that succeeded will do", job.id(), job.head.state);
            return Err(ApiError::field("backup", problem));
        }
        if let Some(fate) = &job.fate {
            return Err(ApiError::Gone(format!("the backup {} is no more: {fate}", job.id())));
        }
        let database = job.request.spec.database().cloned();
        let manifest = job.head.result.as_ref().and_then(manifest);
        match (manifest, database, job.request.requires.repository.clone()) {
            (Some(manifest), Some(database), Some(repository)) => Ok(Self { job, manifest, database, repository }),
            _ => {
                Err(ApiError::field("backup", format!("the result of {} names no manifest in a repository", job.id())))
            }
        }
    }

    /// The names of everything in the backup; `None` where its result doesn't list all of them.
    fn collections(&self) -> Option<Vec<String>> {
        let result = self.job.head.result.as_ref()?;
        let listed = result.get_array("collection_names").ok()?;
        let count = |field| result.get_i32(field).ok().and_then(|count| usize::try_from(count).ok());
        let whole = count("collections")? + count("views").unwrap_or(0);
        let names: Vec<_> = listed.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        (names.len() == whole).then_some(names)
    }
}

async fn look_up(state: &ApiState, caller: &Caller, given: &str) -> Result<Job, ApiError> {
    match lookup::job(state, caller, given, Some(Kind::Backup)).await {
        Err(ApiError::NotFound(problem)) => {
            let advice = "if the history was lost, 'lucid-ops repo list' shows what a repository still holds";
            Err(ApiError::field("backup", format!("{problem}; {advice}")))
        }
        Err(error @ ApiError::Ambiguous { .. }) => Err(ApiError::field("backup", error.to_string())),
        found => found,
    }
}

fn manifest(result: &Document) -> Option<ManifestName> {
    let named = result.get_document("manifest").ok()?;
    let text = |field| named.get_str(field).ok().map(str::to_owned);
    Some(ManifestName { key: text("key")?, hash: text("hash")? })
}
