//! What a prune says of what it did, or would do. Stays below what an event may hold.

use bson::{Bson, Document, doc};
use lucid_repository::{Judgement, PruneReport, Spared, Verdict, rounded};
use lucid_schemas::{Job, PruneSpec};

/// Verdicts, and series, in the result; a detail holds all.
const TOLD_MAX: usize = 20;
/// Verdicts in the detail.
const KEPT_MAX: usize = 20_000;

/// Says in the log what somebody should look at.
pub(super) fn warn(job: &Job, judgement: &Judgement) {
    let job = job.id();
    for Spared { database, backups, would_go, .. } in &judgement.spared {
        tracing::warn!(%job, database, backups, would_go, "most of a series would go at once: without forget_many it stays");
    }
    if judgement.ahead > 0 {
        let backups = judgement.ahead;
        tracing::warn!(%job, backups, "backups are ahead of the storage's clock: look at its clock and the database's");
    }
}

/// The result.
pub(super) fn result(repository: &str, spec: &PruneSpec, judgement: &Judgement, report: &PruneReport) -> Document {
    let kept = judgement.verdicts.iter().filter(|verdict| verdict.keep).count();
    let mut result = doc! {
        "repository": repository,
        "dry_run": spec.dry_run,
        "backups_kept": whole(kept as u64),
        "backups_removed": whole((judgement.verdicts.len() - kept) as u64),
        "objects_deleted": whole(report.objects_deleted),
        "deleted_bytes": whole(rounded(report.deleted_bytes)),
        "objects_doomed": whole(report.objects_doomed),
        "doomed_bytes": whole(rounded(report.doomed_bytes)),
        "objects_young": whole(report.objects_young),
        "packs_repacked": whole(report.packs_repacked),
        "repacked_bytes": whole(rounded(report.repacked_bytes)),
        "kept_bytes": whole(rounded(report.kept_bytes)),
        "chunks_lost": whole(report.chunks_lost),
        "manifests_void": whole(report.manifests_void),
    };
    result.extend(cautions(judgement));
    // What goes is of more interest than what stays.
    let mut first: Vec<&Verdict> = judgement.verdicts.iter().collect();
    first.sort_by_key(|verdict| verdict.keep);
    result.insert("verdicts", first.into_iter().take(TOLD_MAX).map(verdict).collect::<Vec<_>>());
    result
}

/// All verdicts, for who looks closer.
pub(super) fn detail(verdicts: &[Verdict]) -> Document {
    doc! { "verdicts": verdicts.iter().take(KEPT_MAX).map(verdict).collect::<Vec<_>>() }
}

/// What stays although no rule keeps it.
fn cautions(judgement: &Judgement) -> Document {
    let mut told = Document::new();
    let spared = judgement.spared.iter().take(TOLD_MAX).map(|series| {
        let told =
            doc! { "database": &series.database, "backups": whole(series.backups), "would_go": whole(series.would_go) };
        marked(told, series.selected.as_deref())
    });
    let spared: Vec<Bson> = spared.collect();
    if !spared.is_empty() {
        told.insert("spared", spared);
    }
    if judgement.ahead > 0 {
        told.insert("backups_ahead", whole(judgement.ahead));
    }
    told
}

fn verdict(verdict: &Verdict) -> Bson {
    let mut told = doc! {
        "backup": &verdict.job,
        "database": &verdict.database,
        "at": verdict.at,
        "keep": verdict.keep,
        "reasons": &verdict.reasons,
    };
    if let Some(cluster) = &verdict.cluster {
        told.insert("cluster", cluster);
    }
    marked(told, verdict.selected.as_deref())
}

/// The same, marked where it isn't about all of a database. How many collections is enough here: lists of backups name them.
fn marked(mut told: Document, selected: Option<&[String]>) -> Bson {
    if let Some(names) = selected {
        told.extend(doc! { "partial": true, "collections": whole(names.len() as u64) });
    }
    told.into()
}

/// As it is stored.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
