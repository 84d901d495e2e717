//! Every verb of the command line, whose output is closed, or on a full device, or which is given what isn't UTF-8.
//!
//! The verbs are those of clap's tree, so that a new one is tried, too. Invariant: a verb ends by an exit code of its own,
//! never by a panic.

#[allow(dead_code, unused_imports, reason = "the command line itself; what is read of it here is its tree")]
#[path = "../../src/args/mod.rs"]
mod args;
mod config;
mod service;
mod tree;

use service::{Service, TOKEN};
use std::{
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    io::pipe,
    os::unix::ffi::OsStrExt,
    process::{Command, Output, Stdio},
};
use tree::{Verb, verbs};

/// What Rust ends with where it panics.
const PANICKED: i32 = 101;
const FAILED: i32 = 1;
const USAGE: i32 = 2;

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("a device that is always full").into()
}

/// A pipe that nobody reads any more.
fn closed() -> Stdio {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn run(service: &Service, arguments: &[OsString], out: Stdio, err: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lucid-ops"));
    command.args(arguments).env("LUCID_API", service.url()).env("LUCID_TOKEN", TOKEN);
    command.env_remove("MONGODB_URI").current_dir(service.folder());
    command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("it runs").wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How it ended, which must be by itself.
fn code(verb: &str, output: &Output) -> i32 {
    let code = output.status.code().unwrap_or_else(|| panic!("{verb}: {}", output.status));
    assert!(code != PANICKED && !said(output).contains("panicked"), "{verb}: {}", said(output));
    code
}

/// Verbs that come to an end by themselves.
fn ending() -> Vec<Verb> {
    verbs().into_iter().filter(|verb| verb.name() != "dev").collect()
}

#[test]
fn a_closed_output_ends_no_verb_otherwise_than_an_open_one() {
    let service = Service::start();
    let mut printed = 0;
    for verb in ending() {
        for arguments in [verb.arguments(&service), verb.help()] {
            let name = format!("{arguments:?}");
            let open = run(&service, &arguments, Stdio::piped(), Stdio::piped());
            let shut = run(&service, &arguments, closed(), Stdio::piped());
            let code = code(&name, &shut);
            assert!(!said(&shut).to_lowercase().contains("pipe"), "{name}: {}", said(&shut));
            // What changes something may end differently the second time.
            if open.status.success() && (code == 0) {
                printed += usize::from(!open.stdout.is_empty());
            }
            if verb.only_looks() {
                assert_eq!(Some(code), open.status.code(), "{name}: {}", said(&shut));
            }
        }
    }
    assert!(printed > 50, "only {printed} of them had something to print");
}

#[test]
fn a_full_device_is_a_failure_that_is_told() {
    let service = Service::start();
    let mut told = 0;
    for verb in ending() {
        for arguments in [verb.arguments(&service), verb.help()] {
            let name = format!("{arguments:?}");
            let output = run(&service, &arguments, full(), Stdio::piped());
            let code = code(&name, &output);
            if said(&output).contains("the output can't be written") {
                assert_eq!(code, FAILED, "{name}");
                told += 1;
            } else {
                // It had nothing to print: it failed for a reason of its own.
                assert_ne!(code, 0, "{name} says that all is well: {}", said(&output));
            }
            // Not even the reason can be told.
            let output = run(&service, &arguments, full(), full());
            assert_ne!(self::code(&name, &output), 0, "{name}");
        }
    }
    assert!(told > 50, "only {told} had something to print");
}

#[test]
fn what_is_no_text_is_refused_by_its_place() {
    let service = Service::start();
    let strange = OsStr::from_bytes(b"caf\xe9");
    for verb in verbs() {
        let arguments = verb.arguments(&service);
        for place in 0..=arguments.len() {
            let mut arguments = arguments.clone();
            arguments.insert(place, strange.to_owned());
            let output = run(&service, &arguments, Stdio::piped(), Stdio::piped());
            assert_eq!(code(&verb.name(), &output), USAGE, "{arguments:?}");
            let expected = format!("argument {} (caf\u{fffd}) isn't UTF-8", place + 1);
            assert!(said(&output).contains(&expected), "{arguments:?}: {}", said(&output));
        }
    }
}

#[test]
fn who_reads_the_beginning_of_what_goes_on_ends_it_quietly() {
    let service = Service::start();
    let arguments = ["jobs", "watch", service.open_job()].map(OsString::from);
    let output = run(&service, &arguments, closed(), Stdio::piped());
    assert_eq!((code("watch", &output), said(&output).as_str()), (0, ""), "the job is still open");
}
