//! A part of a bucket as a storage: S3 and what speaks its protocol, Google Cloud Storage, Azure.
//!
//! Invariant: what is reported as written is durable, as these services promise; a large write is seen whole or not at all.

use std::env;
use std::ops::Range;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig, WriteMultipart,
};

use crate::config::CONFIG;
use crate::limits::UNSEALED_BYTES;
use crate::location::Service;
use crate::partial::PartialConnector;
use crate::settings::StorageSettings;
use crate::storage::{Elsewhere, Storage};

/// Larger objects are written in parts: an index or a list of a large repository, but no ordinary pack.
const ONE_PUT_BYTES: u64 = 32 << 20;
/// One request with its reply, unless the settings say otherwise: a pack over a slow line.
const REQUEST: &str = "300 seconds";
const CONNECT: &str = "10 seconds";

/// A part of a bucket.
#[derive(Debug)]
pub(crate) struct BucketStorage {
    bucket: Arc<dyn ObjectStore>,
    prefix: String,
    /// The config that must lie in it, once it is known.
    config: OnceLock<Bytes>,
}

impl BucketStorage {
    /// Connects to nothing yet. The text of a failure names a setting, never its value.
    pub(crate) fn open(
        (service, bucket, prefix): (Service, &str, &str),
        settings: Option<&StorageSettings>,
    ) -> Result<Self, String> {
        // Whoever was first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let said = |error: Error| error.to_string();
        let bucket: Arc<dyn ObjectStore> = match service {
            Service::S3 => {
                let key = |name: &str| AmazonS3ConfigKey::from_str(name).ok();
                let builder = AmazonS3Builder::new().with_bucket_name(bucket).with_retry(retries());
                let builder = builder.with_http_connector(PartialConnector::default());
                let builder = configure(builder, "AWS_", settings, key, AmazonS3Builder::with_config)?;
                Arc::new(builder.build().map_err(said)?)
            }
            Service::Gcs => {
                let key = |name: &str| GoogleConfigKey::from_str(name).ok();
                let builder = GoogleCloudStorageBuilder::new().with_bucket_name(bucket).with_retry(retries());
                let builder = configure(builder, "GOOGLE_", settings, key, GoogleCloudStorageBuilder::with_config)?;
                Arc::new(builder.build().map_err(said)?)
            }
            Service::Azure => {
                let key = |name: &str| AzureConfigKey::from_str(name).ok();
                let builder = MicrosoftAzureBuilder::new().with_container_name(bucket).with_retry(retries());
                let builder = configure(builder, "AZURE_", settings, key, MicrosoftAzureBuilder::with_config)?;
                Arc::new(builder.build().map_err(said)?)
            }
        };
        Ok(Self { bucket, prefix: prefix.into(), config: OnceLock::new() })
    }

    /// Names of what lies right under the prefix: objects, and folders as far as a bucket has them.
    pub(crate) async fn top(&self) -> Result<Vec<String>, Error> {
        let prefix = self.path("");
        let found = self.bucket.list_with_delimiter(Some(&prefix)).await?;
        let objects = found.objects.into_iter().map(|object| object.location);
        let names = objects.chain(found.common_prefixes).filter_map(|path| path.filename().map(str::to_owned));
        Ok(names.collect())
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    async fn put(&self, name: &str, parts: &[Bytes], mode: PutMode) -> Result<(), Error> {
        let (path, bytes) = (self.path(name), parts.iter().map(|part| part.len() as u64).sum::<u64>());
        if bytes <= ONE_PUT_BYTES {
            let payload: PutPayload = parts.iter().cloned().collect();
            return self.bucket.put_opts(&path, payload, PutOptions::from(mode)).await.map(|_| ());
        }
        // Writes in parts can't be create-only. Only names that one writer alone uses are that large.
        if mode == PutMode::Create && self.bucket.head(&path).await.is_ok() {
            return Err(Error::AlreadyExists { path: path.to_string(), source: "it is there".into() });
        }
        let mut write = WriteMultipart::new_with_chunk_size(self.bucket.put_multipart(&path).await?, 8 << 20);
        for part in parts {
            // Back-pressure; a failure is told by the end.
            write.wait_for_capacity(2).await?;
            write.put(part.clone());
        }
        write.finish().await.map(|_| ())
    }
}

/// Sets what is given: the settings if there are some, else what the environment has for this service.
fn configure<B, K>(
    builder: B,
    prefix: &str,
    settings: Option<&StorageSettings>,
    key: impl Fn(&str) -> Option<K>,
    with: impl Fn(B, K, String) -> B,
) -> Result<B, String> {
    let defaults = [("timeout", REQUEST), ("connect_timeout", CONNECT)];
    let mut pairs: Vec<(String, String)> = defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    match settings {
        Some(settings) => pairs.extend(settings.iter().map(|(name, value)| (name.to_owned(), value.to_owned()))),
        // The environment may hold what isn't text: no variable of ours, then.
        None => pairs.extend(
            env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| name.starts_with(prefix)),
        ),
    }
    let mut builder = builder;
    for (name, value) in pairs {
        match key(&name.to_ascii_lowercase()) {
            Some(key) => builder = with(builder, key, value),
            // The environment holds what other programs understand.
            None if settings.is_none() => {}
            None => return Err(format!("the setting {name} isn't known")),
        }
    }
    Ok(builder)
}

/// Tries again for about a minute and a half in all, with what the store above adds: a server that restarts is waited for.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 8, retry_timeout: Duration::from_secs(60) }
}

#[async_trait]
impl Storage for BucketStorage {
    fn anchor(&self, config: &Bytes) {
        // Whoever was first has opened the same one.
        let _ = self.config.set(config.clone());
    }

    async fn ensure_here(&self) -> Result<(), Error> {
        let Some(expected) = self.config.get() else { return Ok(()) };
        let found = match self.bucket.get(&self.path(CONFIG)).await {
            Err(Error::NotFound { .. }) => None,
            // No config is as large: its bytes aren't asked for.
            Ok(found) if found.meta.size > UNSEALED_BYTES => Some(Bytes::new()),
            found => Some(found?.bytes().await?),
        };
        Elsewhere::compare(expected, found)
            .map_err(|elsewhere| Error::Generic { store: "bucket", source: elsewhere.into() })
    }

    async fn create(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.put(name, parts, PutMode::Create).await
    }

    async fn replace(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.put(name, parts, PutMode::Overwrite).await
    }

    async fn read(&self, name: &str) -> Result<Bytes, Error> {
        self.bucket.get(&self.path(name)).await?.bytes().await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.bucket.get_range(&self.path(name), range).await
    }

    async fn size(&self, name: &str) -> Result<u64, Error> {
        Ok(self.bucket.head(&self.path(name)).await?.size)
    }

    async fn modified_ms(&self, name: &str) -> Result<i64, Error> {
        Ok(self.bucket.head(&self.path(name)).await?.last_modified.timestamp_millis())
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let below = if self.prefix.is_empty() { 0 } else { self.path("").as_ref().len() + 1 };
        let found = self.bucket.list(Some(&self.path(folder)));
        let name = |path: &Path| path.as_ref().get(below..).unwrap_or_default().to_owned();
        found.map_ok(|object| (name(&object.location), object.size)).try_collect().await
    }

    async fn sync(&self, _: &[String]) -> Result<(), Error> {
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), Error> {
        self.bucket.delete(&self.path(name)).await
    }

    fn is_far(&self) -> bool {
        true
    }

    fn writes_at_once(&self) -> u32 {
        2
    }
}
