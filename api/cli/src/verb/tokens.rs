//! `lucid-ops token`: making, listing and revoking tokens, by the store itself; and as whom one comes to the API.

use super::{client, failed, print, print_as};
use crate::{
    args::{ClientArgs, CreateTokenArgs, MongoArgs, TokenCommand},
    exit::{Exit, FAILED, UNREACHABLE},
    output,
    role::{establish, node},
    secrets::mongodb_uri,
};
use bson::DateTime;
use lucid_client::render;
use lucid_http::{
    json,
    secret::{SECRET_BYTES, mint},
    write_token,
};
use lucid_ports::{NewToken, StoreError, TokenLook, Tokens};
use lucid_schemas::{
    FieldError,
    access::{AccessToken, SCOPE_MAX, TOKEN_MS_MAX, TokenName},
    http::{TokenList, TokenMade, TokenView},
    names::check_user_database,
};
use nix::unistd::{User, geteuid};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Says as whom one comes.
pub fn show(args: &ClientArgs) -> Result<(), Exit> {
    let who = client(args)?.whoami().map_err(|error| failed(&error))?;
    print(args, &who, render::who)
}

/// Runs what needs the store.
pub async fn run(command: TokenCommand) -> Result<(), Exit> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List { json, mongo } => list(json, &mongo).await,
        TokenCommand::Revoke { name, json, mongo } => revoke(&name, json, &mongo).await,
        TokenCommand::Show(args) => show(&args),
    }
}

async fn create(args: CreateTokenArgs) -> Result<(), Exit> {
    let CreateTokenArgs { name, role, mut databases, expires, json, mongo } = args;
    databases.sort();
    databases.dedup();
    let expires_in_ms = expires.map(|seconds| seconds.0.saturating_mul(1_000));
    if let Some(error) = wrong(&databases, expires_in_ms, &mongo.ops_database) {
        return Err(Exit::usage(format!("--{} {}", error.field, error.problem)));
    }
    let mut chance = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(chance.as_mut()).map_err(|error| Exit::failed(format!("no randomness: {error}")))?;
    let (shown, hash) = mint(&name, &chance);
    let databases = (!databases.is_empty()).then_some(databases);
    let new = NewToken { name, hash, role, databases, expires_in_ms, by: by(), write: write_token() };
    let made = store(&mongo).await?.add_token(&new).await.map_err(|error| refused(&error))?;
    let Some(made) = made else {
        return Err(Exit::failed(format!(
            "the name '{}' was given before, and a name stands for one token for good: take another",
            new.name
        )));
    };
    let about = view(&made, made.created_at);
    if json {
        return output::print(&render::json(&TokenMade { token: shown.to_string(), about }));
    }
    output::say(render::token(&about).trim_end());
    output::say("the token, which is shown this once:");
    output::print(&format!("{}\n", shown.as_str()))
}

/// What is wrong with what is asked for.
fn wrong(databases: &[String], expires_in_ms: Option<i64>, ops_database: &str) -> Option<FieldError> {
    if databases.len() > SCOPE_MAX {
        return Some(FieldError::new("database", format!("may be given {SCOPE_MAX} times at most")));
    }
    let bad = databases.iter().find_map(|name| check_user_database(name, ops_database).err());
    let bad = bad.map(|problem| FieldError::new("database", problem));
    let is_too_long = expires_in_ms.is_some_and(|ms| ms > TOKEN_MS_MAX);
    bad.or_else(|| is_too_long.then(|| FieldError::new("expires", "must be ten years at most, or left out")))
}

async fn list(json: bool, mongo: &MongoArgs) -> Result<(), Exit> {
    let look = store(mongo).await?.look_at_tokens().await.map_err(|error| refused(&error))?;
    let TokenLook { now, tokens, unreadable } = look;
    let tokens = tokens.iter().map(|token| view(token, now)).collect();
    print_as(json, &TokenList { tokens, problems: unreadable }, render::tokens)
}

async fn revoke(name: &TokenName, json: bool, mongo: &MongoArgs) -> Result<(), Exit> {
    let revoked = store(mongo).await?.revoke_token(name, &by()).await.map_err(|error| refused(&error))?;
    let revoked = revoked.ok_or_else(|| Exit::failed(format!("there is no token '{name}'")))?;
    print_as(json, &view(&revoked, revoked.created_at), render::token)
}

async fn store(mongo: &MongoArgs) -> Result<Arc<dyn Tokens>, Exit> {
    let uri = mongodb_uri(mongo)?;
    Ok(establish(&uri, &mongo.ops_database, mongo.replica_set.as_deref()).await?.store())
}

fn refused(error: &StoreError) -> Exit {
    Exit::new(if error.is_retryable() { UNREACHABLE } else { FAILED }, error)
}

/// The account that runs this, and where.
fn by() -> String {
    let account = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
    format!("cli:{account}@{}", node())
}

fn view(token: &AccessToken, now: DateTime) -> TokenView {
    TokenView {
        name: token.name.to_string(),
        role: token.role.to_string(),
        databases: token.databases.clone(),
        standing: token.standing(now).as_str().into(),
        created_at: json::date(token.created_at),
        created_by: token.created_by.clone(),
        expires_at: token.expires_at.map(json::date),
        revoked_at: token.revoked_at.map(json::date),
        revoked_by: token.revoked_by.clone(),
    }
}
