//! Who may come to a service, and the tokens that are made for him.

use super::{ClientArgs, MongoArgs, alerts::Seconds};
use clap::{Args, Subcommand, ValueEnum};
use lucid_schemas::access::{Role, TokenName};
use std::path::PathBuf;

/// Who may come to a service, and over what.
#[derive(Debug, Clone, Args)]
pub struct AccessArgs {
    /// What somebody may do who shows no token, wherever he comes from. Where it isn't said, accounts of this machine are requesters: they
    /// read, ask for encrypted backups and verifications, and take that back; others may nothing.
    #[arg(long, env = "LUCID_ANONYMOUS", value_enum, value_name = "ROLE")]
    pub anonymous: Option<Anybody>,
    /// Speak plain HTTP where others can reach the address, too: what they send and read, tokens among it, can be read and changed on the way.
    #[arg(long, env = "LUCID_PLAIN_HTTP")]
    pub plain_http: bool,
    /// File with the certificate over which TLS is spoken, in PEM form, with those that vouch for it behind it; read again when it changes.
    #[arg(long, env = "LUCID_TLS_CERT_FILE", value_name = "FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// File with its private key, in PEM form, which nobody else can read.
    #[arg(long, env = "LUCID_TLS_KEY_FILE", value_name = "FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
}

/// What anybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Anybody {
    /// Nothing: everybody needs a token.
    None,
    /// Look.
    Viewer,
    /// Look, ask for encrypted backups and verifications, and take that back.
    Requester,
}

impl Anybody {
    /// His role.
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::None => None,
            Self::Viewer => Some(Role::Viewer),
            Self::Requester => Some(Role::Requester),
        }
    }
}

/// `lucid-ops token ...`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for the API and the monitors of this set; it is shown once, and can't be had again.
    Create(CreateTokenArgs),
    /// List tokens, without their secrets.
    List {
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
        /// How to reach MongoDB.
        #[command(flatten)]
        mongo: MongoArgs,
    },
    /// Take a token back: within a few seconds it opens nothing on any node.
    Revoke {
        /// Its name.
        name: TokenName,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
        /// How to reach MongoDB.
        #[command(flatten)]
        mongo: MongoArgs,
    },
    /// Say as whom one comes to the API.
    Show(ClientArgs),
}

/// `lucid-ops token create`.
#[derive(Debug, Args)]
pub struct CreateTokenArgs {
    /// Its name, which what its holder does is signed with. A name is never given twice.
    #[arg(long)]
    pub name: TokenName,
    /// What its holder may do: viewer, requester, operator or admin.
    #[arg(long)]
    pub role: Role,
    /// Only to this database; may be repeated. Whatever concerns all databases needs a token without it.
    #[arg(long = "database", value_name = "DATABASE")]
    pub databases: Vec<String>,
    /// For how long it is valid, such as 90d; until it is revoked where absent.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Seconds>,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
    /// How to reach MongoDB.
    #[command(flatten)]
    pub mongo: MongoArgs,
}
