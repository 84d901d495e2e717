//! What a token of the store looks like in a header: `lucid-token-NAME.SECRET`. Its name finds the document, its secret is proven by a hash.
//!
//! Invariants: whether there is such a token or not, the same is done: one hash, one comparison in constant time; no secret is kept or shown.

use lucid_schemas::access::TokenName;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// What every token begins with, that of the file, too: nobody is to send a key because he named the wrong file.
pub const TOKEN_PREFIX: &str = "lucid-token-";
/// Bytes of chance in a token.
pub const SECRET_BYTES: usize = 32;

const DIGITS: usize = 2 * SECRET_BYTES;

/// A token that was shown: its name, and the hash of its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    /// Its name.
    pub name: TokenName,
    digest: [u8; 32],
}

impl Presented {
    /// What a header holds; `None` where it has another form, as the token of the file does.
    pub fn read(given: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(given).ok()?;
        let (name, secret) = text.strip_prefix(TOKEN_PREFIX)?.rsplit_once('.')?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_secret = secret.len() == DIGITS && secret.bytes().all(is_digit);
        Some(Self { name: name.parse().ok().filter(|_| is_secret)?, digest: Sha256::digest(secret).into() })
    }

    /// Whether this is the secret with that hash, in hexadecimal digits; of no token it is none, found out in the same time.
    pub(crate) fn is(&self, stored: Option<&str>) -> bool {
        let mut expected = [0; 32];
        let is_hash = stored.is_some_and(|digits| unhex(digits, &mut expected));
        bool::from(self.digest.ct_eq(&expected) & Choice::from(u8::from(is_hash)))
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A new token of this chance: what is shown once, and the hash that is stored.
pub fn mint(name: &TokenName, chance: &[u8; SECRET_BYTES]) -> (Zeroizing<String>, String) {
    let mut secret = Zeroizing::new(String::with_capacity(DIGITS));
    hex(chance, &mut secret);
    let mut hash = String::new();
    hex(&Sha256::digest(secret.as_bytes()), &mut hash);
    (Zeroizing::new(format!("{TOKEN_PREFIX}{name}.{}", secret.as_str())), hash)
}

fn hex(bytes: &[u8], digits: &mut String) {
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
}

fn unhex(digits: &str, bytes: &mut [u8; 32]) -> bool {
    let pairs = digits.as_bytes().chunks(2);
    let read = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len() == DIGITS && pairs.zip(bytes).all(|(pair, byte)| read(pair).map(|read| *byte = read).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minted(chance: u8) -> (TokenName, Zeroizing<String>, String) {
        let name: TokenName = "nightly-2026".parse().expect("a name");
        let (shown, hash) = mint(&name, &[chance; SECRET_BYTES]);
        (name, shown, hash)
    }

    #[test]
    fn what_was_minted_is_read_back_and_fits_its_hash_alone() {
        let (name, shown, hash) = minted(7);
        let presented = Presented::read(shown.as_bytes()).expect("a token");
        assert_eq!(presented.name, name);
        assert!(presented.is(Some(&hash)));
        assert!(!hash.contains(shown.rsplit('.').next().expect("a secret")), "only the hash is stored");
        let other = minted(8).2;
        let zeros = "0".repeat(64);
        for stored in [None, Some(""), Some(other.as_str()), Some(zeros.as_str()), Some(&hash[..62]), Some("ü")] {
            assert!(!presented.is(stored), "{stored:?}");
        }
        assert!(!format!("{presented:?}").contains("07"), "{presented:?}");
    }

    #[test]
    fn what_has_another_form_is_no_token_of_the_store() {
        let secret = "0a".repeat(32);
        for text in [
            String::new(),
            format!("lucid-token-{secret}"),
            format!("lucid-token-.{secret}"),
            format!("lucid-token-local.{secret}"),
            format!("lucid-token-a b.{secret}"),
            format!("lucid-token-a.{}", &secret[..63]),
            format!("lucid-token-a.{secret}0"),
            format!("lucid-token-a.{}", secret.to_uppercase()),
            format!("token-a.{secret}"),
        ] {
            assert_eq!(Presented::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Presented::read(b"\xff"), None);
        assert!(Presented::read(format!("lucid-token-a.{secret}").as_bytes()).is_some());
    }
}
