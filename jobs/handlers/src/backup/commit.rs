//! The commit of a backup: point of no return, manifest, and what a successor makes of one that it finds.
//!
//! Invariant: past the point of no return nothing is left that could be refused for good, only one object to be created.

use super::{Run, snapshot};
use crate::{
    bounded::{names_that_fit, part_of, that_fit},
    error::{Error, Result},
};
use bson::{DateTime, Document, Timestamp, doc};
use lucid_ports::JobContext;
use lucid_repository::{
    BackupWriter, CollectionEntry, CollectionKind, Compression, Domain, MANIFEST_FORMAT, Manifest, ManifestRef,
    Repository, VerifyLevel, WriteStats, rounded,
};
use lucid_schemas::{Job, Spec};

/// What was read at one instant.
pub(super) struct Copied {
    pub time: Timestamp,
    pub collections: Vec<CollectionEntry>,
    /// Collections whose definition has changed, or that were dropped, while they were read.
    pub changed: Vec<String>,
    /// What would belong to it but can't be backed up, by name.
    pub left_out: Vec<String>,
    /// The member that it was read from, `host:port`.
    pub member: String,
    /// Collections that are stored again because they were read in another order for the backup before.
    pub again: Vec<String>,
}

/// Prepares the manifest, passes the point of no return, and writes it.
pub(super) async fn commit(run: &Run<'_>, writer: &BackupWriter, copied: Copied) -> Result<Document> {
    let job = run.context.job();
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        job: job.id().as_str().to_owned(),
        epoch: job.head.epoch,
        domain: run.domain,
        generation: writer.generation(),
        selected: run.spec.collections.clone(),
        copied_from: None,
        cluster: run.environment.cluster.clone(),
        former_hashes: Vec::new(),
        database: run.spec.database.clone(),
        started_at: run.started_at,
        finished_at: DateTime::now(),
        snapshot_time: Some(copied.time),
        server_version: run.facts.version.clone(),
        fcv: run.facts.fcv.clone(),
        member: copied.member,
        consistent: copied.collections.iter().all(|entry| entry.at_snapshot),
        collections: copied.collections,
    };
    run.meter.phase("commit", 0);
    let ready = writer.prepare_manifest(&manifest).await?;
    run.pass_point_of_no_return().await?;
    if run.context.lease_left().is_zero() {
        return Err(Error::Stopped);
    }
    let reference = writer.write_prepared(ready).await?;
    if let Err(error) = run.repository.set_room_aside().await {
        tracing::warn!(%error, "no room is set aside for prunes");
    }
    let compression = run.spec.compression.then_some(run.environment.options.compression_level);
    let mut result = result(run.repository_name, Compression { level: compression }, &manifest, &reference);
    result.extend(stats(&writer.stats()));
    name(&mut result, "changed_meanwhile", &copied.changed);
    name(&mut result, "left_out", &copied.left_out);
    name(&mut result, "stored_again", &copied.again);
    Ok(result)
}

/// Adds names, if there are any.
fn name(result: &mut Document, field: &str, names: &[String]) {
    if !names.is_empty() {
        result.insert(field, names_that_fit(names.iter().map(String::as_str)));
    }
}

/// Adopts the manifest of a predecessor that passed the point of no return, if a sound one is there. Others stay until
/// the job has ended: a worker that was stopped could otherwise remove the one that its successor has named.
pub(super) async fn adopt(
    context: &dyn JobContext,
    repository_name: &str,
    repository: &Repository,
) -> Result<Option<Document>> {
    let job = context.job();
    let mut found = repository.manifests_of(job.id().as_str()).await?;
    found.sort_by_key(|entry| std::cmp::Reverse(entry.epoch));
    for entry in found {
        let Ok(manifest) = &entry.manifest else { continue };
        if !entry.settled || !belongs(manifest, &job) || !is_sound(context, repository, manifest).await? {
            continue;
        }
        let (manifest, reference) = repository.read_manifest(&entry.key).await?;
        tracing::info!(job = %job.id(), epoch = entry.epoch, "adopted the predecessor's manifest");
        let compression = match &job.request.spec {
            Spec::Backup(spec) if spec.compression => Compression::default(),
            _ => Compression { level: None },
        };
        let mut result = result(repository_name, compression, &manifest, &reference);
        let left_out = snapshot::left_out(context, manifest.epoch, manifest.snapshot_time).await?;
        name(&mut result, "left_out", &left_out);
        return Ok(Some(result));
    }
    Ok(None)
}

