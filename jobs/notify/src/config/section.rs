//! A part of the file, taken field by field, so that a problem names its field and never tells a value.

use crate::secret::{self, Secret};
use std::{path::PathBuf, time::Duration};
use toml::{Table, Value};

/// A table of the file, with its place in it.
pub(super) struct Section {
    place: String,
    table: Table,
    folder: PathBuf,
}

impl Section {
    pub(super) fn new(place: impl Into<String>, table: Table, folder: impl Into<PathBuf>) -> Self {
        Self { place: place.into(), table, folder: folder.into() }
    }

    /// The whole name of a field.
    fn name(&self, field: &str) -> String {
        if self.place.is_empty() { field.to_owned() } else { format!("{}.{field}", self.place) }
    }

    /// What is wrong with a field.
    pub(super) fn wrong(&self, field: &str, problem: &str) -> String {
        format!("{}: {problem}", self.name(field))
    }

    pub(super) fn missing(&self, field: &str) -> String {
        self.wrong(field, "is missing")
    }

    fn take<T>(
        &mut self,
        field: &str,
        expected: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.table.remove(field) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(field, &format!("must be {expected}")))
    }

    pub(super) fn text(&mut self, field: &str) -> Result<Option<String>, String> {
        self.take(field, "a text in quotes", text)
    }

    pub(super) fn needed(&mut self, field: &str) -> Result<String, String> {
        let text = self.text(field)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.missing(field))
    }

    pub(super) fn truth(&mut self, field: &str) -> Result<bool, String> {
        Ok(self.take(field, "true or false", |value| value.as_bool())?.unwrap_or(false))
    }

    pub(super) fn port(&mut self, field: &str) -> Result<Option<u16>, String> {
        let port = |value: Value| value.as_integer().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        self.take(field, "a port from 1 to 65535", port)
    }

    pub(super) fn texts(&mut self, field: &str) -> Result<Option<Vec<String>>, String> {
        let list = |value: Value| match value {
            Value::Array(values) => values.into_iter().map(text).collect(),
            _ => None,
        };
        self.take(field, "a list of texts", list)
    }

    /// One of these words.
    pub(super) fn choice(&mut self, field: &str, words: &[&'static str]) -> Result<Option<&'static str>, String> {
        let known = |value: Value| words.iter().copied().find(|word| value.as_str() == Some(word));
        self.take(field, &format!("one of {}", words.join(", ")), known)
    }

    /// Such as `30s`, `5m`, `4h`.
    pub(super) fn duration(&mut self, field: &str) -> Result<Option<Duration>, String> {
        self.take(field, "a time such as \"30s\", \"5m\" or \"4h\"", |value| duration(value.as_str()?))
    }

    /// Labels and what they must be.
    pub(super) fn pairs(&mut self, field: &str) -> Result<Vec<(String, String)>, String> {
        let pairs = |value: Value| match value {
            Value::Table(table) => table.into_iter().map(|(name, value)| Some((name, text(value)?))).collect(),
            _ => None,
        };
        Ok(self.take(field, "a table of texts", pairs)?.unwrap_or_default())
    }

    /// A secret: written here, or the one line of a file that is named in `<field>_file`.
    pub(super) fn secret(&mut self, field: &str) -> Result<Option<Secret>, String> {
        let of_file = format!("{field}_file");
        let here = self.text(field)?;
        match (here, self.text(&of_file)?) {
            (Some(_), Some(_)) => Err(self.wrong(field, &format!("is given, and {of_file} too: one is enough"))),
            (Some(text), None) if text.is_empty() => Err(self.wrong(field, "is empty")),
            (Some(text), None) => Ok(Some(Secret::new(text))),
            (None, Some(path)) => {
                let told = secret::read(&self.folder.join(path)).map_err(|problem| self.wrong(&of_file, &problem))?;
                let line = told.expose().trim_end_matches(['\r', '\n']);
                if line.is_empty() || line.contains('\n') {
                    return Err(self.wrong(&of_file, "the file must hold one line"));
                }
                Ok(Some(Secret::new(line)))
            }
            (None, None) => Ok(None),
        }
    }

    pub(super) fn section(&mut self, field: &str) -> Result<Option<Self>, String> {
        let table = self.take(field, "a table", table)?;
        Ok(table.map(|table| Self::new(self.name(field), table, &self.folder)))
    }

    pub(super) fn sections(&mut self, field: &str) -> Result<Vec<Self>, String> {
        let list = |value: Value| match value {
            Value::Array(values) => values.into_iter().map(table).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let tables = self.take(field, "a list of tables", list)?.unwrap_or_default();
        let name = self.name(field);
        let section = |(number, table)| Self::new(format!("{name}[{number}]"), table, &self.folder);
        Ok(tables.into_iter().enumerate().map(section).collect())
    }

    /// Every table in it, by name.
    pub(super) fn into_sections(self) -> Result<Vec<(String, Self)>, String> {
        let mut sections = Vec::new();
        for (name, value) in self.table {
            let place = if self.place.is_empty() { name.clone() } else { format!("{}.{name}", self.place) };
            let table = table(value).ok_or_else(|| format!("{place}: must be a table"))?;
            sections.push((name, Self::new(place, table, &self.folder)));
        }
        Ok(sections)
    }

    /// Refuses what nobody has taken: a field that is misspelled would be missed in the night that it was for.
    pub(super) fn end(self) -> Result<(), String> {
        match self.table.keys().next() {
            Some(unknown) => Err(self.wrong(unknown, "is no field here")),
            None => Ok(()),
        }
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn table(value: Value) -> Option<Table> {
    match value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return None,
    };
    Some(Duration::from_secs(u64::from(number) * seconds))
}
