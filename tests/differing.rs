//! Two monitors that mean different things by one channel: whoever writes alerts says so, with both names.

use crate::{
    alerts::{alerts, monitor, until},
    monitor::scrape,
    support::{World, receiver::private},
};

const RULE: &str = "channel_torn";

fn webhook(path: &str) -> String {
    format!("[channels.pager]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/{path}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_definitions_of_a_channel_raise_one_alert_until_they_are_one() {
    let world = World::start(1).await;
    let [mine, yours, rules] = ["mine", "yours", "rules"].map(|name| world.dir().join(name));
    private(&mine, &webhook("mine"));
    private(&yours, &webhook("yours"));
    private(&rules, "{ \"channel_torn\": { \"for_seconds\": 1 } }");
    let text = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let begin = |file| monitor(&world, &["--channels-file", &text(file), "--rules-file", &text(&rules)]);
    let (_one, people) = begin(&mine);
    let (_other, _) = begin(&yours);
    let alert = until("told", async || alerts(&world, RULE).await.pop().ok_or_else(String::new)).await;
    let summary = alert.get_str("summary").expect("a summary");
    assert!(summary.contains("'pager'") && summary.matches("has a definition of its own").count() == 2, "{summary}");
    until("a metric", async || match scrape(&people) {
        text if text.contains("ops_channel_torn{channel=\"pager\"} 1") => Ok(()),
        text => Err(text),
    })
    .await;
    private(&yours, &webhook("mine"));
    until("over", async || match alerts(&world, RULE).await.pop() {
        Some(alert) if alert.get_str("state").is_ok_and(|state| state == "resolved") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(alerts(&world, RULE).await.len(), 1, "once");
    assert!(scrape(&people).contains("ops_notifications_total{channel=\"pager\",outcome=\"sent\"} 0"));
}
