//! Driver futures are never dropped half-way: the work runs as a task of its own, and a caller that goes away only
//! stops listening.

use lucid_ports::StoreError;

/// Runs `work` to its end, whatever becomes of the caller.
pub async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|broken| Err(StoreError::Unavailable(format!("the call broke off: {broken}"))))
}
