//! Who somebody is to a service, and tokens as they are shown.

use serde::{Deserialize, Serialize};

/// `GET /whoami`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoView {
    /// What he does is signed with it.
    pub name: String,
    /// What he may do.
    pub role: String,
    /// To which databases; null: to all.
    pub databases: Option<Vec<String>>,
}

/// A token, without its secret and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What its holder may do.
    pub role: String,
    /// To which databases; null: to all.
    pub databases: Option<Vec<String>>,
    /// `valid`, `expired` or `revoked`.
    pub standing: String,
    /// When it was made.
    pub created_at: String,
    /// By whom.
    pub created_by: String,
    /// Until when it is valid; null: until it is revoked.
    pub expires_at: Option<String>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
}

/// A token that was just made: the only time that it is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMade {
    /// What is sent as `Authorization: Bearer ...`.
    pub token: String,
    /// The rest.
    #[serde(flatten)]
    pub about: TokenView,
}

/// Every token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenList {
    /// By name.
    pub tokens: Vec<TokenView>,
    /// What can't be read, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
