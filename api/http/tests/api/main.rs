//! The API over the twin in memory: what it answers, and what it leaves unchanged.

mod asking;
mod bad_fields;
mod changing;
mod end_to_end;
mod errors;
mod health;
mod matrix;
mod revoked;
mod rights;
mod schedules;
mod scope;
mod served;
mod showing;
mod slow;
mod store;
mod streams;
mod whole;
mod world;
