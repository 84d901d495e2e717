//! One channel: a way to tell somebody.

use super::{
    address::{is_loopback, url},
    section::Section,
};
use crate::secret::Secret;
use argon2::{Algorithm, Argon2, Params, Version};
use lettre::message::Mailbox;
use lucid_schemas::{
    alert::{Alert, Severity},
    kinds::notify::is_name,
};
use reqwest::{Url, header::HeaderValue};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A shorter secret could be found by trying.
const SECRET_SHORTEST: usize = 16;

/// A way to tell somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Its name, the same on every node.
    pub name: String,
    /// Which alerts go in one message.
    pub group: Group,
    /// How.
    pub means: Means,
}

/// Which alerts go in one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// All of them.
    All,
    /// Those that matter as much.
    Severity,
    /// Those of one rule.
    Rule,
}

/// How a message is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Means {
    /// A POST of what Alertmanager would post.
    Webhook(Http),
    /// A POST to an Alertmanager; with the whole address of its API.
    Alertmanager(Http),
    /// A POST of our own, signed.
    Signed(Http, Secret),
    /// A mail.
    Smtp(Smtp),
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// Shown to nobody: many hold a secret.
    pub url: Secret,
    /// The value of the header `Authorization`.
    pub authorization: Option<Secret>,
}

/// Where mail goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Smtp {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How what is said to it is kept from others.
    pub tls: Tls,
    /// Who we are there, with the password.
    pub login: Option<(String, Secret)>,
    /// Who writes.
    pub from: Mailbox,
    /// Who reads.
    pub to: Vec<Mailbox>,
}

/// How a connection is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte.
    Implicit,
    /// From a command on, without which nothing is sent.
    Starttls,
    /// Not at all.
    None,
}

impl Channel {
    pub(super) fn read(name: String, mut section: Section) -> Result<Self, String> {
        if !is_name(&name) {
            return Err(section.wrong("", "its name must be 1 to 64 of a to z, 0 to 9, '-', '_' and '.'"));
        }
        let kind = section.choice("kind", &["webhook", "alertmanager", "signed", "smtp"])?;
        let group = match section.choice("group_by", &["all", "severity", "rule"])? {
            Some("severity") => Group::Severity,
            Some("rule") => Group::Rule,
            _ => Group::All,
        };
        let means = match kind.ok_or_else(|| section.missing("kind"))? {
            "webhook" => Means::Webhook(Http::read(&mut section)?),
            "alertmanager" => Means::Alertmanager(Http::read(&mut section)?.at("api/v2/alerts")),
            "signed" => Means::Signed(Http::read(&mut section)?, signing(&mut section)?),
            _ => Means::Smtp(Smtp::read(&mut section)?),
        };
        section.end()?;
        Ok(Self { name, group, means })
    }

    /// Tells two definitions of one name apart, and nothing else of them. It is stored where workers are announced and read by more
    /// people than the file, so nobody may find a password by trying words until the name is right: each try costs milliseconds and
    /// megabytes.
    pub fn definition(&self) -> String {
        let salt = Sha256::digest(format!("lucid-ops channel {}", self.name));
        let mut short = [0; 8];
        let params = Params::new(4_096, 3, 1, Some(short.len()));
        let stretched = params.and_then(|params| {
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon.hash_password_into(canonical(self.group, &self.means).expose().as_bytes(), &salt, &mut short)
        });
        // Of these lengths it takes everything; where it ever doesn't, every definition counts as the same.
        debug_assert!(stretched.is_ok(), "{stretched:?}");
        short.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The name of the group that an alert is in.
    pub fn group_of(&self, alert: &Alert) -> String {
        self.group_named(&alert.origin.rule, alert.head.severity)
    }

    /// The name of the group of what this rule finds so bad.
    pub fn group_named(&self, rule: &str, severity: Severity) -> String {
        match self.group {
            Group::All => ALL.into(),
            Group::Severity => severity.to_string(),
            Group::Rule => rule.into(),
        }
    }
}

/// The group of everything, and of what a channel is told that isn't known here.
pub const ALL: &str = "all";

impl Http {
    pub(super) fn read(section: &mut Section) -> Result<Self, String> {
        let text = section.secret("url")?.ok_or_else(|| section.missing("url"))?;
        let is_insecure_fine = section.truth("insecure")?;
        let url = url(text.expose(), is_insecure_fine).map_err(|problem| section.wrong("url", problem))?;
        let authorization = section.secret("authorization")?;
        if authorization.as_ref().is_some_and(|value| HeaderValue::from_str(value.expose()).is_err()) {
            return Err(section.wrong("authorization", "can't stand in a header"));
        }
        Ok(Self { url: Secret::new(url), authorization })
    }

