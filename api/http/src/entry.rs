//! Tables of routes: which path leads where, and what it needs. Every port has one.

use crate::{ApiError, Right, body::shortened, guard, rights};
use actix_web::{
    FromRequest, Handler, HttpRequest, Resource, Responder, Route, Scope,
    guard::{Any, Get, Head},
    http::Method,
    middleware::from_fn,
    web::{self, ServiceConfig},
};

/// A route: where it leads, and what it needs. There is no way to make one that doesn't say.
pub struct Entry {
    method: Method,
    path: &'static str,
    right: Right,
    route: Route,
}

/// A route that shows something, also to `HEAD` as every reader of `GET` may expect.
pub fn look<F, Args>(path: &'static str, handler: F) -> Entry
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    entry(Method::GET, path, Right::Read, web::route().guard(Any(Get()).or(Head())).to(handler))
}

/// The same where nobody is asked who he is.
pub fn open<F, Args>(path: &'static str, handler: F) -> Entry
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    entry(Method::GET, path, Right::Open, web::route().guard(Any(Get()).or(Head())).to(handler))
}

/// The same where all databases are looked at.
pub fn look_at_all<F, Args>(path: &'static str, handler: F) -> Entry
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    entry(Method::GET, path, Right::ReadAll, web::route().guard(Any(Get()).or(Head())).to(handler))
}

/// A route of this one method.
pub fn on<F, Args>(method: Method, path: &'static str, right: Right, handler: F) -> Entry
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let route = web::method(method.clone()).to(handler);
    entry(method, path, right, route)
}

fn entry(method: Method, path: &'static str, right: Right, route: Route) -> Entry {
    let admit = from_fn(move |request, next| rights::admit(right, request, next));
    Entry { method, path, right, route: route.wrap(admit) }
}

/// Method, path and right of each of these.
pub fn rights_of(entries: &[Entry]) -> Vec<(String, &'static str, Right)> {
    entries.iter().map(|entry| (entry.method.to_string(), entry.path, entry.right)).collect()
}

/// Puts routes into an application, behind the [`guard`](crate::guard()). The scope holds as its data what the handlers ask for, the names in
/// [`Hosts`](crate::Hosts), and the [`Gate`](crate::Gate).
pub fn mount(config: &mut ServiceConfig, scope: Scope, entries: Vec<Entry>) {
    let scope = resources(entries).into_iter().fold(scope.wrap(from_fn(guard)), Scope::service);
    config.service(scope.default_service(web::to(unknown)));
}

/// One for each path, in the order of the table; other methods are refused with those that it takes.
fn resources(table: Vec<Entry>) -> Vec<Resource> {
    let mut paths: Vec<(&str, Vec<Entry>)> = Vec::new();
    for entry in table {
        match paths.iter_mut().find(|(path, _)| *path == entry.path) {
            Some((_, entries)) => entries.push(entry),
            None => paths.push((entry.path, vec![entry])),
        }
    }
    let resource = |(path, entries): (&str, Vec<Entry>)| {
        let allowed = entries.iter().map(|entry| entry.method.as_str()).collect::<Vec<_>>().join(", ");
        let refuse = move || {
            let allowed = allowed.clone();
            async move { Err::<String, _>(ApiError::Method { allowed }) }
        };
        let resource = entries.into_iter().fold(web::resource(path), |resource, entry| resource.route(entry.route));
        resource.default_service(web::to(refuse))
    };
    paths.into_iter().map(resource).collect()
}

async fn unknown(request: HttpRequest) -> Result<String, ApiError> {
    let path = shortened(request.path());
    Err(ApiError::NotFound(format!("there is nothing at {path}")))
}
