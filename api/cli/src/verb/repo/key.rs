//! `lucid-ops repo key`: the keys that open a repository.

use super::output;
use crate::{
    args::{KeyCommand, RekeyArgs, RepoArgs},
    exit::Exit,
    repositories::{self, refused},
};
use lucid_client::render::{lines, table::Table, time};
use lucid_repository::{Rekeyed, Repository, SlotInfo, SlotKind, Unlock};
use serde_json::json;
use std::fmt::Write;

/// Said where an older program has rotated the key.
const UNKNOWN: &str = "an older program has rotated this key, so what the keys before it seal is still believed: \
     encrypt anew and retire them, or rotate once more\n";

/// Runs the verb.
pub async fn run(command: KeyCommand) -> Result<(), Exit> {
    match command {
        KeyCommand::List(repo) => {
            for (name, repository) in repositories::open(&repositories::read(&repo.repository)?).await? {
                let slots = repository.slots().await.map_err(|error| refused(&name, &error))?;
                show(&repo, &name, &slots).await?;
                if !repo.json && !repository.knows_what_counts() {
                    output::text(UNKNOWN).await?;
                }
            }
            Ok(())
        }
        KeyCommand::Add { new_key_file, label, repo } => {
            let (name, repository, _) = sole(&repo).await?;
            let made = repository.add_slot(&Unlock::KeyFile(new_key_file.clone()), &label).await;
            let slot = made.map_err(|error| refused(&name, &error))?;
            if !repo.json {
                let file = new_key_file.display();
                let said = format!("the key in {file} opens '{name}' now: keep a copy in another place\n");
                output::text(&said).await?;
            }
            show(&repo, &name, &[slot]).await
        }
        KeyCommand::Remove { slot, repo } => {
            let (name, repository, kept) = sole(&repo).await?;
            repository.remove_slot(&slot, &kept).await.map_err(|error| refused(&name, &error))?;
            let said = if repo.json {
                json!({ "repository": name, "removed": slot }).to_string()
            } else {
                format!(
                    "slot {slot} of '{name}' is gone. Whoever has its key and a copy of the repository from before can still \
                     read what was in it"
                )
            };
            output::text(&(said + "\n")).await
        }
        KeyCommand::Rotate(args) => {
            let (name, repository, kept) = sole(&args.repo).await?;
            let done = repository.rotate_key(&all_kept(&args, kept), args.drop_others).await;
            let next =
                "What was there before is still sealed with older ones: `lucid-ops repo reencrypt` seals it anew.\n";
            tell(&args, &done.map_err(|error| refused(&name, &error))?, &name, next).await
        }
        KeyCommand::Retire(args) => {
            let (name, repository, kept) = sole(&args.repo).await?;
            let done = repository.retire_keys(&all_kept(&args, kept), args.drop_others).await;
            tell(&args, &done.map_err(|error| refused(&name, &error))?, &name, "Older ones open nothing any more.\n")
                .await
        }
    }
}

fn all_kept(args: &RekeyArgs, opens: Unlock) -> Vec<Unlock> {
    std::iter::once(opens).chain(args.keep.iter().cloned().map(Unlock::KeyFile)).collect()
}

/// Says which master key is in force, and which slots there are now.
async fn tell(args: &RekeyArgs, done: &Rekeyed, name: &str, next: &str) -> Result<(), Exit> {
    let Rekeyed { key_id, slots, dropped } = done;
    if args.repo.json {
        let ids = |slots: &[SlotInfo]| slots.iter().map(|slot| slot.id.clone()).collect::<Vec<_>>();
        let told = json!({ "repository": name, "master": key_id, "slots": ids(slots), "dropped": ids(dropped) });
        return output::text(&format!("{told}\n")).await;
    }
    let mut text = format!("master key {key_id} of '{name}' is in force. {next}");
    for slot in dropped {
        let _ = writeln!(text, "dropped slot {} {:?}", slot.id, slot.label);
    }
    output::text(&lines(&text)).await?;
    show(&args.repo, name, slots).await
}

/// The one repository that is named, and the key that opens it.
async fn sole(repo: &RepoArgs) -> Result<(String, Repository, Unlock), Exit> {
    let named = repositories::read(&repo.repository)?;
    let unlock = |name: &str| named.unlock_of(name).clone();
    let mut open = repositories::open(&named).await?;
    match (open.pop_first(), open.is_empty()) {
        (Some((name, repository)), true) => Ok((name.clone(), repository, unlock(&name))),
        _ => Err(Exit::usage("name one --repository: each has keys of its own")),
    }
}

async fn show(repo: &RepoArgs, name: &str, slots: &[SlotInfo]) -> Result<(), Exit> {
    let kind = |slot: &SlotInfo| match slot.kind {
        SlotKind::KeyFile => "key file",
        SlotKind::Passphrase => "passphrase",
    };
    let made = |slot: &SlotInfo| slot.created_at.try_to_rfc3339_string().unwrap_or_default();
    if repo.json {
        let lines = slots.iter().map(|slot| {
            json!({ "repository": name, "slot": slot.id, "kind": kind(slot), "label": slot.label, "created_at": made(slot) })
        });
        return output::text(&output::json_lines(lines)).await;
    }
    let mut table = Table::new(&["SLOT", "OPENS WITH", "MADE (UTC)", "LABEL"]);
    for slot in slots {
        table.row(&[slot.id.clone(), kind(slot).into(), time::second(&made(slot)), slot.label.clone()]);
    }
    output::text(&table.text()).await
}
