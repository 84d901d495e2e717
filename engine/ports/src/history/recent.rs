//! The changes of the last while, and the way to hear the next ones without missing any in between.

use super::{Change, News, ResumeToken};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;

/// How many changes a listener may lag behind before it has to join again.
const BUFFERED: usize = 4_096;
/// How many bytes of changes are held at most.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Recent changes, bounded in number and bytes. Invariant: every change after `floor` up to `position` is held, and a
/// change is told to the listeners in the same step in which it is added.
#[derive(Debug)]
pub struct Recent {
    held: Mutex<Held>,
    news: broadcast::Sender<News>,
    changes_max: usize,
}

#[derive(Debug)]
struct Held {
    changes: VecDeque<(Arc<Change>, usize)>,
    bytes: usize,
    floor: ResumeToken,
    position: ResumeToken,
}

/// A listener that has joined.
#[derive(Debug)]
pub struct Joined {
    /// What happened between its place and now.
    pub backlog: Vec<Arc<Change>>,
    /// The place that it has reached with these.
    pub position: ResumeToken,
    /// What happens from now on.
    pub news: broadcast::Receiver<News>,
}

impl Recent {
    /// Nothing yet, from `start` on; holds so many changes at most.
    pub fn new(start: ResumeToken, changes_max: usize) -> Self {
        let (news, _) = broadcast::channel(BUFFERED);
        let held = Held { changes: VecDeque::new(), bytes: 0, floor: start.clone(), position: start };
        Self { held: Mutex::new(held), news, changes_max }
    }

    /// Adds a change of about so many bytes, and tells it.
    pub fn push(&self, change: Change, bytes: usize) {
        let mut held = self.held();
        held.position = change.token.clone();
        let change = Arc::new(change);
        held.changes.push_back((Arc::clone(&change), bytes));
        held.bytes += bytes;
        while held.changes.len() > self.changes_max || held.bytes > BYTES_MAX {
            let Some((oldest, bytes)) = held.changes.pop_front() else {
                break;
            };
            held.bytes -= bytes;
            held.floor = oldest.token.clone();
        }
        // Nobody listening is no error.
        let _ = self.news.send(News::Change(change));
    }

    /// Nothing happened up to this place.
    pub fn advance(&self, position: ResumeToken) {
        let mut held = self.held();
        if position > held.position {
            held.position = position;
        }
    }

    /// Begins anew at this place; what happened before it is unknown, and the listeners are told so.
    pub fn restart(&self, start: ResumeToken) {
        let mut held = self.held();
        *held = Held { changes: VecDeque::new(), bytes: 0, floor: start.clone(), position: start };
        let _ = self.news.send(News::Gap);
    }

    /// The place up to which everything is known.
    pub fn position(&self) -> ResumeToken {
        self.held().position.clone()
    }

    /// Listens from now on. One that lags is told so by the channel, and then joins again.
    pub fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.news.receiver_count()
    }

    /// Joins at the place that is reached now.
    pub fn join_now(&self) -> Joined {
        let held = self.held();
        Joined { backlog: Vec::new(), position: held.position.clone(), news: self.news.subscribe() }
    }

    /// Joins after a token. `None` where that isn't among what is held: it is too long ago, or still to come.
    pub fn join(&self, after: &ResumeToken) -> Option<Joined> {
        let held = self.held();
        if *after < held.floor || *after > held.position {
            return None;
        }
        let later = held.changes.iter().filter(|(change, _)| change.token > *after);
        let backlog = later.map(|(change, _)| Arc::clone(change)).collect();
        Some(Joined { backlog, position: held.position.clone(), news: self.news.subscribe() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing in here panics half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobChange, Subject};

    fn token(number: u32) -> ResumeToken {
        format!("{number:08X}").parse().expect("a token")
    }

    fn change(number: u32) -> Change {
        let id = "backup_x".parse().expect("an id");
        let subject = Subject::Job(JobChange { id, state: None, version: 1, events: Vec::new() });
        Change { token: token(number), subject }
    }

    fn backlog(recent: &Recent, after: u32) -> Option<Vec<ResumeToken>> {
        let joined = recent.join(&token(after))?;
        Some(joined.backlog.iter().map(|change| change.token.clone()).collect())
    }

    #[tokio::test]
    async fn who_joins_is_told_every_change_once() {
        let recent = Recent::new(token(10), 3);
        assert_eq!(backlog(&recent, 9), None, "before it began");
        recent.push(change(11), 1);
        recent.push(change(12), 1);
        let mut joined = recent.join(&token(11)).expect("held");
        assert_eq!(joined.position, token(12));
        recent.push(change(13), 1);
        assert_eq!(joined.backlog.len(), 1);
        assert!(matches!(joined.news.recv().await, Ok(News::Change(next)) if next.token == token(13)));
        assert_eq!(backlog(&recent, 10), Some(vec![token(11), token(12), token(13)]));
        recent.push(change(14), 1);
        assert_eq!(backlog(&recent, 10), None, "the oldest was dropped");
        assert_eq!(backlog(&recent, 11), Some(vec![token(12), token(13), token(14)]));
        assert_eq!(backlog(&recent, 15), None, "still to come");
        recent.advance(token(20));
        assert_eq!(backlog(&recent, 15), Some(vec![]));
        recent.advance(token(19));
        assert_eq!(recent.position(), token(20), "no step back");
    }

    #[tokio::test]
    async fn large_changes_are_dropped_earlier() {
        let recent = Recent::new(token(10), 100);
        recent.push(change(11), BYTES_MAX / 2);
        recent.push(change(12), BYTES_MAX / 2);
        assert_eq!(backlog(&recent, 10).map(|held| held.len()), Some(2));
        recent.push(change(13), 1);
        assert_eq!(backlog(&recent, 10), None);
        recent.push(change(14), BYTES_MAX + 1);
        assert_eq!(backlog(&recent, 13), None, "larger than everything: it is told, but not held");
        assert_eq!(backlog(&recent, 14), Some(vec![]));
    }

    #[tokio::test]
    async fn after_a_restart_nothing_earlier_can_be_joined() {
        let recent = Recent::new(token(10), 100);
        recent.push(change(11), 1);
        let mut news = recent.listen();
        recent.restart(token(30));
        assert!(matches!(news.recv().await, Ok(News::Gap)));
        assert_eq!(backlog(&recent, 11), None);
        assert_eq!(backlog(&recent, 30), Some(vec![]));
        assert_eq!(recent.join_now().position, token(30));
    }
}
