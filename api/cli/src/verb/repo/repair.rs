//! `lucid-ops repo repair`: puts repositories in order after damage.

use super::{output, verify::Shown};
use crate::{
    args::RepairArgs,
    exit::Exit,
    repositories::{self, refused},
};
use lucid_client::render::lines;
use lucid_repository::{RepairKind, RepairStep};
use serde_json::json;
use std::fmt::Write;

/// Repairs each repository, or says what that would do.
pub async fn run(args: &RepairArgs) -> Result<(), Exit> {
    for (name, repository) in repositories::open(&repositories::read(&args.repo.repository)?).await? {
        let shown = Shown::new(format!("reading '{name}'"));
        let steps = repository.repair(args.dry_run, &|progress| shown.show(progress), &|| false).await;
        shown.close();
        let steps = steps.map_err(|error| refused(&name, &error))?;
        let text = if args.repo.json {
            format!("{}\n", json!({ "repository": name, "dry_run": args.dry_run, "steps": steps }))
        } else {
            as_text(&name, args.dry_run, &steps)
        };
        output::text(&text).await?;
    }
    Ok(())
}

fn as_text(name: &str, dry_run: bool, steps: &[RepairStep]) -> String {
    let heading = match (steps, dry_run) {
        ([], _) => "needs no repair",
        (_, true) => "would be put in order so",
        (_, false) => "was put in order",
    };
    let mut text = format!("repository '{name}' {heading}\n");
    for RepairStep { kind, object, why } in steps {
        let what = match kind {
            RepairKind::Listed => "list again",
            RepairKind::Salvaged => "save chunks",
            RepairKind::Distrusted => "distrust",
            RepairKind::Trusted => "trust again",
            RepairKind::Removed => "remove",
            RepairKind::LeftAlone => "leave alone",
        };
        let _ = writeln!(text, "  {what}: {object}: {why}");
    }
    if steps.iter().any(|step| step.kind == RepairKind::Distrusted) {
        text += "back up again: what the sources still have of distrusted packs is stored anew\n";
    }
    lines(&text)
}
