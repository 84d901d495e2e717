//! `GET /jobs/{id}/events`: as a list, or live until the job has ended.

use super::{HEARTBEAT, answer, sse, watch::Seen};
use crate::{Answer, ApiState, Caller, lookup, query, view};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header::ACCEPT},
    web::{self, Bytes},
};
use futures::stream;
use lucid_schemas::{
    Progress,
    http::{EndView, EventList},
};
use std::{collections::VecDeque, convert::Infallible};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// `GET /jobs/{job_id}/events`.
pub(crate) async fn job_events(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let live = wants_stream(&request);
    let after = query::after_seq(&request, live)?;
    let job = lookup::job(&state, &caller, request.match_info().query("job_id"), None).await?;
    if !live {
        let later = job.events.iter().filter(|event| event.seq > after);
        let list = EventList { job_id: job.id().to_string(), events: later.map(view::event).collect() };
        return Ok(HttpResponse::Ok().json(list));
    }
    let place = state.streams.admit().await?;
    let mut stream = JobStream {
        seen: state.streams.watched.watch(&state, job),
        sent: after,
        progress: None,
        pending: VecDeque::from([sse::beginning()]),
        over: false,
        heartbeat: Instant::now() + HEARTBEAT,
        probed: state.streams.probed(),
        stop: state.streams.stop().clone(),
        _place: place,
    };
    stream.look();
    let next = async |mut stream: JobStream| Some((Ok::<_, Infallible>(stream.next().await?), stream));
    Ok(answer(caller, stream::unfold(stream, next)))
}

/// Whether the client asks for a stream; one that only asks for the head of the answer gets no endless body.
fn wants_stream(request: &HttpRequest) -> bool {
    let accepts = request.headers().get_all(ACCEPT);
    request.method() == Method::GET
        && accepts.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/event-stream"))
}

/// What one client is told of one job.
struct JobStream {
    seen: watch::Receiver<Seen>,
    /// The number of the last event that he was told.
    sent: i64,
    progress: Option<Progress>,
    pending: VecDeque<Bytes>,
    over: bool,
    heartbeat: Instant,
    probed: watch::Receiver<()>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl JobStream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.pending.pop_front() {
                self.heartbeat = Instant::now() + HEARTBEAT;
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep_until(self.heartbeat) => self.pending.push_back(sse::heartbeat()),
                Ok(()) = self.probed.changed() => self.pending.push_back(sse::heartbeat()),
                changed = self.seen.changed() => match changed {
                    Ok(()) => self.look(),
                    // The watcher has ended, so the server is about to.
                    Err(_) => return None,
                },
            }
        }
    }

    /// Prepares what is new.
    fn look(&mut self) {
        let Some(job) = self.seen.borrow_and_update().clone() else {
            self.end(None);
            return;
        };
        for event in job.events.iter().filter(|event| event.seq > self.sent) {
            self.pending.push_back(sse::message(Some(&event.seq), event.body.name(), &view::event(event)));
        }
        self.sent = self.sent.max(job.head.version);
        let progress = job.progress.as_ref().filter(|_| job.lease.is_some());
        if let Some(progress) = progress.filter(|progress| self.progress.as_ref() != Some(*progress)) {
            self.pending.push_back(sse::message(None, "progress", &view::progress(progress)));
        }
        self.progress = progress.cloned();
        if job.head.state.is_terminal() {
            self.end(Some(job.head.state.to_string()));
        }
    }

    fn end(&mut self, state: Option<String>) {
        self.pending.push_back(sse::message(None, "end", &EndView { state }));
        self.over = true;
    }
}
