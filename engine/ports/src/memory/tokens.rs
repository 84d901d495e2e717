//! Tokens in memory: the same as the statements on MongoDB.

use super::MemoryStore;
use crate::{NewToken, StoreError, TokenLook, TokenSeen, Tokens};
use async_trait::async_trait;
use bson::DateTime;
use lucid_schemas::access::{AccessToken, TokenName};
use std::collections::BTreeMap;

/// Tokens by name.
pub(super) type Held = BTreeMap<TokenName, AccessToken>;

#[async_trait]
impl Tokens for MemoryStore {
    async fn token(&self, name: &TokenName) -> Result<Option<TokenSeen>, StoreError> {
        let held = self.held();
        let now = held.clock.now();
        Ok(held.tokens.get(name).map(|token| TokenSeen { now, token: Ok(token.clone()) }))
    }

    async fn look_at_tokens(&self) -> Result<TokenLook, StoreError> {
        let held = self.held();
        let tokens = held.tokens.values().cloned().collect();
        Ok(TokenLook { now: held.clock.now(), tokens, unreadable: Vec::new() })
    }

    async fn add_token(&self, new: &NewToken) -> Result<Option<AccessToken>, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let NewToken { name, hash, role, databases, expires_in_ms, by, write } = new.clone();
        let after = |ms: i64| DateTime::from_millis(now.timestamp_millis().saturating_add(ms));
        let stored = held.tokens.entry(name.clone()).or_insert_with(|| AccessToken {
            name,
            hash,
            role,
            databases,
            created_at: now,
            created_by: by,
            expires_at: expires_in_ms.map(after),
            revoked_at: None,
            revoked_by: None,
            write,
        });
        Ok((stored.write == new.write).then(|| stored.clone()))
    }

    async fn revoke_token(&self, name: &TokenName, by: &str) -> Result<Option<AccessToken>, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let Some(stored) = held.tokens.get_mut(name) else { return Ok(None) };
        if stored.revoked_at.is_none() {
            stored.revoked_at = Some(now);
            stored.revoked_by = Some(by.to_owned());
        }
        Ok(Some(stored.clone()))
    }
}
