//! Where a repository lives.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::RepositoryError;

/// The place of a repository, given as a URL: `file:///path/to/folder`.
///
/// `Display` never shows credentials (a local folder has none; buckets will).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    folder: PathBuf,
}

impl Location {
    /// Reads a location. The path must be absolute; `%41` style escapes are understood.
    pub fn parse(url: &str) -> Result<Self, RepositoryError> {
        let bad = |reason: &str| RepositoryError::BadLocation { url: without_credentials(url), reason: reason.into() };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(bad("not a URL"));
        };
        if scheme != "file" {
            return Err(bad("only file:// is known so far"));
        }
        if !rest.starts_with('/') {
            return Err(bad("the path must be absolute (three slashes), without a host"));
        }
        if rest.contains(['?', '#']) {
            return Err(bad("no query and no fragment, please"));
        }
        let path = decode_percent(rest).ok_or_else(|| bad("bad % escape"))?;
        if path.contains('\0') || path.split('/').any(|part| part == "..") {
            return Err(bad("the path holds NUL or '..'"));
        }
        let folder = PathBuf::from(path);
        if folder.parent().is_none() {
            return Err(bad("the root folder can't be a repository"));
        }
        Ok(Self { folder })
    }

    /// The location of a local folder; the path must be absolute.
    pub fn folder(path: &Path) -> Result<Self, RepositoryError> {
        Self::parse(&format!("file://{}", encode_percent(&path.to_string_lossy())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", encode_percent(&self.folder.to_string_lossy()))
    }
}

/// For error messages: drops what stands between `://` and `@`, and any query.
fn without_credentials(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(h, p)| (h, format!("/{p}")));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.into(),
    }
}

fn encode_percent(path: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~+:@,=!()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', char::from(HEX[usize::from(byte >> 4)]), char::from(HEX[usize::from(byte & 15)])]);
        }
    }
    out
}

fn decode_percent(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
            let value = digit(rest.next())? * 16 + digit(rest.next())?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_a_folder() {
        let location = Location::parse("file:///srv/my%20backups").expect("valid");
        assert_eq!(location.path(), Path::new("/srv/my backups"));
        assert_eq!(location.to_string(), "file:///srv/my%20backups");
        let odd = Path::new("/srv/100 % sûr#1?");
        assert_eq!(Location::folder(odd).expect("valid").path(), odd);
    }

    #[test]
    fn refuses_what_is_no_folder_and_hides_passwords() {
        for url in
            ["", "/srv", "file://srv/x", "file:///", "s3://bucket/x", "file:///a/../b", "file:///%zz", "file:///%00"]
        {
            assert!(Location::parse(url).is_err(), "{url}");
        }
        let shown = Location::parse("s3://user:secret@host/x?token=secret").expect_err("unknown").to_string();
        assert!(!shown.contains("secret"), "{shown}");
    }
}
