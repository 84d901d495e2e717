//! What can be typed about alerts.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use lucid_schemas::{alert::Severity, silence::Matcher};
use std::{path::PathBuf, str::FromStr};

pub(super) const MONITOR_DEFAULT: &str = "http://127.0.0.1:8091";

/// How to reach the monitor, and how to print.
#[derive(Debug, Args, Clone)]
pub struct MonitorClientArgs {
    /// Address of the monitor.
    #[arg(long, env = "LUCID_MONITOR", default_value = MONITOR_DEFAULT)]
    pub url: String,
    /// File with a token; where neither it nor the variable LUCID_TOKEN is given, that of the services of this account, or of `lucid-ops dev` in
    /// this folder, is shown for what changes something.
    #[arg(long, env = "LUCID_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// File with certificates, in PEM form, that are trusted instead of the system's where the address is https.
    #[arg(long, env = "LUCID_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}

/// A duration, such as `90s`, `30m`, `2h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub i64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
        let read = units.iter().find_map(|(unit, seconds)| {
            text.strip_suffix(unit)?.parse::<i64>().ok().filter(|number| *number > 0)?.checked_mul(*seconds)
        });
        read.map(Self).ok_or_else(|| "expected a number and its unit, such as 90s, 30m, 2h or 7d".into())
    }
}

/// An alert by id.
#[derive(Debug, Args)]
pub struct AlertArgs {
    /// The alert, or an unambiguous prefix of its id.
    pub alert: String,
    /// How to reach the monitor.
    #[command(flatten)]
    pub client: MonitorClientArgs,
}

/// Which alerts.
#[derive(Debug, Args)]
pub struct ListAlertsArgs {
    /// Only in this state; may be several, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "open",
        value_parser = PossibleValuesParser::new(["open", "raised", "acknowledged", "resolved"]))]
    pub state: Vec<String>,
    /// Only of this severity.
    #[arg(long, value_parser = PossibleValuesParser::new(Severity::ALL.map(Severity::as_str)))]
    pub severity: Option<String>,
    /// Only what this rule has found.
    #[arg(long)]
    pub rule: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// All that there are.
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// How to reach the monitor.
    #[command(flatten)]
    pub client: MonitorClientArgs,
}

/// `lucid-ops alerts silence`.
#[derive(Debug, Args)]
pub struct SilenceArgs {
    /// Silence just what this alert is about.
    #[arg(required_unless_present = "matchers", conflicts_with_all = ["matchers", "from", "cron"])]
    pub alert: Option<String>,
    /// Silence what fits, such as rule=backup_overdue, labels.database=shop or 'severity!=critical'; may be repeated: all must fit.
    #[arg(long = "match", value_name = "ON=VALUE")]
    pub matchers: Vec<Matcher>,
    /// For so long, such as 90m, 2h or 7d; at most 30d, 366d with --cron.
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "until")]
    pub for_seconds: Option<Seconds>,
    /// Until this time, such as 2025-01-09T02:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "for_seconds")]
    pub until: Option<String>,
    /// From this time on, not from now.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// A maintenance window: only from each of these times on (minute, hour, day, month, weekday) ...
    #[arg(long, requires = "duration")]
    pub cron: Option<String>,
    /// ... by this clock, as an IANA name such as Europe/Berlin ...
    #[arg(long, value_name = "NAME", default_value = "UTC", requires = "cron")]
    pub timezone: String,
    /// ... and for so long; at most half of the time to the next window.
    #[arg(long, value_name = "DURATION", requires = "cron")]
    pub duration: Option<Seconds>,
    /// Why, for those who look.
    #[arg(long)]
    pub comment: String,
    /// How to reach the monitor.
    #[command(flatten)]
    pub client: MonitorClientArgs,
}

/// `lucid-ops alerts rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// With what is different by this file, as a monitor would take it; it is checked on the way.
    #[arg(long, env = "LUCID_RULES_FILE", value_name = "FILE")]
    pub rules_file: Option<PathBuf>,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}

/// `lucid-ops alerts ...`.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// List alerts, newest first: those that are open, unless told otherwise.
    List(ListAlertsArgs),
    /// Show one alert and its events.
    Show(AlertArgs),
    /// Say that somebody knows: nobody is told again until it is over, worse, or the time is up.
    Ack {
        /// The alert.
        #[command(flatten)]
        alert: AlertArgs,
        /// For so long, such as 90m, 2h or 7d; until it is over where absent.
        #[arg(long = "for", value_name = "DURATION")]
        for_seconds: Option<Seconds>,
        /// For those who look.
        #[arg(long)]
        comment: Option<String>,
    },
    /// Say that it is over; where it isn't, another alert is raised.
    Resolve {
        /// The alert.
        #[command(flatten)]
        alert: AlertArgs,
        /// For those who look.
        #[arg(long)]
        comment: Option<String>,
    },
    /// Have nobody told for a while: of what an alert is about, or of all that fits.
    Silence(Box<SilenceArgs>),
    /// List the rules: what each finds, its limits, and for how long it must be so. Asks nobody.
    Rules(RulesArgs),
    /// List the silences that aren't over.
    Silences(MonitorClientArgs),
    /// Send a test over a channel of the monitor's node, and that it is over.
    Test {
        /// The channel.
        channel: String,
        /// How to reach the monitor.
        #[command(flatten)]
        client: MonitorClientArgs,
    },
    /// End a silence now.
    Unsilence {
        /// The silence, or an unambiguous prefix of its id.
        silence: String,
        /// How to reach the monitor.
        #[command(flatten)]
        client: MonitorClientArgs,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Seconds>().map(|seconds| seconds.0);
        assert_eq!([read("90s"), read("30m"), read("2h"), read("7d")], [Ok(90), Ok(1_800), Ok(7_200), Ok(604_800)]);
        for bad in ["", "90", "0s", "-1h", "h", "1.5h", "2 h", "9999999999999999d"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
