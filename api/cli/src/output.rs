//! The one place where the program writes to standard output and standard error.
//!
//! Invariant: an output that is closed or full never ends the program by a panic. Who closed a pipe has read enough: nothing
//! is said, and the exit code is that of the work. A full device is a failed verb that says so. What is said on standard
//! error is a courtesy: where it can't be said, the work goes on.

use crate::exit::Exit;
use lucid_client::RelayError;
use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints a result as a whole.
///
/// # Errors
/// Where it can't be written, though somebody would read it.
pub fn print(text: &str) -> Result<(), Exit> {
    written(put(text))
}

/// Prints a part of what goes on: an error where nobody reads any more, too.
///
/// # Errors
/// What writing fails with.
pub fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Tells a script that a service is ready. A service doesn't end because nobody can be told.
pub fn announce(lines: impl Display) {
    match put(&format!("{lines}\n")) {
        Err(error) if !is_closed(&error) => {
            tracing::warn!(%error, "standard output can't be written: the service goes on");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Says a line to the person in front of the terminal.
pub fn say(line: impl Display) {
    hint(format_args!("{line}\n"));
}

/// The same without the end of the line.
pub fn hint(text: impl Display) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "{text}").and_then(|()| err.flush());
}

/// How a verb ends that passed on what the API says until its output broke.
pub fn relayed(error: RelayError) -> Result<(), Exit> {
    match error {
        RelayError::Client(error) => Err(crate::verb::failed(&error)),
        RelayError::Output(error) => written(Err(error)),
    }
}

/// Help, version, or what is wrong with the command line.
pub fn usage(error: &clap::Error) -> Result<(), Exit> {
    if error.use_stderr() {
        let _ = error.print();
        return Err(Exit::usage(""));
    }
    written(error.print().and_then(|()| io::stdout().flush()))
}

/// Writes to standard output, buffered. Where nobody reads any more, that is no failure.
///
/// # Errors
/// What `write` fails with, and an output that can't be written for other reasons.
pub async fn to_stdout<F>(write: F) -> Result<(), Exit>
where
    F: AsyncFnOnce(&mut (dyn Write + Send)) -> Result<(), Failed>,
{
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout());
    let outcome = write(&mut out).await.and_then(|()| out.flush().map_err(Failed::Output));
    match outcome {
        Ok(()) => Ok(()),
        Err(Failed::Output(error)) => {
            // What is still buffered can't be written either; the buffer would try again when it is dropped.
            let _ = out.into_parts();
            written(Err(error))
        }
        Err(Failed::Otherwise(exit)) => {
            // What came before is as good as it was.
            let _ = out.flush();
            Err(exit)
        }
    }
}

/// Why writing ended early.
pub enum Failed {
    /// The output.
    Output(io::Error),
    /// Anything else.
    Otherwise(Exit),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Exit> for Failed {
    fn from(exit: Exit) -> Self {
        Self::Otherwise(exit)
    }
}

fn written(outcome: io::Result<()>) -> Result<(), Exit> {
    match outcome {
        Err(error) if !is_closed(&error) => Err(Exit::failed(format!("the output can't be written: {error}"))),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}
