//! Seals with the newest master key what older ones have sealed.
//!
//! Invariant: a backup that can't be sealed anew stays as it is, and is told of; it doesn't keep the others back.

use crate::{
    Environment,
    error::{Error, Result},
    progress::Meter,
};
use async_trait::async_trait;
use bson::{Bson, Document, doc};
use lucid_ports::{Ending, Handler, JobContext, JobError};
use lucid_repository::{ReencryptReport, Reencrypted, rounded};
use lucid_schemas::{Code, Kind, Spec};
use std::sync::Arc;

/// Backups that the result names; the counts tell of all.
const TOLD_MAX: usize = 20;

/// Runs jobs that encrypt a repository anew.
#[derive(Debug)]
pub struct ReencryptHandler {
    environment: Arc<Environment>,
}

impl ReencryptHandler {
    /// A handler in this environment.
    pub fn new(environment: Arc<Environment>) -> Self {
        Self { environment }
    }

    async fn reencrypt(&self, context: &dyn JobContext) -> Result<Document> {
        let job = context.job();
        let Spec::Reencrypt(_) = &job.request.spec else {
            return Err(Error::refused(Code::WrongKind, "the job encrypts nothing anew"));
        };
        let (name, repository) = self.environment.repository(&job.request).await?;
        let meter = Meter::new(context);
        let progress = |done: u64, total: u64, documents: u64, bytes: u64| {
            if (done, documents) == (0, 0) {
                meter.phase("encrypt anew", 0);
            }
            tracing::debug!(job = %job.id(), done, total, "encrypting anew");
            meter.set(whole(bytes), 0);
        };
        let stop = context.stop().clone();
        let report = repository.reencrypt(&progress, &move || stop.is_cancelled()).await?;
        let outdated = repository.stats().await?.outdated_packs.bytes;
        Ok(result(name, &report, outdated))
    }
}

#[async_trait]
impl Handler for ReencryptHandler {
    fn kind(&self) -> Kind {
        Kind::Reencrypt
    }

    async fn run(&self, context: &dyn JobContext) -> std::result::Result<Document, JobError> {
        Ok(self.reencrypt(context).await?)
    }

    async fn abandon(&self, _: &dyn JobContext, _: Ending) {
        // What is done stays done, and what isn't is as it was.
    }
}

fn result(name: &str, report: &ReencryptReport, outdated: u64) -> Document {
    let (left, done): (Vec<&Reencrypted>, Vec<_>) = report.backups.iter().partition(|backup| backup.left.is_some());
    let stored: u64 = done.iter().map(|backup| backup.stored_bytes).sum();
    let told = left.iter().take(TOLD_MAX).map(|backup| {
        let mut told = doc! { "backup": &backup.job, "why": &backup.left };
        if backup.partial {
            told.insert("partial", true);
        }
        Bson::from(told)
    });
    doc! {
        "repository": name,
        "backups_sealed": whole(done.len() as u64),
        "backups_left": whole(left.len() as u64),
        "stored_bytes": whole(rounded(stored)),
        // What is stored twice meanwhile.
        "outdated_bytes": whole(rounded(outdated)),
        "freed_by": "the next two prunes",
        "left": told.collect::<Vec<_>>(),
        "needs_older": &report.needs_older,
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
