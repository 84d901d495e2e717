//! Prints the state pictures of jobs and of alerts: `cargo run -p lucid-core --example picture`.

#![allow(clippy::print_stdout, reason = "a tool for developers")]

fn main() {
    print!("{}\n{}", lucid_core::table::picture(), lucid_core::alert::table::picture());
}
