//! Proof of the engine by model checking and by simulation. All of it is tests; the program has none of it.
//!
//! # The model: every interleaving, within bounds
//! `model` gives the checker (stateright) one job, three workers that may be stopped anywhere, a client and an
//! operator, over the production `decide`, `evolve` and `transition`. Time is counters, so that leases end at any
//! moment; writes arrive late, and their answers are lost. In every state that can be reached: the law's
//! invariants hold, nobody but its holder has changed the job, at most one worker's writes would be taken, an acknowledged success
//! stands, and one more worker could bring the job to its end.
//!
//! ```text
//! cargo nextest run -p lucid-sim model --no-capture                   # three claims, nine events
//! LUCID_MODEL_CLAIMS=4 LUCID_MODEL_EVENTS=11 cargo nextest run ...    # wider; minutes
//! ```
//! A failure prints the shortest path to the state that breaks a promise.
//!
//! # The simulation: whole workers, thousands of seeds
//! `simulation` runs the production worker (claims, slots, heartbeat, attempts, sweeper, settler) and scheduler on nodes that have a runtime and a
//! clock of their own, over the twin in memory. The seed decides everything: calls that fail, answers that are lost,
//! reads that are stale, feeds that break and repeat themselves, nodes that stand still beyond their lease or die at
//! any of their calls, a store's clock that jumps, handlers that fail or don't listen. Whoever plays runs for a few
//! milliseconds at a time, on one thread: the same seed is the same run, line by line.
//!
//! ```text
//! cargo nextest run -p lucid-sim simulation                                       # 2,000 seeds
//! LUCID_SIM_FROM=2000 LUCID_SIM_SEEDS=100000 cargo nextest run -p lucid-sim thousands --no-capture
//! LUCID_SIM_SEED=42 cargo nextest run -p lucid-sim replay --no-capture            # one, with its whole story
//! ```
//! A failure prints the story of its seed: the plan, then who did what when, by the store's clock, with the job's
//! version and epoch; then which promise was broken:
//!
//! | | |
//! |---|---|
//! | INV-n | the law's own, see `lucid_core::invariant`, after every write |
//! | SIM-1, SIM-2, SIM-3 | a job is stored before it changes; its stream only grows; nothing follows its end |
//! | SIM-4, SIM-5 | no lease is taken before its end; no job before it is due, both by the store's clock |
//! | SIM-6, SIM-7 | a claim is run once; a success is the work of the last claim |
//! | SIM-8 | a unique key has one open job |
//! | SIM-9, SIM-10 | an acknowledged job is there, and is at its end once the faults are over |
//! | SIM-11, SIM-12 | an acknowledged write, and a commit that a handler was told of, are in the stream |
//! | SIM-13 | where no node stands still and no clock jumps, nobody acts for a claim after the next one has begun |
//! | SIM-14 | nobody cleans up past the point of no return, unless fenced |
//! | SIM-15, SIM-16 | a new job is taken; a worker that is asked to stop does |
//! | SIM-17 | with a deaf feed and no safety poll, a job that is due is claimed within seconds |
//! | SIM-18 | no slot of a concurrency key is held by two jobs |
//! | SIM-19 | nothing panics: not even an assertion in the worker |
//! | SIM-20 | schedules go on, and an occurrence that was dealt with has its job, where none is to be left out |
//!
//! # The mutants: who watches the watchers
//! Each of `mutant`'s variants takes one safeguard away, in the wrappers here, never in the program; a test
//! each for model and simulation shows that all of them are caught.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of the tests: its output is read to the end")]

#[cfg(test)]
mod model;
#[cfg(test)]
mod mutant;
#[cfg(test)]
mod simulation;
