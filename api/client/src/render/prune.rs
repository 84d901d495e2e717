//! What a prune did, or would do.

use super::{clean, job::is_dry_run, table::Table, time, units};
use lucid_schemas::http::JobView;
use serde_json::Value;

/// A table of the backups, those that go first, and what became of the space; none where the job has no such result.
pub(super) fn pruned(job: &JobView) -> Option<String> {
    let result = job.result.as_ref().filter(|_| job.kind == "prune")?;
    let number = |name: &str| result.get(name).and_then(Value::as_i64).unwrap_or(0);
    let verdicts = result.get("verdicts")?.as_array()?;
    let mut table = Table::new(&["BACKUP", "DATABASE", "READ (UTC)", "", "WHY"]);
    for verdict in verdicts {
        let text = |name: &str| verdict.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let reasons = verdict.get("reasons").and_then(Value::as_array).into_iter().flatten();
        let reasons: Vec<_> = reasons.filter_map(Value::as_str).collect();
        let keep = verdict.get("keep").and_then(Value::as_bool).unwrap_or(true);
        let word = if keep { "keep" } else { "remove" };
        table.row(&[text("backup"), database(verdict), time::second(&text("at")), word.into(), reasons.join("; ")]);
    }
    let mut lines = if verdicts.is_empty() { "no backups\n".to_owned() } else { table.text() };
    let all = number("backups_kept") + number("backups_removed");
    let untold = all - i64::try_from(verdicts.len()).unwrap_or(all);
    if untold > 0 {
        lines += &["... and ", &units::count(untold), " more\n"].concat();
    }
    lines += &sentences(is_dry_run(job), &number).join("\n");
    lines += "\n";
    for series in result.get("spared").and_then(Value::as_array).into_iter().flatten() {
        lines += &spared(series);
    }
    if number("backups_ahead") > 0 {
        lines += &units::count(number("backups_ahead"));
        lines += " backups are ahead of the storage's clock, so nothing is counted from them: look at the clocks\n";
    }
    if let Some(clusters) = result.get("clusters").and_then(Value::as_array) {
        lines += &of_clusters(clusters);
    }
    Some(lines)
}

/// A series of which most would have gone.
fn spared(series: &Value) -> String {
    let number = |name: &str| units::count(series.get(name).and_then(Value::as_i64).unwrap_or(0));
    format!(
        "{} of the {} backups of {} would go at once, so none does; if that is meant: --forget-many\n",
        number("would_go"),
        number("backups"),
        clean(&database(series))
    )
}

/// What a backup, or a series, is of.
fn database(of: &Value) -> String {
    let name = of.get("database").and_then(Value::as_str).unwrap_or_default();
    super::part_of(name, of.get("collections").and_then(Value::as_u64))
}

/// Whose backups there are.
fn of_clusters(clusters: &[Value]) -> String {
    let told = clusters.iter().map(|entry| {
        let backups = units::count(entry.get("backups").and_then(Value::as_i64).unwrap_or(0));
        match entry.get("cluster").and_then(Value::as_str) {
            Some(_) if entry.get("ours").and_then(Value::as_bool) == Some(true) => backups + " of this cluster",
            Some(cluster) => [&backups, " of cluster ", &clean(cluster), " (which --cluster judges)"].concat(),
            None => backups + " of an unknown cluster",
        }
    });
    let told: Vec<_> = told.collect();
    ["backups of each cluster: ", &told.join(", "), "\n"].concat()
}

fn sentences(dry_run: bool, number: &dyn Fn(&str) -> i64) -> Vec<String> {
    let (would, doomed) =
        if dry_run { ("would be ", "would go in the run after this") } else { ("", "go in the next run") };
    let backups = |count: i64| if count == 1 { "1 backup".to_owned() } else { units::count(count) + " backups" };
    let mut told = vec![format!(
        "{} {would}kept, {} {would}removed; {} of packs {would}kept",
        backups(number("backups_kept")),
        backups(number("backups_removed")),
        units::bytes(number("kept_bytes"))
    )];
    let mut some = |count: &str, text: &dyn Fn(String) -> String| {
        if number(count) > 0 {
            told.push(text(units::count(number(count))));
        }
    };
    some("objects_deleted", &|count| format!("freed {} ({count} objects)", units::bytes(number("deleted_bytes"))));
    some("objects_doomed", &|count| format!("{} ({count} objects) {doomed}", units::bytes(number("doomed_bytes"))));
    some("packs_repacked", &|count| {
        format!("wrote {} anew for what is needed of {count} packs", units::bytes(number("repacked_bytes")))
    });
    some("objects_young", &|count| format!("{count} unneeded objects are younger than the grace period: later"));
    some("manifests_lost", &|count| format!("{count} backups whose manifests are missing are noted as lost"));
    some("manifests_void", &|count| format!("{count} manifests came too late to count, and are gone"));
    some("chunks_lost", &|count| {
        format!("{count} chunks that backups need are whole in no pack: verify the backups, and back up again")
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{ending, samples};
    use serde_json::json;

    #[test]
    fn each_backup_has_its_reason() {
        let verdict = |backup: &str, keep: bool, reason: &str| json!({ "backup": backup, "database": "lucid", "at": "2025-01-09T02:00:00Z", "keep": keep, "reasons": [reason] });
        let job = JobView {
            kind: "prune".into(),
            result: Some(json!({
                "backups_kept": 30, "backups_removed": 1, "kept_bytes": 2048, "objects_deleted": 3,
                "deleted_bytes": 1024, "objects_doomed": 2, "doomed_bytes": 512,
                "spared": [{ "database": "shop", "partial": true, "collections": 2, "backups": 9, "would_go": 8 }],
                "backups_ahead": 2,
                "clusters": [
                    { "backups": 1 }, { "cluster": "a-1", "ours": true, "backups": 27 },
                    { "cluster": "b-2", "ours": false, "backups": 2 },
                ],
                "verdicts": [verdict("backup_a", false, "no rule keeps it"), verdict("backup_b", true, "the newest")],
            })),
            ..samples::backed_up()
        };
        assert_eq!(
            ending(&job),
            "\
BACKUP    DATABASE  READ (UTC)                   WHY
backup_a  lucid     2025-01-09 02:00:00  remove  no rule keeps it
backup_b  lucid     2025-01-09 02:00:00  keep    the newest
... and 29 more
30 backups kept, 1 backup removed; 2.0 KiB of packs kept
freed 1.0 KiB (3 objects)
512 B (2 objects) go in the next run
8 of the 9 backups of shop (2 collections) would go at once, so none does; if that is meant: --forget-many
2 backups are ahead of the storage's clock, so nothing is counted from them: look at the clocks
backups of each cluster: 1 of an unknown cluster, 27 of this cluster, 2 of cluster b-2 (which --cluster judges)
backup_20250109_020000_7k3fq2m8ab succeeded, after 2.5 s
"
        );
    }
}
