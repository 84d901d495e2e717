//! `lucid-ops monitor`: what it needs to be told.

use super::{AccessArgs, AliveArgs, MongoArgs, StopArgs};
use clap::Args;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// How the members of the set are looked at, and where Prometheus reads what is found.
#[derive(Debug, Clone, Args)]
pub struct SamplingArgs {
    /// Seconds from one look at each member of the set to the next.
    #[arg(long, env = "MONITORING_INTERVAL", value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3_600))]
    pub monitoring_interval: u16,
    /// Whether metrics are served for Prometheus on a port of their own.
    #[arg(long, env = "PROMETHEUS_ENABLED", default_value_t = true, action = clap::ArgAction::Set)]
    pub prometheus_enabled: bool,
    /// File of channels over which people are told of alerts: see deploy/notifications.md. Only this account may read it.
    #[arg(long, env = "LUCID_CHANNELS_FILE", value_name = "FILE")]
    pub channels_file: Option<PathBuf>,
    /// Port of the metrics; 0 means any free one.
    #[arg(long, env = "METRICS_PORT", default_value_t = 9216)]
    pub metrics_port: u16,
    /// File with what is different of rules here: limits, times, exceptions; JSON, see api/alerts.md. `lucid-ops alerts rules` shows them.
    #[arg(long, env = "LUCID_RULES_FILE", value_name = "FILE")]
    pub rules_file: Option<PathBuf>,
    /// Address of that port. One that others can reach needs --metrics-password-file or --metrics-open.
    #[arg(long, env = "LUCID_METRICS_BIND", value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub metrics_bind: IpAddr,
    /// File that holds the password of the metrics, which nobody else can read; Prometheus sends it by `basic_auth`, with any user name.
    #[arg(long, env = "LUCID_METRICS_PASSWORD_FILE", value_name = "FILE")]
    pub metrics_password_file: Option<PathBuf>,
    /// Let everybody who reaches the port of the metrics read them.
    #[arg(long, env = "LUCID_METRICS_OPEN", conflicts_with = "metrics_password_file")]
    pub metrics_open: bool,
    /// Tell the metrics under the names of Percona's exporter, too, which public dashboards read.
    #[arg(long, env = "LUCID_COMPAT_METRICS")]
    pub compat_metrics: bool,
    /// A path whose file system's space is told, such as that of the database's data; may be repeated.
    #[arg(long = "disk", env = "LUCID_DISKS", value_delimiter = ',', value_name = "PATH")]
    pub disks: Vec<PathBuf>,
}

impl SamplingArgs {
    /// From one look to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.monitoring_interval.into())
    }
}

/// `lucid-ops monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Address to listen on. One that others can reach needs more to be said: see --plain-http and --anonymous.
    #[arg(long, env = "LUCID_MONITOR_LISTEN", default_value = "127.0.0.1:8091")]
    pub listen: SocketAddr,
    /// A name under which clients reach it through a proxy, besides addresses, localhost and this node's name; may be repeated.
    #[arg(long = "host", env = "LUCID_HOSTS", value_delimiter = ',', value_name = "NAME")]
    pub hosts: Vec<String>,
    /// File that it keeps a token in, whose holder may do everything, as the API does; else
    /// $XDG_RUNTIME_DIR/lucid-ops/token or, for root, /run/lucid-ops/token. It goes on where it can't be kept, and refuses changes.
    #[arg(long, env = "LUCID_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Who may come.
    #[command(flatten)]
    pub access: AccessArgs,
    /// A repository as NAME=URL, of which is told, where it is a folder, whether it is there, and its space; may be repeated. No key is needed.
    #[arg(long = "repository", env = "LUCID_REPOSITORIES", value_delimiter = ',', value_name = "NAME=URL")]
    pub repositories: Vec<String>,
    /// What it looks at.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// How long a claim to write alerts lasts without a sign of life.
    #[arg(long, env = "LUCID_LEASE_MS", default_value_t = 30_000)]
    pub lease_ms: u32,
    /// How it ends.
    #[command(flatten)]
    pub stop: StopArgs,
    /// Where it shows that it lives.
    #[command(flatten)]
    pub alive: AliveArgs,
    /// How to reach MongoDB.
    #[command(flatten)]
    pub mongo: MongoArgs,
}
