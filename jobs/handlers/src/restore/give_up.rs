//! A restore that got stuck in its swap and was given up: what is staged goes, and what became of each collection is told.
//!
//! Invariant: nothing of the target is touched. Staging goes first, so that nobody who comes late can still swap it in; what is
//! seen after that stays true.

use super::{
    cleanup,
    list::{self, SwapEntry, SwapList},
    stage::decoded,
    swap,
};
use crate::{
    database::{Server, catalog::Catalog, definition},
    error::Result,
    scratch,
};
use bson::{Document, doc};
use lucid_ports::{GivenUp, JobContext};
use lucid_repository::CollectionKind;
use lucid_schemas::RestoreSpec;

const NAMED_MAX: usize = 10;

/// What became of what was to be swapped, by name.
#[derive(Debug, Default)]
struct Found {
    swapped: Vec<String>,
    not_swapped: Vec<String>,
    /// Time-series collections whose buckets may be partly old, partly new.
    mixed: Vec<String>,
    /// Swapped ones whose documents were to expire, and don't yet.
    expiry_off: Vec<String>,
}

/// Removes what is staged, and says what the target holds.
pub(super) async fn give_up(context: &dyn JobContext, server: &Server, spec: &RestoreSpec) -> Result<GivenUp> {
    let job = context.job();
    let own = job.head.epoch;
    server.patiently(|| cleanup::drop_staging(server, &spec.database, job.id(), |epoch| epoch <= own)).await?;
    scratch::clear(server, job.id(), |epoch| epoch <= own).await?;
    let list = swap::committed_list(context).await?;
    if list.database != spec.database {
        return Err(list::unreadable("it is about another database"));
    }
    let target = server.patiently(|| server.names(&list.database)).await?;
    let mut found = Found::default();
    for (number, entry) in list.entries.iter().enumerate() {
        let place = if entry.kind == CollectionKind::TimeSeries {
            found.series(context, &list, number, entry, &target).await?
        } else if target.entries.get(&entry.name).and_then(|there| there.uuid) == Some(entry.staged) {
            &mut found.swapped
        } else {
            &mut found.not_swapped
        };
        place.push(entry.name.clone());
        if found.swapped.last() == Some(&entry.name) && !expires(server, &list, entry, &target).await? {
            found.expiry_off.push(entry.name.clone());
        }
    }
    for view in &list.views {
        let there = target.entries.get(&view.name).filter(|there| there.kind == CollectionKind::View);
        let now = there.map(|there| decoded(&there.options)).transpose()?;
        let defined = now.is_some_and(|now| definition::same_options(&now, &view.options));
        if defined { &mut found.swapped } else { &mut found.not_swapped }.push(view.name.clone());
    }
    Ok(GivenUp { message: found.message(&list.database), found: found.document(&list.database) })
}

impl Found {
    /// Buckets are exchanged in place, so only their end leaves a mark, and a target that was made for them another.
    async fn series(
        &mut self,
        context: &dyn JobContext,
        list: &SwapList,
        number: usize,
        entry: &SwapEntry,
        target: &Catalog,
    ) -> Result<&mut Vec<String>> {
        let done = context.detail(&list::done_name(list.epoch, number)).await?.is_some();
        let there = target.entries.contains_key(&entry.name);
        Ok(match (there, done) {
            (true, true) => &mut self.swapped,
            (true, false) => &mut self.mixed,
            (false, _) => &mut self.not_swapped,
        })
    }

    fn message(&self, database: &str) -> String {
        let mut told = vec![format!("in '{database}', the backup's are now {}", named(&self.swapped))];
        told.push(format!("not swapped were {}", named(&self.not_swapped)));
        if !self.mixed.is_empty() {
            told.push(format!("measurements of before and of the backup may be mixed in {}", named(&self.mixed)));
        }
        if !self.expiry_off.is_empty() {
            told.push(format!("documents don't expire yet in {}: set that with collMod", named(&self.expiry_off)));
        }
        told.join("; ") + "; what was staged is gone"
    }

    fn document(&self, database: &str) -> Document {
        doc! {
            "database": database,
            "swapped": &self.swapped,
            "not_swapped": &self.not_swapped,
            "mixed": &self.mixed,
            "expiry_off": &self.expiry_off,
        }
    }
}

/// Whether what was left off of expiry while the documents were loaded is set again.
async fn expires(server: &Server, list: &SwapList, entry: &SwapEntry, target: &Catalog) -> Result<bool> {
    let options = target.entries.get(&entry.name).map(|there| decoded(&there.options)).transpose()?;
    if entry.expire_after.is_some() && !options.unwrap_or_default().contains_key("expireAfterSeconds") {
        return Ok(false);
    }
    if entry.index_expiry.is_empty() {
        return Ok(true);
    }
    let indexes = server.patiently(|| server.indexes(&list.database, &entry.name)).await?;
    let set = |name: &str| {
        let index = indexes.iter().find(|index| index.get_str("name").is_ok_and(|found| found == name));
        index.is_some_and(|index| index.get("expireAfterSeconds").is_ok_and(|after| after.is_some()))
    };
    Ok(entry.index_expiry.iter().all(|expiry| set(&expiry.index)))
}

fn named(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED_MAX) {
        0 if names.is_empty() => "none".into(),
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
