//! One attempt at one job, from its claim to the transition that ends it.

use crate::{
    backoff::retry_delay_ms,
    context::{Claim, StopReason},
    heartbeat::beat,
    redact::redact,
    seats::Seat,
    step::StepError,
};
use bson::Document;
use lucid_core::{Command, is_given_up};
use lucid_ports::{Ending, GIVEN_UP, GivenUp, Handler, JobContext, JobError};
use lucid_schemas::{Code, Failure, Job, State};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long the ending itself is tried where the store can't be reached; after that the lease ends and a successor comes.
const ENDING_PATIENCE: Duration = Duration::from_secs(60);
/// How long cleaning up is waited for; it goes on after that, and harms nobody.
const ABANDON_PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a slot and runs the handler under a heartbeat, then records how it ended.
pub async fn attempt(claim: Arc<Claim>, handler: Arc<dyn Handler>, seat: Seat) {
    let ended = CancellationToken::new();
    // Whatever breaks off below, a heart that went on beating would keep the job from every successor.
    let _stops_heart = ended.clone().drop_guard();
    let heart = tokio::spawn(beat(Arc::clone(&claim), ended.clone()));
    let fate = work(&claim, &handler, seat).await;
    ended.cancel();
    if let Err(error) = heart.await {
        tracing::error!(job = %claim.id, epoch = claim.epoch, %error, "the heartbeat broke off");
    }
    match fate {
        Ok(state) => tracing::info!(job = %claim.id, epoch = claim.epoch, %state, "ended"),
        Err(error) => {
            tracing::warn!(job = %claim.id, epoch = claim.epoch, %error, "left to a successor");
        }
    }
}

async fn work(claim: &Arc<Claim>, handler: &Arc<dyn Handler>, mut seat: Seat) -> Result<State, StepError> {
    let has_slot = tokio::select! {
        biased;
        has_slot = seat.slot() => has_slot,
        // What has to stop needs no slot for it.
        () = claim.stop().cancelled() => true,
    };
    if !has_slot {
        let reason = "no slot came free in time".to_owned();
        let command = Command::Release { epoch: claim.epoch, reason };
        return claim.step(&command, deadline()).await.map(|job| job.head.state);
    }
    let job = claim.job();
    tracing::info!(job = %claim.id, epoch = claim.epoch, attempt = job.head.attempt, "started");
    let outcome = if claim.stop().is_cancelled() {
        Err(JobError::Stopped)
    } else if is_given_up(&job) {
        give_up(claim, handler).await
    } else if job.head.state == State::Canceling {
        // Taken over only to be cleaned up.
        claim.stop_because(StopReason::Canceled);
        Err(JobError::Stopped)
    } else {
        let (own, handler) = (Arc::clone(claim), Arc::clone(handler));
        run(claim, tokio::spawn(async move { handler.run(&*own).await })).await
    };
    if outcome.is_ok() {
        // The next handler needn't wait until this one's end is written.
        drop(seat);
    }
    record(claim, handler, outcome).await
}

/// Waits for the handler; a panic is a failed attempt; one that doesn't stop when told is left behind.
async fn run<T>(claim: &Arc<Claim>, mut work: JoinHandle<Result<T, JobError>>) -> Result<T, JobError> {
    let finished = tokio::select! {
        biased;
        finished = &mut work => Some(finished),
        () = claim.stop().cancelled() => None,
        () = timed_out(claim) => {
            tracing::warn!(job = %claim.id, epoch = claim.epoch, "takes longer than it may: stopping");
            claim.stop_because(StopReason::TimedOut);
            None
        }
    };
    let finished = match finished {
        Some(finished) => finished,
        None => {
            if let Ok(finished) = timeout(Duration::from_millis(claim.options.grace_ms), &mut work).await {
                finished
            } else {
                // Its future isn't dropped: calls under way come to their end, and find themselves fenced.
                tracing::error!(job = %claim.id, epoch = claim.epoch, "handler doesn't stop: left behind");
                return Err(JobError::Stopped);
            }
        }
    };
    finished.unwrap_or_else(|panic| {
        tracing::error!(job = %claim.id, epoch = claim.epoch, %panic, "handler panicked");
        Err(JobError::retryable(Code::HandlerPanicked, "the handler panicked, which is a defect: see the worker's log"))
    })
}

/// Lets the handler clean up after what was given up. What it finds is how the job fails.
async fn give_up(claim: &Arc<Claim>, handler: &Arc<dyn Handler>) -> Result<Document, JobError> {
    let (own, handler) = (Arc::clone(claim), Arc::clone(handler));
    let failure = match run(claim, tokio::spawn(async move { handler.give_up(&*own).await })).await {
        Ok(GivenUp { message, found }) => {
            claim.put_detail(GIVEN_UP, found).await?;
            Failure { code: Code::GivenUp.into(), message: format!("it was given up: {message}"), retryable: false }
        }
        Err(JobError::Failed(failure)) => Failure {
            code: Code::GivenUp.into(),
            message: format!("it was given up, and cleaning up failed: {} ({})", failure.message, failure.code),
            ..failure
        },
        Err(JobError::Stopped) => return Err(JobError::Stopped),
    };
    Err(JobError::Failed(failure))
}

/// Ends when the attempt has taken as long as its request allows; never past the point of no return.
async fn timed_out(claim: &Claim) {
    match claim.job().request.timeout_ms.and_then(|timeout_ms| u64::try_from(timeout_ms).ok()) {
        Some(timeout_ms) => tokio::time::sleep(Duration::from_millis(timeout_ms)).await,
        None => std::future::pending().await,
    }
    if claim.job().head.state != State::Running {
        std::future::pending::<()>().await;
    }
}