    /// The same, further on.
    fn at(self, path: &str) -> Self {
        let further = Url::parse(self.url.expose()).map(|mut url| {
            let before = url.path().trim_end_matches('/').to_owned();
            if !before.ends_with(path) {
                url.set_path(&format!("{before}/{path}"));
            }
            Secret::new(url)
        });
        Self { url: further.unwrap_or(self.url), ..self }
    }
}

fn signing(section: &mut Section) -> Result<Secret, String> {
    let secret = section.secret("secret")?.ok_or_else(|| section.missing("secret"))?;
    if secret.expose().len() < SECRET_SHORTEST {
        return Err(section.wrong("secret", &format!("must be at least {SECRET_SHORTEST} characters long")));
    }
    Ok(secret)
}

impl Smtp {
    fn read(section: &mut Section) -> Result<Self, String> {
        let host = section.needed("host")?;
        let tls = match section.choice("tls", &["implicit", "starttls", "none"])? {
            Some("none") => Tls::None,
            Some("starttls") => Tls::Starttls,
            _ => Tls::Implicit,
        };
        if !section.truth("insecure")? && tls == Tls::None && !is_loopback(&host) {
            return Err(section.wrong("tls", "`none` is for this host only (or `insecure = true`)"));
        }
        let usual = match tls {
            Tls::Implicit => 465,
            Tls::Starttls => 587,
            Tls::None => 25,
        };
        let login = match (section.text("user")?, section.secret("password")?) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (Some(_), None) => return Err(section.missing("password")),
            (None, Some(_)) => return Err(section.missing("user")),
        };
        let from = section.needed("from")?;
        let from = mailbox(&from).ok_or_else(|| section.wrong("from", ADDRESS))?;
        let to = section.texts("to")?.filter(|to| !to.is_empty()).ok_or_else(|| section.missing("to"))?;
        let to =
            to.iter().map(|to| mailbox(to)).collect::<Option<Vec<_>>>().ok_or_else(|| section.wrong("to", ADDRESS))?;
        Ok(Self { port: section.port("port")?.unwrap_or(usual), host, tls, login, from, to })
    }
}

const ADDRESS: &str = "must be an address such as \"ops@example.org\" or \"Ops <ops@example.org>\"";

fn mailbox(text: &str) -> Option<Mailbox> {
    text.parse().ok()
}

/// All of it in one text, secrets too.
fn canonical(group: Group, means: &Means) -> Secret {
    let http = |http: &Http| format!("{:?} {:?}", http.url.expose(), http.authorization.as_ref().map(Secret::expose));
    let means = match means {
        Means::Webhook(to) => format!("webhook {}", http(to)),
        Means::Alertmanager(to) => format!("alertmanager {}", http(to)),
        Means::Signed(to, secret) => format!("signed {} {:?}", http(to), secret.expose()),
        Means::Smtp(Smtp { host, port, tls, login, from, to }) => {
            let login = login.as_ref().map(|(user, password)| (user, password.expose()));
            format!("smtp {host:?} {port} {tls:?} {login:?} {from} {to:?}")
        }
    };
    Secret::new(format!("{group:?} {means}"))
}
