//! The tokens of the store, as one port looks them up.
//!
//! Invariant: nobody is let in by what was read longer ago than [`KEPT`]. A store that doesn't answer lets nobody in that needs it.

use crate::{ApiError, secret::Presented};
use bson::DateTime;
use lucid_ports::{TokenSeen, Tokens};
use lucid_schemas::access::{AccessToken, Standing, TokenName};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// For how long an answer of the store is used again: a token that is revoked opens nothing on any node after that.
pub const KEPT: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// More names than services and people have; somebody who tries names takes no more room.
const KNOWN_MAX: usize = 1_024;

/// Where tokens are looked up. Clones share what is known.
#[derive(Clone, Default)]
pub struct Directory {
    store: Arc<OnceLock<Arc<dyn Tokens>>>,
    known: Arc<Mutex<HashMap<TokenName, Known>>>,
}

/// What the store said of a name; there may be none.
#[derive(Clone)]
struct Known {
    asked: Instant,
    seen: Option<TokenSeen>,
}

impl Directory {
    /// Of this store.
    pub fn of(store: Arc<dyn Tokens>) -> Self {
        let directory = Self::default();
        directory.reached(store);
        directory
    }

    /// The store is reached: until then nobody's token can be looked up.
    pub fn reached(&self, store: Arc<dyn Tokens>) {
        let _ = self.store.set(store);
    }

