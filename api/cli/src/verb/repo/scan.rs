//! `lucid-ops repo scan`: looks at every object of repositories.

use super::output::{self, bytes, count};
use crate::{
    args::RepoArgs,
    exit::{Exit, FAILED},
    repositories::{self, refused},
};
use lucid_client::render::{lines, table::Table};
use lucid_repository::{OddityKind, Scan};
use serde_json::json;
use std::fmt::Write;

/// Tells of each repository; fails where something is damaged. What is of no use or unknown is only told.
pub async fn run(args: &RepoArgs) -> Result<(), Exit> {
    let mut damaged = false;
    for (name, repository) in repositories::open(&repositories::read(&args.repository)?).await? {
        let scan = repository.scan().await.map_err(|error| refused(&name, &error))?;
        damaged |= scan.oddities.iter().any(|oddity| oddity.kind == OddityKind::Damaged);
        let text = if args.json {
            let Scan { objects, oddities, needless_bytes } = &scan;
            let found = json!({
                "repository": name, "objects": objects, "oddities": oddities, "needless_bytes": needless_bytes,
            });
            format!("{found}\n")
        } else {
            as_text(&name, &scan)
        };
        output::text(&text).await?;
    }
    if damaged { Err(Exit::new(FAILED, "")) } else { Ok(()) }
}

fn as_text(name: &str, scan: &Scan) -> String {
    let mut table = Table::new(&["OBJECTS", ">NUMBER", ">ON DISK"]);
    for (what, objects) in &scan.objects {
        table.row(&[what.clone(), count(objects.number), bytes(objects.bytes)]);
    }
    let mut text = format!("repository '{name}':\n{}", table.text());
    for (kind, heading) in [
        (OddityKind::Damaged, "damaged (lucid-ops repo verify --all says which backups are hurt):"),
        (OddityKind::Orphan, "of no use to any backup, unless one is running:"),
        (
            OddityKind::NotCounted,
            "not believed (an older key has sealed it since it was replaced; a prune removes it):",
        ),
        (OddityKind::Unknown, "unknown:"),
    ] {
        let oddities: Vec<_> = scan.oddities.iter().filter(|oddity| oddity.kind == kind).collect();
        if oddities.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{heading}");
        for oddity in oddities {
            let _ = writeln!(text, "  {} ({}): {}", oddity.object, bytes(oddity.bytes), oddity.problem);
        }
    }
    let _ = match scan.needless_bytes {
        None => writeln!(text, "what is of no use can't be told, as not all manifests and lists can be read"),
        Some(0) => Ok(()),
        Some(needless) => writeln!(text, "{} within packs that are needed are of no use any more", bytes(needless)),
    };
    if scan.oddities.is_empty() {
        text += "every object is as it should be (packs: as far as sizes tell; lucid-ops repo verify reads them)\n";
    }
    lines(&text)
}
