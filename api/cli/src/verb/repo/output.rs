//! How results of repository verbs are printed.

pub use crate::output::{Failed, to_stdout};

use crate::exit::Exit;
use bson::{Bson, Document, RawDocument};
use lucid_client::render::{clean, part_of, units};
use serde_json::{Value, json};

/// Prints text as a whole.
pub async fn text(text: &str) -> Result<(), Exit> {
    to_stdout(async |out| Ok(out.write_all(text.as_bytes())?)).await
}

/// One line of JSON each.
pub fn json_lines(values: impl Iterator<Item = Value>) -> String {
    values.fold(String::new(), |text, value| text + &value.to_string() + "\n")
}

/// What is told of a backup to programs, marked with whether it is of less than all of its database, and of what.
pub fn marked(mut told: Value, selected: Option<&[String]>) -> Value {
    told["partial"] = selected.is_some().into();
    told["selected"] = json!(selected);
    told
}

/// The same for people, in a line; nothing of a backup of a whole database.
pub fn note(job: &str, database: &str, selected: Option<&[String]>) -> String {
    selected.map_or_else(String::new, |names| {
        let of = part_of(database, Some(names.len() as u64));
        clean(&format!("{job} is a backup of {of}: what else was there isn't in it")) + "\n"
    })
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
