//! The roles as a document for people.

use super::{Need, Places, Service, grants, needs};
use crate::Kind;
use std::fmt::Write;

const HEAD: &str = "\
# Who may do what in MongoDB

This file is made of the roles in schemas/src/roles.rs: `cargo run -p lucid-schemas --example privileges > deploy/privileges.md`.

`lucid-ops bootstrap` makes a user for each service, in the database `admin`, by SCRAM-SHA-256, with one role of its own.
`lucid-ops doctor --as SERVICE`, with the connection string of that service, names each right that its user lacks, or has too many.

| service | user | role | password from |
|---|---|---|---|
";

const REMAINS: &str = "
## What remains

- MongoDB can't let a user append to a document and not change it: whoever may write `ops` (the API, workers, the monitor) can write
  false events into it, also of jobs that have ended. The API can't take documents away: it may not remove, drop or rename, nor make an index or change a
  collection so that the server removes them. A change stream, or the oplog of another member, shows what was written when.
- The worker of backups reads every database, the engine's own among them. It writes nothing but the engine's.
- The worker of restores writes every database, the engine's own among them (tokens of the API, too), as the names of databases to be restored, and of
  scratch databases, aren't known before. It can't make or change users and roles: the built-in role `restore` could, so it is never given. Where
  nothing is to be restored by a job, let no such worker run: `lucid-ops repo restore` takes any connection string.
- The API lists the names of collections in every database, and reads no document outside the engine's own. In that it reads everything: a look at
  documents together with the server's clock wants `find` on the whole database.
- Where a later program needs other definitions in the engine's database, `lucid-ops bootstrap` or a worker makes them; API and monitor go on, and
  tell what is missing.
";

/// deploy/privileges.md.
pub fn document() -> String {
    let places = Places::default();
    let mut text = HEAD.to_owned();
    // Writing to a string doesn't fail.
    for service in Service::ALL {
        let (user, role, variable) = (service.user(), service.role(), service.password_variable());
        let _ = writeln!(text, "| {} | `{user}` | `{role}` | `{variable}`, `{variable}_FILE` |", service.as_str());
    }
    for service in Service::ALL {
        let _ = writeln!(text, "\n## `{}`\n\n| on | actions | what for |\n|---|---|---|", service.role());
        let all = grants(service, &places);
        for need in Need::ALL {
            for grant in all.iter().filter(|grant| grant.need == need) {
                let (resource, actions) = (grant.resource.describe(), grant.actions.join(", "));
                let _ = writeln!(text, "| {resource} | {actions} | {} |", need.as_str());
            }
        }
    }
    text.push_str(
        "\n## What jobs need\n\nBeside what every service needs of the server and of the engine's collections:\n\n",
    );
    text.push_str("| job | needs | runs as |\n|---|---|---|\n");
    for kind in Kind::ALL {
        let _ = writeln!(text, "| {kind} | {} | {} |", told(needs(kind)), runs_as(kind));
    }
    let _ =
        writeln!(text, "| verify at level drill | {} | `{}` |", told(needs(Kind::Restore)), Service::Restore.user());
    text.push_str(REMAINS);
    text
}

fn told(needs: &[Need]) -> String {
    let words: Vec<&str> = needs.iter().map(|need| need.as_str()).collect();
    if words.is_empty() { "nothing more".into() } else { words.join(", ") }
}

/// Users whose role has what jobs of a kind need.
fn runs_as(kind: Kind) -> String {
    let fit = |service: &Service| {
        let has: Vec<Need> = grants(*service, &Places::default()).iter().map(|grant| grant.need).collect();
        needs(kind).iter().all(|need| has.contains(need))
    };
    let workers: &[Service] =
        if kind.is_internal() { &[Service::Monitor] } else { &[Service::Worker, Service::Restore] };
    let users: Vec<String> =
        workers.iter().copied().filter(fit).map(|service| format!("`{}`", service.user())).collect();
    users.join(" or ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_table_is_that_of_the_roles() {
        assert_eq!(
            super::document(),
            include_str!("../../../deploy/privileges.md"),
            "outdated: `cargo run -p lucid-schemas --example privileges > deploy/privileges.md`"
        );
    }
}
