//! Tokens on MongoDB: a document each, written once and revoked once, dated by the server. Every value from outside stands in
//! `$literal`.

use crate::{MongoStore, detached::detached, pipeline::literal, read, registry::upsert, send::send};
use async_trait::async_trait;
use bson::{Bson, DateTime, Document, doc};
use lucid_ports::{NewToken, StoreError, TokenLook, TokenSeen, Tokens};
use lucid_schemas::{
    access::{AccessToken, TOKEN_SCHEMA, TokenName},
    collections::TOKENS,
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(15);

#[async_trait]
impl Tokens for MongoStore {
    async fn token(&self, name: &TokenName) -> Result<Option<TokenSeen>, StoreError> {
        let (now, found) = self.look(vec![doc! { "$match": { "_id": name.as_str() } }]).await?;
        Ok(found.into_iter().next().map(|document| TokenSeen { now, token: AccessToken::from_document(document) }))
    }

    async fn look_at_tokens(&self) -> Result<TokenLook, StoreError> {
        let (now, found) = self.look(vec![doc! { "$sort": { "_id": 1 } }]).await?;
        let mut look = TokenLook { now, tokens: Vec::new(), unreadable: Vec::new() };
        for document in found {
            match AccessToken::from_document(document) {
                Ok(token) => look.tokens.push(token),
                Err(problem) => look.unreadable.push(problem),
            }
        }
        Ok(look)
    }

    async fn add_token(&self, new: &NewToken) -> Result<Option<AccessToken>, StoreError> {
        let name = new.name.as_str();
        let only_if_absent = doc! { "$cond": [{ "$eq": [{ "$type": "$write" }, "missing"] }, born(new), "$$ROOT"] };
        let sent = upsert(self.ops(), TOKENS, name, only_if_absent.into()).await?;
        let stored: Option<Document> = read::after(self.ops(), TOKENS, name, sent.seen_from).await?;
        match stored.map(parse).transpose()? {
            Some(token) => Ok((token.write == new.write).then_some(token)),
            None => Err(StoreError::Unavailable("the token doesn't show yet".into())),
        }
    }

    async fn revoke_token(&self, name: &TokenName, by: &str) -> Result<Option<AccessToken>, StoreError> {
        let filter = doc! { "_id": name.as_str(), "revoked_at": { "$exists": false } };
        let set = doc! { "revoked_at": "$$NOW", "revoked_by": literal(by) };
        let statement = doc! { "q": filter, "u": [{ "$set": set }], "upsert": false, "multi": false };
        let ops = self.ops().clone();
        let sent = detached(PATIENCE + GRACE, async move { send(&ops, TOKENS, &statement, PATIENCE).await }).await?;
        read::after(self.ops(), TOKENS, name.as_str(), sent.seen_from).await?.map(parse).transpose()
    }
}

impl MongoStore {
    /// The primary's clock, and what a pipeline gives of the tokens.
    async fn look(&self, pipeline: Vec<Document>) -> Result<(DateTime, Vec<Document>), StoreError> {
        let mut seen = read::look(self.ops(), TOKENS, pipeline).await?.into_iter();
        let now = seen.next().and_then(|first| first.get_datetime("now").ok().copied());
        let now = now.ok_or_else(|| StoreError::Rejected("the server doesn't tell its time".into()))?;
        Ok((now, seen.collect()))
    }
}

/// The expression of a new document.
fn born(new: &NewToken) -> Bson {
    let NewToken { name, hash, role, databases, expires_in_ms, by, write } = new;
    let mut stored = doc! {
        "_id": name.as_str(),
        "schema": TOKEN_SCHEMA,
        "hash": hash,
        "role": role.as_str(),
        "created_by": by,
        "write": write,
    };
    if let Some(databases) = databases {
        stored.insert("databases", databases);
    }
    let mut times = doc! { "created_at": "$$NOW" };
    if let Some(ms) = expires_in_ms {
        times.insert("expires_at", doc! { "$add": ["$$NOW", *ms] });
    }
    doc! { "$mergeObjects": [literal(stored), times] }.into()
}

fn parse(document: Document) -> Result<AccessToken, StoreError> {
    AccessToken::from_document(document).map_err(StoreError::Rejected)
}
