//! Prints who may do what in MongoDB: `cargo run -p lucid-schemas --example privileges > deploy/privileges.md`.

#![allow(clippy::print_stdout, reason = "a tool for developers")]

fn main() {
    print!("{}", lucid_schemas::roles::document());
}
