//! Reads a backup back and proves that it is whole.

use crate::{
    Environment,
    error::{Error, Result},
    progress::Meter,
};
use async_trait::async_trait;
use bson::{Document, doc};
use lucid_ports::{Ending, Handler, JobContext, JobError};
use lucid_repository::{Damage, Finding, Manifest, Repository, RepositoryError, VerifyLevel};
use lucid_schemas::{EventBody, Job, Kind, ManifestName, Spec, VerifySpec};
use std::sync::Arc;

/// Findings that are kept; the count tells of all.
const FINDINGS_KEPT_MAX: usize = 10_000;
const FINDINGS_TOLD_MAX: usize = 5;

/// Runs verify jobs.
#[derive(Debug)]
pub struct VerifyHandler {
    environment: Arc<Environment>,
}

impl VerifyHandler {
    /// A handler in this environment.
    pub fn new(environment: Arc<Environment>) -> Self {
        Self { environment }
    }

    async fn verify(&self, context: &dyn JobContext) -> Result<Document> {
        let job = context.job();
        let Spec::Verify(spec) = &job.request.spec else {
            return Err(Error::refused("wrong_kind", "the job is no verification"));
        };
        let (_, repository) = self.environment.repository(&job.request)?;
        let (manifest, findings) = examine(context, repository, spec).await?;
        if !findings.is_empty() {
            context.put_detail("findings", kept(&findings)).await?;
            return Err(damaged(&findings));
        }
        let Some(manifest) = manifest else {
            return Err(Error::refused("backup_damaged", "the manifest can't be read"));
        };
        let sum = |field: fn(&lucid_repository::CollectionEntry) -> u64| {
            let total = manifest.collections.iter().map(field).fold(0, u64::saturating_add);
            i64::try_from(total).unwrap_or(i64::MAX)
        };
        Ok(doc! {
            "level": level_word(spec.level),
            "backup": spec.backup.as_str(),
            "database": &manifest.database,
            "collections": i32::try_from(manifest.collections.len()).unwrap_or(i32::MAX),
            "documents": sum(|entry| entry.content.documents),
            "bytes": sum(|entry| entry.content.raw_bytes),
            "findings": 0,
        })
    }
}

#[async_trait]
impl Handler for VerifyHandler {
    fn kind(&self) -> Kind {
        Kind::Verify
    }

    async fn run(&self, context: &dyn JobContext) -> std::result::Result<Document, JobError> {
        Ok(self.verify(context).await?)
    }

    async fn abandon(&self, _: &dyn JobContext, _: Ending) {
        // It only reads.
    }
}

async fn examine(
    context: &dyn JobContext,
    repository: &Repository,
    spec: &VerifySpec,
) -> Result<(Option<Manifest>, Vec<Finding>)> {
    let Some(named) = spec.manifest.clone().or_else(|| handed(&context.job())) else {
        return Err(Error::refused("manifest_unnamed", format!("nothing names the manifest of {}", spec.backup)));
    };
    let manifest = match read_manifest(repository, &named, spec.backup.as_str()).await {
        Ok(manifest) => manifest,
        Err(Error::Repository(error)) => return found_by(error).map(|finding| (None, vec![finding])),
        Err(error) => return Err(error),
    };
    let level = match spec.level {
        lucid_schemas::VerifyLevel::Structure => VerifyLevel::Structure,
        lucid_schemas::VerifyLevel::Data => VerifyLevel::Data,
    };
    match prove(context, repository, &manifest, level).await {
        Ok(findings) => Ok((Some(manifest), findings)),
        Err(Error::Repository(error)) => found_by(error).map(|finding| (Some(manifest), vec![finding])),
        Err(error) => Err(error),
    }
}

/// Damage that keeps the examination from going on is a finding like any other.
fn found_by(error: RepositoryError) -> Result<Finding> {
    let Some(Damage { object, problem }) = error.damage() else {
        return Err(error.into());
    };
    Ok(Finding { object, collection: None, problem, lost_documents: None, needed: true })
}

