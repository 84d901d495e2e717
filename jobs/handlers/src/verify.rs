//! Reads a backup back and proves that it is whole; a drill restores it for that, too.

use crate::{
    Environment,
    bounded::{names_that_fit, part_of},
    drill,
    error::{Error, Result},
    progress::Meter,
};
use async_trait::async_trait;
use bson::{Document, doc};
use lucid_ports::{Ending, Handler, JobContext, JobError};
use lucid_repository::{
    CollectionEntry, Coverage, Damage, Finding, Manifest, Repository, RepositoryError, Share, Verified,
    VerifyLevel as Depth, VerifyProgress,
};
use lucid_schemas::{Code, EventBody, Job, Kind, ManifestName, Part, Sample, Spec, VerifyLevel, VerifySpec};
use sha2::{Digest, Sha256};
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
            return Err(Error::refused(Code::WrongKind, "the job is no verification"));
        };
        if let Some(error) = spec.check().into_iter().next() {
            return Err(Error::refused(Code::BadRequest, format!("{} {}", error.field, error.problem)));
        }
        let (_, repository) = self.environment.repository(&job.request).await?;
        let share = share(&job, spec);
        let Examined { manifest, verified: Verified { mut findings, coverage } } =
            examine(context, &repository, spec, share).await?;
        let mut left_off = Vec::new();
        if let (true, VerifyLevel::Drill, Some((manifest, key))) = (findings.is_empty(), spec.level, &manifest) {
            let drilled = drill::run(context, &self.environment, &repository, (manifest, key)).await?;
            (findings, left_off) = (drilled.findings, drilled.expiry_left_off);
        }
        if !findings.is_empty() {
            context.put_detail("findings", kept(&findings)).await?;
            return Err(damaged(&findings));
        }
        let Some((manifest, _)) = manifest else {
            return Err(Error::refused(Code::BackupDamaged, "the manifest can't be read"));
        };
        let mut result = result(spec, &manifest);
        result.extend(part_of(&manifest));
        result.extend(covered(spec.level, share, coverage));
        if !left_off.is_empty() {
            result.extend(doc! { "expiry_left_off": names_that_fit(left_off.iter().map(String::as_str)) });
        }
        Ok(result)
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

    async fn abandon(&self, context: &dyn JobContext, ending: Ending) {
        let job = context.job();
        // Everything else only reads.
        if matches!(&job.request.spec, Spec::Verify(spec) if spec.level == VerifyLevel::Drill) {
            drill::abandon(&self.environment, &job, ending).await;
        }
    }
}

/// What there is to say of a backup, and its manifest with its key where it can be read.
#[derive(Default)]
struct Examined {
    manifest: Option<(Manifest, String)>,
    verified: Verified,
}

async fn examine(
    context: &dyn JobContext,
    repository: &Repository,
    spec: &VerifySpec,
    share: Share,
) -> Result<Examined> {
    let Some(named) = spec.manifest.clone().or_else(|| handed(&context.job())) else {
        return Err(Error::refused(Code::ManifestUnnamed, format!("nothing names the manifest of {}", spec.backup)));
    };
    let found = |error| {
        let findings = vec![found_by(error)?];
        Ok::<_, Error>(Verified { findings, ..Verified::default() })
    };
    let manifest = match read_manifest(repository, &named, spec.backup.as_str()).await {
        Ok(manifest) => manifest,
        Err(Error::Repository(error)) => return Ok(Examined { manifest: None, verified: found(error)? }),
        Err(error) => return Err(error),
    };
    let level = match spec.level {
        VerifyLevel::Structure => Depth::Structure,
        VerifyLevel::Data | VerifyLevel::Drill => Depth::Data,
    };
    let verified = match prove_share(context, repository, &manifest, (level, share)).await {
        Err(Error::Repository(error)) => found(error)?,
        outcome => outcome?,
    };
    Ok(Examined { manifest: Some((manifest, named.key)), verified })
}

