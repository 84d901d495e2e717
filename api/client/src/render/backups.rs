//! The list of backups.

use super::{jobs::more, part_of, table::Table, time, units};
use lucid_schemas::http::{BackupPage, BackupView};

/// A page of backups, newest first.
pub fn backups(page: &BackupPage) -> String {
    if page.backups.is_empty() {
        return "no backups\n".into();
    }
    let mut table = Table::new(&[
        "BACKUP",
        "DATABASE",
        "STATE",
        "ASKED FOR (UTC)",
        ">DOCUMENTS",
        ">SIZE",
        ">NEWLY STORED",
        "ONE INSTANT",
        "ENCRYPTED",
        "REPOSITORY",
    ]);
    for backup in &page.backups {
        table.row(&row(backup));
    }
    table.text() + &more(page.next.as_deref())
}

fn row(backup: &BackupView) -> [String; 10] {
    let job = &backup.job;
    let stored = job.result.as_ref().and_then(|result| result.get("stored_bytes")?.as_i64());
    let names = job.spec.get("collections").and_then(serde_json::Value::as_array);
    let collections = names.filter(|_| backup.partial).map(|names| names.len() as u64);
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" };
    let one_instant = backup.consistent.map_or("", yes_or_no);
    let encrypted = job.spec.get("encryption").and_then(serde_json::Value::as_bool).map_or("", yes_or_no);
    [
        job.job_id.clone(),
        part_of(&backup.database, collections),
        // That it was made stays true, but it is of no use to anybody.
        job.fate.as_ref().map_or(&job.state, |fate| &fate.state).clone(),
        time::second(&job.created_at),
        backup.documents.map(units::count).unwrap_or_default(),
        backup.raw_bytes.map(units::bytes).unwrap_or_default(),
        stored.map(units::bytes).unwrap_or_default(),
        one_instant.to_owned(),
        encrypted.to_owned(),
        job.repository.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn sizes_and_counts_are_told_where_known() {
        let done = BackupView {
            job: samples::backed_up(),
            database: "lucid".into(),
            partial: true,
            consistent: Some(true),
            documents: Some(120_000),
            raw_bytes: Some(34_000_000),
        };
        let waiting = BackupView {
            job: samples::queued(),
            database: "lucid".into(),
            partial: false,
            consistent: None,
            documents: None,
            raw_bytes: None,
        };
        let gone = BackupView { job: samples::forgotten(), ..done.clone() };
        let page = BackupPage { backups: vec![waiting, done, gone], next: None };
        assert_eq!(
            backups(&page),
            "\
BACKUP                             DATABASE               STATE      ASKED FOR (UTC)      DOCUMENTS      SIZE  NEWLY STORED  ONE INSTANT  ENCRYPTED  REPOSITORY
backup_20250109_020000_7k3fq2m8ab  lucid                  queued     2025-01-09 02:00:00                                                             main
backup_20250109_020000_7k3fq2m8ab  lucid (2 collections)  succeeded  2025-01-09 02:00:00    120,000  32.4 MiB       9.5 MiB  yes                     main
backup_20250109_020000_7k3fq2m8ab  lucid (2 collections)  forgotten  2025-01-09 02:00:00    120,000  32.4 MiB       9.5 MiB  yes                     main
"
        );
    }
}
