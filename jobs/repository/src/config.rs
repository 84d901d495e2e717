//! The config object: identity and parameters of a repository (format, section 3).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, RawDocument, rawdoc};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::envelope::{self, EnvelopeType};
use crate::keys::{KeyRing, random};
use crate::limits::UNSEALED_BYTES;
use crate::{ChunkSizes, InitOptions, RepositoryError, RepositoryId};

/// Name of the config object.
pub(crate) const CONFIG: &str = "config";

const FORMAT: i32 = 1;
/// The feature of repositories that hold delta chunks.
const DELTA: &str = "delta";
/// The feature of repositories whose chunk lists hold sums.
const SUMS: &str = "sums";
/// The feature of repositories that no program opens which knows only manifests of format 1.
const CLUSTERS: &str = "clusters";
/// The feature of repositories whose marks of master keys and key slots say that somebody wrote them who knows the root key.
const VOUCHED: &str = "vouched";
/// What this program knows, and new repositories have. Those that are there never get another one: their config isn't written again.
const FEATURES: [&str; 4] = [DELTA, SUMS, CLUSTERS, VOUCHED];

/// Identity and parameters of a repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    format: i32,
    features: Vec<String>,
    repository: Binary,
    created_at: DateTime,
    pub(crate) encrypted: bool,
    pub(crate) plain: bool,
    plain_seed: Binary,
    pub(crate) chunk: ChunkSizes,
    pub(crate) create_only: bool,
}

/// A config as stored: its bytes are kept for the check with the key.
pub(crate) struct StoredConfig {
    pub(crate) config: Config,
    pub(crate) repository: RepositoryId,
    pub(crate) plain_seed: [u8; 32],
    covered: Vec<u8>,
    mac: Vec<u8>,
}

impl Config {
    pub(crate) fn new(options: &InitOptions, encrypted: bool, create_only: bool) -> Result<Self, RepositoryError> {
        Ok(Self {
            format: FORMAT,
            features: FEATURES.map(String::from).to_vec(),
            repository: binary(&random::<16>()?),
            created_at: DateTime::now(),
            encrypted,
            plain: options.allow_plain || !encrypted,
            plain_seed: binary(&random::<32>()?),
            chunk: options.chunk,
            create_only,
        })
    }

    /// Whether every program that opens it knows delta chunks.
    pub(crate) fn takes_deltas(&self) -> bool {
        self.has(DELTA)
    }

    /// Whether every program that opens it knows chunk lists with sums.
    pub(crate) fn takes_sums(&self) -> bool {
        self.has(SUMS)
    }

    /// Whether every program that opens it vouches for marks and slots, so that others' don't count.
    pub(crate) fn is_vouched(&self) -> bool {
        self.has(VOUCHED)
    }

    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    pub(crate) fn repository(&self) -> Result<RepositoryId, RepositoryError> {
        let id = <[u8; 16]>::try_from(self.repository.bytes.as_slice());
        Ok(RepositoryId::from_bytes(id.map_err(|_| bad("no repository id"))?))
    }

    /// The object's bytes, authenticated with the ring if there is one.
    pub(crate) fn seal(&self, ring: Option<&KeyRing>) -> Result<Vec<u8>, RepositoryError> {
        let config = bson::serialize_to_raw_document_buf(self)
            .map_err(|error| RepositoryError::Internal { what: "config", reason: error.to_string() })?;
        let mac = mac(config.as_bytes(), ring, &self.repository()?);
        let body = rawdoc! { "config": config, "mac": binary(&mac) };
        Ok(envelope::wrap(EnvelopeType::Config, body.as_bytes()))
    }
}

/// The id of the repository in a folder, of whatever version it is; `None` where there is none whose config can be read and is whole.
/// Nothing secret is read.
pub fn identity(folder: &Path) -> Option<RepositoryId> {
    let mut bytes = Vec::new();
    // A longer one isn't whole.
    File::open(folder.join(CONFIG)).ok()?.take(UNSEALED_BYTES + 1).read_to_end(&mut bytes).ok()?;
    let body = envelope::unwrap(CONFIG, EnvelopeType::Config, &bytes).ok()?;
    let id = body.get_document("config").ok()?.get_binary("repository").ok()?;
    Some(RepositoryId::from_bytes(id.bytes.try_into().ok()?))
}

impl StoredConfig {
    /// Reads the object; the key's check comes later, see [`Self::authenticate`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RepositoryError> {
        Self::read_knowing(bytes, &FEATURES)
    }

    /// The same as a program does that knows these features.
    pub(crate) fn read_knowing(bytes: &[u8], known: &[&str]) -> Result<Self, RepositoryError> {
        let body = envelope::unwrap(CONFIG, EnvelopeType::Config, bytes)?;
        let inner: &RawDocument = body.get_document("config").map_err(|_| bad("no field config"))?;
        let format = inner.get_i32("format").map_err(|_| bad("no field format"))?;
        if format != FORMAT {
            return Err(unsupported(format!("format {format}")));
        }
        let config: Config = bson::deserialize_from_slice(inner.as_bytes()).map_err(|error| bad(&error.to_string()))?;
        if let Some(feature) = config.features.iter().find(|feature| !known.contains(&feature.as_str())) {
            return Err(unsupported(format!("feature {feature:?}")));
        }
        config.chunk.check().map_err(|problem| bad(&problem))?;
        let seed = <[u8; 32]>::try_from(config.plain_seed.bytes.as_slice());
        Ok(Self {
            repository: config.repository()?,
            plain_seed: seed.map_err(|_| bad("no plain seed"))?,
            config,
            covered: inner.as_bytes().to_vec(),
            mac: body.get_binary("mac").map_err(|_| bad("no field mac"))?.bytes.to_vec(),
        })
    }

    /// Whether it was written by someone who knew the ring.
    pub(crate) fn authenticate(&self, ring: Option<&KeyRing>) -> Result<(), RepositoryError> {
        let expected = mac(&self.covered, ring, &self.repository);
        if bool::from(expected.ct_eq(&self.mac)) {
            return Ok(());
        }
        Err(bad("it wasn't written with this repository's key"))
    }
}

#[cfg(test)]
impl StoredConfig {
    /// The same object as an earlier program made it.
    pub(crate) fn without_vouching(&self, ring: Option<&KeyRing>) -> Vec<u8> {
        let mut config = self.config.clone();
        config.features.retain(|feature| feature != VOUCHED);
        config.seal(ring).expect("a config")
    }
}

/// A generic BSON binary.
pub(crate) fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

fn mac(covered: &[u8], ring: Option<&KeyRing>, repository: &RepositoryId) -> [u8; 32] {
    ring.map_or([0; 32], |ring| *blake3::keyed_hash(&ring.config_key(repository), covered).as_bytes())
}

fn bad(problem: &str) -> RepositoryError {
    RepositoryError::damaged(CONFIG, problem)
}

fn unsupported(needs: String) -> RepositoryError {
    RepositoryError::UnsupportedVersion { object: CONFIG.into(), needs }
}
