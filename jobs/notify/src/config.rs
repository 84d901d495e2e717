//! The file of channels: who is told, how, and of what.
//!
//! It is TOML, and lies on each node that runs a monitor, readable by that account only. Secrets stand in it, or in files that it
//! names; nowhere else. `deploy/notifications.md` shows one of everything.

mod address;
mod channel;
mod quiet;
mod routes;
mod section;

pub(crate) use channel::ALL;
pub use channel::{Channel, Group, Http, Means, Smtp, Tls};
pub use quiet::Quiet;
pub use routes::{Route, Subject};

use crate::secret::{self, Secret};
use lucid_core::alert::Wanted;
use lucid_schemas::{alert::Severity, zones::Rules};
use section::Section;
use std::{collections::BTreeMap, path::Path, time::Duration};

/// What the file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What comes within that time goes in one message.
    pub group_wait: Duration,
    /// A channel is told again after that time, while nobody has acknowledged.
    pub repeat: Duration,
    /// Where the monitor is reached, for links in messages.
    pub link: Option<String>,
    /// When nobody is to be told of warnings.
    pub quiet: Option<Quiet>,
    /// Where it is said that all is well, as long as it is.
    pub heartbeat: Option<Heartbeat>,
    channels: BTreeMap<String, Channel>,
    routes: Vec<Route>,
}

/// A place that tells people when it hears nothing any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// Where.
    pub http: Http,
    /// Whether it is a POST; else a GET.
    pub is_post: bool,
    /// How often.
    pub every: Duration,
}

impl Config {
    /// Reads the file, and every file that it names.
    ///
    /// # Errors
    /// What is wrong, with the file and the field.
    pub fn read(path: &Path, zones: &Rules) -> Result<Self, String> {
        let text = secret::read(path)?;
        let config = Self::parse(&text, path.parent().unwrap_or(Path::new(".")), zones);
        // A file that is just being written, or came out empty, must not end the telling without a word.
        let config = config.and_then(|config| {
            let tells_somebody = !config.channels.is_empty() || config.heartbeat.is_some();
            let none = || "channels: there is none, so nobody would be told: name one, or give no file".to_owned();
            tells_somebody.then_some(config).ok_or_else(none)
        });
        config.map_err(|problem| format!("{}: {problem}", path.display()))
    }

    /// Nobody is told anything.
    pub fn empty() -> Self {
        Self {
            group_wait: GROUP_WAIT,
            repeat: REPEAT,
            link: None,
            quiet: None,
            heartbeat: None,
            channels: BTreeMap::new(),
            routes: Vec::new(),
        }
    }

    /// `folder` is where relative names of files begin.
    fn parse(text: &Secret, folder: &Path, zones: &Rules) -> Result<Self, String> {
        let table: toml::Table = toml::from_str(text.expose()).map_err(|error| unparsed(text, &error))?;
        let mut file = Section::new("", table, folder);
        let config = Self {
            group_wait: file.duration("group_wait")?.unwrap_or(GROUP_WAIT),
            repeat: file.duration("repeat")?.unwrap_or(REPEAT),
            link: file.text("link")?,
            quiet: file.section("quiet")?.map(|quiet| Quiet::read(quiet, zones)).transpose()?,
            heartbeat: file.section("heartbeat")?.map(Heartbeat::read).transpose()?,
            channels: channels(file.section("channels")?)?,
            routes: file.sections("routes")?.into_iter().map(Route::read).collect::<Result<_, _>>()?,
        };
        file.end()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.repeat < Duration::from_secs(60) {
            return Err("repeat: must be at least \"1m\"".into());
        }
        if self.group_wait > Duration::from_secs(600) {
            return Err("group_wait: must be at most \"10m\"".into());
        }
        for (number, route) in self.routes.iter().enumerate() {
            if route.to.is_empty() {
                return Err(format!("routes[{number}].to: must name a channel; a silence keeps alerts quiet"));
            }
            if let Some(unknown) = route.to.iter().find(|name| !self.channels.contains_key(*name)) {
                return Err(format!("routes[{number}].to: there is no channel '{unknown}'"));
            }
        }
        Ok(())
    }

    /// A channel by its name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.get(name)
    }

    /// Every channel, by name.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// The channels that are told of a subject: those of every route that it matches, and all where it matches none, since what
    /// nobody thought of must not go unheard.
    pub fn told<'a>(&'a self, subject: &Subject<'_>) -> Vec<&'a Channel> {
        let matching: Vec<_> = self.routes.iter().filter(|route| route.matches(subject)).collect();
        let is_told = |name: &String| matching.is_empty() || matching.iter().any(|route| route.to.contains(name));
        self.channels.iter().filter(|(name, _)| is_told(name)).map(|(_, channel)| channel).collect()
    }

    /// Who is to be told of a subject, as the law of alerts wants it: at once, since it is the job that waits for others to come along.
    pub fn wanted(&self, subject: &Subject<'_>) -> Vec<Wanted> {
        self.told(subject).into_iter().map(|channel| Wanted { channel: channel.name.clone(), in_ms: 0 }).collect()
    }

    /// Whether what matters so much waits at this time, in milliseconds since 1970.
    pub fn is_quiet(&self, severity: Severity, now_ms: i64) -> bool {
        match severity {
            Severity::Warning => self.quiet.as_ref().is_some_and(|quiet| quiet.covers(now_ms)),
            Severity::Critical => false,
        }
    }
}

const GROUP_WAIT: Duration = Duration::from_secs(30);
const REPEAT: Duration = Duration::from_secs(4 * 3_600);

impl Heartbeat {
    fn read(mut section: Section) -> Result<Self, String> {
        let every = section.duration("every")?.ok_or_else(|| section.missing("every"))?;
        if every < Duration::from_secs(60) {
            return Err(section.wrong("every", "must be at least \"1m\""));
        }
        let method = section.choice("method", &["GET", "POST"])?.unwrap_or("GET");
        let heartbeat = Self { http: Http::read(&mut section)?, is_post: method == "POST", every };
        section.end()?;
        Ok(heartbeat)
    }
}

fn channels(section: Option<Section>) -> Result<BTreeMap<String, Channel>, String> {
    let Some(section) = section else { return Ok(BTreeMap::new()) };
    section
        .into_sections()?
        .into_iter()
        .map(|(name, section)| Ok((name.clone(), Channel::read(name, section)?)))
        .collect()
}

/// Where it isn't TOML: the line, never what stands there.
fn unparsed(text: &Secret, error: &toml::de::Error) -> String {
    let line =
        error.span().map(|span| text.expose().bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
    let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{place}this isn't TOML")
}

#[cfg(test)]
mod tests;
