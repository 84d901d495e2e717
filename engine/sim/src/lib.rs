//! Proof of the engine.

#[cfg(test)]
mod simulation;
