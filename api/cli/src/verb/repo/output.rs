//! How results are printed: whoever reads may stop reading at any time.

use crate::exit::Exit;
use bson::{Bson, Document, RawDocument};
use lucid_client::render::units;
use serde_json::Value;
use std::io::{self, Write};

/// Writes to standard output, buffered. Where nobody reads any more, that is no failure.
///
/// # Errors
/// What `write` fails with, and an output that can't be written for other reasons.
pub async fn to_stdout<F>(write: F) -> Result<(), Exit>
where
    F: AsyncFnOnce(&mut (dyn Write + Send)) -> Result<(), Failed>,
{
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout());
    let outcome = write(&mut out).await.and_then(|()| out.flush().map_err(Failed::Output));
    match outcome {
        Ok(()) => Ok(()),
        Err(Failed::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is still buffered has no reader either; the buffer would try again when it is dropped.
            let _ = out.into_parts();
            Ok(())
        }
        Err(Failed::Output(error)) => Err(Exit::failed(format!("the output can't be written: {error}"))),
        Err(Failed::Otherwise(exit)) => {
            // What came before is as good as it was.
            let _ = out.flush();
            Err(exit)
        }
    }
}

/// Why writing ended early.
pub enum Failed {
    /// The output.
    Output(io::Error),
    /// Anything else.
    Otherwise(Exit),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Exit> for Failed {
    fn from(exit: Exit) -> Self {
        Self::Otherwise(exit)
    }
}

/// Prints text as a whole.
pub async fn text(text: &str) -> Result<(), Exit> {
    to_stdout(async |out| Ok(out.write_all(text.as_bytes())?)).await
}

/// One line of JSON each.
pub fn json_lines(values: impl Iterator<Item = Value>) -> String {
    values.fold(String::new(), |text, value| text + &value.to_string() + "\n")
}

/// A definition or result for programs.
pub fn relaxed(document: Document) -> Value {
    Bson::Document(document).into_relaxed_extjson()
}

/// The same of raw bytes; null where they can't be read.
pub fn relaxed_raw(document: &RawDocument) -> Value {
    Document::try_from(document).map_or(Value::Null, relaxed)
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    units::bytes(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A number for people.
pub fn count(number: u64) -> String {
    units::count(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A time for people, in UTC.
pub fn time(at: bson::DateTime) -> String {
    at.to_chrono().format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time for programs.
pub fn rfc3339(at: bson::DateTime) -> String {
    at.try_to_rfc3339_string().unwrap_or_default()
}
