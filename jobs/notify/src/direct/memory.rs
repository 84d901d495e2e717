//! What was seen that couldn't be written, and who was told of it. Pure: what is to be told follows from the rounds, in their order.

use crate::{
    config::{Config, Subject},
    message::{ALERTS_MOST, Message, Notice, rank},
    text::plain,
};
use bson::DateTime;
use lucid_core::{
    alert::is_silenced,
    rules::{Judged, Standing},
};
use lucid_schemas::{
    alert::{Fingerprint, ResolvedBy, Severity, What},
    silence::Silence,
};
use std::collections::{BTreeMap, BTreeSet};

/// Each further monitor waits for so much longer.
const RANK_MS: i64 = 60_000;
/// For so long what is over is kept for whoever writes it: by then the one who holds the claim has.
const KEPT_MS: i64 = 600_000;

/// What a round has found.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// What there should be alerts about, and what not.
    pub judged: &'a BTreeMap<Fingerprint, Judged>,
    /// What of it is written, as far as this process knows, and under which incident: that is the law's.
    pub written: &'a BTreeMap<Fingerprint, String>,
    /// What nobody is to be told of.
    pub silences: &'a [Silence],
    /// Whether alerts can be written: then nothing new is told from here.
    pub can_write: bool,
    /// The newest term of the set that was seen.
    pub term: i64,
    /// How many monitors are asked to tell before this one; 0 is whoever wrote alerts last.
    pub rank: u32,
    /// What the clock of the rounds shows, in milliseconds.
    pub clock_ms: i64,
    /// What the primary's clock would show, as far as is known.
    pub now: DateTime,
    /// Whether that is a guess.
    pub is_uncertain: bool,
}

/// What this process knows of something that couldn't be written when it was seen first.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The name of the incident.
    pub incident: String,
    /// What that is made of.
    number: (i64, u32),
    /// What was told last, or would have been.
    pub notice: Notice,
    /// Since when it couldn't be written, on the clock of the rounds.
    seen_ms: i64,
    /// Since when it is over, on the same clock.
    over_ms: Option<i64>,
    /// Who was told that it is so, and whether he was told that it isn't any more.
    channels: BTreeMap<String, What>,
    /// Who is being told just now.
    underway: BTreeSet<String>,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub channel: String,
    pub notices: Vec<Notice>,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    known: BTreeMap<Fingerprint, Told>,
    /// What this process has written since the store was looked at, and under which incident.
    wrote: BTreeMap<Fingerprint, String>,
    /// In which term somebody was told last that something is so, and of the how manieth time in that term.
    used: BTreeMap<Fingerprint, (i64, u32)>,
}

impl Memory {
    /// Messages to send now; they are under way until [`Self::settle`].
    pub fn decide(&mut self, config: &Config, look: &Look<'_>) -> Vec<Batch> {
        self.give_away(look);
        if !look.can_write {
            self.see(look);
        }
        self.end(look);
        let mut batches: BTreeMap<String, Vec<Notice>> = BTreeMap::new();
        for (fingerprint, told) in &self.known {
            for channel in told.to_tell(fingerprint, config, look) {
                batches.entry(channel).or_default().push(told.notice.clone());
            }
        }
        let mut all = Vec::new();
        for (channel, mut notices) in batches {
            notices.sort_by_cached_key(rank);
            notices.truncate(ALERTS_MOST);
            for notice in &notices {
                if let Some(told) = self.known.get_mut(&notice.fingerprint) {
                    told.underway.insert(channel.clone());
                }
            }
            all.push(Batch { channel, notices });
        }
        all
    }

    /// What is written is the law's. Where that goes by another name, whoever was told under ours hears that this is over.
    fn give_away(&mut self, look: &Look<'_>) {
        let Self { known, wrote, .. } = self;
        known.retain(|fingerprint, told| {
            let Some(incident) = look.written.get(fingerprint).or_else(|| wrote.get(fingerprint)) else { return true };
            if told.incident == *incident || told.is_untold() || (told.is_over() && told.knows_all()) {
                return false;
            }
            told.end(ResolvedBy::Continued, look);
            true
        });
    }

