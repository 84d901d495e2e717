//! `GET /whoami`: as whom one comes.

use crate::{Answer, Caller, query};
use actix_web::{HttpRequest, HttpResponse};
use lucid_schemas::{access::Role, http::WhoView};

pub(crate) async fn show(caller: Caller, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let databases = caller.scope().names().map(|names| names.into_iter().map(str::to_owned).collect());
    let role = caller.role().map_or("none", Role::as_str).to_owned();
    Ok(HttpResponse::Ok().json(WhoView { name: caller.name, role, databases }))
}
