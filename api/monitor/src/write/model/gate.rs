//! A store at which each call waits for its turn, twice: before it does anything, and before its answer arrives. Calls fail on the
//! way there, answers are lost on the way back, and whoever waits long comes late.

use super::chance::Chance;
use async_trait::async_trait;
use lucid_core::alert::{Guard, Raise, Transition};
use lucid_ports::{AlertFilter, AlertOutcome, AlertPage, Alerts, DueAlert, Raised, StoreError, memory::MemoryStore};
use lucid_schemas::alert::{Alert, AlertId, Token};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

/// What is broken on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing.
    None,
    /// An alert is raised however late it is.
    LateRaise,
    /// An alert that is open is written however late it is.
    LateWrite,
    /// Whoever had the claim once writes as if he still had it.
    AnyClaim,
    /// Whoever writes doesn't know what is open.
    Blind,
    /// That an alert is over is due to nobody.
    SilentEnd,
    /// Whoever sends doesn't say before that he begins.
    NeverBegun,
    /// A monitor that was begun anew takes what it doesn't know for gone.
    NeverCold,
}

/// See the head of this file.
pub struct Gate {
    pub inner: Arc<MemoryStore>,
    pub mutant: Mutant,
    chance: Mutex<Chance>,
    /// Whether calls fail.
    pub shaky: AtomicBool,
    /// How many answers were lost.
    pub lost: AtomicUsize,
    /// How many raises came too late.
    pub late: AtomicUsize,
    /// How many writes were made under a claim older than the one that had written before.
    pub stale: AtomicUsize,
}

/// One turn of somebody else.
#[derive(Default)]
pub struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Gate {
    pub fn new(inner: Arc<MemoryStore>, mutant: Mutant, chance: Chance) -> Self {
        let [lost, late, stale] = [0; 3].map(AtomicUsize::new);
        Self { inner, mutant, chance: Mutex::new(chance), shaky: AtomicBool::new(true), lost, late, stale }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        Turn::default().await;
        self.fail("it wasn't reached")?;
        let answer = call.await;
        Turn::default().await;
        self.fail("its answer was lost").inspect_err(|_| {
            self.lost.fetch_add(1, Ordering::Relaxed);
        })?;
        answer
    }

    pub fn is_shaky(&self) -> bool {
        self.shaky.load(Ordering::Relaxed)
    }

    fn fail(&self, reason: &str) -> Result<(), StoreError> {
        let fails = self.chance.lock().unwrap_or_else(PoisonError::into_inner).one_in(25);
        if fails && self.is_shaky() { Err(StoreError::Unavailable(reason.into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Alerts for Gate {
    async fn raise_alert(&self, raise: &Raise) -> Result<Raised, StoreError> {
        let mut raise = raise.clone();
        if self.mutant == Mutant::LateRaise {
            raise.fence.deadline = bson::DateTime::MAX;
        }
        let raised = self.call(self.inner.raise_alert(&raise)).await?;
        self.late.fetch_add(usize::from(raised == Raised::Late), Ordering::Relaxed);
        Ok(raised)
    }

    async fn apply_alert(&self, next: &Transition) -> Result<AlertOutcome, StoreError> {
        let mut transition = next.clone();
        match self.mutant {
            Mutant::LateWrite => transition.guards.retain(|guard| !matches!(guard, Guard::Before(_))),
            Mutant::AnyClaim => transition.token = None,
            Mutant::SilentEnd if !transition.after.head.state.is_open() => transition.after.notify.clear(),
            Mutant::None
            | Mutant::LateRaise
            | Mutant::Blind
            | Mutant::SilentEnd
            | Mutant::NeverBegun
            | Mutant::NeverCold => {}
        }
        self.call(async {
            let stored = self.inner.alert(transition.id()).await?.map(|alert| alert.token);
            let is_stale = next.token.is_some_and(|token| stored.is_some_and(|stored| token < stored));
            self.stale.fetch_add(usize::from(is_stale), Ordering::Relaxed);
            self.inner.apply_alert(&transition).await
        })
        .await
    }

    async fn alert(&self, id: &AlertId) -> Result<Option<Alert>, StoreError> {
        self.call(self.inner.alert(id)).await
    }

    async fn alert_ids_with_prefix(&self, prefix: &AlertId, limit: u32) -> Result<Vec<AlertId>, StoreError> {
        self.call(self.inner.alert_ids_with_prefix(prefix, limit)).await
    }

    async fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        let open = self.call(self.inner.open_alerts()).await?;
        // The law refuses what the store would: so neither may know.
        let forget = |alert: Alert| Alert { token: Token { generation: 0, epoch: 0 }, ..alert };
        Ok(match self.mutant {
            Mutant::Blind => Vec::new(),
            Mutant::AnyClaim => open.into_iter().map(forget).collect(),
            _ => open,
        })
    }

    async fn list_alerts(&self, filter: &AlertFilter) -> Result<AlertPage, StoreError> {
        self.call(self.inner.list_alerts(filter)).await
    }

    async fn due_alerts(&self, limit: u32) -> Result<Vec<DueAlert>, StoreError> {
        self.call(self.inner.due_alerts(limit)).await
    }

    async fn forget_alerts(&self, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        self.call(self.inner.forget_alerts(older_ms, limit)).await
    }
}
