//! Who may speak to a service at all: programs, but no web page that a browser shows.
//!
//! A page of another site can have its own name resolve to this machine, so the name that a request is addressed to
//! must be one of ours; and a browser says which site a request comes from, so it must be this one.

use crate::{ApiError, body::shortened};
use actix_web::{
    Error, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{CACHE_CONTROL, HOST, HeaderMap, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    http::uri::Authority,
    middleware::Next,
    web,
};
use std::net::IpAddr;

/// The names under which a service is called, besides addresses and `localhost`: data of the application that [`guard`] looks up.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// These names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }
}

/// Turns foreign requests away, and forbids every cache and every guess at a type.
///
/// # Errors
/// Those of the handlers.
pub async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let ours = request.app_data::<web::Data<Hosts>>().map_or(&[][..], |hosts| &hosts.0);
    let mut response = match check(request.headers(), request.uri().authority().map(Authority::as_str), ours) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(refused) => request.into_response(refused.error_response()),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// HTTP/2 names the host in the address instead of a header.
fn check(headers: &HeaderMap, authority: Option<&str>, ours: &[String]) -> Result<(), ApiError> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let named = || headers.get_all(HOST).map(text).chain(authority.map(str::to_owned));
    for host in named() {
        if !is_ours(&host, ours) {
            return Err(ApiError::ForeignHost(shortened(&host)));
        }
    }
    let host = named().next();
    for origin in headers.get_all(ORIGIN).map(text) {
        let from = origin.split_once("://").map(|(_, host)| host);
        if from.is_none() || from != host.as_deref() {
            return Err(ApiError::ForeignOrigin(shortened(&origin)));
        }
    }
    Ok(())
}

fn is_ours(host: &str, ours: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = name.trim_end_matches('.');
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || ours.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_named_in_the_address_must_be_ours_too() {
        let ours = ["pi-1".to_owned()];
        let origin: HeaderMap = [(ORIGIN, HeaderValue::from_static("https://pi-1:8089"))].into_iter().collect();
        assert_eq!(check(&HeaderMap::new(), Some("pi-1:8089"), &ours), Ok(()));
        assert_eq!(check(&origin, Some("pi-1:8089"), &ours), Ok(()));
        assert!(matches!(check(&HeaderMap::new(), Some("evil.example"), &ours), Err(ApiError::ForeignHost(_))));
        assert!(matches!(check(&origin, Some("127.0.0.1:8089"), &ours), Err(ApiError::ForeignOrigin(_))));
    }

    #[test]
    fn only_our_names_are_ours() {
        let ours = ["pi-1".to_owned()];
        for host in ["localhost", "LOCALHOST:8089", "127.0.0.1:8089", "[::1]:8089", "[::1]", "pi-1:8089", "Pi-1."] {
            assert!(is_ours(host, &ours), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8089",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "pi-1.evil.example",
            "",
        ] {
            assert!(!is_ours(host, &ours), "{host}");
        }
    }
}
