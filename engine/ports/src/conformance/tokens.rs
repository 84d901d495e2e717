//! Tokens: each written once and revoked once, by the store's clock.

use super::kit::{Bench, LONG_MS, name};
use crate::NewToken;
use lucid_schemas::access::{AccessToken, Role, Standing, TokenName};

/// One of a name that nobody else has, and that doesn't expire.
fn new() -> NewToken {
    NewToken {
        name: name("t").parse().expect("a name"),
        hash: "0123456789abcdef".repeat(4),
        role: Role::Operator,
        databases: None,
        expires_in_ms: None,
        by: "ada@pi-1".into(),
        write: name("token"),
    }
}

async fn added(bench: &Bench, new: &NewToken) -> AccessToken {
    let token = bench.tokens.add_token(new).await.expect("asked").expect("made");
    assert_eq!(stored(bench, &new.name).await, token, "what is answered is what is stored");
    token
}

async fn stored(bench: &Bench, name: &TokenName) -> AccessToken {
    bench.tokens.token(name).await.expect("read").expect("there").token.expect("readable")
}

pub(super) async fn a_token_reads_back_as_it_was_made(bench: Bench) {
    let hostile = NewToken {
        databases: Some(vec!["$$NOW".into(), "$shop".into(), "ü".into()]),
        expires_in_ms: Some(LONG_MS),
        by: "$by \u{1b}[31m".into(),
        ..new()
    };
    let made = added(&bench, &hostile).await;
    let expires_at = made.expires_at.expect("it expires");
    assert_eq!(expires_at.timestamp_millis() - made.created_at.timestamp_millis(), LONG_MS, "by one clock");
    let expected = AccessToken {
        name: hostile.name.clone(),
        hash: hostile.hash.clone(),
        role: hostile.role,
        databases: hostile.databases.clone(),
        created_at: made.created_at,
        created_by: hostile.by.clone(),
        expires_at: Some(expires_at),
        revoked_at: None,
        revoked_by: None,
        write: hostile.write.clone(),
    };
    assert_eq!(made, expected);
    for role in Role::ALL {
        let plain = added(&bench, &NewToken { role, ..new() }).await;
        assert_eq!((plain.role, plain.databases, plain.expires_at), (role, None, None));
    }
    let look = bench.tokens.look_at_tokens().await.expect("a look");
    assert!(look.tokens.is_sorted_by_key(|token| &token.name) && look.tokens.contains(&made), "{look:?}");
    assert_eq!((look.tokens.len(), look.unreadable), (5, Vec::new()));
    assert!(look.now >= made.created_at);
}

pub(super) async fn a_name_is_given_once_and_for_good(bench: Bench) {
    let new = new();
    let first = added(&bench, &new).await;
    assert_eq!(added(&bench, &new).await, first, "the same write once more changes nothing");
    let other = NewToken { write: name("other"), hash: "f".repeat(64), role: Role::Admin, ..new.clone() };
    assert_eq!(bench.tokens.add_token(&other).await.expect("asked"), None);
    bench.tokens.revoke_token(&new.name, "me").await.expect("asked").expect("revoked");
    assert_eq!(bench.tokens.add_token(&other).await.expect("asked"), None, "nor when it is revoked");
    let again = bench.tokens.add_token(&new).await.expect("asked").expect("there");
    assert!(again.revoked_at.is_some(), "a write that comes late brings nothing back to life");
}

pub(super) async fn one_of_many_makes_the_token(bench: Bench) {
    let new = new();
    let many = (0..8).map(|number| {
        let (tokens, new) = (bench.tokens.clone(), NewToken { write: format!("w{number}"), ..new.clone() });
        tokio::spawn(async move { tokens.add_token(&new).await.expect("asked") })
    });
    let mut made = Vec::new();
    for one in many.collect::<Vec<_>>() {
        made.extend(one.await.expect("no panic"));
    }
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(stored(&bench, &new.name).await, made[0]);
}

pub(super) async fn a_token_is_revoked_once_and_stays_so(bench: Bench) {
    let made = added(&bench, &new()).await;
    let revoke = async |name: &TokenName, by| bench.tokens.revoke_token(name, by).await.expect("asked");
    let first = revoke(&made.name, "$by").await.expect("there");
    let revoked_at = first.revoked_at.expect("revoked");
    assert!(revoked_at >= made.created_at, "by the store's clock");
    let expected = AccessToken { revoked_at: Some(revoked_at), revoked_by: Some("$by".into()), ..made };
    assert_eq!(first, expected);
    assert_eq!(revoke(&first.name, "another").await, Some(first.clone()));
    assert_eq!(stored(&bench, &first.name).await.standing(first.created_at), Standing::Revoked);
    let nobody = new().name;
    assert_eq!(revoke(&nobody, "me").await, None);
    assert_eq!(bench.tokens.token(&nobody).await.expect("asked"), None);
}

pub(super) async fn a_token_expires_by_the_clock_of_the_store(bench: Bench) {
    let standing = async |name: &TokenName| {
        let seen = bench.tokens.token(name).await.expect("read").expect("there");
        seen.token.expect("readable").standing(seen.now)
    };
    for (expires_in_ms, expected) in
        [(Some(0), Standing::Expired), (Some(LONG_MS), Standing::Valid), (None, Standing::Valid)]
    {
        let made = added(&bench, &NewToken { expires_in_ms, ..new() }).await;
        assert_eq!(standing(&made.name).await, expected, "{expires_in_ms:?}");
    }
}
