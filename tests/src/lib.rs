//! Nothing: the judge is its one test binary, `main.rs`; beside it stands the bench.
