//! One job.

use super::{
    brief, clean, cut,
    jobs::{share, took},
    prune, table, time, units,
};
use lucid_schemas::http::{JobView, ProgressView};
use serde_json::Value;

const VALUE_CHARACTERS: usize = 200;

/// All that is known about one job, except its events.
pub fn job(job: &JobView) -> String {
    let mut lines = Lines(Vec::new());
    lines.put("job", &job.job_id);
    lines.put("kind", &job.kind);
    lines.put("state", &job.state);
    if let Some(fate) = &job.fate {
        lines.put(
            "became",
            &format!("{} by {} at {}: {}", fate.state, fate.by, time::millisecond(&fate.at), fate.reason),
        );
    }
    lines.some("waiting", job.waiting_for.as_deref());
    lines.some("progress", job.progress.as_ref().map(progress).as_deref());
    if let Some(error) = &job.error {
        lines.put("error", &format!("{}: {}", error.code, error.message));
    }
    lines.fields("", &job.spec);
    lines.some("repository", job.repository.as_deref());
    lines.put("asked for", &format!("{} by {}", time::millisecond(&job.created_at), job.requested_by));
    if job.priority != 0 {
        lines.put("priority", &job.priority.to_string());
    }
    lines.some("timeout", job.timeout_seconds.map(|seconds| units::duration(seconds * 1_000)).as_deref());
    lines.some("labels", (!job.labels.is_empty()).then(|| job.labels.join(", ")).as_deref());
    lines.some("unique key", job.unique_key.as_deref());
    lines.some("after", job.after.as_deref());
    lines.some("if it", job.on.as_deref());
    lines.some("canceled", job.canceled.as_deref());
    if job.started_at.is_none() {
        lines.put("due", &time::millisecond(&job.run_at));
    }
    lines.some("started", job.started_at.as_deref().map(time::millisecond).as_deref());
    lines.some("ended", job.finished_at.as_deref().map(time::millisecond).as_deref());
    lines.some("took", took(job).map(units::duration).as_deref());
    if let Some(worker) = &job.worker {
        lines.put("worker", &format!("{worker} (attempt {} of {})", job.attempt, job.max_attempts));
    }
    if let Some(result) = &job.result {
        lines.fields("result: ", result);
    }
    table::pairs(&lines.0)
}

/// How a watched job ended, in one sentence; a prune's backups before it.
pub fn ending(job: &JobView) -> String {
    let number = |name: &str| job.result.as_ref()?.get(name)?.as_i64();
    let mut parts = vec![format!("{} {}", job.job_id, job.state)];
    parts.extend(took(job).map(|ms| format!("after {}", units::duration(ms))));
    parts.extend(number("documents").map(|documents| format!("{} documents", units::count(documents))));
    parts.extend(number("raw_bytes").map(units::bytes));
    parts.extend(number("stored_bytes").map(|bytes| format!("{} newly stored", units::bytes(bytes))));
    let why = job.error.as_ref().filter(|_| job.state != "succeeded");
    let sentences = [
        Some(parts.join(", ")),
        why.map(|error| error.message.clone()),
        job.canceled.clone(),
        job.waiting_for.clone(),
        caveat(job),
    ];
    let told: Vec<_> = sentences.into_iter().flatten().collect();
    prune::pruned(job).unwrap_or_default() + &clean(&told.join(": ")) + "\n"
}

/// Whether this was a dry run, which changed nothing.
pub fn is_dry_run(job: &JobView) -> bool {
    job.spec.get("dry_run").and_then(Value::as_bool).unwrap_or(false)
}

/// Whether a dry run found what would stop the restore.
pub fn has_problems(job: &JobView) -> bool {
    let problems = job.result.as_ref().and_then(|result| result.get("problems")?.as_array());
    problems.is_some_and(|problems| !problems.is_empty())
}