async fn record(
    claim: &Arc<Claim>,
    handler: &Arc<dyn Handler>,
    outcome: Result<Document, JobError>,
) -> Result<State, StepError> {
    let ended = match outcome {
        Ok(result) => succeed(claim, handler, result).await,
        Err(JobError::Failed(error)) => fail(claim, handler, error).await,
        Err(JobError::Stopped) => stop(claim, handler).await,
    };
    if let Err(StepError::Refused { job, .. }) = &ended
        && (job.head.epoch != claim.epoch || job.lease.is_none())
    {
        claim.stop_because(StopReason::Lost);
        fenced(claim, handler).await;
    }
    ended.map(|job| job.head.state)
}

async fn succeed(claim: &Arc<Claim>, handler: &Arc<dyn Handler>, result: Document) -> Result<Job, StepError> {
    let epoch = claim.epoch;
    match claim.step(&Command::Succeed { epoch, result }, deadline()).await {
        // A cancel came in before the end did.
        Err(StepError::Refused { job, .. }) if job.head.epoch == epoch && job.head.state == State::Canceling => {
            confirm_cancel(claim, handler).await
        }
        outcome => outcome,
    }
}

async fn fail(claim: &Arc<Claim>, handler: &Arc<dyn Handler>, error: Failure) -> Result<Job, StepError> {
    let epoch = claim.epoch;
    let error = Failure { message: redact(&error.message), ..error };
    tracing::warn!(job = %claim.id, epoch, code = error.code, message = error.message, "attempt failed");
    let job = refresh(claim).await?;
    let seed = format!("{}/{epoch}", claim.id);
    let retry_in_ms = retry_delay_ms(job.kind(), job.head.attempt, &seed);
    let failed = |out_of_time| Command::Fail { epoch, error: error.clone(), retry_in_ms, out_of_time };
    // First the transition: it settles whether a commit that was under way came through. What it leaves behind is this
    // epoch's, which no successor uses.
    let job = match claim.step(&failed(false), deadline()).await {
        // The time for further attempts is over.
        Err(StepError::NotNow) => claim.step(&failed(true), deadline()).await?,
        other => other?,
    };
    if matches!(job.head.state, State::Queued | State::Failed | State::Canceled) && !is_given_up(&job) {
        abandon(claim, handler, Ending::Failed).await;
    }
    Ok(job)
}

async fn stop(claim: &Arc<Claim>, handler: &Arc<dyn Handler>) -> Result<Job, StepError> {
    // The job knows best why: a handler may also have been stopped by a refused write.
    let job = refresh(claim).await?;
    let epoch = claim.epoch;
    if job.head.epoch != epoch || claim.stop_reason() == Some(StopReason::Lost) {
        fenced(claim, handler).await;
        return Ok(claim.job());
    }
    match job.head.state {
        State::Canceling if !is_given_up(&job) => confirm_cancel(claim, handler).await,
        State::Running if claim.stop_reason() == Some(StopReason::TimedOut) => {
            let took_ms = job.request.timeout_ms.unwrap_or_default();
            let message = format!("the attempt took longer than the {took_ms} ms that the request allows");
            fail(claim, handler, Failure { code: Code::TimedOut.into(), message, retryable: true }).await
        }
        State::Running | State::Canceling | State::Committing => {
            let reason = "the worker was asked to stop".to_owned();
            let job = claim.step(&Command::Release { epoch, reason }, deadline()).await?;
            if job.head.state == State::Queued {
                abandon(claim, handler, Ending::Failed).await;
            }
            Ok(job)
        }
        State::Waiting | State::Queued | State::Blocked | State::Succeeded | State::Failed | State::Canceled => Ok(job),
    }
}

async fn confirm_cancel(claim: &Arc<Claim>, handler: &Arc<dyn Handler>) -> Result<Job, StepError> {
    abandon(claim, handler, Ending::Canceled).await;
    let epoch = claim.epoch;
    claim.step(&Command::ConfirmCancel { epoch }, deadline()).await
}

async fn fenced(claim: &Arc<Claim>, handler: &Arc<dyn Handler>) {
    match refresh(claim).await {
        Ok(_) => abandon(claim, handler, Ending::Fenced).await,
        Err(error) => {
            tracing::warn!(job = %claim.id, epoch = claim.epoch, %error, "nothing cleaned up");
        }
    }
}

/// Lets the handler clean up; neither its panic nor its patience keeps the job from its end.
pub async fn abandon(claim: &Arc<Claim>, handler: &Arc<dyn Handler>, ending: Ending) {
    let work = {
        let (claim, handler) = (Arc::clone(claim), Arc::clone(handler));
        tokio::spawn(async move { handler.abandon(&*claim, ending).await })
    };
    match timeout(ABANDON_PATIENCE, work).await {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => tracing::error!(job = %claim.id, epoch = claim.epoch, %panic, "cleaning up panicked"),
        Err(_) => tracing::error!(job = %claim.id, epoch = claim.epoch, "cleaning up takes too long: left to itself"),
    }
}

/// The job as it is now; what a handler believed may be outdated by a lost answer.
async fn refresh(claim: &Arc<Claim>) -> Result<Job, StepError> {
    let until = deadline();
    loop {
        match claim.store.load(&claim.id).await {
            Ok(Some(job)) => {
                claim.see(job.clone());
                return Ok(job);
            }
            Ok(None) => return Err(StepError::Gone),
            Err(error) if error.is_retryable() && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn deadline() -> Instant {
    Instant::now() + ENDING_PATIENCE
}
