//! Going through all jobs: audit and export.

use super::{client, failed, print};
use crate::{
    args::ClientArgs,
    exit::{Exit, FAILED},
    output,
};
use lucid_client::{RelayError, render, whole};
use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

const TELL_EVERY: Duration = Duration::from_millis(200);

/// `lucid-ops jobs audit`: fails where a job isn't what its events say, or can't be read.
pub fn audit(args: &ClientArgs) -> Result<(), Exit> {
    let client = client(args)?;
    let mut count = Count::new("audited");
    let report = whole::audit(&client, &mut |so_far| count.tell(so_far.jobs)).map_err(|error| failed(&error))?;
    count.close();
    print(args, &report, render::audit)?;
    if report.violations.is_empty() && report.unreadable.is_empty() { Ok(()) } else { Err(Exit::new(FAILED, "")) }
}

/// `lucid-ops jobs export`.
pub fn export(args: &ClientArgs) -> Result<(), Exit> {
    let client = client(args)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut count = Count::new("exported");
    let mut jobs = 0;
    let exported = whole::export(&client, &mut |line| {
        writeln!(out, "{line}")?;
        jobs += 1;
        count.tell(jobs);
        Ok(())
    });
    let flushed = exported.and_then(|jobs| out.flush().map(|()| jobs).map_err(RelayError::Output));
    // What couldn't be written isn't tried again.
    let _ = out.into_parts();
    count.close();
    match flushed {
        Ok(jobs) => {
            output::say(format_args!("{jobs} jobs exported"));
            Ok(())
        }
        Err(error) => output::relayed(error),
    }
}

/// How far it is, on a terminal that shows nothing else.
struct Count {
    word: &'static str,
    shown: bool,
    told: Instant,
}

impl Count {
    fn new(word: &'static str) -> Self {
        Self { word, shown: io::stderr().is_terminal() && !io::stdout().is_terminal(), told: Instant::now() }
    }

    fn tell(&mut self, jobs: u64) {
        if self.shown && self.told.elapsed() >= TELL_EVERY {
            output::hint(format_args!("\r{jobs} jobs {} ...", self.word));
            self.told = Instant::now();
        }
    }

    fn close(&self) {
        if self.shown {
            output::hint("\r\x1b[K");
        }
    }
}