    /// The token that this is, where it is valid.
    pub(crate) async fn admit(&self, presented: &Presented) -> Result<AccessToken, Refused> {
        let known = self.look(&presented.name).await.map_err(Refused::Unknown)?;
        let token = known.seen.as_ref().and_then(|seen| seen.token.as_ref().ok());
        if !presented.is(token.map(|token| token.hash.as_str())) {
            return Err(Refused::Wrong);
        }
        // Only whoever has the secret learns more. The clock is the primary's, moved on by ours: the way of the question counts against him.
        let (Some(seen), Some(token)) = (&known.seen, token) else { return Err(Refused::Wrong) };
        let waited_ms = i64::try_from(known.asked.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = DateTime::from_millis(seen.now.timestamp_millis().saturating_add(waited_ms));
        match token.standing(now) {
            Standing::Valid => Ok(token.clone()),
            over @ (Standing::Expired | Standing::Revoked) => Err(Refused::Over(over)),
        }
    }

    async fn look(&self, name: &TokenName) -> Result<Known, ApiError> {
        let fresh = |known: &&Known| known.asked.elapsed() < KEPT;
        if let Some(known) = self.known().get(name).filter(fresh) {
            return Ok(known.clone());
        }
        let away = |reason: &dyn fmt::Display| ApiError::Unavailable(format!("no token can be looked up: {reason}"));
        let store = self.store.get().ok_or_else(|| away(&"the store wasn't reached yet"))?;
        let (store, asked, own) = (Arc::clone(store), Instant::now(), name.clone());
        // A task of its own: calls of the store aren't broken off, only no longer waited for.
        let looking = tokio::spawn(async move { store.token(&own).await });
        let seen = match timeout(ANSWER_WITHIN, looking).await {
            Ok(Ok(Ok(seen))) => seen,
            Ok(Ok(Err(error @ lucid_ports::StoreError::Unavailable(_)))) => return Err(away(&error)),
            Ok(Ok(Err(error))) => return Err(error.into()),
            Ok(Err(broken)) => return Err(away(&broken)),
            Err(_elapsed) => return Err(away(&format!("no answer within {} s", ANSWER_WITHIN.as_secs()))),
        };
        if let Some(TokenSeen { token: Err(problem), .. }) = &seen {
            tracing::warn!("{problem}");
        }
        let known = Known { asked, seen };
        let mut all = self.known();
        if all.len() >= KNOWN_MAX {
            all.retain(|_, known| known.asked.elapsed() < KEPT);
        }
        if all.len() < KNOWN_MAX {
            all.insert(name.clone(), known.clone());
        }
        Ok(known)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TokenName, Known>> {
        // Each change of the map is one step.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a token that was shown opens nothing.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Nobody can tell for the moment.
    Unknown(ApiError),
    /// There is none of that name, or its secret is another.
    Wrong,
    /// It was right once.
    Over(Standing),
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::mint;
    use async_trait::async_trait;
    use lucid_ports::{NewToken, StoreError, TokenLook, memory::MemoryStore};
    use lucid_schemas::access::Role;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// A store that can be away, and counts how often it is asked.
    #[derive(Default)]
    struct Store {
        twin: MemoryStore,
        is_away: AtomicBool,
        hangs: AtomicBool,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Tokens for Store {
        async fn token(&self, name: &TokenName) -> Result<Option<TokenSeen>, StoreError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if self.is_away.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable("no primary".into()));
            }
            self.twin.token(name).await
        }
        async fn look_at_tokens(&self) -> Result<TokenLook, StoreError> {
            self.twin.look_at_tokens().await
        }
        async fn add_token(&self, new: &NewToken) -> Result<Option<AccessToken>, StoreError> {
            self.twin.add_token(new).await
        }
        async fn revoke_token(&self, name: &TokenName, by: &str) -> Result<Option<AccessToken>, StoreError> {
            self.twin.revoke_token(name, by).await
        }
    }

    async fn made(store: &Store, name: &str, expires_in_ms: Option<i64>) -> Presented {
        let name: TokenName = name.parse().expect("a name");
        let (shown, hash) = mint(&name, &[5; 32]);
        let (by, write) = ("me".to_owned(), name.to_string());
        let new = NewToken { name, hash, role: Role::Viewer, databases: None, expires_in_ms, by, write };
        store.add_token(&new).await.expect("asked").expect("made");
        Presented::read(shown.as_bytes()).expect("a token")
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_revoked_opens_nothing_after_a_few_seconds_and_what_is_asked_often_is_read_once() {
        let store = Arc::new(Store::default());
        let (right, directory) = (made(&store, "a", None).await, Directory::of(store.clone()));
        for _ in 0..50 {
            directory.admit(&right).await.expect("valid");
        }
        assert_eq!(store.asked.load(Ordering::SeqCst), 1);
        store.revoke_token(&right.name, "me").await.expect("asked");
        tokio::time::advance(KEPT).await;
        assert!(matches!(directory.admit(&right).await, Err(Refused::Over(Standing::Revoked))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_lets_nobody_in_by_what_is_remembered() {
        let store = Arc::new(Store::default());
        let (right, directory) = (made(&store, "a", None).await, Directory::of(store.clone()));
        directory.admit(&right).await.expect("valid");
        for fault in [&store.is_away, &store.hangs] {
            tokio::time::advance(KEPT).await;
            fault.store(true, Ordering::SeqCst);
            let refused = directory.admit(&right).await;
            assert!(matches!(refused, Err(Refused::Unknown(ApiError::Unavailable(_)))), "{refused:?}");
            fault.store(false, Ordering::SeqCst);
            directory.admit(&right).await.expect("valid again");
        }
        let refused = Directory::default().admit(&right).await;
        assert!(matches!(refused, Err(Refused::Unknown(ApiError::Unavailable(_)))), "nobody was asked: {refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_not_used_beyond_the_end_of_its_token() {
        let store = Arc::new(Store::default());
        store.twin.set_now(DateTime::from_millis(1_000_000));
        let (right, directory) = (made(&store, "a", Some(1_000)).await, Directory::of(store.clone()));
        directory.admit(&right).await.expect("valid");
        tokio::time::advance(Duration::from_millis(1_000)).await;
        assert!(KEPT > Duration::from_millis(1_000), "it is remembered");
        assert!(matches!(directory.admit(&right).await, Err(Refused::Over(Standing::Expired))));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_not_the_secret_learns_nothing_and_takes_no_room() {
        let store = Arc::new(Store::default());
        let right = made(&store, "a", None).await;
        let directory = Directory::of(store.clone());
        let wrong = |name: &str| {
            let name: TokenName = name.parse().expect("a name");
            Presented::read(mint(&name, &[9; 32]).0.as_bytes()).expect("a token")
        };
        store.revoke_token(&right.name, "me").await.expect("asked");
        assert!(matches!(directory.admit(&wrong("a")).await, Err(Refused::Wrong)), "though it is revoked");
        for number in 0..2 * KNOWN_MAX {
            let refused = directory.admit(&wrong(&format!("t{number}"))).await;
            assert!(matches!(refused, Err(Refused::Wrong)), "{refused:?}");
        }
        assert!(directory.known().len() <= KNOWN_MAX);
    }
}