/// The manifest of a backup that was made after this job was asked for.
fn handed(job: &Job) -> Option<ManifestName> {
    job.events.iter().find_map(|event| match &event.body {
        EventBody::DependencyMet { result: Some(result), .. } => {
            let manifest = result.get_document("manifest").ok()?;
            bson::deserialize_from_document(manifest.clone()).ok()
        }
        _ => None,
    })
}

/// Reads the manifest that a spec names: this key, this hash, this job.
pub(crate) async fn read_manifest(repository: &Repository, name: &ManifestName, backup: &str) -> Result<Manifest> {
    let (manifest, reference) = repository.read_manifest(&name.key).await?;
    if reference.hash != name.hash || manifest.job != backup {
        return Err(RepositoryError::Damaged {
            object: name.key.clone(),
            problem: "it isn't the manifest that the backup's job has named".into(),
        }
        .into());
    }
    Ok(manifest)
}

/// Verifies a backup with progress, until stopped.
pub(crate) async fn prove(
    context: &dyn JobContext,
    repository: &Repository,
    manifest: &Manifest,
    level: VerifyLevel,
) -> Result<Vec<Finding>> {
    let meter = Meter::new(context);
    meter.phase("verify", 0);
    let reader = repository.open_backup(manifest).await?;
    let stop = context.stop().clone();
    let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let findings = reader
        .verify(level, &|progress| meter.set(bytes(progress.bytes_done), bytes(progress.bytes_total)), &move || {
            stop.is_cancelled()
        })
        .await?;
    Ok(findings)
}

/// The error of a backup that isn't whole.
pub(crate) fn damaged(findings: &[Finding]) -> Error {
    let told: Vec<String> = findings.iter().take(FINDINGS_TOLD_MAX).map(tell).collect();
    let more = match findings.len().saturating_sub(FINDINGS_TOLD_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Error::refused("backup_damaged", format!("the backup is damaged: {}{more}; {}", told.join("; "), remedy(findings)))
}

/// What to do. A pack that is only unlisted must stay where it is.
fn remedy(findings: &[Finding]) -> String {
    let in_the_way = findings.iter().filter(|finding| finding.is_in_the_way());
    let mut objects: Vec<&str> = in_the_way.map(|finding| finding.object.as_str()).collect();
    objects.sort_unstable();
    objects.dedup();
    let others = if objects.len() > 1 { " and each other damaged pack and index object" } else { "" };
    match objects.last() {
        Some(object) => format!(
            "move {object}{others} out of the repository and back up again: what the source still has is stored anew; \
             until then use another backup"
        ),
        None => "back up again: what the source still has is stored anew; until then use another backup".into(),
    }
}

fn tell(finding: &Finding) -> String {
    let collection = finding.collection.as_ref().map_or_else(String::new, |name| format!(" (collection '{name}')"));
    let lost = finding.lost_documents.map_or_else(String::new, |lost| format!(", {lost} documents lost"));
    format!("{}{collection}: {}{lost}", finding.object, finding.problem)
}

fn kept(findings: &[Finding]) -> Document {
    let list: Vec<Document> = findings
        .iter()
        .take(FINDINGS_KEPT_MAX)
        .map(|finding| {
            doc! {
                "object": &finding.object,
                "collection": &finding.collection,
                "problem": &finding.problem,
                "needed": finding.needed,
                "lost_documents": finding.lost_documents.map(|lost| i64::try_from(lost).unwrap_or(i64::MAX)),
            }
        })
        .collect();
    doc! { "count": i64::try_from(findings.len()).unwrap_or(i64::MAX), "findings": list }
}

const fn level_word(level: lucid_schemas::VerifyLevel) -> &'static str {
    match level {
        lucid_schemas::VerifyLevel::Structure => "structure",
        lucid_schemas::VerifyLevel::Data => "data",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_names_object_and_collection_and_stays_short() {
        let finding = Finding {
            object: "sealed/packs/a".into(),
            collection: Some("users".into()),
            problem: "authentication fails".into(),
            lost_documents: Some(3),
            needed: true,
        };
        let text = damaged(&vec![finding; 500]).to_string();
        assert!(
            text.contains("move sealed/packs/a out") && text.contains("users") && text.contains("495 more"),
            "{text}"
        );
        assert!(text.len() < 2_000);
    }
}
