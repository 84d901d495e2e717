//! Who may do what over HTTP: roles, scopes of databases, and the tokens that carry both.
//!
//! A token is written once and revoked once, never edited. What is stored of its secret is a hash; the secret itself is shown once, to whoever
//! made it.

use bson::{DateTime, Document};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// Number of the token document's shape.
pub const TOKEN_SCHEMA: i32 = 1;
/// How long a token is valid at most, in milliseconds, where it expires: ten years.
pub const TOKEN_MS_MAX: i64 = 3_660 * 86_400_000;
/// How many databases a scope names at most.
pub const SCOPE_MAX: usize = 64;

const NAME_BYTES_MAX: usize = 40;
/// What the token of the 0600 file is called, which stands in no collection.
const LOCAL: &str = "local";

/// What somebody may do; each may all that the ones before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Viewer,
    /// Ask for encrypted backups and for verifications, and take that back.
    Requester,
    /// Restore, copy, make schedules, pause, end what others asked for, speak about alerts.
    Operator,
    /// Forget backups, encrypt anew, store in clear.
    Admin,
}

impl Role {
    /// All of them, the one that may least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Requester, Self::Operator, Self::Admin];

    /// As it is stored and spoken.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Requester => "requester",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Which databases somebody may have to do with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope(Option<BTreeSet<String>>);

impl Scope {
    /// All of them.
    pub const fn all() -> Self {
        Self(None)
    }

    /// These, and no others.
    pub fn of(databases: impl IntoIterator<Item = String>) -> Self {
        Self(Some(databases.into_iter().collect()))
    }

    /// Whether it is all of them.
    pub const fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it has this one.
    pub fn has(&self, database: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(database))
    }

    /// Its names; `None` where it is all of them.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.0.as_ref().map(|names| names.iter().map(String::as_str).collect())
    }
}

impl fmt::Display for Scope {
    /// `all databases`, or their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            None => f.pad("all databases"),
            Some(names) => f.pad(&names.join(", ")),
        }
    }
}

/// The name of a token, such as `nightly-2026`. It is never given twice, so that what is signed with it is of one holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenName(String);

impl TokenName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for TokenName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if text == LOCAL {
            return Err(format!("'{LOCAL}' is the name of the token that an API keeps in its file"));
        }
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins_well && text.len() <= NAME_BYTES_MAX && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "must have 1 to {NAME_BYTES_MAX} lower-case letters, digits, '-' and '_', and begin with a letter or a digit"
        ))
    }
}

impl<'de> Deserialize<'de> for TokenName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for TokenName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A stored token. Times are by the primary's clock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccessToken {
    /// Its name.
    #[serde(rename = "_id")]
    pub name: TokenName,
    /// SHA-256 of its secret, in hexadecimal digits.
    pub hash: String,
    /// What its holder may do.
    pub role: Role,
    /// To which databases; absent: to all.
    #[serde(default)]
    pub databases: Option<Vec<String>>,
    /// When it was made.
    pub created_at: DateTime,
    /// By whom.
    pub created_by: String,
    /// Until when it is valid; absent: until it is revoked.
    #[serde(default)]
    pub expires_at: Option<DateTime>,
    /// When somebody revoked it.
    #[serde(default)]
    pub revoked_at: Option<DateTime>,
    /// Who.
    #[serde(default)]
    pub revoked_by: Option<String>,
    /// Which write made it; tells its writer after a lost answer that it was his.
    pub write: String,
}

/// Whether a token opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Valid,
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl Standing {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl AccessToken {
    /// Whether it opens anything at this time, by the primary's clock.
    pub fn standing(&self, now: DateTime) -> Standing {
        if self.revoked_at.is_some() {
            Standing::Revoked
        } else if self.expires_at.is_some_and(|at| at <= now) {
            Standing::Expired
        } else {
            Standing::Valid
        }
    }

    /// Its databases.
    pub fn scope(&self) -> Scope {
        self.databases.clone().map_or_else(Scope::all, Scope::of)
    }

    /// Reads a stored document.
    ///
    /// # Errors
    /// One sentence that names the token and says what is wrong.
    pub fn from_document(document: Document) -> Result<Self, String> {
        let name = document.get_str("_id").unwrap_or("?").to_owned();
        match document.get_i32("schema") {
            Ok(TOKEN_SCHEMA) => {}
            other => {
                let number = other.map_or_else(|_| "missing".to_owned(), |number| number.to_string());
                return Err(format!(
                    "the token '{name}' can't be read: its schema is {number}, this program knows {TOKEN_SCHEMA}: upgrade this node"
                ));
            }
        }
        bson::deserialize_from_document(document).map_err(|error| format!("the token '{name}' can't be read: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn names_are_short_plain_and_never_that_of_the_file() {
        for name in ["nightly", "nightly-2026", "0", "a_b"] {
            assert_eq!(name.parse::<TokenName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for name in ["", "local", "Nightly", "a.b", "a@b", "a:b", "-a", "a b", "ü", "$a", &"a".repeat(41)] {
            assert!(name.parse::<TokenName>().is_err(), "{name}");
        }
    }

    #[test]
    fn each_role_may_more_than_the_one_before() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn a_scope_has_what_it_names_and_an_empty_one_has_nothing() {
        let scope = Scope::of(["shop".to_owned()]);
        assert!(scope.has("shop") && !scope.has("Shop") && !scope.has("shop2") && !scope.is_all());
        assert!(!Scope::of([]).has("shop") && !Scope::of([]).is_all());
        assert!(Scope::all().has("shop") && Scope::all().is_all());
    }

    #[test]
    fn a_token_is_over_when_its_time_is_or_somebody_says_so() {
        let at = DateTime::from_millis;
        let stored = doc! {
            "_id": "nightly", "schema": 1, "hash": "00", "role": "operator", "databases": ["shop"], "created_at": at(0),
            "created_by": "ada@pi-1", "expires_at": at(9), "write": "w", "note": "of a later program",
        };
        let token = AccessToken::from_document(stored.clone()).expect("readable");
        assert_eq!((token.standing(at(8)), token.standing(at(9))), (Standing::Valid, Standing::Expired));
        let revoked = AccessToken { revoked_at: Some(at(3)), ..token };
        assert_eq!(revoked.standing(at(2)), Standing::Revoked, "whatever the clock says");
        for (field, value) in
            [("schema", 2.into()), ("role", "root".into()), ("databases", "shop".into()), ("hash", bson::Bson::Null)]
        {
            let mut wrong = stored.clone();
            wrong.insert(field, value);
            let problem = AccessToken::from_document(wrong).expect_err(field);
            assert!(problem.contains("'nightly'"), "{problem}");
        }
    }
}
