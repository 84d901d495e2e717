//! The secret of an API: whoever shows it may do everything. Those with names and roles of their own are in the store (see [`secret`](crate::secret)).
//!
//! Invariant: it is compared in the same time whatever is sent, and never shown.

use std::{
    fmt,
    path::{Path, PathBuf},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret, and the file that it is in.
#[derive(Clone)]
pub struct Token {
    secret: Zeroizing<String>,
    place: PathBuf,
}

impl Token {
    /// How what its holder does is signed.
    pub const NAME: &str = "token:local";

    /// The secret that the file `place` holds.
    pub const fn new(secret: Zeroizing<String>, place: PathBuf) -> Self {
        Self { secret, place }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Whether it is this. An empty one is nobody's.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        !self.secret.is_empty() && bool::from(self.secret.as_bytes().ct_eq(given))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str) -> Token {
        Token::new(Zeroizing::new(secret.to_owned()), "/run/lucid-ops/token".into())
    }

    #[test]
    fn nothing_but_the_whole_secret_will_do_and_it_is_not_shown() {
        assert!(token("abcd").is(b"abcd"));
        for given in [b"".as_slice(), b"abc", b"abcde", b"abce"] {
            assert!(!token("abcd").is(given), "{given:?}");
        }
        assert!(!token("").is(b""));
        assert!(!format!("{:?}", token("abcd")).contains("abcd"));
    }
}
