//! How requests are sent: to nobody but the API, and with the token that there is.

use crate::{ClientError, client::ANSWER_WITHIN};
use std::{sync::Arc, time::Duration};
use ureq::{
    Agent, SendBody,
    http::{HeaderValue, Method, Request, header::AUTHORIZATION},
    middleware::MiddlewareNext,
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The header of a token.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::BadToken)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The certificates of a file in PEM form, which are trusted instead of the system's.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCerts, ClientError> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(ClientError::BadRoots),
        }
    }
    if found.is_empty() { Err(ClientError::BadRoots) } else { Ok(RootCerts::Specific(Arc::new(found))) }
}

/// When a token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// With every request.
    Always,
    /// Where something is asked for.
    WhenAsking,
}

/// What sends requests, and shows this token.
pub(crate) fn open(token: Option<(HeaderValue, Shown)>, roots: Option<RootCerts>) -> Agent {
    let tls = TlsConfig::builder().root_certs(roots.unwrap_or(RootCerts::PlatformVerifier)).build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // The API is close by; a proxy meant for the internet doesn't reach it.
        .proxy(None)
        .tls_config(tls)
        .timeout_connect(Some(CONNECT_WITHIN))
        .timeout_global(Some(ANSWER_WITHIN))
        .user_agent(concat!("lucid-ops/", env!("CARGO_PKG_VERSION")));
    let Some((token, shown)) = token else { return config.build().into() };
    let show = move |mut request: Request<SendBody>, next: MiddlewareNext| {
        if shown == Shown::Always || request.method() != Method::GET {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        next.handle(request)
    };
    config.middleware(show).build().into()
}
