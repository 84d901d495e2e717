//! Keeps a claim's lease alive, writes its progress, and sees a cancel even where the feed is deaf.

use crate::{
    context::{Claim, StopReason},
    moment::Moment,
};
use lucid_core::is_given_up;
use lucid_ports::{JobContext, Renewal};
use lucid_schemas::{Progress, State};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Beats until `ended`, or until the claim is lost.
pub async fn beat(claim: Arc<Claim>, ended: CancellationToken) {
    let renew_every = Duration::from_millis(claim.options.renew_ms);
    let progress_every = Duration::from_millis(claim.options.progress_ms).min(renew_every);
    let mut unwritten: Option<Progress> = None;
    let mut last_try = Instant::now();
    loop {
        let poked = tokio::select! {
            // In this order, here and below: a run can be repeated only where no chance is left in it.
            biased;
            () = ended.cancelled() => return,
            () = claim.poke.notified() => true,
            () = sleep_until(last_try + progress_every) => false,
        };
        if claim.lease_left().is_zero() {
            tracing::warn!(job = %claim.id, epoch = claim.epoch, "lease over: stopping");
            claim.stop_because(StopReason::Lost);
            return;
        }
        unwritten = claim.take_progress().or(unwritten);
        let sent = Moment::now();
        let due = sent.timers() >= claim.work_until() - claim.options.working_lease() + renew_every;
        last_try = sent.timers();
        if !(poked || due || unwritten.is_some()) {
            continue;
        }
        let renewal = tokio::select! {
            biased;
            renewal = renew(&claim, unwritten.as_ref()) => renewal,
            // A call that doesn't come back is no reason to work on after the lease.
            () = sleep_until(claim.work_until()) => None,
        };
        match renewal {
            Some(Renewal::Renewed { state }) => {
                unwritten = None;
                claim.renewed(sent);
                // What was given up is at its end already, and is cleaned up after.
                if state == State::Canceling && !is_given_up(&claim.job()) {
                    claim.stop_because(StopReason::Canceled);
                }
            }
            Some(Renewal::Lost) => {
                // The attempt itself may just have ended the job: then nobody listens any more.
                if !ended.is_cancelled() {
                    tracing::warn!(job = %claim.id, epoch = claim.epoch, "fenced: stopping");
                    claim.stop_because(StopReason::Lost);
                }
                return;
            }
            None => {}
        }
    }
}

/// `None` where the store couldn't be reached: tried again at the next beat.
async fn renew(claim: &Claim, progress: Option<&Progress>) -> Option<Renewal> {
    let renewal = claim.store.renew(&claim.id, claim.epoch, &claim.token, claim.options.lease_ms, progress).await;
    match renewal {
        Ok(renewal) => Some(renewal),
        Err(error) => {
            tracing::warn!(job = %claim.id, epoch = claim.epoch, %error, "lease not renewed");
            None
        }
    }
}
