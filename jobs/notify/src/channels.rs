//! The channels of this node, as long as it runs: read again when their file changes, and what came of sending over them.

use crate::config::{Channel, Config};
use lucid_ports::Problems;
use lucid_schemas::{kinds::NotifySpec, zones::Rules};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// Between two looks at the file, and at those that it names.
pub const LOOK_EACH: Duration = Duration::from_secs(10);
/// Under which subject it is said what is wrong with the file.
const SUBJECT: &str = "channels";

/// The channels of this node; clones are the same.
#[derive(Debug, Clone)]
pub struct Channels(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None: there are no channels.
    file: Option<(PathBuf, &'static Rules)>,
    current: watch::Sender<Arc<Config>>,
    /// Of what counts now; costly to make.
    labels: Mutex<Vec<String>>,
    /// By channel.
    sends: Mutex<BTreeMap<String, Sends>>,
}

/// What came of sending over a channel, since the process was started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sends {
    /// Messages that were taken.
    pub sent: u64,
    /// Tries of which that isn't sure.
    pub failed: u64,
    /// When one was taken last, by this machine's clock.
    pub succeeded_at: Option<SystemTime>,
    /// What was wrong with the last one, where something was.
    pub trouble: Option<String>,
}

impl Channels {
    /// No channels.
    pub fn none() -> Self {
        Self::with(None, Config::empty())
    }

    /// Those of a file.
    ///
    /// # Errors
    /// What is wrong with it, with the field.
    pub fn open(path: PathBuf, zones: &'static Rules) -> Result<Self, String> {
        let config = Config::read(&path, zones)?;
        Ok(Self::with(Some((path, zones)), config))
    }

