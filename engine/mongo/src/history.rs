//! [`MongoHistory`]: every change with its events, from one change stream that the API shares, and from streams of
//! their own for those who catch up.

use crate::{
    change::{self, parse},
    keep::{Listener, keep},
    owner::Owner,
    stream::{Read, Watched, open, read},
};
use async_trait::async_trait;
use bson::{Document, RawDocumentBuf};
use lucid_ports::{CatchUpError, Caught, History, Problems, Recent, ResumeToken, StoreError};
use lucid_schemas::collections::OPS;
use mongodb::Database;
use std::sync::Arc;
use tokio::{runtime::Handle, sync::mpsc};

/// A place further ahead than this isn't of this replica set; the server would wait for it in silence.
const AHEAD_MAX_S: u32 = 60;
const BUFFERED: usize = 64;

/// The history of all jobs and alerts on MongoDB.
#[derive(Debug)]
pub struct MongoHistory {
    watched: Watched,
    recent: Arc<Recent>,
    owner: Owner,
    /// Streams outlive whoever asked for them.
    runtime: Handle,
}

impl MongoHistory {
    pub(crate) async fn start(ops: &Database, changes_max: usize, problems: Problems) -> Result<Self, StoreError> {
        let watched = Watched { jobs: ops.collection::<Document>(OPS), pipeline: change::pipeline() };
        let (stream, position) = open(&watched, None).await?;
        let recent = Arc::new(Recent::new(position, changes_max));
        let (listener, own_watched, mut first) = (Teller(Arc::clone(&recent)), watched.clone(), Some(read(stream)));
        let owner = Owner::start("history", problems, move |stop| {
            keep(own_watched.clone(), first.take(), listener.clone(), stop)
        });
        Ok(Self { watched, recent, owner, runtime: Handle::current() })
    }

    /// Closes the shared stream and waits until it is.
    pub async fn stop(&self) {
        self.owner.stop().await;
    }
}

#[derive(Clone)]
struct Teller(Arc<Recent>);

impl Listener for Teller {
    fn change(&mut self, change: &RawDocumentBuf) {
        if let Some(parsed) = parse(change) {
            self.0.push(parsed, change.as_bytes().len());
        } else {
            tracing::debug!("a change of neither job nor alert is passed over");
        }
    }
    fn idle(&mut self, position: ResumeToken) {
        self.0.advance(position);
    }
    fn reopened(&mut self, position: ResumeToken) {
        self.0.restart(position);
    }
}

#[async_trait]
impl History for MongoHistory {
    fn recent(&self) -> &Recent {
        &self.recent
    }

    async fn catch_up(&self, after: &ResumeToken) -> Result<mpsc::Receiver<Caught>, CatchUpError> {
        check_place(after, &self.recent.position())?;
        let (watched, after) = (self.watched.clone(), after.clone());
        let opened = self.runtime.spawn(async move { open(&watched, Some(&after)).await });
        let opened = opened.await.map_err(|broken| StoreError::Unavailable(format!("the call broke off: {broken}")))?;
        let (stream, _) = opened.map_err(|error| match error {
            StoreError::Rejected(reason) => CatchUpError::Lost(reason),
            error => error.into(),
        })?;
        let (say, said) = mpsc::channel(BUFFERED);
        self.runtime.spawn(async move {
            let mut reading = read(stream);
            loop {
                let word = tokio::select! {
                    () = say.closed() => return,
                    word = reading.next() => word,
                };
                let Some(word) = word else { return };
                let Some(caught) = caught(word) else { continue };
                if say.send(caught).await.is_err() {
                    return;
                }
            }
        });
        Ok(said)
    }
}

fn caught(read: Read) -> Option<Caught> {
    match read {
        Read::Change(change) => parse(&change).map(|change| Caught::Change(Arc::new(change))),
        Read::Nothing(position) => position.map(Caught::Position),
        Read::Over { reason, passing: true } => Some(Caught::Over(StoreError::Unavailable(reason).into())),
        Read::Over { reason, passing: false } => Some(Caught::Over(CatchUpError::Lost(reason))),
    }
}

fn check_place(after: &ResumeToken, position: &ResumeToken) -> Result<(), CatchUpError> {
    match (after.seconds(), position.seconds()) {
        (Some(asked), Some(reached)) if asked > reached.saturating_add(AHEAD_MAX_S) => {
            Err(CatchUpError::Lost("the place is in the future".into()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_future_is_no_place() {
        let token = |text: &str| text.parse::<ResumeToken>().expect("a token");
        let now = token("826B05984F000000122B0229296E04");
        for text in ["826B05984F000000122B0229296E04", "826B059850", "8260000000", "82", "00FF", "FF"] {
            assert!(check_place(&token(text), &now).is_ok(), "{text}: the server decides");
        }
        for text in ["826B05988C000000122B0229296E04", "82FFFFFFFF"] {
            assert!(matches!(check_place(&token(text), &now), Err(CatchUpError::Lost(_))), "{text}");
        }
    }
}
