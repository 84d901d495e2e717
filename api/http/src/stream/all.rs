//! `GET /events`: the events of all jobs and alerts in commit order, live, from any place that is remembered.

use super::{HEARTBEAT, answer, sse};
use crate::{Answer, ApiError, ApiState, Caller, json, query, query::EventFilter, scope, view};
use actix_web::{
    HttpRequest,
    web::{self, Bytes},
};
use futures::stream;
use lucid_ports::{
    AlertChange, CatchUpError, Caught, Change, JobChange, Joined, News, ResumeToken, StoreError, Subject,
};
use lucid_schemas::{
    Event,
    alert::AlertEvent,
    http::{AlertEventView, Class, JobEventView, ResetView},
};
use serde::Serialize;
use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

/// When to try again where the store doesn't answer.
const PAUSE: Duration = Duration::from_secs(1);

/// `GET /events`.
pub(crate) async fn events(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let (filter, after) = query::event_filter(&request)?;
    let place = state.streams.admit().await?;
    let state = state.get_ref().clone();
    let follower = Follower::start(state, caller.clone(), filter, after, place).await?;
    let next = async |mut follower: Follower| Some((Ok::<_, Infallible>(follower.next().await?), follower));
    Ok(answer(caller, stream::unfold(follower, next)))
}

/// Where a follower hears of the next change.
enum Source {
    /// From the server's own history, until he has reached what is held here.
    CatchUp { said: mpsc::Receiver<Caught>, _place: OwnedSemaphorePermit },
    /// From what all share.
    Live(broadcast::Receiver<News>),
    /// From neither: his place has to be found again.
    Lost,
}

/// What a message tells.
#[derive(Serialize)]
#[serde(untagged)]
enum View {
    Job(JobEventView),
    Alert(AlertEventView),
}

