//! Proof of the engine.

#[cfg(test)]
mod model;
#[cfg(test)]
mod mutant;
#[cfg(test)]
mod simulation;
