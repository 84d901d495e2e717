//! What the validator refuses of tokens, whoever writes them.

use super::Set;
use bson::{DateTime, Document, doc};
use lucid_schemas::collections::TOKENS;

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_stored_in_clear_or_with_a_role_that_nobody_knows() {
    let set = Set::start(1).await;
    let (_connection, database) = set.database().await;
    let tokens = database.collection::<Document>(TOKENS);
    let good = doc! {
        "_id": "nightly", "schema": 1, "hash": "0123456789abcdef".repeat(4), "role": "viewer",
        "created_at": DateTime::now(), "created_by": "me", "write": "w",
    };
    tokens.insert_one(&good).await.expect("a token");
    for (what, change) in [
        ("its secret", doc! { "hash": "lucid-token-nightly.00" }),
        ("no secret", doc! { "hash": null }),
        ("an unknown role", doc! { "role": "root" }),
        ("a scope of nothing", doc! { "databases": [] }),
        ("a scope of something else", doc! { "databases": [7] }),
        ("an end that is no time", doc! { "expires_at": "never" }),
    ] {
        let mut wrong: Document = good.clone().into_iter().chain(change).collect();
        wrong.insert("_id", "other");
        let refused = tokens.insert_one(wrong).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("121")), "{what}");
    }
    set.end().await;
}
