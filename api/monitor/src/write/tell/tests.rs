//! Who tells first, and of what nobody is told.

use super::*;
use crate::alerts::tests::world::{fence, raised};
use lucid_core::alert::{Command, transition};
use lucid_ports::{NewSilence, Raised, memory::MemoryStore};
use lucid_schemas::{
    alert::{ResolvedBy, Severity},
    silence::SilenceId,
};

#[test]
fn whoever_wrote_last_tells_first_and_the_others_by_their_names() {
    let known = Known {
        holder: Some("pi-2/7-b".into()),
        monitors: ["pi-1/3-a", "pi-2/7-b", "pi-3/9-c"].map(str::to_owned).into(),
        ..Known::default()
    };
    assert_eq!(["pi-2/7-b", "pi-1/3-a", "pi-3/9-c"].map(|own| known.rank(own)), [0, 1, 2]);
    assert_eq!(Known::default().rank("pi-1/3-a"), 1, "nobody is known");
}

async fn raise(store: &MemoryStore, rule: &str, label: (&str, &str)) -> Alert {
    match store.raise_alert(&raised(rule, label, Severity::Critical)).await.expect("raised") {
        Raised::New(alert) => *alert,
        other => panic!("{other:?}"),
    }
}

async fn quiet_about(store: &Arc<MemoryStore>, alerts: &[&Alert]) -> Vec<bool> {
    let quiet = Quiet { silences: store.clone(), alerts: store.clone() };
    let is_hushed = quiet.look().await.expect("known");
    alerts.iter().map(|alert| is_hushed(alert)).collect()
}

#[tokio::test]
async fn what_is_silenced_is_quiet_until_the_silence_ends_or_runs_out() {
    let store = Arc::new(MemoryStore::new());
    store.set_now(DateTime::from_millis(1_795_500_000_000));
    let lagging = raise(&store, "replication_lag", ("member", "a:1")).await;
    let other = raise(&store, "replication_lag", ("member", "b:1")).await;
    let until = |seconds: i64| DateTime::from_millis(store.now().timestamp_millis() + seconds * 1_000);
    let silence = |number: u64, matchers: &[&str], seconds: i64| NewSilence {
        id: SilenceId::compose(store.now(), number),
        matchers: matchers.iter().map(|text| text.parse().expect("a matcher")).collect(),
        from: None,
        until: until(seconds),
        window: None,
        by: "token:local@pi-1".into(),
        comment: "work".into(),
        write: number.to_string(),
    };
    assert_eq!(quiet_about(&store, &[&lagging, &other]).await, [false, false]);
    let first = silence(1, &["rule=replication_lag", "labels.member=a:1"], 60);
    store.add_silence(&first).await.expect("added");
    assert_eq!(quiet_about(&store, &[&lagging, &other]).await, [true, false]);
    store.end_silence(&first.id, "me").await.expect("ended");
    assert_eq!(quiet_about(&store, &[&lagging, &other]).await, [false, false]);
    store.add_silence(&silence(2, &["rule=replication_lag"], 60)).await.expect("added");
    assert_eq!(quiet_about(&store, &[&lagging, &other]).await, [true, true]);
    store.set_now(until(61));
    assert_eq!(quiet_about(&store, &[&lagging, &other]).await, [false, false], "it ran out");
}

#[tokio::test]
async fn what_another_alert_explains_is_quiet_while_that_one_is_open() {
    let store = Arc::new(MemoryStore::new());
    let stuck = raise(&store, "job_stuck", ("job", "backup_1")).await;
    let strange = raise(&store, "of_a_later_program", ("job", "backup_1")).await;
    let failed = raise(&store, "verification_failed", ("database", "shop")).await;
    let all = [&stuck, &strange, &failed];
    assert_eq!(quiet_about(&store, &all).await, [false, false, false]);
    let cause = raise(&store, "no_primary", ("rs", "rs0")).await;
    assert_eq!(quiet_about(&store, &all).await, [true, false, false], "damage isn't explained by it");
    assert_eq!(quiet_about(&store, &[&cause]).await, [false], "nothing explains itself");
    let command = Command::Resolve { fence: fence(), how: ResolvedBy::Condition, ended_at: None };
    let over = transition(&cause, &command, "monitor:a", "w").expect("lawful");
    store.apply_alert(&over).await.expect("applied");
    assert_eq!(quiet_about(&store, &all).await, [false, false, false]);
}
