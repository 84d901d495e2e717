//! Server-sent events as text.

use actix_web::web::Bytes;
use serde::Serialize;
use std::fmt::Display;

/// How soon a client comes back after a break.
const RETRY_MS: u32 = 1_000;

/// One message. Where it has an id, a client that comes back goes on after it.
pub(super) fn message(id: Option<&dyn Display>, event: &str, data: &impl Serialize) -> Bytes {
    // Views are plain structs with string keys, and JSON text has no line breaks.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("{id}event: {event}\ndata: {data}\n\n").into()
}

/// What a stream begins with.
pub(super) fn beginning() -> Bytes {
    format!("retry: {RETRY_MS}\n\n").into()
}

/// A sign of life, which no client takes for a message.
pub(super) fn heartbeat() -> Bytes {
    Bytes::from_static(b":\n\n")
}

/// A sign of life that moves the place to go on from, and is no message either.
pub(super) fn place(id: &impl Display) -> Bytes {
    format!(":\nid: {id}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_is_one_line_of_data() {
        let said = message(Some(&7), "failed", &json!({ "why": "two\nlines\r\n\nid: 9" }));
        assert_eq!(said, "id: 7\nevent: failed\ndata: {\"why\":\"two\\nlines\\r\\n\\nid: 9\"}\n\n");
        assert_eq!(message(None, "end", &json!(null)), "event: end\ndata: null\n\n");
    }
}
