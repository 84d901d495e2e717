//! Reading server-sent events.

use std::io::{self, BufRead};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type; `message` where the server says none.
    pub event: String,
    /// Its data.
    pub data: String,
}

/// The messages of a stream, and the place to go on from after a break.
#[derive(Debug)]
pub struct Messages<R> {
    lines: R,
    last_id: Option<String>,
}

impl<R: BufRead> Messages<R> {
    /// The messages that are read from here.
    pub const fn new(lines: R) -> Self {
        Self { lines, last_id: None }
    }

    /// The id of the last message that had one.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next message; `None` at the end of the stream. A message that the end cuts off is none.
    ///
    /// # Errors
    /// Where the stream can't be read on.
    pub fn read(&mut self) -> io::Result<Option<Message>> {
        let (mut event, mut data, mut line) = (String::new(), Vec::new(), String::new());
        loop {
            line.clear();
            if self.lines.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let text = line.trim_end_matches(['\n', '\r']);
            let (field, value) = text.split_once(':').unwrap_or((text, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" if !text.is_empty() => value.clone_into(&mut event),
                "data" => data.push(value.to_owned()),
                "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
                "" if text.is_empty() => {
                    if !data.is_empty() {
                        let event = if event.is_empty() { "message".to_owned() } else { event };
                        return Ok(Some(Message { event, data: data.join("\n") }));
                    }
                    event.clear();
                }
                // Comments, and what a later server may say.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let text = "retry: 1000\n\n:\n\n:\nid: 82AB\n\nid: 7\nevent: claimed\ndata: {\"a\":1}\n\ndata: one\r\ndata:two\r\n\r\n\
                    event: cut\ndata: off";
        let mut messages = Messages::new(text.as_bytes());
        let said = |event: &str, data: &str| Some(Message { event: event.into(), data: data.into() });
        assert_eq!(messages.read().expect("read"), said("claimed", "{\"a\":1}"));
        assert_eq!(messages.last_id(), Some("7"));
        assert_eq!(messages.read().expect("read"), said("message", "one\ntwo"));
        assert_eq!(messages.read().expect("read"), None);
    }

    #[test]
    fn a_sign_of_life_moves_the_place() {
        let mut messages = Messages::new(":\nid: 82AB\n\n".as_bytes());
        assert_eq!(messages.read().expect("read"), None);
        assert_eq!(messages.last_id(), Some("82AB"));
    }
}
