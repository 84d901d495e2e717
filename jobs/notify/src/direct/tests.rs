//! Rounds without a primary: who tells what, when, and how the alert goes on once it is written.

use super::{
    memory::{Batch, Memory},
    *,
};
use crate::{
    config::Config,
    kit::{Answer, Receiver, config, hook},
};
use bson::DateTime;
use lucid_core::{
    alert::{Fence, Finding, Sighting, raise},
    rules::{Judged, Rule, Standing},
};
use lucid_ports::{Raised, memory::MemoryStore};
use lucid_schemas::{
    alert::{AlertId, ResolvedBy, Severity, Token},
    silence::{Matcher, Silence, SilenceId, Subject},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const NOW: DateTime = DateTime::from_millis(1_736_424_000_000);
static NO_PRIMARY: Rule = Rule { id: "no_primary", ..Rule::PLAIN };
const CHANNELS: &str = "[channels.one]\nkind = \"webhook\"\nurl = \"https://example.org/1\"\n\
                        [channels.two]\nkind = \"webhook\"\nurl = \"https://example.org/2\"\n";

/// What the primary's clock shows where that of the rounds shows this.
fn notice_at(clock_ms: i64) -> DateTime {
    DateTime::from_millis(NOW.timestamp_millis() + clock_ms)
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(NO_PRIMARY.id, &BTreeMap::new())
}

fn judged(standing: Standing) -> BTreeMap<Fingerprint, Judged> {
    [(fingerprint(), Judged { rule: &NO_PRIMARY, labels: BTreeMap::new(), standing })].into()
}

fn open() -> BTreeMap<Fingerprint, Judged> {
    judged(Standing::Open {
        since_ms: 5_000,
        severity: Severity::Critical,
        value: None,
        summary: "Nobody takes writes.".into(),
        flapping: false,
        silent: false,
    })
}

fn over() -> BTreeMap<Fingerprint, Judged> {
    judged(Standing::Over(ResolvedBy::Condition))
}

/// Nobody is to be told of what this rule finds.
fn silence(rule: &str) -> Silence {
    Silence {
        id: SilenceId::compose(NOW, 1),
        matchers: vec![Matcher { on: Subject::Rule, value: rule.into(), not: false }],
        from: NOW,
        until: DateTime::MAX,
        window: None,
        by: "me".into(),
        comment: "x".into(),
        created_at: NOW,
        ended_at: None,
        ended_by: None,
        write: "w".into(),
    }
}

/// A monitor, and its rounds.
struct Rounds {
    memory: Memory,
    config: Config,
    rank: u32,
    term: i64,
    can_write: bool,
    written: BTreeMap<Fingerprint, String>,
    silences: Vec<Silence>,
}

impl Rounds {
    fn new(rank: u32) -> Self {
        Self {
            memory: Memory::default(),
            config: config(CHANNELS),
            rank,
            term: 7,
            can_write: false,
            written: BTreeMap::new(),
            silences: Vec::new(),
        }
    }

    fn decide(&mut self, clock_ms: i64, judged: &BTreeMap<Fingerprint, Judged>) -> Vec<Batch> {
        let look = Look {
            judged,
            written: &self.written,
            silences: &self.silences,
            can_write: self.can_write,
            term: self.term,
            rank: self.rank,
            clock_ms,
            now: notice_at(clock_ms),
            is_uncertain: true,
        };
        self.memory.decide(&self.config, &look)
    }

    /// One round, whose messages are all taken: channel, what, key and sequence of each.
    fn told(&mut self, clock_ms: i64, judged: &BTreeMap<Fingerprint, Judged>) -> Vec<(String, What, String, i64)> {
        let batches = self.decide(clock_ms, judged);
        for batch in &batches {
            let message = Message::new(&batch.channel, "all", NOW, None, batch.notices.clone());
            self.memory.settle(batch, Some(&message));
        }
        let told = batches.iter().map(|Batch { channel, notices }| {
            assert_eq!(notices.len(), 1);
            (channel.clone(), notices[0].what, notices[0].dedup_key(), notices[0].sequence)
        });
        told.collect()
    }
}

#[test]
fn whoever_wrote_last_tells_at_once_and_once_and_that_it_is_over() {
    let mut rounds = Rounds::new(0);
    let first = rounds.decide(60_000, &open());
    let notice = &first[0].notices[0];
    assert_eq!((notice.starts_at, notice.starts_at_uncertain), (notice_at(5_000), true));
    assert!(rounds.decide(61_000, &open()).is_empty(), "it is under way");
    for batch in &first {
        rounds.memory.settle(batch, Some(&Message::new("x", "all", NOW, None, batch.notices.clone())));
    }
    // The term rises with each election that fails: the incident stays the same.
    rounds.term = 9;
    let mut later = open();
    if let Some(Judged { standing: Standing::Open { since_ms, .. }, .. }) = later.get_mut(&fingerprint()) {
        *since_ms = 80_000;
    }
    assert!(rounds.told(90_000, &later).is_empty(), "once");
    assert!(rounds.told(95_000, &judged(Standing::Undecided)).is_empty());
    let key = format!("{}/t7", fingerprint());
    let end = ["one", "two"].map(|channel| (channel.to_owned(), What::Resolved, key.clone(), 1));
    assert_eq!(rounds.told(120_000, &over()), end);
    assert!(rounds.told(150_000, &over()).is_empty(), "once");
    assert_eq!(rounds.memory.over().len(), 1, "it is still to be written");
    let (_, known) = rounds.memory.over().remove(0);
    assert_eq!(known.notice.starts_at, notice_at(5_000), "since when it was so doesn't change");
    assert_eq!(known.notice.ends_at, Some(notice_at(120_000)));
    // Again in the same term: its key is used up, so that this one has a number. In the next one it is another incident anyway.
    let firing = |name| ["one", "two"].map(|to| (to.to_owned(), What::Firing, format!("{}/{name}", fingerprint()), 0));
    rounds.term = 7;
    assert_eq!(rounds.told(160_000, &open()), firing("t7-2"));
    assert_eq!(rounds.told(170_000, &over()).len(), 2);
    // However long ago that was.
    rounds.told(9_000_000, &BTreeMap::new());
    assert_eq!(rounds.told(9_160_000, &open()), firing("t7-3"));
    assert_eq!(rounds.told(9_170_000, &over()).len(), 2);
    rounds.term = 9;
    assert_eq!(rounds.told(9_180_000, &open()), firing("t9"));
}

#[test]
fn what_only_this_monitor_sees_is_called_after_when_it_began() {
    let mut rounds = Rounds::new(0);
    rounds.term = 0;
    let began = notice_at(5_000).timestamp_millis() / 1_000;
    assert!(rounds.told(60_000, &open()).iter().all(|(_, _, key, _)| key.ends_with(&format!("/t0-{began}"))));
}

#[test]
fn whoever_was_told_under_another_name_than_the_alert_has_hears_that_this_is_over() {
    let mut rounds = Rounds::new(0);
    assert_eq!(rounds.told(60_000, &open()).len(), 2);
    rounds.can_write = true;
    rounds.written.insert(fingerprint(), "alert_1".into());
    let key = format!("{}/t7", fingerprint());
    let end = ["one", "two"].map(|channel| (channel.to_owned(), What::Resolved, key.clone(), 1));
    assert_eq!(rounds.told(90_000, &open()), end);
    assert!(rounds.told(91_000, &open()).is_empty() && rounds.memory.over().is_empty(), "the rest is the law's");
    // What it has written itself it knows before it has looked at the store.
    let mut rounds = Rounds::new(0);
    rounds.memory.wrote(fingerprint(), "alert_1".into());
    assert!(rounds.told(60_000, &open()).is_empty());
    rounds.memory.looked();
    assert_eq!(rounds.told(61_000, &open()).len(), 2);
}

#[test]
fn what_is_silenced_or_explained_is_not_told_directly_either() {
    static SILENT: Rule = Rule { id: "store_silent", inhibited_by: &["no_primary"], ..Rule::PLAIN };
    let mut seen = open();
    let silent = Judged { rule: &SILENT, labels: BTreeMap::new(), standing: open()[&fingerprint()].standing.clone() };
    seen.insert(Fingerprint::of(SILENT.id, &BTreeMap::new()), silent);
    let mut rounds = Rounds::new(0);
    let rules = |batches: Vec<Batch>| -> BTreeSet<String> {
        batches.into_iter().flat_map(|batch| batch.notices).map(|notice| notice.rule).collect()
    };
    assert_eq!(rules(rounds.decide(60_000, &seen)), BTreeSet::from(["no_primary".to_owned()]));
    seen.remove(&fingerprint());
    assert_eq!(rules(rounds.decide(61_000, &seen)), BTreeSet::from(["store_silent".to_owned()]), "nothing explains it");
    let mut rounds = Rounds::new(0);
    rounds.silences = vec![silence("no_primary")];
    assert!(rounds.decide(60_000, &open()).is_empty());
}

#[test]
fn others_wait_a_minute_each_and_look_once_more() {
    for rank in [1, 2] {
        let mut rounds = Rounds::new(rank);
        let turn_ms = i64::from(rank) * 60_000;
        assert!(rounds.told(10_000, &open()).is_empty(), "not at once");
        assert!(rounds.told(10_000 + turn_ms - 1, &open()).is_empty());
        assert_eq!(rounds.told(10_000 + turn_ms, &open()).len(), 2);
        let mut shorter = Rounds::new(rank);
        assert!(shorter.told(10_000, &open()).is_empty());
        assert!(shorter.told(10_000 + turn_ms, &over()).is_empty(), "it was over by then, and nobody knew");
        assert!(shorter.told(10_000 + turn_ms + 1, &open()).is_empty(), "what begins anew waits anew");
    }
}

#[test]
fn a_message_that_is_not_taken_is_sent_again_until_it_is() {
    let mut rounds = Rounds::new(0);
    let first = rounds.decide(0, &open());
    rounds.memory.settle(&first[0], None);
    rounds.memory.settle(&first[1], Some(&Message::new("two", "all", NOW, None, Vec::new())));
    let second = rounds.decide(30_000, &open());
    assert_eq!(second.iter().map(|batch| batch.channel.as_str()).collect::<Vec<_>>(), ["one"]);
    rounds.memory.settle(&second[0], None);
    // Over before channel one took it: only channel two knows of it.
    let end = rounds.decide(60_000, &over());
    assert_eq!(end.iter().map(|batch| batch.channel.as_str()).collect::<Vec<_>>(), ["two"]);
    assert!(rounds.memory.over().is_empty(), "not everybody has heard");
    rounds.memory.settle(&end[0], None);
    assert_eq!(rounds.told(90_000, &over()).len(), 1, "that it is over is sent again, too");
}

#[test]
fn what_is_written_is_the_laws_and_nothing_new_is_told_while_there_is_a_primary() {
    let mut rounds = Rounds::new(0);
    rounds.written.insert(fingerprint(), "alert_1".into());
    assert!(rounds.told(0, &open()).is_empty());
    rounds.written.clear();
    rounds.can_write = true;
    assert!(rounds.told(1_000, &open()).is_empty());
    rounds.can_write = false;
    assert_eq!(rounds.told(2_000, &open()).len(), 2);
    assert_eq!(rounds.memory.incident(&fingerprint()), Some("t7".into()));
    // The primary is back, and it is over before anybody wrote it: who was told hears that.
    rounds.can_write = true;
    assert!(rounds.told(3_000, &open()).is_empty());
    assert_eq!(rounds.told(4_000, &over()).len(), 2);
    rounds.memory.forget(&fingerprint());
    assert!(rounds.told(5_000, &over()).is_empty() && rounds.memory.over().is_empty());
}

#[test]
fn what_nobody_was_told_of_is_still_to_be_written_and_not_for_ever() {
    let mut rounds = Rounds::new(3);
    assert!(rounds.told(10_000, &open()).is_empty() && rounds.told(20_000, &over()).is_empty());
    let (_, told) = rounds.memory.over().remove(0);
    assert_eq!((told.channels().count(), told.notice.ends_at), (0, Some(notice_at(20_000))));
    // Whoever holds the claim has written it by then.
    rounds.told(619_999, &over());
    assert_eq!(rounds.memory.over().len(), 1);
    rounds.told(620_000, &over());
    assert!(rounds.memory.over().is_empty());
}

#[test]
fn warnings_wait_for_the_morning_here_too() {
    let mut rounds = Rounds::new(0);
    rounds.config = config(&format!("[quiet]\nfrom = \"11:00\"\nto = \"13:00\"\nzone = \"UTC\"\n{CHANNELS}"));
    let mut warning = open();
    if let Some(Judged { standing: Standing::Open { severity, .. }, .. }) = warning.get_mut(&fingerprint()) {
        *severity = Severity::Warning;
    }
    assert!(rounds.told(0, &warning).is_empty());
    assert_eq!(rounds.told(3_600_000, &warning).len(), 2);
}

/// Waits until this is so.
async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never was so");
}

