//! `Idempotency-Key`: however often a request is sent with the same key, there is one job.
//!
//! The key is bound to the job's id and to the name of the write that makes it, before the job is made: whoever comes with
//! the key makes that very job, or finds it made. A crash in between leaves a key whose next user makes the job.

use crate::{ApiError, ApiState, Caller, state::write_token};
use actix_web::HttpRequest;
use lucid_ports::BoundKey;
use lucid_schemas::{Job, JobId};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const HEADER: &str = "idempotency-key";
const BYTES_MAX: usize = 200;

/// The key of a request, if it has one.
pub(crate) struct Key(Option<(String, String)>);

/// Which job is to be made, and by which write.
pub(crate) struct Birth {
    pub id: JobId,
    pub write: String,
}

impl Key {
    /// Reads the key; its fingerprint is of the path and of the body as it was understood.
    pub(crate) fn read(request: &HttpRequest, caller: &Caller, body: &impl Serialize) -> Result<Self, ApiError> {
        let mut headers = request.headers().get_all(HEADER);
        let Some(header) = headers.next() else {
            return Ok(Self(None));
        };
        let fits = |key: &&str| {
            (1..=BYTES_MAX).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic())
                && !key.contains('"')
        };
        let key = header.to_str().ok().map(|text| text.trim_matches('"')).filter(fits);
        let Some(key) = key.filter(|_| headers.next().is_none()) else {
            let problem = format!("must be one header of 1 to {BYTES_MAX} visible characters without spaces");
            return Err(ApiError::field("Idempotency-Key", problem));
        };
        let body = serde_json::to_vec(body).map_err(|error| ApiError::Malformed(error.to_string()))?;
        let mut hash = Sha256::new();
        hash.update(request.path());
        hash.update([0]);
        hash.update(body);
        let fingerprint = hash.finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Ok(Self(Some((format!("{}{key}", caller.key_prefix()), fingerprint))))
    }

    /// The job that an earlier request with this key made.
    pub(crate) async fn made(&self, state: &ApiState) -> Result<Option<Job>, ApiError> {
        let Self(Some((key, fingerprint))) = self else {
            return Ok(None);
        };
        let Some(bound) = state.store.bound_key(key).await? else {
            return Ok(None);
        };
        check(&bound, fingerprint)?;
        Ok(state.store.load(&bound.job).await?)
    }

    /// Binds the key to a new job, or finds what it is bound to.
    pub(crate) async fn bind(self, state: &ApiState, id: JobId) -> Result<Birth, ApiError> {
        let write = write_token();
        let Self(Some((key, fingerprint))) = self else {
            return Ok(Birth { id, write });
        };
        let bound = state.store.bind_key(&BoundKey { key, fingerprint: fingerprint.clone(), job: id, write }).await?;
        check(&bound, &fingerprint)?;
        Ok(Birth { id: bound.job, write: bound.write })
    }
}

fn check(bound: &BoundKey, fingerprint: &str) -> Result<(), ApiError> {
    if bound.fingerprint == fingerprint {
        return Ok(());
    }
    let problem = format!("was sent before with another request, which made {}: take a new key", bound.job);
    Err(ApiError::field("Idempotency-Key", problem))
}
