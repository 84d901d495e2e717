//! Paths of addresses, put together from what users write.

use crate::ClientError;
use lucid_schemas::JobId;
use std::str::FromStr;

/// The path of a job. What isn't shaped like an id never gets into a path.
pub(crate) fn job_path(resource: &str, id: &str, rest: &str) -> Result<String, ClientError> {
    let id =
        JobId::from_str(id).map_err(|problem| ClientError::BadId { id: id.chars().take(80).collect(), problem })?;
    Ok(format!("/{resource}/{id}{rest}"))
}

/// A text as one piece of a path: what means something in an address stands as `%` and its bytes.
pub(crate) fn piece(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_asked_for_as_it_is_written() {
        for (kind, expected) in [
            ("backup", "backup"),
            ("archive_oplog", "archive_oplog"),
            ("../x?y ü", "%2E%2E%2Fx%3Fy%20%C3%BC"),
            ("", ""),
        ] {
            assert_eq!(piece(kind), expected);
        }
    }
}
