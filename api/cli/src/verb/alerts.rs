//! `lucid-ops alerts`: looking at alerts, saying that somebody knows, and having nobody told for a while.

use super::{failed, print_as};
use crate::{
    args::{AlertsCommand, ListAlertsArgs, MonitorClientArgs, RulesArgs, SilenceArgs},
    exit::Exit,
    token,
};
use lucid_client::{AlertQuery, Client, Service, render};
use lucid_monitor::rules;
use lucid_schemas::{
    http::{AcknowledgeBody, AlertList, AlertView, ResolveBody, SilenceAlertBody, SilenceBody, SilenceView},
    silence::Window,
};

/// The largest page that the monitor gives.
const PAGE_MAX: u32 = 500;

/// Runs the verb.
pub fn run(command: AlertsCommand) -> Result<(), Exit> {
    match command {
        AlertsCommand::List(args) => list(&args),
        AlertsCommand::Show(args) => {
            let alert = client(&args.client)?.alert(&args.alert).map_err(|error| failed(&error))?;
            print_as(args.client.json, &alert, render::alert)
        }
        AlertsCommand::Ack { alert: args, for_seconds, comment } => {
            let body = AcknowledgeBody { for_seconds: for_seconds.map(|seconds| seconds.0), comment };
            let known = client(&args.client)?.acknowledge_alert(&args.alert, &body).map_err(|error| failed(&error))?;
            print_as(args.client.json, &known, state)
        }
        AlertsCommand::Resolve { alert: args, comment } => {
            let over = client(&args.client)?.resolve_alert(&args.alert, &ResolveBody { comment });
            print_as(args.client.json, &over.map_err(|error| failed(&error))?, state)
        }
        AlertsCommand::Silence(args) => {
            let json = args.client.json;
            let silence = silence(*args)?;
            print_as(json, &silence, render::silence)
        }
        AlertsCommand::Rules(args) => rules(&args),
        AlertsCommand::Silences(args) => {
            let list = client(&args)?.silences().map_err(|error| failed(&error))?;
            print_as(args.json, &list, render::silences)
        }
        AlertsCommand::Test { channel, client: args } => {
            let tried = client(&args)?.test_channel(&channel).map_err(|error| failed(&error))?;
            print_as(args.json, &tried, |tried| format!("{} took {} messages\n", tried.channel, tried.sent))
        }
        AlertsCommand::Unsilence { silence, client: args } => {
            let ended = client(&args)?.end_silence(&silence).map_err(|error| failed(&error))?;
            print_as(args.json, &ended, render::silence)
        }
    }
}

fn client(args: &MonitorClientArgs) -> Result<Client, Exit> {
    let client = Client::of(Service::Monitor, &args.url).map_err(|error| failed(&error))?;
    token::client(client, args.token_file.as_deref(), args.ca_file.as_deref())
}

fn rules(args: &RulesArgs) -> Result<(), Exit> {
    let changed = args.rules_file.as_deref().map(rules::read).transpose().map_err(Exit::usage)?;
    print_as(args.json, &rules::views(&changed.unwrap_or_default()), |views| rules::table(views))
}

fn state(alert: &AlertView) -> String {
    format!("{} is {}\n", alert.alert_id.as_deref().unwrap_or_default(), alert.state)
}

/// A page, or all of them.
fn list(args: &ListAlertsArgs) -> Result<(), Exit> {
    let client = client(&args.client)?;
    let mut query = AlertQuery {
        states: args.state.clone(),
        severity: args.severity.clone(),
        rule: args.rule.clone(),
        limit: Some(if args.all { PAGE_MAX } else { args.limit }),
        after: None,
    };
    let mut alerts = Vec::new();
    loop {
        let page = client.alerts(&query).map_err(|error| failed(&error))?;
        alerts.extend(page.alerts);
        if !args.all || page.next.is_none() {
            let list = AlertList { alerts, next: page.next, told: page.told };
            return print_as(args.client.json, &list, render::alerts);
        }
        query.after = page.next;
    }
}

/// About what an alert is about, or about all that fits.
fn silence(args: SilenceArgs) -> Result<SilenceView, Exit> {
    let client = client(&args.client)?;
    let SilenceArgs { alert, matchers, for_seconds, until, from, cron, timezone, duration, comment, .. } = args;
    let for_seconds = for_seconds.map(|seconds| seconds.0);
    let made = if let Some(alert) = alert {
        client.silence_alert(&alert, &SilenceAlertBody { for_seconds, until, comment })
    } else {
        let window = cron.zip(duration);
        let window = window.map(|(cron, duration)| Window { cron, timezone, duration_seconds: duration.0 });
        client.make_silence(&SilenceBody { matchers, from, until, for_seconds, window, comment })
    };
    made.map_err(|error| failed(&error))
}
