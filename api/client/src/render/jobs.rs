//! The list of jobs.

use super::{brief, cut, job::is_dry_run, table::Table, time, units};
use lucid_schemas::http::{JobPage, JobView};

const NOTE_CHARACTERS: usize = 70;

/// A page of jobs, newest first.
pub fn jobs(page: &JobPage) -> String {
    if page.jobs.is_empty() {
        return "no jobs\n".into();
    }
    let mut table = Table::new(&["JOB", "STATE", "SUBJECT", "ASKED FOR (UTC)", ">TOOK", "NOTE"]);
    for job in &page.jobs {
        let note = note(job);
        table.row(&[
            job.job_id.clone(),
            job.state.clone(),
            subject(job),
            time::second(&job.created_at),
            took(job).map(units::duration).unwrap_or_default(),
            cut(&note, NOTE_CHARACTERS),
        ]);
    }
    table.text() + &more(page.next.as_deref())
}

/// Says that there is another page.
pub(super) fn more(next: Option<&str>) -> String {
    next.map_or_else(String::new, |_| "There are more: see them with --after and the last id, or with --all.\n".into())
}

/// What the job is about: a database, or a backup and where it goes.
pub(super) fn subject(job: &JobView) -> String {
    let word = |name: &str| job.spec.get(name).map(|value| brief(name, value));
    match (word("backup"), word("database")) {
        (Some(backup), Some(target)) if is_dry_run(job) => format!("{backup} -> {target} (dry run)"),
        (Some(backup), Some(target)) => format!("{backup} -> {target}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => job.repository.clone().unwrap_or_default(),
    }
}

/// Milliseconds from its first claim to its end.
pub(super) fn took(job: &JobView) -> Option<i64> {
    time::between(job.started_at.as_deref(), job.finished_at.as_deref())
}

/// What somebody who looks at the list wants to know about it.
pub(super) fn note(job: &JobView) -> String {
    if let Some(waiting) = &job.waiting_for {
        return waiting.clone();
    }
    if let Some(progress) = &job.progress {
        return match share(progress.bytes, progress.total_bytes) {
            Some(percent) => format!("{} {percent} %", progress.phase),
            None => format!("{} {}", progress.phase, units::bytes(progress.bytes)),
        };
    }
    if let Some(fate) = &job.fate {
        return format!("{} by {}: {}", fate.state, fate.by, fate.reason);
    }
    match &job.error {
        Some(error) if job.state != "succeeded" => error.message.clone(),
        _ => String::new(),
    }
}

/// Percent done, where the whole is known.
pub(super) fn share(done: i64, whole: i64) -> Option<i64> {
    (whole > 0)
        .then(|| (i128::from(done) * 100 / i128::from(whole)).clamp(0, 100))
        .and_then(|percent| i64::try_from(percent).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn a_list_is_aligned_and_says_why_jobs_wait() {
        let page = JobPage { jobs: vec![samples::queued(), samples::restored()], next: Some("restore_x".into()) };
        assert_eq!(
            jobs(&page),
            "\
JOB                                 STATE      SUBJECT                                              ASKED FOR (UTC)       TOOK  NOTE
backup_20250109_020000_7k3fq2m8ab   queued     lucid                                                2025-01-09 02:00:00         no worker is alive
restore_20250109_030000_0123456789  succeeded  backup_20250109_020000_7k3fq2m8ab -> lucid\u{fffd}restored  2025-01-09 03:00:00  2.5 s
There are more: see them with --after and the last id, or with --all.
"
        );
    }

    #[test]
    fn what_became_of_a_backup_is_told() {
        let page = JobPage { jobs: vec![samples::forgotten()], next: None };
        let note = "forgotten by prune_20250209_030000_0123456789";
        assert!(jobs(&page).contains(note), "{}", jobs(&page));
        let alone = crate::render::job::job(&samples::forgotten());
        assert!(alone.contains(note) && alone.contains("no rule keeps it"), "{alone}");
    }

    #[test]
    fn an_empty_list_says_so() {
        let page = JobPage { jobs: Vec::new(), next: None };
        assert_eq!(jobs(&page), "no jobs\n");
    }
}
