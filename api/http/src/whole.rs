//! All jobs there are: are they what their events say, and what do they hold.
//!
//! Both go through the documents page by page, in the order of their ids, and hold one page at a time.

use crate::{Answer, ApiError, ApiState, Caller, body::shortened, query, scope};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Bytes},
};
use bson::{Bson, Document};
use futures::stream;
use lucid_core::invariant;
use lucid_ports::StoreError;
use lucid_schemas::{
    Job, Kind,
    http::{AuditReport, UnreadableView, ViolationView},
};
use tokio::sync::OwnedSemaphorePermit;

/// A document has up to a megabyte.
const PAGE_JOBS: u32 = 50;
/// So many are audited in one answer; the client asks for the next ones, so that no answer takes long.
const AUDIT_JOBS: u32 = 10_000;
const DETAIL_CHARACTERS_MAX: usize = 2_000;

/// `GET /jobs/audit`: every stream is folded anew and compared with the head.
pub(crate) async fn audit(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let (mut after, limit) = query::page(request.query_string(), AUDIT_JOBS)?;
    let mut report = AuditReport::default();
    let mut left = limit;
    while left > 0 {
        let asked = left.min(PAGE_JOBS);
        let page = state.archive.page(after.as_deref(), asked).await?;
        for document in &page {
            if sees(&state, &caller, document).await? {
                examine(document, &mut report);
            }
        }
        after = next(&page)?;
        if page.len() < asked as usize {
            after = None;
            break;
        }
        left -= asked;
    }
    report.next = after;
    Ok(HttpResponse::Ok().json(report))
}

/// Whether he sees the job of this document; one that can't be read is seen by those who see all.
async fn sees(state: &ApiState, caller: &Caller, document: &Document) -> Result<bool, ApiError> {
    if caller.scope().is_all() {
        return Ok(true);
    }
    match Job::from_document(document) {
        Ok(job) => scope::sees(state, caller, &job.request.spec).await,
        Err(_) => Ok(false),
    }
}

fn examine(document: &Document, report: &mut AuditReport) {
    report.jobs += 1;
    let job = match Job::from_document(document) {
        Ok(job) => job,
        Err(_) if is_of_later_kind(document) => {
            report.later += 1;
            return;
        }
        Err(error) => {
            let job_id = document.get_str("_id").map_or(error.id, str::to_owned);
            report.unreadable.push(UnreadableView { job_id, reason: error.reason });
            return;
        }
    };
    report.events += job.events.len() as u64;
    for violation in invariant::violations(&job) {
        report.violations.push(ViolationView {
            job_id: job.id().to_string(),
            invariant: format!("INV-{}", violation.invariant.number()),
            detail: violation.detail.chars().take(DETAIL_CHARACTERS_MAX).collect(),
        });
    }
}

/// Whether a later program made it: its id says the same kind as its head, and nobody here knows that.
fn is_of_later_kind(document: &Document) -> bool {
    let (Ok(id), Ok(kind)) = (document.get_str("_id"), document.get_str("kind")) else { return false };
    kind.parse::<Kind>().is_err() && id.strip_prefix(kind).is_some_and(|rest| rest.starts_with('_'))
}

/// The id to go on after.
fn next(page: &[Document]) -> Result<Option<String>, ApiError> {
    let Some(last) = page.last() else {
        return Ok(None);
    };
    match last.get("_id") {
        Some(Bson::String(id)) => Ok(Some(id.clone())),
        other => {
            let id = shortened(&other.map_or_else(String::new, ToString::to_string));
            Err(ApiError::Broken(format!("the _id {id} of a job document isn't a text: remove that document")))
        }
    }
}

/// `GET /jobs/export`: one whole job document a line, as relaxed extended JSON.
pub(crate) async fn export(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let (after, limit) = query::page(request.query_string(), u32::MAX)?;
    let place = state.streams.admit().await?;
    let mut export = Export { state: state.get_ref().clone(), caller, after, left: limit, _place: place };
    // What goes wrong at first is still told by a status.
    let first = export.next().await?;
    let rest = stream::unfold((first, export), async |(lines, mut export)| {
        let lines = lines?;
        Some(match export.next().await {
            Ok(next) => (Ok(lines), (next, export)),
            Err(error) => {
                tracing::warn!(%error, "an export breaks off");
                // An error cuts the answer short, so that nobody takes a part for the whole.
                (Err(error), (None, export))
            }
        })
    });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(rest))
}

struct Export {
    state: ApiState,
    caller: Caller,
    after: Option<String>,
    left: u32,
    _place: OwnedSemaphorePermit,
}

impl Export {
    /// The lines of the next page; `None` after the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let asked = self.left.min(PAGE_JOBS);
        if self.state.streams.stop().is_cancelled() {
            return Err(StoreError::Unavailable("the API stops".into()).into());
        }
        self.caller.still().await?;
        let page = self.state.archive.page(self.after.as_deref(), asked).await?;
        if page.is_empty() {
            return Ok(None);
        }
        self.after = next(&page)?;
        self.left -= u32::try_from(page.len()).unwrap_or(self.left).min(self.left);
        let mut lines = String::new();
        for document in page {
            if !sees(&self.state, &self.caller, &document).await? {
                continue;
            }
            lines.push_str(&Bson::Document(document).into_relaxed_extjson().to_string());
            lines.push('\n');
        }
        Ok(Some(lines.into()))
    }
}
