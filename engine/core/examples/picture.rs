//! Prints the state picture: `cargo run -p lucid-core --example picture`.

#![allow(clippy::print_stdout, reason = "a tool for developers")]

fn main() {
    print!("{}", lucid_core::table::picture());
}
