//! The swap: puts what was staged and proven in its place, each collection by itself and several at once, only ever forward.
//!
//! Invariant: a step is done if and only if the target has the staged identity. Each step looks first, so that it can
//! be done again by anybody at any time; and each command names the identities that it expects, so that whoever comes
//! late is refused. What somebody else has put in the way is left alone and told.

use super::{
    list::{self, SwapEntry, SwapList},
    staging::StagingName,
    timeseries, views,
};
use crate::{
    HandlerOptions,
    database::{Server, commands},
    error::{Error, Result, code},
    several,
};
use bson::Uuid;
use lucid_ports::JobContext;
use lucid_repository::CollectionKind;
use lucid_schemas::{Code, JobId};
use std::{collections::BTreeMap, time::Duration};

/// With the pauses between, elections are sat out.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);
/// One waits 25 ms for a disk where 8 wait 4 ms each; more gain nothing.
const RENAMED_AT_ONCE: usize = 8;

/// What a swap works with.
pub(crate) struct Swap<'a> {
    pub context: &'a dyn JobContext,
    pub server: &'a Server,
    pub job: JobId,
    pub list: &'a SwapList,
    pub options: HandlerOptions,
}

/// Where a staged collection is by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Under its final name, with this identity.
    Done(Uuid),
    /// Under its staging name, and its final name is as it was listed, or free.
    Staged {
        /// What is to be replaced.
        replaced: Option<Uuid>,
    },
    /// Under its staging name, but somebody else has put something in its way.
    Blocked,
    /// Nowhere, or under another name: somebody has dropped or renamed it since.
    Elsewhere,
}

/// What came of a swap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Swapped {
    /// Identities of what is in place, by name.
    pub done: BTreeMap<String, Uuid>,
    /// Collections and views that somebody has dropped or renamed since, by name.
    pub left_alone: Vec<String>,
    /// What goes without its expiry, as the server refuses it there.
    pub expiry_left_off: Vec<String>,
    /// Time-series collections of which buckets were written to meanwhile, so that they stay as they are.
    pub written_meanwhile: Vec<String>,
}