/// What a person would regret not to have been told.
fn caveat(job: &JobView) -> Option<String> {
    let result = job.result.as_ref()?;
    let list = |name: &str| {
        let words: Vec<_> = result.get(name)?.as_array()?.iter().map(|value| brief(name, value)).collect();
        (!words.is_empty()).then(|| words.join(", "))
    };
    let told = |label: &str, name: &str| list(name).map(|words| format!("{label}: {words}"));
    if is_dry_run(job) && job.kind == "prune" {
        return Some("nothing was changed".into());
    }
    if is_dry_run(job) {
        let plan = [
            told("would create", "created"),
            told("would replace", "replaced"),
            told("would keep", "kept"),
            told("can't be done", "problems"),
            told("note", "notes"),
            told("the backup is of these collections of its database alone", "selected"),
        ];
        let plan: Vec<_> = plan.into_iter().flatten().collect();
        return Some(format!("nothing was changed; {}", plan.join("; ")));
    }
    let level = job.spec.get("level").and_then(Value::as_str);
    let caveats = [
        (level == Some("structure")).then(|| "only the structure: contents were not read".to_owned()),
        share_read(result),
        told("a backup of these collections of its database alone", "selected"),
        parts(result),
        told("not read at the same instant as the rest", "inconsistent"),
        told("left out", "left_out"),
        told(
            "stored again, since they were read in another order than for the backup before, such as that of another member",
            "stored_again",
        ),
        told("changed by somebody else meanwhile, so left alone", "left_alone"),
        told("written to meanwhile, and left as they are", "written_meanwhile"),
        told("without expiry, which the server refuses there", "expiry_left_off"),
        told("only the newest that fit were restored of", "trimmed"),
    ];
    let caveats: Vec<_> = caveats.into_iter().flatten().collect();
    (!caveats.is_empty()).then(|| caveats.join("; "))
}

/// Of a result that lists backups: those of less than all of their database.
fn parts(result: &Value) -> Option<String> {
    let lists = ["copied", "left"].into_iter().filter_map(|name| result.get(name)?.as_array());
    let marked = lists.flatten().filter(|backup| backup.get("partial") == Some(&Value::Bool(true)));
    let names: Vec<_> = marked.filter_map(|backup| backup.get("backup")?.as_str()).collect();
    // One alone is told of by its collections.
    (result.get("selected").is_none() && !names.is_empty())
        .then(|| format!("of some collections of their database alone: {}", names.join(", ")))
}

/// Of a verification that hasn't read everything.
fn share_read(result: &Value) -> Option<String> {
    let number = |name: &str| result.get(name)?.as_i64();
    let (read, packs) = (number("packs_read")?, number("packs")?);
    let seed = number("seed").map_or_else(String::new, |seed| format!(", chosen by seed {seed}"));
    (read < packs).then(|| format!("only {} of {} packs were read{seed}", units::count(read), units::count(packs)))
}

fn progress(progress: &ProgressView) -> String {
    let done =
        format!("{}, {} documents, {}", progress.phase, units::count(progress.documents), units::bytes(progress.bytes));
    match share(progress.bytes, progress.total_bytes) {
        Some(percent) => format!("{done} of {} ({percent} %)", units::bytes(progress.total_bytes)),
        None => done,
    }
}

struct Lines(Vec<(String, String)>);

impl Lines {
    fn put(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn fields(&mut self, prefix: &str, object: &Value) {
        for (name, value) in object.as_object().into_iter().flatten() {
            let told = brief(name, value);
            self.put(&format!("{prefix}{}", name.replace('_', " ")), &cut(&told, VALUE_CHARACTERS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;
    use serde_json::json;

    #[test]
    fn one_job_is_told_line_by_line() {
        assert_eq!(
            job(&samples::backed_up()),
            "\
job                    backup_20250109_020000_7k3fq2m8ab
kind                   backup
state                  succeeded
collections            sessions, authentication
compression            true
database               lucid
repository             main
asked for              2025-01-09 02:00:00.000 by api:pi-1
started                2025-01-09 02:00:00.050
ended                  2025-01-09 02:00:02.550
took                   2.5 s
worker                 pi-2/4711 (attempt 1 of 5)
result: consistent     true
result: documents      120,000
result: manifest       {\"hash\":\"ff\",\"key\":\"manifests/x\"}
result: raw bytes      32.4 MiB
result: snapshot time  1736388000:7
result: stored bytes   9.5 MiB
"
        );
    }

    #[test]
    fn copies_of_a_part_of_a_database_are_named() {
        let copied =
            |result: Value| ending(&JobView { kind: "copy".into(), result: Some(result), ..samples::backed_up() });
        let list = json!([{ "backup": "backup_a" }, { "backup": "backup_b", "partial": true }]);
        let all = copied(json!({ "copied": list }));
        assert!(all.ends_with("of some collections of their database alone: backup_b\n"), "{all}");
        let one = copied(json!({ "copied": [list[1]], "partial": true, "selected": ["users"] }));
        assert!(one.ends_with(": a backup of these collections of its database alone: users\n"), "{one}");
        assert!(!copied(json!({ "copied": [list[0]] })).contains("alone"));
    }

    #[test]
    fn an_ending_is_one_sentence() {
        assert_eq!(
            ending(&samples::backed_up()),
            "backup_20250109_020000_7k3fq2m8ab succeeded, after 2.5 s, 120,000 documents, 32.4 MiB, 9.5 MiB newly stored\n"
        );
        assert_eq!(
            ending(&samples::failed()),
            "backup_20250109_020000_7k3fq2m8ab failed, after 2.5 s: the disk is full\n"
        );
    }
}
