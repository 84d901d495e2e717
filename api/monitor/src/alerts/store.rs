//! How long the store is waited for: not for ever.

use crate::{Monitor, open::Desk};
use lucid_http::ApiError;
use lucid_ports::StoreError;
use std::time::Duration;
use tokio::time::timeout;

const READ_WITHIN: Duration = Duration::from_secs(5);
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// Where alerts are kept.
pub fn desk(monitor: &Monitor) -> Result<Desk, ApiError> {
    monitor.alerts.desk().ok_or_else(|| ApiError::Unavailable("the store wasn't reached yet".into()))
}

/// What the store tells.
pub async fn read<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, ApiError> {
    let seconds = READ_WITHIN.as_secs();
    let late = |_| ApiError::Unavailable(format!("the store didn't answer within {seconds} s"));
    Ok(timeout(READ_WITHIN, answer).await.map_err(late)??)
}

/// What came of a write.
pub async fn write<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, ApiError> {
    let seconds = WRITE_WITHIN.as_secs();
    match timeout(WRITE_WITHIN, answer).await {
        Ok(answer) => answer.map_err(ApiError::from),
        // What was sent goes on without whoever has sent it.
        Err(_) => Err(ApiError::Unavailable(format!(
            "the store didn't answer within {seconds} s, so this may still happen: look at it, then ask again"
        ))),
    }
}

/// What a refused change says: why, and what is to be done first.
pub fn not_changed(refused: ApiError) -> ApiError {
    match refused {
        ApiError::Unavailable(reason) => ApiError::Unavailable(format!(
            "{reason}; alerts and silences can be changed only while the set has a primary that answers: GET /health says how it is"
        )),
        other => other,
    }
}
