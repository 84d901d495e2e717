//! Settings and credentials of a bucket's storage, from a file.
//!
//! Invariant: a value is shown by nothing here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::RepositoryError;
use crate::key_file::read_text;

/// Settings by name, as the storage's own tools name them in the environment: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...
#[derive(Clone, Default)]
pub struct StorageSettings {
    values: BTreeMap<String, String>,
}

impl StorageSettings {
    /// Reads a file of lines `NAME=value`; lines that start with `#` are comments. Fails with `BadSettings` where a line isn't one.
    pub fn read(path: &Path) -> Result<Self, RepositoryError> {
        let bad = |reason: String| RepositoryError::BadSettings { path: path.into(), reason };
        Self::parse(&read_text(path).map_err(bad)?).map_err(bad)
    }

    /// Reads the text of such a file; what is wrong with it is told without values.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                return Err(format!("line {number} isn't NAME=value"));
            };
            let name = name.trim().trim_start_matches("export ").trim().to_owned();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(format!("line {number} isn't NAME=value: a name is of letters, digits and '_'"));
            }
            let value = value.trim().trim_matches('"').to_owned();
            if values.insert(name.clone(), value).is_some() {
                return Err(format!("{name} stands there twice"));
            }
        }
        Ok(Self { values })
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for StorageSettings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self { values: pairs.into_iter().collect() }
    }
}

impl fmt::Debug for StorageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("settings");
        std::fs::write(&path, text).expect("written");
        (folder, path)
    }

    #[test]
    fn lines_are_read_and_values_never_shown() {
        let (_folder, path) = file("# ours\nAWS_REGION = eu\nexport AWS_SECRET_ACCESS_KEY=\"geheim=\"\n\n");
        let settings = StorageSettings::read(&path).expect("good");
        let all: Vec<_> = settings.iter().collect();
        assert_eq!(all, [("AWS_REGION", "eu"), ("AWS_SECRET_ACCESS_KEY", "geheim=")]);
        let shown = format!("{settings:?}");
        assert!(shown.contains("AWS_REGION") && !shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn what_is_odd_is_named_without_its_value() {
        for (text, words) in [
            ("AWS_REGION=eu\ngeheim", "line 2 isn't NAME=value"),
            ("export #A=geheim", "line 1 isn't NAME=value"),
            ("A=geheim\nA=geheim", "A stands there twice"),
        ] {
            let (_folder, path) = file(text);
            let refused = StorageSettings::read(&path).expect_err(words).to_string();
            assert!(refused.contains(words) && !refused.contains("geheim"), "{refused}");
        }
    }
}
