//! Connections of a bootstrap: to one member or to the set, with a login or without.

use super::{BootstrapError, Password, Plan, Result};
use crate::error::{code, describe};
use bson::{Document, doc, oid::ObjectId};
use mongodb::{
    Client,
    options::{AuthMechanism, ClientOptions, Credential, ServerAddress},
};
use std::time::Duration;
use tokio::time::timeout;

/// How long a member may take to be connected to.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer is waited for, beyond that.
const ANSWER: Duration = Duration::from_secs(20);
const APP_NAME: &str = "lucid-ops-bootstrap";
/// By which the own machine is reached.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

/// What every connection needs.
#[derive(Debug, Clone)]
pub struct Reach {
    options: String,
}

/// Why a command didn't succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// The server said no, with this code.
    Refused(i32, String),
    /// The login was refused.
    Login(String),
    /// Nobody answered, or the connection broke.
    Silent(String),
}

impl Failed {
    /// For people.
    pub fn reason(self) -> String {
        match self {
            Self::Refused(_, reason) | Self::Login(reason) | Self::Silent(reason) => reason,
        }
    }
}

impl Reach {
    /// With these options of a connection string.
    pub fn new(options: &str) -> Result<Self> {
        if options.contains("://") {
            return Err(BootstrapError::Usage("options look like tls=true&tlsCAFile=/etc/lucid/ca.pem".into()));
        }
        Ok(Self { options: options.trim_matches('&').to_owned() })
    }

    /// A client of exactly this address; it isn't connected before it is used.
    pub async fn direct(&self, address: &str, login: Option<(&str, &Password)>) -> Result<Client> {
        let mut options = self.parse("mongodb://localhost/?directConnection=true").await?;
        options.hosts = vec![ServerAddress::parse(address).map_err(|_| bad_address(address))?];
        options.credential = login.map(|(user, password)| credential(user, password));
        Client::with_options(options).map_err(|error| BootstrapError::Usage(describe(&error)))
    }

    /// A client of the whole set, logged in as the administrator.
    pub async fn set(&self, plan: &Plan) -> Result<Client> {
        let mut options = self.parse("mongodb://localhost/").await?;
        let hosts = plan.members.iter().map(|member| ServerAddress::parse(member).map_err(|_| bad_address(member)));
        options.hosts = hosts.collect::<Result<_>>()?;
        options.repl_set_name = Some(plan.replica_set.clone());
        options.credential = Some(credential(&plan.administrator, &plan.password));
        Client::with_options(options).map_err(|error| BootstrapError::Usage(describe(&error)))
    }

    /// The administrator's connection string; for this process alone.
    pub fn uri(&self, plan: &Plan) -> String {
        let (user, password) = (encoded(&plan.administrator), encoded(&plan.password.0));
        let (hosts, set) = (plan.members.join(","), &plan.replica_set);
        let options = if self.options.is_empty() { String::new() } else { format!("&{}", self.options) };
        format!("mongodb://{user}:{password}@{hosts}/?replicaSet={set}&authSource=admin{options}")
    }

    /// By which address this member is reached over loopback, where it runs on this machine.
    pub async fn near(&self, address: &str) -> Result<Option<String>> {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "27017"));
        if LOOPBACK.contains(&host) || host == "[::1]" {
            return Ok(Some(address.to_owned()));
        }
        let Some(there) = self.identity(address).await? else { return Ok(None) };
        for name in LOOPBACK {
            let here = format!("{name}:{port}");
            if self.identity(&here).await? == Some(there) {
                return Ok(Some(here));
            }
        }
        Ok(None)
    }

    /// What tells the process that answers there from every other one.
    async fn identity(&self, address: &str) -> Result<Option<ObjectId>> {
        let hello = run(&self.direct(address, None).await?, doc! { "hello": 1 }).await;
        let of = |hello: &Document| hello.get_document("topologyVersion").ok()?.get_object_id("processId").ok();
        Ok(hello.ok().as_ref().and_then(of))
    }

    async fn parse(&self, base: &str) -> Result<ClientOptions> {
        let join = if base.contains('?') { "&" } else { "?" };
        let uri = if self.options.is_empty() { base.to_owned() } else { format!("{base}{join}{}", self.options) };
        let mut options = ClientOptions::parse(&uri).await.map_err(|_| {
            BootstrapError::Usage(format!("the options '{}' aren't those of a connection string", self.options))
        })?;
        limit(&mut options);
        Ok(options)
    }
}

fn limit(options: &mut ClientOptions) {
    options.app_name = Some(APP_NAME.into());
    options.server_selection_timeout = Some(CONNECT);
    options.connect_timeout = Some(CONNECT);
    options.max_pool_size = Some(2);
}

fn bad_address(address: &str) -> BootstrapError {
    BootstrapError::Usage(format!("'{address}' is no address of a member, such as mongo1:27017"))
}

fn credential(user: &str, password: &Password) -> Credential {
    Credential::builder()
        .username(user.to_owned())
        .password(password.0.clone())
        .source("admin".to_owned())
        .mechanism(AuthMechanism::ScramSha256)
        .build()
}

/// Runs a command on `admin`; never dropped half-way.
pub async fn run(client: &Client, command: Document) -> std::result::Result<Document, Failed> {
    use mongodb::error::ErrorKind;
    const AUTHENTICATION_FAILED: i32 = 18;
    let database = client.database("admin");
    let answered = timeout(CONNECT + ANSWER, tokio::spawn(async move { database.run_command(command).await })).await;
    let error = match answered {
        Ok(Ok(Ok(answer))) => {
            return match answer.get_document("writeConcernError") {
                Ok(_) => Err(Failed::Silent("it isn't on a majority of the members yet".into())),
                Err(_) => Ok(answer),
            };
        }
        Ok(Ok(Err(error))) => error,
        Ok(Err(_)) | Err(_) => return Err(Failed::Silent("no answer".into())),
    };
    let failed = match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => Failed::Login("the login is refused".into()),
        ErrorKind::ServerSelection { .. } => Failed::Silent("it doesn't answer".into()),
        _ => match code(&error) {
            Some(AUTHENTICATION_FAILED) => Failed::Login("the login is refused".into()),
            Some(code) => Failed::Refused(code, describe(&error)),
            None => Failed::Silent(describe(&error)),
        },
    };
    Err(failed)
}

/// As a connection string takes a name or a password.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::roles::Places;

    #[tokio::test]
    async fn no_password_is_hurt_by_its_way_through_a_connection_string() {
        for password in ["plain", "a:b@c/d?e%f#g", "pä ss", "%41", "&x=y"] {
            let plan = Plan {
                replica_set: "rs0".into(),
                members: vec!["a:1".into(), "b:2".into()],
                administrator: "lu cid".into(),
                password: Password::new(password.into()),
                former: None,
                services: Vec::new(),
                places: Places::default(),
                options: String::new(),
                within: Duration::ZERO,
            };
            let uri = Reach::new("maxPoolSize=3").expect("options").uri(&plan);
            let options = ClientOptions::parse(&uri).await.expect("a connection string");
            let credential = options.credential.expect("a login");
            assert_eq!(credential.password.as_deref(), Some(password));
            assert_eq!(credential.username.as_deref(), Some("lu cid"));
            assert_eq!((options.hosts.len(), options.max_pool_size), (2, Some(3)));
            assert!(!format!("{plan:?}").contains(password));
        }
    }
}
