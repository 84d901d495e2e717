//! Sending one message over one channel.

use crate::{
    body,
    config::{Channel, Http, Means, Smtp, Tls},
    message::Message,
    secret::Secret,
    text::plain,
};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Letter, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls as SmtpTls, TlsParameters},
        extension::ClientId,
    },
};
use lucid_ports::JobError;
use lucid_schemas::Code;
use reqwest::{
    Client, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Under which name the time of a signed body is sent, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "lucid-timestamp";
/// Under which name its signature is sent.
pub const SIGNATURE_HEADER: &str = "lucid-signature";
/// All of it takes no longer than this: names, connections, the answer.
pub const WHOLE: Duration = Duration::from_secs(10);

/// What TLS says where it can't be sure who is at the other end.
const DISTRUST: &str = "invalid peer certificate";

/// Why a message wasn't taken. It may have arrived all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nobody answered, or not in time, or only that something is wrong there.
    #[error("channel {channel} isn't there: {reason}")]
    Away {
        /// The channel.
        channel: String,
        /// What was seen; no secret.
        reason: String,
    },
    /// It was answered that it isn't taken.
    #[error("channel {channel} refuses: {reason}")]
    Refused {
        /// The channel.
        channel: String,
        /// What was answered; no secret.
        reason: String,
    },
}

impl From<SendError> for JobError {
    /// Both are tried again: what is refused today is mended by whoever reads that it was.
    fn from(error: SendError) -> Self {
        let code = match &error {
            SendError::Away { .. } => Code::ChannelAway,
            SendError::Refused { .. } => Code::ChannelRefuses,
        };
        Self::retryable(code, error.to_string())
    }
}

/// What went wrong on the way, before it has a channel's name.
enum Trouble {
    Away(String),
    Refused(String),
}

/// Sends.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    whole: Duration,
}

impl Default for Sender {
    fn default() -> Self {
        Self { whole: WHOLE }
    }
}

impl Sender {
    /// One that waits for this long at most.
    pub const fn within(whole: Duration) -> Self {
        Self { whole }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Where it wasn't taken for sure.
    pub async fn send(&self, channel: &Channel, message: &Message) -> Result<(), SendError> {
        let sent = async {
            match &channel.means {
                Means::Webhook(to) => post(to, &body::webhook(message), HeaderMap::new()).await,
                Means::Alertmanager(to) => post(to, &body::alertmanager(message), HeaderMap::new()).await,
                Means::Signed(to, secret) => signed(to, secret, message).await,
                Means::Smtp(to) => letter(to, message, self.whole).await,
            }
        };
        self.whole(&channel.name, sent).await
    }

    /// A sign of life.
    ///
    /// # Errors
    /// Where it wasn't taken for sure.
    pub async fn beat(&self, to: &Http, is_post: bool) -> Result<(), SendError> {
        let method = if is_post { Method::POST } else { Method::GET };
        self.whole("heartbeat", request(to, method, HeaderMap::new(), Vec::new())).await
    }

    async fn whole(&self, name: &str, sent: impl Future<Output = Result<(), Trouble>>) -> Result<(), SendError> {
        let late = || Err(Trouble::Away(format!("no answer within {} s", self.whole.as_secs_f32())));
        timeout(self.whole, sent).await.unwrap_or_else(|_| late()).map_err(|trouble| match trouble {
            Trouble::Away(reason) => SendError::Away { channel: name.to_owned(), reason },
            Trouble::Refused(reason) => SendError::Refused { channel: name.to_owned(), reason },
        })
    }
}

async fn signed(to: &Http, secret: &Secret, message: &Message) -> Result<(), Trouble> {
    let body = body::own(message);
    let bytes = body.to_string().into_bytes();
    let timestamp = message.sent_at.timestamp_millis() / 1_000;
    let signature = body::signature(secret, timestamp, &bytes);
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static(TIMESTAMP_HEADER), HeaderValue::from(timestamp));
    headers.insert(HeaderName::from_static(SIGNATURE_HEADER), header(&signature)?);
    post(to, &body, headers).await
}

async fn post(to: &Http, body: &Value, mut headers: HeaderMap) -> Result<(), Trouble> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request(to, Method::POST, headers, body.to_string().into_bytes()).await
}

fn header(text: &str) -> Result<HeaderValue, Trouble> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Trouble::Refused("a header can't be written".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// One request by a client of its own: messages are rare, and a connection that is kept is one that may be dead.
async fn request(to: &Http, method: Method, mut headers: HeaderMap, body: Vec<u8>) -> Result<(), Trouble> {
    let away = |error: reqwest::Error| Trouble::Away(told(&error.without_url()));
    if let Some(authorization) = &to.authorization {
        headers.insert(AUTHORIZATION, header(authorization.expose())?);
    }
    let url = to.url.expose();
    let asked = client(url)?.request(method, url).headers(headers).body(body);
    let status = asked.send().await.map_err(away)?.status();
    if status.is_success() {
        Ok(())
    } else if status.is_redirection() {
        Err(Trouble::Refused(format!("it points elsewhere ({status}), where nothing is sent: name that address")))
    } else if status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
    {
        Err(Trouble::Away(format!("it answers {status}")))
    } else {
        Err(Trouble::Refused(format!("it answers {status}")))
    }
}

fn client(url: &str) -> Result<Client, Trouble> {
    // Whoever was first has installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client =
        Client::builder().redirect(Policy::none()).user_agent(concat!("lucid-ops/", env!("CARGO_PKG_VERSION")));
    // What isn't sealed goes nowhere else, whatever proxies the surroundings name.
    let client = if url.starts_with("http://") { client.no_proxy() } else { client };
    client.build().map_err(|error| Trouble::Away(told(&error)))
}

/// An error with its causes: the last one tells what happened.
fn told(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    if reason.contains(DISTRUST) {
        reason.push_str(
            "; let this node trust whoever signed it (its own certificates, or SSL_CERT_FILE), and call the server by the name in its certificate",
        );
    }
    plain(&reason)
}

async fn letter(to: &Smtp, message: &Message, whole: Duration) -> Result<(), Trouble> {
    let unsendable = |error: &dyn std::error::Error| Trouble::Refused(told(error));
    let mail = body::mail(message);
    let addressed = Letter::builder().from(to.from.clone()).subject(mail.subject);
    let addressed = to.to.iter().cloned().fold(addressed, |letter, reader: Mailbox| letter.to(reader));
    let letter = addressed.header(ContentType::TEXT_PLAIN).body(mail.text).map_err(|error| unsendable(&error))?;
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&to.host)
        .port(to.port)
        .timeout(Some(whole))
        .tls(tls(to)?);
    if let Some(name) = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()) {
        server = server.hello_name(ClientId::Domain(name));
    }
    if let Some((user, password)) = &to.login {
        server = server.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    match server.build().send(letter).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_permanent() => Err(Trouble::Refused(told(&error))),
        Err(error) => Err(Trouble::Away(told(&error))),
    }
}

fn tls(to: &Smtp) -> Result<SmtpTls, Trouble> {
    let parameters = || TlsParameters::new(to.host.clone()).map_err(|error| Trouble::Away(told(&error)));
    Ok(match to.tls {
        Tls::Implicit => SmtpTls::Wrapper(parameters()?),
        Tls::Starttls => SmtpTls::Required(parameters()?),
        Tls::None => SmtpTls::None,
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls;
