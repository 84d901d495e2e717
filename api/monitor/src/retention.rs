//! Deletes alerts and silences that were over long ago, so that the history doesn't grow for ever.

use lucid_ports::{Alerts, Silences, StoreError};

/// For so long what is over is kept, in milliseconds: 90 days.
pub const KEPT_MS: i64 = 90 * 86_400_000;
const BATCH: u32 = 500;

/// Deletes a bounded part of what was over more than 90 days ago; how many alerts and how many silences that were. Whoever may write
/// alerts calls it now and then; twice at once does no harm.
///
/// # Errors
/// Where the store can't be reached, or refuses.
pub async fn forget_over(alerts: &dyn Alerts, silences: &dyn Silences) -> Result<(u64, u64), StoreError> {
    let alerts = alerts.forget_alerts(KEPT_MS, BATCH).await?;
    let silences = silences.forget_silences(KEPT_MS, BATCH).await?;
    if alerts + silences > 0 {
        tracing::info!(alerts, silences, "what was over long ago is forgotten");
    }
    Ok((alerts, silences))
}