/// What one client is told of all of them.
struct Follower {
    state: ApiState,
    caller: Caller,
    filter: EventFilter,
    /// All up to here was told, or is none of what he wants.
    after: ResumeToken,
    queue: VecDeque<Arc<Change>>,
    pending: VecDeque<Bytes>,
    source: Source,
    heartbeat: Instant,
    probed: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn start(
        state: ApiState,
        caller: Caller,
        filter: EventFilter,
        after: Option<ResumeToken>,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, ApiError> {
        let is_new = after.is_none();
        let after = after.unwrap_or_else(|| state.history.recent().position());
        let mut follower = Self {
            probed: state.streams.probed(),
            state,
            caller,
            filter,
            after,
            queue: VecDeque::new(),
            pending: VecDeque::from([sse::beginning()]),
            source: Source::Lost,
            heartbeat: Instant::now() + HEARTBEAT,
            _place: place,
        };
        if is_new {
            let joined = follower.state.history.recent().join_now();
            // He can come back before anything has happened.
            follower.pending.push_back(sse::place(&joined.position));
            follower.join(joined);
        } else if !follower.rejoin() {
            let place = follower.state.streams.admit_catch_up()?;
            follower.catch_up(place).await?;
        }
        Ok(follower)
    }

    async fn next(&mut self) -> Option<Bytes> {
        let stop = self.state.streams.stop().clone();
        loop {
            if let Some(bytes) = self.pending.pop_front() {
                self.heartbeat = Instant::now() + HEARTBEAT;
                return Some(bytes);
            }
            let work = async {
                match self.queue.pop_front() {
                    Some(change) => self.tell(&change).await,
                    None => self.listen().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                worked = work => worked.inspect_err(|error| tracing::warn!(%error, "a stream of events ends")).ok()?,
            }
        }
    }

    /// Hears the next thing, or gives a sign of life.
    async fn listen(&mut self) -> Result<(), StoreError> {
        match &mut self.source {
            Source::Lost => self.find_again().await,
            Source::Live(news) => tokio::select! {
                () = sleep_until(self.heartbeat) => self.give_sign(),
                Ok(()) = self.probed.changed() => self.give_sign(),
                news = news.recv() => match news {
                    Ok(News::Change(change)) => self.queue.push_back(change),
                    Ok(News::Gap) | Err(_) => self.source = Source::Lost,
                },
            },
            Source::CatchUp { said, .. } => {
                let caught = said.recv().await;
                self.take(caught);
            }
        }
        Ok(())
    }

    fn take(&mut self, caught: Option<Caught>) {
        match caught {
            Some(Caught::Change(change)) => self.queue.push_back(change),
            Some(Caught::Position(position)) => {
                self.after = position.max(self.after.clone());
                if !self.rejoin() && self.heartbeat <= Instant::now() {
                    self.pending.push_back(sse::place(&self.after));
                }
            }
            Some(Caught::Over(CatchUpError::Lost(reason))) => self.reset(&reason),
            Some(Caught::Over(CatchUpError::Store(_))) | None => self.source = Source::Lost,
        }
    }

    /// Tells the events of a change that he wants, the last of them with the place after it.
    async fn tell(&mut self, change: &Change) -> Result<(), StoreError> {
        if change.token <= self.after {
            return Ok(());
        }
        self.after = change.token.clone();
        if self.filter.wants(change) && self.sees(&change.subject).await? {
            let told = self.told(&change.subject).await?;
            for (number, (name, view)) in told.iter().enumerate() {
                let is_last = number + 1 == told.len();
                let id: Option<&dyn std::fmt::Display> = if is_last { Some(&change.token) } else { None };
                self.pending.push_back(sse::message(id, name, view));
            }
        }
        if matches!(self.source, Source::CatchUp { .. }) {
            self.rejoin();
        }
        Ok(())
    }

    /// The events of a change, by name.
    async fn told(&self, subject: &Subject) -> Result<Vec<(&'static str, View)>, StoreError> {
        match subject {
            Subject::Job(changed) => {
                let state = changed.state.map(|state| state.to_string());
                let view = |event: &Event| JobEventView {
                    class: Class::Job,
                    job_id: changed.id.to_string(),
                    state: state.clone(),
                    event: view::event(event),
                };
                let events = self.events_of_job(changed).await?;
                Ok(events.iter().map(|event| (event.body.name(), View::Job(view(event)))).collect())
            }
            Subject::Alert(changed) => {
                let state = changed.state.map(|state| state.to_string());
                let view = |event: &AlertEvent| AlertEventView {
                    class: Class::Alert,
                    alert_id: changed.id.to_string(),
                    state: state.clone(),
                    event: json::alert_event(event),
                };
                let events = self.events_of_alert(changed).await?;
                Ok(events.iter().map(|event| (event.body.name(), View::Alert(view(event)))).collect())
            }
        }
    }

    /// Whether it is about what his token is for; of what can't be read nobody knows.
    async fn sees(&self, subject: &Subject) -> Result<bool, StoreError> {
        if self.caller.scope().is_all() {
            return Ok(true);
        }
        let seen = match subject {
            Subject::Job(changed) => scope::sees_job(&self.state, &self.caller, &changed.id).await,
            Subject::Alert(changed) => {
                let alert = self.state.alerts.alert(&changed.id).await.map_err(ApiError::from);
                alert.map(|alert| alert.is_some_and(|alert| self.caller.sees_labels(&alert.origin.labels)))
            }
        };
        match seen {
            Err(ApiError::Unavailable(reason)) => Err(StoreError::Unavailable(reason)),
            seen => Ok(seen.unwrap_or(false)),
        }
    }

    async fn events_of_job(&self, changed: &JobChange) -> Result<Vec<Event>, StoreError> {
        if !changed.events.is_empty() {
            return Ok(changed.events.clone());
        }
        match self.state.store.load(&changed.id).await {
            Ok(job) => Ok(job.map(|job| changed.events_in(&job.events).to_vec()).unwrap_or_default()),
            Err(StoreError::Unreadable(error)) => {
                tracing::warn!(%error, "its events are passed over");
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    async fn events_of_alert(&self, changed: &AlertChange) -> Result<Vec<AlertEvent>, StoreError> {
        if !changed.events.is_empty() {
            return Ok(changed.events.clone());
        }
        match self.state.alerts.alert(&changed.id).await {
            Ok(alert) => Ok(alert.map(|alert| changed.events_in(&alert.events).to_vec()).unwrap_or_default()),
            // A later program's: whoever listens would otherwise meet it again and again, and hear of nothing else.
            Err(StoreError::UnreadableAlert(error)) => {
                tracing::warn!(%error, "its events are passed over");
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    fn give_sign(&mut self) {
        let position = self.state.history.recent().position();
        // Whatever came before that place has been sent to the listeners before it was reached.
        let heard_all = matches!(&self.source, Source::Live(news) if news.is_empty()) && self.queue.is_empty();
        if heard_all && position > self.after {
            self.after = position;
        }
        self.pending.push_back(sse::place(&self.after));
    }

    fn join(&mut self, joined: Joined) {
        self.queue.extend(joined.backlog);
        self.source = Source::Live(joined.news);
    }

    /// Joins what all share, where his place is among it. What he has queued is in there, too.
    fn rejoin(&mut self) -> bool {
        let Some(joined) = self.state.history.recent().join(&self.after) else {
            return false;
        };
        self.queue.clear();
        self.join(joined);
        true
    }

    async fn catch_up(&mut self, place: OwnedSemaphorePermit) -> Result<(), StoreError> {
        match self.state.history.catch_up(&self.after).await {
            Ok(said) => self.source = Source::CatchUp { said, _place: place },
            Err(CatchUpError::Lost(reason)) => self.reset(&reason),
            Err(CatchUpError::Store(error)) => return Err(error),
        }
        Ok(())
    }

    /// Waits for his turn to catch up, if he has to.
    async fn find_again(&mut self) {
        if self.rejoin() {
            return;
        }
        let Ok(place) = Arc::clone(&self.state.streams.catching_up).acquire_owned().await else {
            return;
        };
        if let Err(error) = self.catch_up(place).await {
            tracing::warn!(%error, "a stream of events can't catch up for the moment");
            sleep(PAUSE).await;
        }
    }

    /// Says that there is a hole which nothing can fill, and starts anew.
    fn reset(&mut self, reason: &str) {
        tracing::info!(reason, "the history after a client's place is lost: it starts anew");
        let joined = self.state.history.recent().join_now();
        self.queue.clear();
        self.after = joined.position.clone();
        let reason = "the history after that place is lost: fetch what you show again".to_owned();
        self.pending.push_back(sse::message(Some(&self.after), "reset", &ResetView { reason }));
        self.join(joined);
    }
}
