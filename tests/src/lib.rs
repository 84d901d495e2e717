//! Nothing: the judge is its one test binary, `main.rs`.
