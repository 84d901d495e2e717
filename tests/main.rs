//! The judge: everything that is judged on real parts, one chapter a file. One test binary, linked once.

mod floors;
mod motor;
mod shape;
mod support;
