//! Driver errors, made into the store's; without values of documents, and without passwords.

use lucid_ports::StoreError;
use mongodb::error::{Error, ErrorKind};

/// Codes that mean "ask again: the primary changed, or the network broke".
const PASSING: [i32; 17] =
    [6, 7, 50, 64, 89, 91, 112, 134, 189, 262, 9001, 10_107, 11_600, 11_601, 11_602, 13_435, 13_436];

/// The store's error for a driver's.
pub fn store_error(error: &Error) -> StoreError {
    if is_passing(error) { StoreError::Unavailable(describe(error)) } else { StoreError::Rejected(describe(error)) }
}

/// The server's code, where it gave one.
pub fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(mongodb::error::WriteFailure::WriteError(write)) => Some(write.code),
        _ => None,
    }
}

/// Whether the same may succeed in a moment.
pub fn is_passing(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        // What a server that is going down sends last.
        | ErrorKind::InvalidResponse { .. }
        | ErrorKind::Internal { .. }
        | ErrorKind::Shutdown => true,
        ErrorKind::Command(command) => is_passing_code(command.code),
        _ => code(error).is_some_and(is_passing_code) || error.contains_label("RetryableWriteError"),
    }
}

/// Whether a server's code means the same.
pub fn is_passing_code(code: i32) -> bool {
    PASSING.contains(&code)
}

/// What happened, for people.
pub fn describe(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => {
            format!("{} ({}, code {})", without_values(&command.message), command.code_name, command.code)
        }
        // The driver would print its whole picture of the topology.
        ErrorKind::ServerSelection { .. } => {
            "no primary answers: is mongod running, and has the set elected one?".into()
        }
        kind => without_values(&kind.to_string()),
    }
}

/// Cuts what the server quotes from documents: the key of a duplicate, the document that failed a validator.
pub fn without_values(message: &str) -> String {
    let end = ["dup key", "errInfo", "failingDocumentId"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .unwrap_or(message.len());
    message[..end].trim_end_matches([' ', ':', ',']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_values_of_duplicates_are_cut() {
        let said = "E11000 duplicate key error collection: lucid_ops.ops index: _id_ dup key: { _id: \"secret\" }";
        assert_eq!(without_values(said), "E11000 duplicate key error collection: lucid_ops.ops index: _id_");
    }
}
