//! Who may read the metrics at a port that others than this machine can reach.
//!
//! Invariant: a password is compared in the same time whatever is sent, and never shown.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{fmt, sync::Arc};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What is asked of whoever reads.
#[derive(Clone, Default)]
pub enum Lock {
    /// Nothing.
    #[default]
    Open,
    /// This password, with any user name, as Prometheus sends it by `basic_auth`.
    Password(Arc<Zeroizing<String>>),
}

impl Lock {
    /// This password.
    pub fn password(password: Zeroizing<String>) -> Self {
        Self::Password(Arc::new(password))
    }

    /// Whether a request with these headers may read. An empty password is nobody's.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Open => true,
            Self::Password(wanted) => {
                let given = headers.get(AUTHORIZATION).and_then(|given| sent(given.as_bytes()));
                !wanted.is_empty() && given.is_some_and(|given| bool::from(wanted.as_bytes().ct_eq(&given)))
            }
        }
    }
}

/// The password of a header of basic authentication.
fn sent(header: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(encoded.trim_ascii()).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| Zeroizing::new(decoded[colon + 1..].to_vec()))
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Password(_) => "Password",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn admitted(lock: &Lock, header: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(header).expect("a header"));
        }
        lock.admits(&headers)
    }

    fn basic(user: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(user))
    }

    #[test]
    fn nothing_but_the_whole_password_opens_and_it_is_not_shown() {
        let lock = Lock::password(Zeroizing::new("open:sesame".into()));
        assert!(admitted(&lock, Some(&basic("prometheus:open:sesame"))));
        assert!(admitted(&lock, Some(&basic(":open:sesame").replace("Basic", "basic"))));
        for header in
            [basic("prometheus:open"), basic("prometheus:open:sesame "), basic("open"), basic(""), basic("a:")]
        {
            assert!(!admitted(&lock, Some(&header)), "{header}");
        }
        for header in ["", "Basic", "Basic ", "Basic %%%", "Bearer b3BlbjpzZXNhbWU="] {
            assert!(!admitted(&lock, Some(header)), "{header}");
        }
        assert!(!admitted(&lock, None));
        assert!(!admitted(&Lock::password(Zeroizing::default()), Some(&basic("a:"))), "an empty one is nobody's");
        assert!(admitted(&Lock::Open, None));
        assert!(!format!("{lock:?}").contains("sesame"));
    }
}