#[tokio::test]
async fn a_channel_that_hangs_holds_up_neither_the_round_nor_the_others_and_the_alert_goes_on_from_there() {
    let (hanging, fine) = (Receiver::start().await, Receiver::start().await);
    hanging.answer(Answer::Never);
    let file = crate::kit::File::new(&format!("{}{}", hook("one", &hanging), hook("two", &fine)));
    let channels = Channels::open(file.path(), lucid_schemas::zones::installed()).expect("fine");
    let direct = Direct::new(channels.clone(), Sender::within(Duration::from_millis(400)));
    let written = BTreeMap::new();
    let seen = open();
    let look = Look {
        judged: &seen,
        written: &written,
        silences: &[],
        can_write: false,
        term: 7,
        rank: 0,
        clock_ms: 60_000,
        now: NOW,
        is_uncertain: false,
    };
    direct.round(&look);
    until(|| channels.failing().contains_key("one") && !direct.memory().channels(&fingerprint()).is_empty()).await;
    assert_eq!(direct.memory().channels(&fingerprint()), ["two"]);
    let told = fine.told();
    assert_eq!(told.len(), 1);
    let key = told[0].json()["alerts"][0]["annotations"]["dedup_key"].clone();
    // The primary is back, and the alert is written.
    let store = MemoryStore::at(NOW);
    let finding = Finding {
        id: AlertId::compose(NOW, 1),
        rule: NO_PRIMARY.id.into(),
        labels: BTreeMap::new(),
        severity: Severity::Critical,
        starts_at: NOW,
        starts_at_uncertain: false,
        incident: direct.incident(&fingerprint()),
        previous: None,
        sighting: Sighting { value: None, summary: "x".into(), rules_version: 1, times: 1, flapping: false },
        notify: channels.current().wanted(&crate::config::Subject {
            rule: NO_PRIMARY.id,
            labels: &BTreeMap::new(),
            severity: Severity::Critical,
        }),
    };
    let fence = Fence { token: Token { generation: 1, epoch: 1 }, deadline: DateTime::MAX };
    let Ok(Raised::New(alert)) = store.raise_alert(&raise(&finding, fence, "a", "birth")).await else { panic!("new") };
    direct.hand_over(&store, *alert, "a", 14_400_000).await.expect("noted");
    let alert = store.alert(&finding.id).await.expect("read").expect("there");
    assert_eq!(alert.head.notified, ["two"], "who was told isn't told again, and will hear that it is over");
    assert!(alert.due("one", What::Firing).is_some() && alert.due("two", What::Firing).is_none());
    assert_eq!(key, crate::message::Notice::of(&alert, What::Resolved).dedup_key(), "under the same key");
    assert_eq!(direct.incident(&fingerprint()), None, "it is the law's from here");
}
