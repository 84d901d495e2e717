//! Prints the table of metrics for the documents: `cargo run -p lucid-monitor --example table`; with `-- compat` the one of other names.

#![allow(clippy::print_stdout, reason = "what it is for")]

use lucid_monitor::table::{compat_markdown, markdown};

fn main() {
    let is_compat = std::env::args().nth(1).is_some_and(|word| word == "compat");
    print!("{}", if is_compat { compat_markdown() } else { markdown() });
}
