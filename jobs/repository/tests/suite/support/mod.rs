//! A scratch repository and backups to fill it with.
#![allow(dead_code, reason = "the tests within the crate use a part")]

use std::path::{Path, PathBuf};

use bson::{DateTime, RawDocumentBuf, doc};
use futures::TryStreamExt;
use lucid_repository::*;
use tempfile::TempDir;

pub mod proxy;
pub mod server;

use server::Server;

/// Where a repository lies.
#[derive(Clone, Copy)]
pub enum Place {
    Folder,
    S3,
}

/// A repository of its own for a test: in a folder, or in a bucket that a server makes of that folder.
pub struct Scratch {
    pub folder: TempDir,
    pub repository: Repository,
    pub server: Option<Server>,
}

impl Scratch {
    /// An encrypted repository with a key file, which takes plain backups too, in a folder.
    pub async fn new() -> Self {
        Self::at(Place::Folder).await
    }

    /// The same in either place.
    pub async fn at(place: Place) -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let server = match place {
            Place::Folder => None,
            Place::S3 => {
                std::fs::create_dir_all(folder.path().join("served/bucket")).expect("a bucket");
                Some(Server::start(&folder.path().join("served")).await)
            }
        };
        let options = InitOptions { allow_plain: true, ..InitOptions::default() };
        let place = location(&folder, server.as_ref());
        let repository = Repository::init(&place, &key(&folder), &options).await.expect("made");
        Self { folder, repository, server }
    }

    pub fn location(&self) -> Location {
        location(&self.folder, self.server.as_ref())
    }

    pub fn key(&self) -> Unlock {
        key(&self.folder)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(if self.server.is_some() { "served/bucket/repo" } else { "repo" })
    }

    /// Names of all objects of a folder of the repository.
    pub fn objects(&self, under: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.path().join(under), &mut found);
        let mut names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(self.path()).expect("within").to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub async fn verify(&self, manifest: &Manifest, level: VerifyLevel) -> Vec<Finding> {
        let reader = self.repository.open_backup(manifest).await.expect("opens");
        reader.verify(level, &|_| (), &|| false).await.expect("verifies")
    }
}

fn location(folder: &TempDir, server: Option<&Server>) -> Location {
    match server {
        Some(server) => {
            let cache = CacheOptions { folder: folder.path().join("cache"), limit_bytes: 1 << 30 };
            Location::parse("s3://bucket/repo").expect("valid").with_settings(server.settings()).with_cache(cache)
        }
        None => Location::folder(&folder.path().join("repo")).expect("valid"),
    }
}

fn key(folder: &TempDir) -> Unlock {
    Unlock::KeyFile(folder.path().join("key"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Documents with these ids; the same ids and salt always give the same bytes.
pub fn documents(ids: impl Iterator<Item = i64>, bytes: usize, salt: &str) -> Vec<Vec<u8>> {
    ids.map(|id| {
        let seed = (id.cast_unsigned() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let word = |n: u64| format!("{:016x}", seed.wrapping_mul(2 * n + 1));
        let noise: Vec<String> = (0..bytes as u64 / 16).map(word).collect();
        bson::serialize_to_vec(&doc! { "_id": id, "salt": salt, "noise": noise.concat() }).expect("BSON")
    })
    .collect()
}

/// Batches of a thousand documents, with foreign bytes between them as in a server's reply.
pub fn batches(documents: &[Vec<u8>]) -> Vec<DocumentBatch> {
    documents
        .chunks(1000)
        .map(|some| {
            let (mut bytes, mut offsets) = (vec![0xee; 3], Vec::new());
            for document in some {
                let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
                offsets.push((length(&bytes), length(document)));
                bytes.extend_from_slice(document);
                bytes.push(0xee);
            }
            DocumentBatch { bytes: bytes.into(), offsets }
        })
        .collect()
}

pub async fn write_collection(writer: &BackupWriter, order: ContentOrder, documents: &[Vec<u8>]) -> CollectionContent {
    try_write_collection(writer, order, documents).await.expect("written")
}

pub async fn try_write_collection(
    writer: &BackupWriter,
    order: ContentOrder,
    documents: &[Vec<u8>],
) -> Result<CollectionContent, RepositoryError> {
    let mut collection = writer.collection(order);
    for batch in batches(documents) {
        collection.push(batch).await?;
    }
    collection.finish().await
}

pub fn entry(name: &str, order: ContentOrder, content: CollectionContent) -> CollectionEntry {
    let raw = |document: bson::Document| RawDocumentBuf::try_from(&document).expect("BSON");
    CollectionEntry {
        name: name.into(),
        kind: if order == ContentOrder::Exact { CollectionKind::Capped } else { CollectionKind::Collection },
        options: raw(doc! { "validator": { "$expr": { "a.b": 1 } }, "secretOption": name }),
        uuid: Some(bson::Uuid::from_bytes([7; 16])),
        indexes: vec![raw(doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" })],
        read_at: None,
        at_snapshot: true,
        read_order: ReadOrder::Natural,
        content_order: order,
        content,
        stored: None,
    }
}

pub fn manifest(job: &str, epoch: i64, domain: Domain, collections: Vec<CollectionEntry>) -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        job: job.into(),
        epoch,
        domain,
        generation: 0,
        database: "secretdatabase".into(),
        selected: None,
        copied_from: None,
        cluster: Some("cluster-1".into()),
        former_hashes: Vec::new(),
        started_at: DateTime::from_millis(1),
        finished_at: DateTime::from_millis(2),
        snapshot_time: Some(bson::Timestamp { time: 3, increment: 4 }),
        server_version: "7.0.0".into(),
        fcv: "7.0".into(),
        member: "secrethost:27017".into(),
        consistent: true,
        collections,
    }
}

/// A whole backup.
pub async fn back_up(
    repository: &Repository,
    job: &str,
    domain: Domain,
    collections: &[(&str, ContentOrder, &[Vec<u8>])],
) -> (Manifest, ManifestRef, WriteStats) {
    let writer = repository.begin(job, 1, domain, Compression::default()).await.expect("begins");
    let mut entries = Vec::new();
    for (name, order, documents) in collections {
        entries.push(entry(name, *order, write_collection(&writer, *order, documents).await));
    }
    writer.finish().await.expect("finished");
    let manifest = manifest(job, 1, domain, entries);
    let reference = writer.write_manifest(&manifest).await.expect("committed");
    (manifest, reference, writer.stats())
}

/// All documents of a collection.
pub async fn read(repository: &Repository, manifest: &Manifest, name: &str) -> Result<Vec<Vec<u8>>, RepositoryError> {
    let reader = repository.open_backup(manifest).await?;
    let entry = manifest.collections.iter().find(|entry| entry.name == name).expect("there");
    let chunks: Vec<RawChunk> = reader.chunks(entry).try_collect().await?;
    Ok(chunks.iter().flat_map(|chunk| chunk.documents().map(<[u8]>::to_vec)).collect())
}
