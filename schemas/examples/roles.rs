//! Prints the roles as deploy/mongodb-init.js holds them: `cargo run -p lucid-schemas --example roles`.

#![allow(clippy::print_stdout, reason = "a tool for developers")]

fn main() {
    print!("{}", lucid_schemas::roles::script());
}
