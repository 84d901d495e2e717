//! What the validator refuses of silences, whoever writes them.

use super::Set;
use bson::{DateTime, Document, doc};
use lucid_schemas::collections::SILENCES;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_silenced_for_ever_or_for_no_reason() {
    let set = Set::start(1).await;
    let (_connection, database) = set.database().await;
    let silences = database.collection::<Document>(SILENCES);
    let day = |day: i64| DateTime::from_millis(1_795_500_000_000 + day * 86_400_000);
    let good = doc! {
        "_id": "silence_1", "schema": 1, "matchers": [{ "on": "rule", "value": "lag" }],
        "from": day(0), "until": day(30), "by": "me", "comment": "disks", "created_at": day(0), "write": "w",
    };
    silences.insert_one(&good).await.expect("a silence of 30 days is one");
    let window = doc! { "cron": "0 2 * * *", "timezone": "UTC", "duration_seconds": 60_i64 };
    let yearly = doc! { "_id": "silence_2", "until": day(366), "window": window };
    let with = |change: &Document| good.clone().into_iter().chain(change.clone()).collect::<Document>();
    silences.insert_one(with(&yearly)).await.expect("a window recurs for a year");
    for (what, change) in [
        ("too long", doc! { "until": DateTime::from_millis(day(30).timestamp_millis() + 1) }),
        ("over before it begins", doc! { "until": day(0) }),
        ("about nothing", doc! { "matchers": [] }),
        ("about all but one", doc! { "matchers": [{ "on": "rule", "value": "lag", "not": true }] }),
        ("without a reason", doc! { "comment": "" }),
        ("of nobody", doc! { "by": null }),
        ("without an end", doc! { "until": "never" }),
    ] {
        let mut wrong = with(&change);
        wrong.insert("_id", "silence_3");
        let refused = silences.insert_one(wrong).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("121")), "{what}");
    }
    set.end().await;
}
