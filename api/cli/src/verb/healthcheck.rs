//! `lucid-ops healthcheck`: what container managers run, in images without a shell. It ends within two seconds.

use crate::{alive::Sign, args::HealthcheckArgs, exit::Exit, output};
use lucid_client::probe;
use std::time::Duration;

const WITHIN: Duration = Duration::from_millis(1_500);
const API: &str = "http://127.0.0.1:8089";

/// Runs the verb.
pub fn run(args: &HealthcheckArgs) -> Result<(), Exit> {
    if let Some(address) = &args.mongodb {
        return mongod(address);
    }
    let file = args.alive.alive_file.as_deref().filter(|file| args.url.is_none() && !file.as_os_str().is_empty());
    let Some(file) = file else {
        return ask(args.url.as_deref().unwrap_or(API));
    };
    let sign = Sign::read(file)?;
    if let Some(url) = &sign.url {
        ask(url)?;
    }
    output::print(&format!("{} lives\n", sign.role))
}

fn ask(url: &str) -> Result<(), Exit> {
    probe(url, WITHIN).map_err(|problem| Exit::failed(format!("{url}: {problem}")))
}

fn mongod(address: &str) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::failed(format!("no async runtime: {error}")))?;
    let answered = runtime.block_on(async {
        tokio::time::timeout(WITHIN, lucid_members::hello(address, WITHIN))
            .await
            .unwrap_or_else(|_elapsed| Err("it takes too long".into()))
    });
    // Shutting it down could wait for a connection that hangs.
    runtime.shutdown_background();
    answered.map_err(|problem| Exit::failed(format!("mongod at {address}: {problem}")))
}
