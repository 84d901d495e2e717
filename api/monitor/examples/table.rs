//! Prints the table of metrics for the documents: `cargo run -p lucid-monitor --example table`.

#![allow(clippy::print_stdout, reason = "what it is for")]

fn main() {
    print!("{}", lucid_monitor::table::markdown());
}
