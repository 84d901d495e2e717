//! Random secrets, and how they stand in connection strings.

use crate::exit::Exit;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use std::fmt::Write;
use zeroize::Zeroizing;

const PASSWORD_BYTES: usize = 32;
/// The most that mongod takes: 1,008 characters.
const KEY_BYTES: usize = 756;

/// 256 random bits that need no escape anywhere: letters, digits, `-` and `_`.
pub fn password() -> Result<Zeroizing<String>, Exit> {
    random::<PASSWORD_BYTES>().map(|bytes| Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

/// A key file of a replica set.
pub fn replica_key() -> Result<Zeroizing<String>, Exit> {
    random::<KEY_BYTES>().map(|bytes| Zeroizing::new(BASE64_STANDARD.encode(bytes.as_ref()) + "\n"))
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Exit> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).map_err(|error| Exit::failed(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

/// The text as it stands before the `@` of a connection string: a password that people chose may hold anything.
pub fn escaped(text: &str) -> Zeroizing<String> {
    let mut escaped = Zeroizing::new(String::with_capacity(3 * text.len()));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
