//! Renewing a lease: only its own claim may, only while it runs, and it is no transition.

use super::kit::{Bench, LONG_MS, OVER_MS, bytes, claim};
use crate::Renewal;
use bson::doc;
use lucid_core::Command;
use lucid_schemas::{Job, Progress, State};

const RENEWED: Renewal = Renewal::Renewed { state: State::Running };

async fn renew(bench: &Bench, job: &Job, epoch: i64, write: &str, progress: Option<&Progress>) -> Renewal {
    bench.store.renew(job.id(), epoch, write, 2 * LONG_MS, progress).await.expect("asked")
}

fn token(job: &Job) -> String {
    job.lease.as_ref().expect("a lease").token.clone()
}

pub(super) async fn a_running_lease_is_renewed_with_its_progress(bench: Bench) {
    let job = bench.running(LONG_MS).await;
    let write = token(&job);
    assert_eq!(renew(&bench, &job, 1, &write, None).await, RENEWED);
    let after = bench.job(job.id()).await;
    assert_eq!(after.progress, None);
    let (old, new) = (job.lease.clone().expect("a lease"), after.lease.clone().expect("a lease"));
    assert_eq!((&new.worker, &new.token), (&old.worker, &old.token));
    assert!(new.expires_at.stored() >= old.expires_at.plus(LONG_MS).stored(), "from now on, not from its end");
    assert_eq!((&after.head, &after.events), (&job.head, &job.events), "no transition");
    let first = Progress { phase: "copy".into(), documents: 5, bytes: 7, total_bytes: 9, updated_at: None };
    let second = Progress { phase: "seal".into(), total_bytes: 0, ..first.clone() };
    for progress in [first, second] {
        assert_eq!(renew(&bench, &job, 1, &write, Some(&progress)).await, RENEWED);
        let stored = bench.job(job.id()).await.progress.expect("progress");
        let updated_at = stored.updated_at;
        assert!(updated_at > job.head.started_at.and_then(lucid_schemas::Stamp::stored) || updated_at.is_some());
        assert_eq!(stored, Progress { updated_at, ..progress });
        assert_eq!(renew(&bench, &job, 1, &write, None).await, RENEWED);
        assert_eq!(bench.job(job.id()).await.progress, Some(stored), "no news leaves it as it is");
    }
    let job = bench.job(job.id()).await;
    let given_back = Command::Release { epoch: 1, reason: "stops".into() };
    let job = bench.make(&job, &given_back, "w").await;
    let job = bench.make(&job, &claim("v", LONG_MS), "v").await;
    assert_eq!(job.progress, None, "another attempt begins anew");
}

pub(super) async fn a_lease_is_renewed_by_its_own_claim_only(bench: Bench) {
    let job = bench.running(LONG_MS).await;
    let write = token(&job);
    let before = bench.document(job.id()).await;
    for (epoch, write) in [(0, write.as_str()), (2, &write), (1, "another"), (1, ""), (1, "$lease.token")] {
        assert_eq!(renew(&bench, &job, epoch, write, None).await, Renewal::Lost, "{epoch} {write}");
    }
    assert_eq!(bytes(&bench.document(job.id()).await), bytes(&before));
    let other = super::kit::id(lucid_schemas::Kind::Backup);
    let nobody = bench.store.renew(&other, 1, &write, LONG_MS, None).await.expect("asked");
    assert_eq!(nobody, Renewal::Lost);
    let given_back = Command::Release { epoch: 1, reason: "stops".into() };
    let queued = bench.make(&job, &given_back, "w").await;
    assert_eq!(renew(&bench, &queued, 1, &write, None).await, Renewal::Lost, "given back");
    let taken = bench.make(&queued, &claim("v", LONG_MS), "v").await;
    assert_eq!(renew(&bench, &taken, 1, &write, None).await, Renewal::Lost, "another's now");
    assert_eq!(renew(&bench, &taken, 2, &token(&taken), None).await, RENEWED);
    let done = Command::Succeed { epoch: 2, result: doc! {} };
    let done = bench.make(&bench.job(job.id()).await, &done, "v").await;
    assert_eq!(renew(&bench, &done, 2, &token(&taken), None).await, Renewal::Lost, "ended");
    assert_eq!(bench.job(job.id()).await.lease, None, "nothing rises from the dead");
}

pub(super) async fn a_lease_that_is_over_is_not_renewed(bench: Bench) {
    for lease_ms in [0, OVER_MS] {
        let job = bench.running(lease_ms).await;
        let before = bench.document(job.id()).await;
        let progress = Progress::default();
        assert_eq!(renew(&bench, &job, 1, &token(&job), Some(&progress)).await, Renewal::Lost);
        assert_eq!(bytes(&bench.document(job.id()).await), bytes(&before), "nobody else has it, and yet");
    }
    let job = bench.running(LONG_MS).await;
    let ended = bench.store.renew(job.id(), 1, &token(&job), OVER_MS, None).await.expect("asked");
    assert_eq!(ended, RENEWED);
    assert_eq!(renew(&bench, &job, 1, &token(&job), None).await, Renewal::Lost);
}

pub(super) async fn a_renewal_sees_a_cancel(bench: Bench) {
    let job = bench.running(LONG_MS).await;
    let write = token(&job);
    bench.make(&job, &Command::RequestCancel, "api").await;
    let state = State::Canceling;
    assert_eq!(renew(&bench, &job, 1, &write, None).await, Renewal::Renewed { state });
}
