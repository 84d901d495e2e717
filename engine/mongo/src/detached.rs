//! Driver futures are never dropped half-way: the work runs as a task of its own, and a caller that goes away, or that
//! has waited for long enough, only stops listening.

use lucid_ports::StoreError;
use std::time::Duration;
use tokio::time::timeout;

/// How long a read is waited for; the server is told to give up before that.
pub const READ_BOUND: Duration = Duration::from_secs(30);

/// Runs `work` to its end, whatever becomes of the caller; after `bound` its answer isn't waited for any more.
pub async fn detached<T: Send + 'static>(
    bound: Duration,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match timeout(bound, tokio::spawn(work)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(broken)) => Err(StoreError::Unavailable(format!("the call broke off: {broken}"))),
        Err(_) => {
            tracing::warn!(bound_s = bound.as_secs(), "a call to MongoDB didn't come back: abandoned");
            Err(StoreError::Unavailable(format!("no answer within {} s", bound.as_secs())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_goes_on_when_nobody_listens_any_more() {
        let (go, signal) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel::<u8>();
        let work = async move {
            signal.await.map_err(|error| StoreError::Rejected(error.to_string()))?;
            tell.send(7).map_err(|_| StoreError::Rejected("nobody there".into()))
        };
        let answer = detached(Duration::ZERO, work).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        go.send(()).expect("the work still waits");
        assert_eq!(told.await, Ok(7));
    }
}