impl Swap<'_> {
    /// Does every step that isn't done yet.
    pub async fn run(&self) -> Result<Swapped> {
        let mut swapped = Swapped::default();
        let (mut done, mut blocked) = (Vec::new(), Vec::new());
        for (entry, place, written) in self.put_all_in_place().await? {
            if written > 0 {
                swapped.written_meanwhile.push(format!("{} ({written} buckets)", entry.name));
            }
            match place {
                Place::Done(uuid) => done.push((entry, uuid)),
                Place::Staged { .. } | Place::Blocked => blocked.push(entry.name.as_str()),
                Place::Elsewhere => swapped.left_alone.push(entry.name.clone()),
            }
        }
        for (entry, uuid) in done {
            let mut without = entry.expiry_left_off.clone();
            self.expire(entry, uuid, &mut without).await?;
            swapped.expiry_left_off.extend(super::left_off(&entry.name, &without));
            swapped.done.insert(entry.name.clone(), uuid);
        }
        for view in &self.list.views {
            if !views::define(self, view).await? {
                blocked.push(view.name.as_str());
            }
        }
        if blocked.is_empty() { Ok(swapped) } else { Err(self.blocked(&blocked)) }
    }

    /// Looks once more, at the very end: what somebody has dropped or renamed since it was put in place isn't claimed.
    pub async fn look_again(&self, mut swapped: Swapped) -> Result<Swapped> {
        let found = self.patiently(|| self.server.names(&self.list.database)).await?.entries;
        let is_there = |name: &str, uuid: Uuid| found.get(name).is_some_and(|found| found.uuid == Some(uuid));
        let (there, gone) = swapped.done.into_iter().partition(|(name, uuid)| is_there(name, *uuid));
        swapped.done = there;
        swapped.left_alone.extend(gone.into_keys());
        let views = self.list.views.iter().map(|view| &view.name);
        let is_view = |name: &&String| found.get(*name).is_some_and(|found| found.kind == CollectionKind::View);
        swapped.left_alone.extend(views.filter(|name| !is_view(name)).cloned());
        swapped.left_alone.sort();
        Ok(swapped)
    }

    /// Several at once, as each rename waits for the disks of a majority: the shorter is the time in which readers see some
    /// collections of before and some of after. Then what can't be renamed.
    async fn put_all_in_place(&self) -> Result<Vec<(&SwapEntry, Place, i64)>> {
        let (series, plain): (Vec<_>, Vec<_>) =
            self.list.entries.iter().enumerate().partition(|(_, entry)| entry.kind == CollectionKind::TimeSeries);
        let renames = plain.into_iter().map(|(number, entry)| async move {
            let place = self.put_in_place(entry).await?;
            Ok((number, entry, place, 0))
        });
        let mut places = several::all(RENAMED_AT_ONCE, renames, || {}).await?;
        for (number, entry) in series {
            let timeseries::Merged { place, written } = timeseries::merge(self, number, entry).await?;
            places.push((number, entry, place, written));
        }
        places.sort_by_key(|(number, ..)| *number);
        Ok(places.into_iter().map(|(_, entry, place, written)| (entry, place, written)).collect())
    }

    /// How long the next command may take; an error once the lease is over.
    pub fn within(&self) -> Result<Duration> {
        let left = self.context.lease_left();
        if left.is_zero() { Err(Error::Stopped) } else { Ok(left) }
    }

    async fn put_in_place(&self, entry: &SwapEntry) -> Result<Place> {
        let staging = entry.staging(&self.job)?;
        let database = &self.list.database;
        for _ in 0..TRIES {
            let replaced = match self.place(entry, &staging).await? {
                Place::Staged { replaced } => replaced,
                place => return Ok(place),
            };
            let within = self.within()?;
            let rename = commands::rename_into_place(database, &staging, entry.staged, &entry.name, replaced, within)?;
            match self.server.tell(rename).await {
                Ok(_) => return Ok(Place::Done(entry.staged)),
                // Somebody was faster: look again who.
                Err(error) if is_overtaken(&error) => {}
                Err(error) if error.is_passing() => {
                    tracing::warn!(collection = entry.name, %error, "looking again whether it is swapped");
                    self.server.pause(PAUSE).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::again(
            Code::SwapStuck,
            format!("'{}' couldn't be swapped in {TRIES} tries: is it locked, or an index being built?", entry.name),
        ))
    }

    async fn place(&self, entry: &SwapEntry, staging: &StagingName) -> Result<Place> {
        let names = [entry.name.as_str(), staging.as_str()];
        let found = self.patiently(|| self.server.named(&self.list.database, &names)).await?;
        let target = found.entries.get(&entry.name).map(|target| target.uuid);
        if target == Some(Some(entry.staged)) {
            return Ok(Place::Done(entry.staged));
        }
        let staged = found.staging.get(staging.as_str()).and_then(|staged| staged.uuid);
        if staged != Some(entry.staged) {
            return Ok(Place::Elsewhere);
        }
        Ok(match target {
            None => Place::Staged { replaced: None },
            Some(Some(listed)) if entry.target == Some(listed) => Place::Staged { replaced: Some(listed) },
            Some(_) => Place::Blocked,
        })
    }

    /// Sets the expiry that was left off. It was tried before; where the server refuses it nevertheless, and in lists of programs that
    /// didn't try, it stays off and is told: no reason to keep the rest from its end.
    async fn expire(&self, entry: &SwapEntry, uuid: Uuid, without: &mut Vec<String>) -> Result<()> {
        let database = &self.list.database;
        if let Some(after) = &entry.expire_after {
            let set = |within| commands::expire_by_collection(database, &entry.name, uuid, after.clone(), within);
            without.extend(refused(self.modify(entry, set).await, "")?);
        }
        for index in &entry.index_expiry {
            let set = |within| {
                let after = index.after_seconds.clone();
                commands::expire_by_index(database, &entry.name, uuid, &index.index, after, within)
            };
            without.extend(refused(self.modify(entry, set).await, &index.index)?);
        }
        Ok(())
    }

    /// Sends a change that may be sent again; what isn't ours any more stays as it is.
    pub async fn modify(
        &self,
        entry: &SwapEntry,
        command: impl Fn(Duration) -> Result<crate::database::Command>,
    ) -> Result<()> {
        match self.patiently(|| async { self.server.tell(command(self.within()?)?).await }).await {
            Err(error) if is_overtaken(&error) => {
                tracing::warn!(collection = entry.name, "somebody has changed it since: left alone");
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }

    /// Does something that may be done again, while that may help.
    pub async fn patiently<T, Work>(&self, work: impl Fn() -> Work) -> Result<T>
    where
        Work: Future<Output = Result<T>>,
    {
        for _ in 1..TRIES {
            self.within()?;
            match work().await {
                Err(error) if error.is_passing() => {
                    tracing::warn!(job = %self.job, %error, "trying again");
                    self.server.pause(PAUSE).await?;
                }
                outcome => return outcome,
            }
        }
        work().await
    }

    fn blocked(&self, names: &[&str]) -> Error {
        let list: Vec<_> = names.iter().take(10).copied().collect();
        Error::refused(
            Code::ChangedByOthers,
            format!(
                "somebody has changed {} in '{}' since this restore began, so it was left alone ({} in all; the others are \
                 swapped): drop it or rename it away, or drop its staging collection ({}...) to give the restored one up; \
                 then resume the job, or give it up as a whole",
                list.join(", "),
                self.list.database,
                names.len(),
                lucid_schemas::names::STAGING_PREFIX,
            ),
        )
    }
}

/// The name of what the server refuses to change.
fn refused(outcome: Result<()>, name: &str) -> Result<Option<String>> {
    match outcome {
        Err(error) if error.is_refusal() => {
            tracing::warn!(%error, "its expiry stays off");
            Ok(Some(name.to_owned()))
        }
        outcome => outcome.map(|()| None),
    }
}

/// Whether the answer tells that something else is there by now.
pub(crate) fn is_overtaken(error: &Error) -> bool {
    matches!(error.server_code(), Some(code::UUID_MISMATCH | code::NAMESPACE_EXISTS | code::NAMESPACE_NOT_FOUND))
}

/// The list that the job has committed to.
pub(crate) async fn committed_list(context: &dyn JobContext) -> Result<SwapList> {
    let job = context.job();
    let Some((epoch, hash)) = list::committed(&job) else {
        return Err(list::unreadable("the job's events don't name it"));
    };
    let kept = context.detail(&list::detail_name(epoch)).await?;
    let kept = kept.ok_or_else(|| list::unreadable("it is gone"))?;
    if kept.hash != hash {
        return Err(list::unreadable("it isn't the one that the job's events name"));
    }
    SwapList::from_document(kept.data)
}
