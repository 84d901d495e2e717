//! Where tokens are kept: each written once and revoked once. All time is the store's own clock.

use crate::StoreError;
use async_trait::async_trait;
use bson::DateTime;
use lucid_schemas::access::{AccessToken, Role, TokenName};

/// A token to be made. Whoever asks has checked what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its name.
    pub name: TokenName,
    /// SHA-256 of its secret, in hexadecimal digits.
    pub hash: String,
    /// What its holder may do.
    pub role: Role,
    /// To which databases; all where absent.
    pub databases: Option<Vec<String>>,
    /// For how many milliseconds from now on; until it is revoked where absent.
    pub expires_in_ms: Option<i64>,
    /// Who makes it.
    pub by: String,
    /// A fresh random name of this write.
    pub write: String,
}

/// A token as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSeen {
    /// What the primary's clock showed.
    pub now: DateTime,
    /// The token, or what is wrong with it.
    pub token: Result<AccessToken, String>,
}

/// Every token, and the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLook {
    /// What the primary's clock showed.
    pub now: DateTime,
    /// Those that this program can read, by name, whether they are still valid or not.
    pub tokens: Vec<AccessToken>,
    /// One sentence on each of the others: they open nothing here.
    pub unreadable: Vec<String>,
}

/// Where tokens are kept. What these answers promise is durable on a majority.
#[async_trait]
pub trait Tokens: Send + Sync + 'static {
    /// The token of this name, valid or not, as a majority has it now; `None` where there is none.
    async fn token(&self, name: &TokenName) -> Result<Option<TokenSeen>, StoreError>;

    /// Every token, and the clock.
    async fn look_at_tokens(&self) -> Result<TokenLook, StoreError>;

    /// Makes a token; `None` where the name was ever given before. Asked again with the same `write`, it answers with the same one.
    async fn add_token(&self, new: &NewToken) -> Result<Option<AccessToken>, StoreError>;

    /// Revokes a token now; one that was revoked stays as it is. `None` where there is none.
    async fn revoke_token(&self, name: &TokenName, by: &str) -> Result<Option<AccessToken>, StoreError>;
}
