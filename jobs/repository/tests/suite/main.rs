//! What a repository promises, from outside: on a folder, and where it matters on a real S3 server.

mod backup;
mod caching;
mod copy;
mod damage;
mod deltas;
mod identity;
mod looking;
mod opening;
mod ownership;
mod prune;
mod s3;
mod support;
mod trouble;

/// Where the suite runs that runs in both places.
const PLACE: support::Place = support::Place::Folder;
