//! Whatever the swap will do after its point of no return is done before on empty collections, so that nothing is tried there for the
//! first time: expiry by `collMod`, and views beside those that are in the target.
//!
//! Invariant: nothing of the target is touched.

use super::{
    probe::{lost, staging_uuid},
    stage::decoded,
    staging::StagingName,
};
use crate::{
    database::{
        Entry, Server, commands,
        definition::{self, Definition},
    },
    error::Result,
    scratch::ScratchName,
};
use bson::{Document, RawDocumentBuf, Uuid};
use lucid_repository::{CollectionEntry, CollectionKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is tried is empty, so that only somebody's lock can hold it up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a database's and a collection's name with the dot between.
const NAMESPACE_BYTES_MAX: usize = 255;

/// A view or an index that the server won't take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its name.
    pub name: String,
    /// What the server says.
    pub reason: String,
}

/// The definition of a collection, as far as this server takes its expiry: it is tried on an empty collection of this name.
pub(crate) async fn definition(
    server: &Server,
    (database, name): (&str, &StagingName),
    entry: &CollectionEntry,
) -> Result<Definition> {
    let indexes = entry.indexes.iter().map(|index| decoded(index)).collect::<Result<_>>()?;
    let mut wanted = Definition { options: decoded(&entry.options)?, indexes, left_off: Vec::new() };
    if !wanted.expires() {
        return Ok(wanted);
    }
    let create = commands::create_staging(database, name, definition::options_to_create(&wanted.options))?;
    server.tell(create).await?;
    let uuid = staging_uuid(server, database, name).await?.ok_or_else(|| lost(name))?;
    let tried = expire(server, (database, name, uuid), &mut wanted).await;
    let drop = if entry.kind == CollectionKind::TimeSeries {
        commands::drop_staging_time_series(database, name)?
    } else {
        commands::drop_staging(database, name, uuid)?
    };
    server.tell(drop).await?;
    tried.map(|()| wanted)
}

/// Sets every expiry; takes out of the definition what the server refuses.
async fn expire(
    server: &Server,
    (database, name, uuid): (&str, &StagingName, Uuid),
    wanted: &mut Definition,
) -> Result<()> {
    let text = name.as_str();
    let expiry = definition::expiry(&wanted.options, &wanted.indexes);
    if let Some(after) = expiry.collection {
        let set = commands::expire_by_collection(database, text, uuid, after, PATIENCE)?;
        if is_refused(server.tell(set).await)? {
            wanted.leave_off();
        }
    }
    for place in 0..wanted.indexes.len() {
        let index = wanted.indexes[place].clone();
        let is_set = definition::expiry(&Document::new(), std::slice::from_ref(&index)).indexes.pop();
        if is_set.is_none() && !index.contains_key("expireAfterSeconds") {
            continue;
        }
        let built = definition::indexes_to_create(&wanted.options, &[index]);
        let mut refused = !built.is_empty() && is_refused(server.build_indexes(database, text, uuid, built).await)?;
        if let (false, Some((index, after))) = (refused, is_set) {
            let set = commands::expire_by_index(database, text, uuid, &index, after, PATIENCE)?;
            refused = is_refused(server.tell(set).await)?;
        }
        if refused {
            wanted.leave_off_index(place);
        }
    }
    Ok(())
}

