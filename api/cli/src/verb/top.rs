//! `lucid-ops top`: how everything is, on one screen.

use super::{failed, print_as};
use crate::{
    args::TopArgs,
    exit::{Exit, UNREACHABLE},
    output, token,
};
use lucid_client::{Client, Service, Top, render};
use std::{
    io::{IsTerminal, stdout},
    thread::sleep,
    time::Duration,
};

/// The cursor goes to the first place, and all below it goes.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Shows it again and again on a terminal, and once elsewhere.
pub fn run(args: &TopArgs) -> Result<(), Exit> {
    let with_token = |client: Client| token::client(client, args.token_file.as_deref(), args.ca_file.as_deref());
    let api = with_token(Client::new(&args.api).map_err(|error| failed(&error))?)?;
    let monitor = with_token(Client::of(Service::Monitor, &args.monitor).map_err(|error| failed(&error))?)?;
    let is_live = !args.once && !args.json && stdout().is_terminal();
    loop {
        let seen = Top::look(&api, &monitor);
        if !is_live {
            print_as(args.json, &seen, |seen| render::top(seen, None))?;
            return if seen.is_blind() { Err(Exit::new(UNREACHABLE, "")) } else { Ok(()) };
        }
        output::print(&format!("{CLEAR}{}", render::top(&seen, Some(render::terminal()))))?;
        sleep(Duration::from_secs(args.every.into()));
    }
}
