//! `lucid-sample`: sample databases to try, judge and measure backups with. The connection string is taken from
//! `MONGODB_URI`, never from an argument, for it may hold a password.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of the tests: its output is read to the end")]

use clap::{Parser, Subcommand};
use lucid_sample::{compare_each, drain, fill, generate, prepare};
use mongodb::Client;
use std::process::ExitCode;

/// Sample databases to try, judge and measure backups with (connection string: MONGODB_URI).
#[derive(Parser)]
#[command(name = "lucid-sample", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load a database with every kind of collection, index and value; the same each time.
    Load {
        /// Database to make; an earlier sample of that name is dropped.
        #[arg(long, default_value = "lucid")]
        database: String,
        /// How many documents it has at least.
        #[arg(long, default_value_t = 100_000)]
        documents: u64,
        /// Drop the database even if it is not a sample.
        #[arg(long)]
        force: bool,
    },
    /// Compare two databases, documents byte for byte, options and indexes.
    Compare {
        /// One database.
        #[arg(long, default_value = "lucid")]
        source: String,
        /// The other.
        #[arg(long, default_value = "lucid_restored")]
        target: String,
    },
    /// Fill a database of a given size, for measuring.
    Generate {
        /// Database to make; an earlier sample of that name is dropped.
        #[arg(long, default_value = "bench")]
        database: String,
        /// Size of its documents in megabytes (1,000,000 bytes).
        #[arg(long, default_value_t = 735)]
        megabytes: u64,
        /// Drop the database even if it is not a sample.
        #[arg(long)]
        force: bool,
    },
    /// Read a database in raw batches and do nothing with it: the floor for a backup's time.
    Drain {
        /// Database to read.
        #[arg(long, default_value = "bench")]
        database: String,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lucid-sample: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let uri = std::env::var("MONGODB_URI").map_err(|_| "set MONGODB_URI to the connection string of the server")?;
    let client = Client::with_uri_str(uri).await?;
    match command {
        Command::Load { database, documents, force } => {
            let loaded = fill(&prepare(&client, &database, force).await?, documents).await?;
            println!("{database}: {} documents in {} collections", loaded.documents, loaded.collections);
            for reason in loaded.refused {
                println!("  not taken by this server: {reason}");
            }
        }
        Command::Compare { source, target } => return Ok(print_comparison(&client, &source, &target).await?),
        Command::Generate { database, megabytes, force } => {
            let documents = generate(&client, &database, megabytes, force).await?;
            println!("{database}: {documents} documents, {megabytes} MB");
        }
        Command::Drain { database, json } => print_drained(&drain(&client, &database).await?, json),
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_comparison(client: &Client, source: &str, target: &str) -> lucid_sample::Result<ExitCode> {
    let all = compare_each(client, source, target).await?;
    for compared in &all {
        let verdict = if compared.difference.is_none() { "same" } else { "DIFFERS" };
        println!(
            "{verdict:<8}{:<12}{:<26}{:>9} documents {:>10} bytes {:>2} indexes",
            compared.kind, compared.name, compared.documents, compared.bytes, compared.indexes
        );
    }
    let Some(first) = all.iter().find_map(|compared| compared.difference.as_ref()) else {
        println!("{source} and {target} are the same: documents byte for byte, options, indexes, views");
        return Ok(ExitCode::SUCCESS);
    };
    println!("first difference: {first}");
    Ok(ExitCode::FAILURE)
}

fn print_drained(drained: &lucid_sample::Drained, json: bool) {
    let lucid_sample::Drained { collections, documents, bytes, took } = drained;
    let seconds = took.as_secs_f64();
    if json {
        println!(r#"{{"collections":{collections},"documents":{documents},"bytes":{bytes},"seconds":{seconds:.3}}}"#);
    } else {
        println!("{documents} documents, {bytes} bytes, {collections} collections in {seconds:.2} s");
    }
}
