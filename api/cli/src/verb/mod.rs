//! What a person types and waits for: client verbs over HTTP, and repository verbs without any service.

pub mod jobs;
pub mod repo;
pub mod request;