    /// The number of what begins now: all monitors count alike, but for what only one of them has told.
    fn number(&self, fingerprint: &Fingerprint, term: i64) -> (i64, u32) {
        match self.used.get(fingerprint) {
            Some((last, times)) if *last == term => (term, times + 1),
            Some(_) | None => (term, 1),
        }
    }

    /// What is so and isn't written.
    fn see(&mut self, look: &Look<'_>) {
        for (fingerprint, judged) in look.judged {
            let Standing::Open { since_ms, severity, value, summary, flapping, silent } = &judged.standing else {
                continue;
            };
            if look.written.contains_key(fingerprint) || self.wrote.contains_key(fingerprint) {
                continue;
            }
            let known = self.known.get(fingerprint);
            // Whoever hasn't heard yet that the last one is over hears that first.
            if known.is_some_and(|told| told.is_over() && !told.knows_all()) {
                continue;
            }
            let starts_at = plus_ms(look.now, since_ms - look.clock_ms);
            let goes_on = known.filter(|told| !told.is_over());
            let is_new = goes_on.is_none();
            let (number, incident) = goes_on.map_or_else(
                || {
                    let number = self.number(fingerprint, look.term);
                    (number, name(number, starts_at))
                },
                |told| (told.number, told.incident.clone()),
            );
            let open = Notice {
                id: None,
                fingerprint: fingerprint.clone(),
                incident,
                sequence: 0,
                what: What::Firing,
                rule: judged.rule.id.to_owned(),
                labels: judged.labels.clone(),
                severity: *severity,
                severity_before: None,
                summary: plain(summary),
                value: *value,
                starts_at,
                starts_at_uncertain: look.is_uncertain,
                ends_at: None,
                resolved_by: None,
                is_silent: *silent,
                is_flapping: *flapping,
            };
            if is_new {
                let incident = open.incident.clone();
                let told = Told {
                    incident,
                    number,
                    notice: open,
                    seen_ms: look.clock_ms,
                    over_ms: None,
                    channels: BTreeMap::new(),
                    underway: BTreeSet::new(),
                };
                self.known.insert(fingerprint.clone(), told);
            } else if let Some(told) = self.known.get_mut(fingerprint).filter(|told| !told.is_over()) {
                told.notice = Notice { starts_at: told.notice.starts_at, ..open };
            }
        }
    }

    /// What isn't so any more. It stays until it is written, or somebody else must have.
    fn end(&mut self, look: &Look<'_>) {
        for (fingerprint, told) in &mut self.known {
            let how = match look.judged.get(fingerprint).map(|judged| &judged.standing) {
                Some(Standing::Over(how)) => *how,
                None => ResolvedBy::Condition,
                Some(Standing::Open { .. } | Standing::Undecided | Standing::Unseen) => continue,
            };
            told.end(how, look);
        }
        let is_kept = |told: &Told| told.over_ms.is_none_or(|over_ms| look.clock_ms - over_ms < KEPT_MS);
        self.known.retain(|_, told| is_kept(told) || !told.knows_all());
    }

    /// What came of a message: `told` is what was in it, where it was taken.
    pub fn settle(&mut self, batch: &Batch, told: Option<&Message>) {
        for notice in &batch.notices {
            let Some(known) = self.known.get_mut(&notice.fingerprint) else { continue };
            known.underway.remove(&batch.channel);
            if known.incident == notice.incident && told.is_some() {
                known.channels.insert(batch.channel.clone(), notice.what);
                self.used.insert(notice.fingerprint.clone(), known.number);
            }
        }
    }

    /// This process has written it, under this incident.
    pub fn wrote(&mut self, fingerprint: Fingerprint, incident: String) {
        self.wrote.insert(fingerprint, incident);
    }

    /// The store was looked at: what it told counts.
    pub fn looked(&mut self) {
        self.wrote.clear();
    }

    pub fn incident(&self, fingerprint: &Fingerprint) -> Option<String> {
        self.known.get(fingerprint).filter(|told| !told.is_over()).map(|told| told.incident.clone())
    }