    fn with(file: Option<(PathBuf, &'static Rules)>, config: Config) -> Self {
        let (labels, current) = (Mutex::new(labels(&config)), watch::Sender::new(Arc::new(config)));
        Self(Arc::new(Inner { file, current, labels, sends: Mutex::default() }))
    }

    /// What counts now.
    pub fn current(&self) -> Arc<Config> {
        self.0.current.borrow().clone()
    }

    /// Tells whenever something else counts.
    pub fn watch(&self) -> watch::Receiver<Arc<Config>> {
        self.0.current.subscribe()
    }

    /// What a worker of this node is labeled with: which channels it has, and, so that two definitions of one name are found, which.
    pub fn labels(&self) -> Vec<String> {
        self.0.labels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again. One with a mistake isn't taken: what counted before still counts, and the problem is told.
    pub fn refresh(&self, problems: &Problems) {
        let Some((path, zones)) = &self.0.file else { return };
        match Config::read(path, zones) {
            Ok(config) => {
                if problems.clear(SUBJECT) {
                    tracing::info!("the file of channels is in order again");
                }
                if *self.current() != config {
                    *self.0.labels.lock().unwrap_or_else(PoisonError::into_inner) = labels(&config);
                    self.0.current.send_replace(Arc::new(config));
                    self.forget_strangers();
                    tracing::info!("the file of channels was changed, and is taken");
                }
            }
            Err(problem) => {
                let sentence = format!("the file of channels isn't taken, and the one before still counts: {problem}");
                if !problems.sentences().contains(&sentence) {
                    tracing::warn!("{sentence}");
                }
                problems.set(SUBJECT, sentence);
            }
        }
    }

    /// Reads the file again, over and over, until `stop`; and tells which channels don't work.
    pub async fn keep(self, problems: Problems, stop: CancellationToken) {
        let mut complained = BTreeSet::new();
        loop {
            self.complain(&problems, &mut complained);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(LOOK_EACH) => {}
            }
            let (channels, problems) = (self.clone(), problems.clone());
            // A disk that hangs must not hold up whoever else runs on this thread.
            if let Err(error) = tokio::task::spawn_blocking(move || channels.refresh(&problems)).await {
                tracing::error!(%error, "reading the file of channels broke off, which is a defect");
            }
        }
    }

    /// Tells among the problems over which channels nobody was told last, and takes back what is over.
    fn complain(&self, problems: &Problems, complained: &mut BTreeSet<String>) {
        let failing = self.failing();
        for channel in complained.iter().filter(|channel| !failing.contains_key(*channel)) {
            problems.clear(&subject(channel));
        }
        for (channel, trouble) in &failing {
            let sentence =
                format!("the last message over channel '{channel}' wasn't taken, it is tried again: {trouble}");
            problems.set(&subject(channel), sentence);
        }
        *complained = failing.into_keys().collect();
    }

    /// Notes what came of a send over a channel: what was wrong, or nothing.
    pub fn note(&self, channel: &str, trouble: Option<String>) {
        let mut all = self.lock();
        let sends = all.entry(channel.to_owned()).or_default();
        if trouble.is_some() {
            sends.failed += 1;
        } else {
            sends.sent += 1;
            sends.succeeded_at = Some(SystemTime::now());
        }
        sends.trouble = trouble;
    }

    /// What came of sending over each channel that there is.
    pub fn sends(&self) -> BTreeMap<String, Sends> {
        let (config, all) = (self.current(), self.lock());
        let of = |channel: &Channel| (channel.name.clone(), all.get(&channel.name).cloned().unwrap_or_default());
        config.channels().map(of).collect()
    }

    /// What was wrong with the last send of this process over each channel where it failed.
    pub fn failing(&self) -> BTreeMap<String, String> {
        self.lock().iter().filter_map(|(name, sends)| Some((name.clone(), sends.trouble.clone()?))).collect()
    }

    /// What is said of a channel that is none any more.
    fn forget_strangers(&self) {
        let current = self.current();
        self.lock().retain(|name, _| current.channel(name).is_some());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Sends>> {
        self.0.sends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which channels these are, and how they are defined.
fn labels(config: &Config) -> Vec<String> {
    let both = |channel: &Channel| {
        [NotifySpec::label(&channel.name), format!("{DEFINITION}{}:{}", channel.name, channel.definition())]
    };
    config.channels().flat_map(both).collect()
}

const DEFINITION: &str = "channel-definition:";

/// Every channel that a live monitor has, by name; for one on which they differ, how: two mean something else by it, or one doesn't have
/// it. Whichever of them writes alerts decides who is told. `monitors` are the name of each live one and its labels.
pub fn compared(monitors: &[(&str, &[String])]) -> BTreeMap<String, Option<String>> {
    let of = |labels: &[String]| -> BTreeMap<String, String> {
        let definitions = labels.iter().filter_map(|label| label.strip_prefix(DEFINITION)?.split_once(':'));
        definitions.map(|(name, definition)| (name.to_owned(), definition.to_owned())).collect()
    };
    let all: Vec<_> = monitors.iter().map(|(monitor, labels)| (*monitor, of(labels))).collect();
    let names: BTreeSet<_> = all.iter().flat_map(|(_, channels)| channels.keys().cloned()).collect();
    names.into_iter().map(|name| (name.clone(), difference(&name, &all))).collect()
}

fn difference(name: &str, monitors: &[(&str, BTreeMap<String, String>)]) -> Option<String> {
    let mut groups: BTreeMap<Option<&String>, Vec<&str>> = BTreeMap::new();
    for (monitor, channels) in monitors {
        groups.entry(channels.get(name)).or_default().push(monitor);
    }
    let said = |(definition, monitors): (Option<&String>, Vec<&str>)| {
        let what = if definition.is_some() { "has a definition of its own" } else { "has none" };
        format!("{} {what}", monitors.join(" with "))
    };
    let is_torn = groups.len() > 1;
    let said: Vec<String> = groups.into_iter().map(said).collect();
    is_torn.then(|| format!("monitors differ on the channel '{name}': {}", said.join("; ")))
}

/// Under which subject it is said that a channel doesn't work.
fn subject(channel: &str) -> String {
    format!("channel {channel}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::File;
    use lucid_schemas::zones::installed;

    const ONE: &str = "[channels.one]\nkind = \"webhook\"\nurl = \"https://example.org/hook\"\n";

    #[test]
    fn a_changed_file_is_taken_and_a_broken_one_is_a_problem() {
        let file = File::new(ONE);
        let channels = Channels::open(file.path(), installed()).expect("a file that works");
        let (problems, mut watch) = (Problems::default(), channels.watch());
        let before = channels.labels();
        assert_eq!((before.len(), before[0].as_str()), (2, "channel:one"));
        channels.refresh(&problems);
        assert!(!watch.has_changed().expect("open"), "nothing has changed");
        channels.note("one", Some("away".into()));
        file.write(&format!("{ONE}urll = \"x\"\n"));
        channels.refresh(&problems);
        assert_eq!(channels.labels(), before, "the old one goes on");
        let told = problems.sentences();
        assert!(told.len() == 1 && told[0].contains("channels.one.urll: is no field here"), "{told:?}");
        assert!(channels.failing().contains_key("one"));
        channels.note("one", None);
        let Sends { sent, failed, succeeded_at, trouble } = channels.sends().remove("one").expect("known");
        assert_eq!((sent, failed, trouble), (1, 1, None));
        assert!(succeeded_at.is_some() && channels.failing().is_empty());
        channels.note("one", Some("away".into()));
        let mut complained = BTreeSet::new();
        channels.complain(&problems, &mut complained);
        assert!(problems.sentences()[0].contains("over channel 'one' wasn't taken"), "{:?}", problems.sentences());
        file.write(&ONE.replace("one", "two"));
        channels.refresh(&problems);
        channels.complain(&problems, &mut complained);
        assert_eq!(channels.labels()[0], "channel:two");
        assert!(watch.has_changed().expect("open") && problems.sentences().is_empty());
        assert_eq!(channels.sends(), [("two".to_owned(), Sends::default())].into(), "nothing was sent over it yet");
        assert!(channels.failing().is_empty(), "nothing is said of a channel that is gone");
        watch.mark_unchanged();
        file.write("");
        channels.refresh(&problems);
        assert!(problems.sentences()[0].contains("nobody would be told"), "{:?}", problems.sentences());
        std::fs::remove_file(file.path()).expect("removed");
        channels.refresh(&problems);
        assert_eq!(
            (channels.labels().len(), problems.sentences().len()),
            (2, 1),
            "a file that is gone changes nothing"
        );
    }

    #[test]
    fn two_definitions_of_one_name_are_found_and_a_monitor_that_lacks_one() {
        let labels = |text: &str| Channels::open(File::new(text).path(), installed()).expect("fine").labels();
        let (one, same, other) = (labels(ONE), labels(ONE), labels(&ONE.replace("/hook", "/other")));
        let torn = |monitors: &[(&str, &[String])]| {
            let differing = compared(monitors).into_iter().filter_map(|(name, how)| Some((name, how?)));
            differing.map(|(_, how)| how).collect::<Vec<_>>()
        };
        assert_eq!(torn(&[("a", &one), ("b", &same)]), [""; 0]);
        assert_eq!(compared(&[("a", &one), ("b", &same)]), [("one".to_owned(), None)].into());
        let [how] = &torn(&[("pi-1/1", &one), ("pi-2/2", &other), ("pi-3/3", &same)])[..] else {
            panic!("one is torn")
        };
        assert!(how.starts_with("monitors differ on the channel 'one': "), "{how}");
        assert!(
            how.contains("pi-1/1 with pi-3/3 has a") && how.contains("pi-2/2 has a definition of its own"),
            "{how}"
        );
        let lacking = torn(&[("pi-1/1", &one), ("pi-2/2", &[])]);
        assert!(lacking[0].contains("pi-2/2 has none"), "a monitor without the file would tell nobody: {lacking:?}");
        assert_eq!(torn(&[("a", &[]), ("b", &[])]), [""; 0]);
    }
}
