//! `lucid-ops repo cat`: the documents of a collection of a backup, one after the other.

use super::{
    output::{self, Failed},
    pick,
};
use crate::{args::CatArgs, exit::Exit, output::hint, repositories::refused};
use bson::{Bson, Document, RawDocument};
use futures::{StreamExt, pin_mut};
use lucid_repository::CollectionKind;

/// Writes the documents to standard output.
pub async fn run(args: &CatArgs) -> Result<(), Exit> {
    let picked = pick::one(&args.repo.repository, &args.backup).await?;
    let found = picked.manifest.collections.iter().find(|entry| entry.name == args.collection);
    let entry = found.ok_or_else(|| {
        Exit::usage(format!(
            "backup {} has no collection '{}': lucid-ops repo ls shows what it has",
            picked.manifest.job, args.collection
        ))
    })?;
    if entry.kind == CollectionKind::View {
        return Err(Exit::usage(format!("'{}' is a view: it has no documents of its own", entry.name)));
    }
    let failed = |error| Failed::Otherwise(refused(&picked.name, &error));
    let reader =
        picked.repository.open_backup(&picked.manifest).await.map_err(|error| refused(&picked.name, &error))?;
    // Standard output is for documents alone.
    hint(picked.note());
    let mut left = args.limit.unwrap_or(u64::MAX);
    output::to_stdout(async |out| {
        let chunks = reader.chunks(entry);
        pin_mut!(chunks);
        while left > 0 {
            let Some(chunk) = chunks.next().await else { break };
            let chunk = chunk.map_err(failed)?;
            let some = chunk.documents().take(usize::try_from(left).unwrap_or(usize::MAX));
            for document in some {
                if args.bson {
                    out.write_all(document)?;
                } else {
                    writeln!(out, "{}", line(document)?)?;
                }
                left -= 1;
            }
        }
        Ok(())
    })
    .await
}

/// Canonical extended JSON.
fn line(document: &[u8]) -> Result<serde_json::Value, Exit> {
    let read = RawDocument::from_bytes(document).and_then(Document::try_from);
    let read = read.map_err(|error| Exit::failed(format!("a document can't be read: {error}")))?;
    Ok(Bson::Document(read).into_canonical_extjson())
}