    /// Who was told that it is so.
    pub fn channels(&self, fingerprint: &Fingerprint) -> Vec<String> {
        self.known.get(fingerprint).map(|told| told.channels.keys().cloned().collect()).unwrap_or_default()
    }

    /// What is over, and whoever was told of it knows.
    pub fn over(&self) -> Vec<(Fingerprint, Told)> {
        let done = self.known.iter().filter(|(_, told)| told.is_over() && told.knows_all());
        done.map(|(fingerprint, told)| (fingerprint.clone(), told.clone())).collect()
    }

    pub fn forget(&mut self, fingerprint: &Fingerprint) {
        self.known.remove(fingerprint);
    }
}

impl Told {
    /// Who was told that it is so.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }

    /// Whether nobody was told of it, nor is being told.
    fn is_untold(&self) -> bool {
        self.channels.is_empty() && self.underway.is_empty()
    }

    /// Whether whoever was told of it was told that it is over.
    fn knows_all(&self) -> bool {
        self.underway.is_empty() && self.channels.values().all(|what| *what == What::Resolved)
    }

    fn is_over(&self) -> bool {
        self.notice.is_over()
    }

    fn end(&mut self, how: ResolvedBy, look: &Look<'_>) {
        if !self.is_over() {
            let open = self.notice.clone();
            self.over_ms = Some(look.clock_ms);
            let (ends_at, resolved_by) = (Some(look.now), Some(how));
            self.notice = Notice { sequence: 1, what: What::Resolved, ends_at, resolved_by, ..open };
        }
    }

    /// The channels that are to be told what is so now.
    fn to_tell(&self, fingerprint: &Fingerprint, config: &Config, look: &Look<'_>) -> Vec<String> {
        let is_free = |channel: &String| !self.underway.contains(channel);
        if self.is_over() {
            let knows = self.channels.iter().filter(|(_, what)| **what != What::Resolved);
            return knows.map(|(channel, _)| channel.clone()).filter(is_free).collect();
        }
        let waited_ms = look.clock_ms - self.seen_ms;
        let is_our_turn = look.rank == 0 || (waited_ms > 0 && waited_ms >= i64::from(look.rank) * RANK_MS);
        let Notice { rule, labels, severity, .. } = &self.notice;
        let is_silenced = is_silenced(look.silences, rule, *severity, labels, look.now).is_some();
        let is_hushed = is_silenced || is_explained(fingerprint, look) || is_quiet(config, *severity, look);
        if look.can_write || !is_our_turn || is_hushed {
            return Vec::new();
        }
        let wanted = config.told(&Subject { rule, labels, severity: *severity });
        let news = wanted.into_iter().map(|channel| channel.name.clone());
        news.filter(|channel| !self.channels.contains_key(channel)).filter(is_free).collect()
    }
}

/// What an incident is called, by its term and the how manieth it is in that; where nobody tells a term, only this monitor sees it.
fn name((term, times): (i64, u32), starts_at: DateTime) -> String {
    match (term, times) {
        (0, _) => format!("t0-{}", starts_at.timestamp_millis() / 1_000),
        (_, 1) => format!("t{term}"),
        (_, _) => format!("t{term}-{times}"),
    }
}

/// Whether something else that is so explains it.
fn is_explained(fingerprint: &Fingerprint, look: &Look<'_>) -> bool {
    let Some(own) = look.judged.get(fingerprint) else { return false };
    look.judged.iter().any(|(other, judged)| {
        other != fingerprint
            && matches!(judged.standing, Standing::Open { .. })
            && own.rule.is_explained_by(&own.labels, judged.rule.id, &judged.labels)
    })
}

fn is_quiet(config: &Config, severity: Severity, look: &Look<'_>) -> bool {
    config.is_quiet(severity, look.now.timestamp_millis())
}

fn plus_ms(at: DateTime, ms: i64) -> DateTime {
    DateTime::from_millis(at.timestamp_millis().saturating_add(ms))
}