/// Which packs a job reads. Every attempt of it reads the same ones.
fn share(job: &Job, spec: &VerifySpec) -> Share {
    let by_job = || {
        let digest = Sha256::digest(job.id().as_str());
        // Small enough for every program that reads JSON.
        u64::from(u32::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes")))
    };
    match (spec.sample, spec.part) {
        (Some(Sample { hundredths }), _) => {
            Share::Sample { hundredths, seed: spec.seed.map_or_else(by_job, i64::cast_unsigned) }
        }
        (None, Some(Part { number, of })) => Share::Part { number, of },
        (None, None) => Share::All,
    }
}

fn result(spec: &VerifySpec, manifest: &Manifest) -> Document {
    let sum = |field: fn(&CollectionEntry) -> u64| {
        let total = manifest.collections.iter().map(field).fold(0, u64::saturating_add);
        i64::try_from(total).unwrap_or(i64::MAX)
    };
    doc! {
        "level": spec.level.as_str(),
        "backup": spec.backup.as_str(),
        "database": &manifest.database,
        "collections": i32::try_from(manifest.collections.len()).unwrap_or(i32::MAX),
        "documents": sum(|entry| entry.content.documents),
        "bytes": sum(|entry| entry.content.raw_bytes),
        "findings": 0,
    }
}

/// How much was read, and by what it was chosen.
fn covered(level: VerifyLevel, share: Share, coverage: Coverage) -> Document {
    if level == VerifyLevel::Structure {
        return Document::new();
    }
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut out = doc! {
        "packs": number(coverage.packs),
        "packs_read": number(coverage.packs_read),
        "pack_bytes": number(coverage.bytes),
        "pack_bytes_read": number(coverage.bytes_read),
    };
    match share {
        Share::All => {}
        Share::Sample { hundredths, seed } => {
            out.extend(doc! { "sample": Sample { hundredths }.to_string(), "seed": seed.cast_signed() });
        }
        Share::Part { number, of } => out.extend(doc! { "part": Part { number, of }.to_string() }),
    }
    out
}

/// Damage that keeps the examination from going on is a finding like any other.
fn found_by(error: RepositoryError) -> Result<Finding> {
    let Some(Damage { object, problem }) = error.damage() else {
        return Err(error.into());
    };
    Ok(Finding { object, collection: None, problem, lost_documents: None, needed: true })
}

/// The manifest of a backup that was made after this job was asked for.
pub(crate) fn handed(job: &Job) -> Option<ManifestName> {
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
    let (manifest, reference) = match repository.read_manifest(&name.key).await {
        Err(RepositoryError::Missing { object }) if object == name.key => {
            return Err(gone(repository, name, backup).await?);
        }
        read => read?,
    };
    if !reference.had_hash(&name.hash) || manifest.job != backup {
        return Err(RepositoryError::Damaged {
            object: name.key.clone(),
            problem: "it isn't the manifest that the backup's job has named".into(),
        }
        .into());
    }
    Ok(manifest)
}

/// Why there is no manifest of a backup: nothing is damaged by that.
async fn gone(repository: &Repository, name: &ManifestName, backup: &str) -> Result<Error> {
    Ok(match repository.forgotten(&name.key).await? {
        Some(said) if !said.lost => Error::refused(
            Code::BackupForgotten,
            format!(
                "the backup {backup} is no more: it was forgotten by {} at {}: {}",
                said.by, said.forgotten_at, said.reason
            ),
        ),
        Some(_) | None => Error::refused(
            Code::BackupMissing,
            format!(
                "the backup {backup} isn't there: the repository has no manifest of it ({}), and no prune has forgotten it. Either somebody \
                 has removed that by hand, or the storage isn't what it was: a folder was moved, another disk is mounted, or a copy isn't \
                 complete. Look there before anything is pruned",
                name.key
            ),
        ),
    })
}

/// Proves these collections of a backup with progress, until stopped; reads no others.
pub(crate) async fn prove(
    context: &dyn JobContext,
    repository: &Repository,
    manifest: &Manifest,
    collections: Vec<CollectionEntry>,
) -> Result<Vec<Finding>> {
    let meter = Meter::new(context);
    meter.phase("verify", 0);
    let reader = repository.open_backup(manifest).await?;
    let stop = context.stop().clone();
    Ok(reader.prove(collections, &|progress| show(&meter, progress), &move || stop.is_cancelled()).await?)
}

async fn prove_share(
    context: &dyn JobContext,
    repository: &Repository,
    manifest: &Manifest,
    (level, share): (Depth, Share),
) -> Result<Verified> {
    let meter = Meter::new(context);
    meter.phase("verify", 0);
    let reader = repository.open_backup(manifest).await?;
    let stop = context.stop().clone();
    let progress = |progress| show(&meter, progress);
    Ok(reader.verify_share(level, share, &progress, &move || stop.is_cancelled()).await?)
}

fn show(meter: &Meter<'_>, progress: VerifyProgress) {
    let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    meter.set(bytes(progress.bytes_done), bytes(progress.bytes_total));
}

/// The error of a backup that isn't whole.
pub(crate) fn damaged(findings: &[Finding]) -> Error {
    let told: Vec<String> = findings.iter().take(FINDINGS_TOLD_MAX).map(tell).collect();
    let more = match findings.len().saturating_sub(FINDINGS_TOLD_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Error::refused(
        Code::BackupDamaged,
        format!("the backup is damaged: {}{more}; {}", told.join("; "), remedy(findings)),
    )
}

/// What to do. Nothing has to be moved by hand: damaged packs are passed over from now on.
fn remedy(findings: &[Finding]) -> &'static str {
    if findings.iter().any(Finding::wants_repair) {
        "run lucid-ops repo repair, then back up again: what the source still has is stored anew; until then use another backup"
    } else {
        "back up again: what the source still has is stored anew; until then use another backup"
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
        let text = damaged(&vec![finding.clone(); 500]).to_string();
        assert!(text.contains("sealed/packs/a (collection 'users')") && text.contains("495 more"), "{text}");
        assert!(!text.contains("repair"), "the next backup mends it: {text}");
        assert!(text.len() < 2_000);
        let index = Finding { object: "sealed/index/a".into(), collection: None, needed: false, ..finding };
        assert!(damaged(&[index]).to_string().contains("repo repair"));
    }
}
