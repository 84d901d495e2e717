//! Acknowledging and resolving: a command of the law, made true by compare-and-set.

use super::{
    comment,
    list::{PathId, find},
    store::{desk, not_changed, read, write},
    view::{self, Quiet},
};
use crate::{Monitor, open::Desk};
use actix_web::{HttpResponse, web};
use lucid_core::alert::{Command, Refusal, transition};
use lucid_http::{Answer, ApiError, Body, Caller, json, write_token};
use lucid_ports::AlertOutcome;
use lucid_schemas::{
    alert::Alert,
    http::{AcknowledgeBody, AlertView, ResolveBody},
};

/// The evaluator writes an alert once a minute; so many losses in a row are a fault.
const TRIES: usize = 20;
/// Who takes something on for longer doesn't mean a time.
const ACKNOWLEDGED_SECONDS_MAX: i64 = 30 * 86_400;

/// `POST /alerts/{alert_id}/acknowledge`.
pub(crate) async fn acknowledge(
    monitor: web::Data<Monitor>,
    caller: Caller,
    id: PathId,
    body: Body<AcknowledgeBody>,
) -> Answer {
    let Body(AcknowledgeBody { for_seconds, comment: said }) = body;
    if for_seconds.is_some_and(|seconds| !(1..=ACKNOWLEDGED_SECONDS_MAX).contains(&seconds)) {
        let problem = format!("must be from 1 to {ACKNOWLEDGED_SECONDS_MAX}, or left out: until it is over");
        return Err(ApiError::field("for_seconds", problem));
    }
    let for_ms = for_seconds.map(|seconds| seconds * 1_000);
    let command = Command::Acknowledge { for_ms, comment: comment(said.as_deref().unwrap_or_default())? };
    changed(&monitor, &caller, &id, &command).await
}

/// `POST /alerts/{alert_id}/resolve`: where it is still so, the next round raises another one.
pub(crate) async fn resolve(
    monitor: web::Data<Monitor>,
    caller: Caller,
    id: PathId,
    body: Body<ResolveBody>,
) -> Answer {
    let command = Command::ResolveByHand { comment: comment(body.0.comment.as_deref().unwrap_or_default())? };
    changed(&monitor, &caller, &id, &command).await
}

async fn changed(monitor: &Monitor, caller: &Caller, id: &PathId, command: &Command) -> Answer {
    let changed = async {
        let desk = desk(monitor)?;
        let alert = find(&desk, caller, &id.0).await?;
        let alert = obey(&desk, caller, alert, command).await?;
        Ok((desk, alert))
    };
    let (desk, alert) = changed.await.map_err(not_changed)?;
    // What was asked for has happened; not knowing the silences only leaves out a hint.
    let look = read(desk.silences.look_at_silences()).await;
    let (silences, now) = look.map_or_else(|_| (Vec::new(), bson::DateTime::now()), |look| (look.silences, look.now));
    let view = view::alert(&alert, Quiet { silences: &silences, now });
    Ok(HttpResponse::Ok().json(AlertView { events: view::events(&alert), ..view }))
}

/// Makes `command` true; where somebody was faster, decides again on what is there now.
async fn obey(desk: &Desk, caller: &Caller, mut alert: Alert, command: &Command) -> Result<Alert, ApiError> {
    for _ in 0..TRIES {
        let next = transition(&alert, command, &caller.name, &write_token());
        let next = next.map_err(|refusal| refused(&alert, &refusal))?;
        match write(desk.alerts.apply_alert(&next)).await? {
            AlertOutcome::Won(alert) => {
                tracing::info!(alert = %alert.id(), state = %alert.head.state, command = command.name(), "accepted");
                return Ok(*alert);
            }
            AlertOutcome::Lost(Some(current)) => alert = *current,
            AlertOutcome::Lost(None) => return Err(ApiError::NotFound(format!("{} is gone", alert.id()))),
        }
    }
    Err(ApiError::Busy(alert.id().to_string()))
}

/// Says also what is so.
fn refused(alert: &Alert, refusal: &Refusal) -> ApiError {
    let over = alert.head.resolved_at.zip(alert.head.resolved_by).map(|(at, how)| {
        let at = json::time(at);
        format!(": it was over at {at} ({how}); what is wrong again has an alert of its own")
    });
    ApiError::WrongState(format!("{}: {refusal}{}", alert.id(), over.unwrap_or_default()))
}
