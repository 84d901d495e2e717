//! How the progress of a watched job is shown: a bar on a terminal, lines elsewhere.

use crate::{
    ClientError,
    render::{clean, units},
};
use indicatif::{ProgressBar, ProgressStyle};
use lucid_schemas::http::{JobView, ProgressView};
use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// The message is cut to what the terminal's width leaves.
const UNMEASURED: &str = "{spinner} {wide_msg}";
const MEASURED: &str = "{spinner} {wide_msg} [{bar:24}] {percent:>3} %";
const TICK: Duration = Duration::from_millis(120);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What is told while a job is watched.
pub trait Sink {
    /// The job as it is now.
    fn show(&mut self, job: &JobView);
    /// How far work of this very process is, and what it is.
    fn advance(&mut self, _what: &str, _progress: &ProgressView) {}
    /// The API doesn't answer for the moment.
    fn trouble(&mut self, error: &ClientError);
    /// Watching is over.
    fn close(&mut self) {}
}

/// Tells nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Sink for Silent {
    fn show(&mut self, _job: &JobView) {}
    fn trouble(&mut self, _error: &ClientError) {}
}

/// A bar where standard error is a terminal, lines where it isn't.
pub fn sink_for_stderr() -> Box<dyn Sink + Send> {
    if io::stderr().is_terminal() { Box::new(Bar::new()) } else { Box::new(Lines::new(io::stderr())) }
}

/// A progress bar on standard error.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    measured: bool,
}

impl Bar {
    /// A bar that turns until something is known.
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Some(style) = style(UNMEASURED) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self { bar, measured: false }
    }

    fn measure(&mut self, progress: &ProgressView) {
        let total = u64::try_from(progress.total_bytes).unwrap_or(0);
        if total == 0 {
            return;
        }
        if !self.measured
            && let Some(style) = style(MEASURED)
        {
            self.bar.set_style(style);
            self.measured = true;
        }
        self.bar.set_length(total);
        self.bar.set_position(u64::try_from(progress.bytes).unwrap_or(0).min(total));
    }
}

/// A style; without it, the bar looks as the library makes it.
fn style(template: &str) -> Option<ProgressStyle> {
    let style = ProgressStyle::with_template(template).ok()?;
    Some(style.progress_chars("=> "))
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for Bar {
    fn show(&mut self, job: &JobView) {
        if let Some(progress) = &job.progress {
            self.measure(progress);
        }
        self.bar.set_message(describe(job));
    }

    fn advance(&mut self, what: &str, progress: &ProgressView) {
        self.measure(progress);
        self.bar.set_message(clean(&format!("{what}, {}", done(progress))));
    }

    fn trouble(&mut self, _error: &ClientError) {
        self.bar.set_message("the API doesn't answer for the moment ...");
    }

    fn close(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Lines for logs: one whenever something changes in kind, and one now and then.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    last: Option<(Instant, String)>,
}

impl<W: Write> Lines<W> {
    /// Lines written here.
    pub const fn new(out: W) -> Self {
        Self { out, last: None }
    }

    /// `topic` is what makes a line worth writing at once.
    fn line(&mut self, topic: String, text: &str) {
        let due = match &self.last {
            None => true,
            Some((at, told)) => *told != topic || at.elapsed() >= LINE_EVERY,
        };
        if due {
            // Progress is a courtesy: where nobody reads it, the job goes on all the same.
            let _ = writeln!(self.out, "{text}");
            self.last = Some((Instant::now(), topic));
        }
    }
}

impl<W: Write> Sink for Lines<W> {
    fn show(&mut self, job: &JobView) {
        let phase = job.progress.as_ref().map_or("", |progress| &progress.phase);
        let waiting = job.waiting_for.as_deref().unwrap_or_default();
        let topic = format!("{} {phase} {waiting}", job.state);
        self.line(topic, &describe(job));
    }

    fn advance(&mut self, what: &str, progress: &ProgressView) {
        self.line(format!("{what} {}", progress.phase), &clean(&format!("{what}, {}", done(progress))));
    }

    fn trouble(&mut self, error: &ClientError) {
        self.line("trouble".into(), &format!("waiting for the API: {error}"));
    }
}

/// The job in one line.
fn describe(job: &JobView) -> String {
    let mut parts = vec![format!("{} {}", job.job_id, job.state)];
    parts.extend(job.waiting_for.clone());
    parts.extend(job.progress.as_ref().map(done));
    clean(&parts.join(", "))
}

/// Progress in a few words.
pub fn done(progress: &ProgressView) -> String {
    let (phase, documents) = (&progress.phase, units::count(progress.documents));
    let bytes = units::bytes(progress.bytes);
    if progress.total_bytes > 0 {
        let total = units::bytes(progress.total_bytes);
        format!("{phase}: {documents} documents, {bytes} of {total}")
    } else {
        format!("{phase}: {documents} documents, {bytes}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn the_bars_are_well_formed() {
        assert!(style(UNMEASURED).is_some() && style(MEASURED).is_some());
    }

    #[test]
    fn a_line_is_written_when_something_changes_in_kind() {
        let mut lines = Lines::new(Vec::new());
        let mut job = samples::queued();
        lines.show(&job);
        lines.show(&job);
        job.waiting_for = None;
        job.state = "running".into();
        for documents in [1_000, 2_000] {
            job.progress =
                Some(ProgressView { phase: "copy".into(), documents, bytes: documents * 1024, total_bytes: 4 << 20 });
            lines.show(&job);
        }
        let text = String::from_utf8(lines.out).expect("text");
        assert_eq!(
            text,
            "backup_20250109_020000_7k3fq2m8ab queued, no worker is alive\n\
             backup_20250109_020000_7k3fq2m8ab running, copy: 1,000 documents, 1000.0 KiB of 4.0 MiB\n"
        );
    }
}