/// Makes the indexes of a time-series collection beside those that its target has, which stay, on an empty collection of this name; says
/// which of them the server refuses.
pub(crate) async fn series_indexes(
    server: &Server,
    (database, name): (&str, &StagingName),
    entry: &CollectionEntry,
    there: &[RawDocumentBuf],
) -> Result<Vec<Refused>> {
    let options = decoded(&entry.options)?;
    let decoded_all =
        |indexes: &[RawDocumentBuf]| indexes.iter().map(|index| decoded(index)).collect::<Result<Vec<_>>>();
    let (there, coming) = (decoded_all(there)?, decoded_all(&entry.indexes)?);
    server.tell(commands::create_staging(database, name, definition::options_to_create(&options))?).await?;
    let uuid = staging_uuid(server, database, name).await?.ok_or_else(|| lost(name))?;
    let build = |index: Document| server.build_indexes(database, name.as_str(), uuid, vec![index]);
    let mut refused = Vec::new();
    for index in definition::indexes_to_create(&options, &there) {
        is_refused(build(index).await)?;
    }
    for index in definition::indexes_to_create(&options, &coming) {
        let of = index.get_str("name").unwrap_or_default().to_owned();
        match build(index).await {
            Ok(()) => {}
            Err(error) if error.is_refusal() => refused.push(Refused { name: of, reason: error.words() }),
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// Makes the views that are restored, in their order, beside those that are in the target and the time-series collections that will
/// be there, each under its own name in a database of its own; says which of them the server refuses, as it will there.
pub(crate) async fn views(
    server: &Server,
    scratch: &ScratchName,
    entries: &[CollectionEntry],
    target: &BTreeMap<String, Entry>,
) -> Result<Vec<Refused>> {
    let mut refused = Vec::new();
    if !has_views(entries) {
        return Ok(refused);
    }
    let made = lay_out(server, scratch, entries, target).await?;
    let database = scratch.as_str();
    for entry in entries.iter().filter(|entry| entry.kind == CollectionKind::View) {
        let (name, options) = (entry.name.as_str(), decoded(&entry.options)?);
        if database.len() + 1 + name.len() > NAMESPACE_BYTES_MAX {
            // It fits where it is to be made, but not here.
            continue;
        }
        let define = if made.contains(name) {
            commands::redefine_view(database, name, &options, PATIENCE)?
        } else {
            commands::create_target(database, name, definition::options_to_create(&options), PATIENCE)?
        };
        match server.tell(define).await {
            Ok(_) => {}
            Err(error) if error.is_refusal() => {
                let reason = error.words().replace(&format!("{database}."), "");
                refused.push(Refused { name: name.to_owned(), reason });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// Whether there is anything to try of views.
pub(crate) fn has_views(entries: &[CollectionEntry]) -> bool {
    entries.iter().any(|entry| entry.kind == CollectionKind::View)
}

/// Makes what views may stand on: time-series collections, which are views to the server, and the target's own views, whose names are
/// the answer. What it refuses of these stands already, or will be told of.
async fn lay_out(
    server: &Server,
    scratch: &ScratchName,
    entries: &[CollectionEntry],
    target: &BTreeMap<String, Entry>,
) -> Result<BTreeSet<String>> {
    let mut made = BTreeSet::new();
    let of_kind = |wanted: CollectionKind| {
        let there = target.values().filter(move |entry| entry.kind == wanted);
        there.map(|entry| (&entry.name, &entry.options))
    };
    let coming = entries.iter().filter(|entry| entry.kind == CollectionKind::TimeSeries);
    let series = coming.map(|entry| (&entry.name, &entry.options)).chain(of_kind(CollectionKind::TimeSeries));
    let mut laid = BTreeSet::new();
    for (name, options) in series.chain(of_kind(CollectionKind::View)) {
        if !laid.insert(name) {
            continue;
        }
        let options = definition::options_to_create(&decoded(options)?);
        let create = commands::create_target(scratch.as_str(), name, options, PATIENCE)?;
        if !is_refused(server.tell(create).await)?
            && target.get(name).is_some_and(|entry| entry.kind == CollectionKind::View)
        {
            made.insert(name.clone());
        }
    }
    Ok(made)
}

/// Whether the server refuses something; whatever else goes wrong is passed on.
fn is_refused<T>(outcome: Result<T>) -> Result<bool> {
    match outcome {
        Ok(_) => Ok(false),
        Err(error) if error.is_refusal() => {
            tracing::warn!(%error, "refused when it was tried");
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