/// Removes all manifests of a job that has ended, except the one that its result names.
pub(super) async fn delete_void_manifests(repository: &Repository, job: &Job) -> Result<()> {
    let named = job
        .head
        .result
        .as_ref()
        .and_then(|result| result.get_document("manifest").ok())
        .and_then(|manifest| manifest.get_str("key").ok());
    for entry in repository.manifests_of(job.id().as_str()).await? {
        if Some(entry.key.as_str()) != named {
            repository.forget(&entry.key, job.id().as_str(), "its job has ended without it").await?;
        }
    }
    Ok(())
}

fn belongs(manifest: &Manifest, job: &Job) -> bool {
    let Spec::Backup(spec) = &job.request.spec else {
        return false;
    };
    let domain = if spec.encryption { Domain::Sealed } else { Domain::Plain };
    manifest.job == job.id().as_str()
        && manifest.epoch < job.head.epoch
        && manifest.database == spec.database
        && manifest.domain == domain
}

async fn is_sound(context: &dyn JobContext, repository: &Repository, manifest: &Manifest) -> Result<bool> {
    let reader = repository.open_backup(manifest).await?;
    let stop = context.stop().clone();
    let findings = reader.verify(VerifyLevel::Structure, &|_| (), &move || stop.is_cancelled()).await?;
    // What this backup doesn't need may be damaged without harm to it.
    Ok(!findings.iter().any(|finding| finding.needed))
}

/// What the job says about a backup; stays below what an event may hold.
fn result(repository: &str, compression: Compression, manifest: &Manifest, reference: &ManifestRef) -> Document {
    let is_view = |entry: &&CollectionEntry| entry.kind == CollectionKind::View;
    let views = manifest.collections.iter().filter(is_view).count();
    let late = manifest.collections.iter().filter(|entry| !entry.at_snapshot);
    let late: Vec<Document> = that_fit(late, |entry| &entry.name)
        .into_iter()
        .map(|entry| doc! { "name": &entry.name, "read_at": entry.read_at })
        .collect();
    let sum = |field: fn(&CollectionEntry) -> u64| {
        let total = manifest.collections.iter().map(field).fold(0, u64::saturating_add);
        whole(total)
    };
    let mut result = doc! {
        "manifest": { "key": &reference.key, "hash": &reference.hash },
        "repository": repository,
        "database": &manifest.database,
        "collections": i32::try_from(manifest.collections.len() - views).unwrap_or(i32::MAX),
        "views": i32::try_from(views).unwrap_or(i32::MAX),
        "collection_names": names_that_fit(manifest.collections.iter().map(|entry| entry.name.as_str())),
        "documents": sum(|entry| entry.content.documents),
        "raw_bytes": sum(|entry| entry.content.raw_bytes),
        "snapshot_time": manifest.snapshot_time,
        "consistent": manifest.consistent,
        "inconsistent": late,
        "member": &manifest.member,
        "server_version": &manifest.server_version,
        "encryption": manifest.domain == Domain::Sealed,
        "compression": compression.level.is_some(),
    };
    if let Some(cluster) = &manifest.cluster {
        // Whose prunes miss it, should it be gone without a word. Results of programs that noted nothing have no such field.
        result.insert("cluster", cluster);
    }
    result.extend(part_of(manifest));
    result
}

fn stats(stats: &WriteStats) -> Document {
    doc! {
        "stored_bytes": whole(rounded(stats.stored_bytes)),
        "new_chunk_raw_bytes": whole(stats.new_chunk_raw_bytes),
        "new_chunk_stored_bytes": whole(rounded(stats.new_chunk_stored_bytes)),
        "chunks_new": whole(stats.chunks_new),
        "chunks_delta": whole(stats.chunks_delta),
        "chunks_known": whole(stats.chunks_known),
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
