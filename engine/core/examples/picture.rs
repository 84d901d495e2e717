//! Prints the state picture: `cargo run -p lucid-core --example picture`.

fn main() {
    print!("{}", lucid_core::table::picture());
}
