//! Where a repository lives.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::settings::StorageSettings;
use crate::{CacheOptions, RepositoryError};

/// The place of a repository, given as a URL: `file:///path/to/folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or
/// `az://container/prefix` (a prefix may be left out), with the settings of its storage, if they don't come from the environment.
///
/// `Display` and `Debug` show no credentials.
#[derive(Clone, Debug)]
pub struct Location {
    place: Place,
    settings: Option<StorageSettings>,
    cache: Option<CacheOptions>,
    whole_chunks: bool,
}

/// A folder, or a part of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket {
        service: Service,
        bucket: String,
        /// Without slashes at its ends; may be empty.
        prefix: String,
    },
}

/// Whose protocol a bucket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    S3,
    Gcs,
    Azure,
}

impl Service {
    const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl Location {
    /// Reads a location. The path of a folder must be absolute; `%41` style escapes are understood.
    pub fn parse(url: &str) -> Result<Self, RepositoryError> {
        let bad = |reason: &str| RepositoryError::BadLocation { url: without_credentials(url), reason: reason.into() };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(bad("not a URL"));
        };
        if rest.contains(['?', '#']) {
            return Err(bad("no query and no fragment, please"));
        }
        let place = match Service::ALL.into_iter().find(|service| service.scheme() == scheme) {
            Some(service) => bucket(service, rest),
            None if scheme == "file" => folder(rest),
            None => Err("only file, s3, gs and az are known"),
        };
        Ok(Self { place: place.map_err(bad)?, settings: None, cache: None, whole_chunks: false })
    }

    /// The location of a local folder; the path must be absolute.
    pub fn folder(path: &Path) -> Result<Self, RepositoryError> {
        Self::parse(&format!("file://{}", encode_percent(&path.to_string_lossy())))
    }

    /// The same place, whose storage takes these settings and none from the environment.
    #[must_use]
    pub fn with_settings(self, settings: StorageSettings) -> Self {
        Self { settings: Some(settings), ..self }
    }

    /// The same place; packs of a bucket are kept on a local disk, so that new chunks can be stored as deltas. Of no account for a folder.
    #[must_use]
    pub fn with_cache(self, cache: CacheOptions) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// The same place; chunks are stored whole there, never as differences from others. Their lengths tell less of what changed.
    #[must_use]
    pub fn without_deltas(self) -> Self {
        Self { whole_chunks: true, ..self }
    }

    pub(crate) fn takes_deltas(&self) -> bool {
        !self.whole_chunks
    }

    pub(crate) fn cache(&self) -> Option<&CacheOptions> {
        self.cache.as_ref()
    }

    /// The folder, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Bucket { .. } => None,
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn settings(&self) -> Option<&StorageSettings> {
        self.settings.as_ref()
    }
}

impl PartialEq for Location {
    /// Whether it is the same place, by whatever credentials.
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Location {}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(folder) => write!(f, "file://{}", encode_percent(&folder.to_string_lossy())),
            Place::Bucket { service, bucket, prefix } => {
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "{}://{bucket}{slash}{}", service.scheme(), encode_percent(prefix))
            }
        }
    }
}

fn folder(rest: &str) -> Result<Place, &'static str> {
    if !rest.starts_with('/') {
        return Err("the path must be absolute (three slashes), without a host");
    }
    let path = decode_percent(rest).ok_or("bad % escape")?;
    if path.contains('\0') || path.split('/').any(|part| part == "..") {
        return Err("the path holds NUL or '..'");
    }
    let folder = PathBuf::from(path);
    if folder.parent().is_none() {
        return Err("the root folder can't be a repository");
    }
    Ok(Place::Folder(folder))
}

fn bucket(service: Service, rest: &str) -> Result<Place, &'static str> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('@') {
        return Err("credentials have no place in a URL: give them in the environment, or with --storage-file");
    }
    let named_well =
        !bucket.is_empty() && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !named_well {
        return Err("a bucket's name is of letters, digits, '-', '_' and '.'");
    }
    let prefix = decode_percent(prefix).ok_or("bad % escape")?;
    let prefix = prefix.trim_matches('/').to_owned();
    let part_is_odd = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(char::is_control);
    if !prefix.is_empty() && prefix.split('/').any(part_is_odd) {
        return Err("the prefix holds '.', '..', an empty part or a control character");
    }
    Ok(Place::Bucket { service, bucket: bucket.into(), prefix })
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
        assert_eq!(location.path(), Some(Path::new("/srv/my backups")));
        assert_eq!(location.to_string(), "file:///srv/my%20backups");
        let odd = Path::new("/srv/100 % sûr#1?");
        assert_eq!(Location::folder(odd).expect("valid").path(), Some(odd));
    }

    #[test]
    fn reads_and_shows_a_bucket() {
        for (url, shown) in [
            ("s3://lucid-backups", "s3://lucid-backups"),
            ("s3://lucid-backups/", "s3://lucid-backups"),
            ("gs://b/pi/main/", "gs://b/pi/main"),
            ("az://container/a%20b", "az://container/a%20b"),
        ] {
            let location = Location::parse(url).expect(url);
            assert_eq!((location.to_string().as_str(), location.path()), (shown, None));
        }
    }

    #[test]
    fn refuses_what_is_neither_and_hides_passwords() {
        for url in [
            "",
            "/srv",
            "file://srv/x",
            "file:///",
            "ftp://bucket/x",
            "file:///a/../b",
            "file:///%zz",
            "file:///%00",
            "s3://",
            "s3:///x",
            "s3://b/../x",
            "s3://b/a//b",
            "s3://b/a%00",
            "s3://b?x",
        ] {
            assert!(Location::parse(url).is_err(), "{url}");
        }
        for url in ["s3://user:secret@host/x", "s3://host/x?token=secret", "ftp://user:secret@host/x?token=secret"] {
            let shown = Location::parse(url).expect_err("refused").to_string();
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
