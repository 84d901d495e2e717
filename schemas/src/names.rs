//! Which database and collection names are acceptable, and why not.
//!
//! A name reaches server commands and error texts, never a path: repositories name objects by hashes.

/// The engine's own database unless configured otherwise.
pub const DEFAULT_OPS_DATABASE: &str = "lucid_ops";

/// Prefix of the staging collections of a restore; never part of a backup.
pub const STAGING_PREFIX: &str = "__lucid_staging_";

/// Prefix of the scratch databases of drills and of what restores try before they swap; out of bounds for everything else.
pub const DRILL_PREFIX: &str = "__lucid_drill_";

/// Databases that belong to the server.
pub const SERVER_DATABASES: [&str; 3] = ["admin", "local", "config"];

const DATABASE_BYTES_MAX: usize = 63;
const NAMESPACE_BYTES_MAX: usize = 255;

/// Checks a database name by the server's rules.
///
/// # Errors
/// One sentence that says what is wrong with the name.
pub fn check_database(name: &str) -> Result<(), String> {
    const FORBIDDEN: [char; 10] = ['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':'];
    if name.is_empty() {
        return Err("must not be empty".into());
    }
    if name.len() > DATABASE_BYTES_MAX {
        return Err(format!("is {} bytes long; a database name has at most {DATABASE_BYTES_MAX}", name.len()));
    }
    if let Some(bad) = name.chars().find(|c| FORBIDDEN.contains(c) || matches!(c, '|' | '?') || c.is_control()) {
        return Err(format!("must not contain {bad:?}"));
    }
    Ok(())
}

/// Checks a database that jobs may read or write: not the server's, not the engine's own.
///
/// # Errors
/// One sentence that says why the database is out of bounds.
pub fn check_user_database(name: &str, ops_database: &str) -> Result<(), String> {
    check_database(name)?;
    if SERVER_DATABASES.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(format!("'{name}' belongs to the server itself"));
    }
    if name.get(..DRILL_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(DRILL_PREFIX)) {
        return Err(format!("must not start with '{DRILL_PREFIX}', which marks the scratch databases of drills"));
    }
    // The server refuses names that differ in case only, so this one can't exist beside ours.
    if name.eq_ignore_ascii_case(ops_database) {
        return Err(format!("'{name}' holds the job history of Lucid Ops itself"));
    }
    Ok(())
}

/// Checks a collection name inside `database`.
///
/// # Errors
/// One sentence that says what is wrong with the name.
pub fn check_collection(database: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".into());
    }
    if name.contains('\0') {
        return Err("must not contain a NUL character".into());
    }
    if name.contains('$') {
        return Err("must not contain '$'".into());
    }
    if name.starts_with("system.") {
        return Err("must not start with 'system.'".into());
    }
    if name.starts_with(STAGING_PREFIX) {
        return Err(format!("must not start with '{STAGING_PREFIX}', which marks unfinished restores"));
    }
    if name.starts_with('.') || name.ends_with('.') {
        return Err("must not start or end with '.'".into());
    }
    let namespace_bytes = database.len() + 1 + name.len();
    if namespace_bytes > NAMESPACE_BYTES_MAX {
        return Err(format!(
            "makes a namespace of {namespace_bytes} bytes; the server takes at most {NAMESPACE_BYTES_MAX}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_database_names_are_refused() {
        for name in ["", "../x", "a$b", "a\0b", "a b", "a.b", "a\\b", "a\"b", &"x".repeat(300)] {
            assert!(check_database(name).is_err(), "{name:?}");
        }
        for name in ["lucid", "Lucid-2", "données"] {
            assert_eq!(check_database(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn own_and_server_databases_are_out_of_bounds_in_any_case() {
        for name in ["admin", "ADMIN", "local", "config", "lucid_ops", "Lucid_Ops", "__lucid_drill_x", "__LUCID_drill_"]
        {
            assert!(check_user_database(name, "lucid_ops").is_err(), "{name}");
        }
    }

    #[test]
    fn hostile_collection_names_are_refused() {
        for name in ["", "a$b", "a\0b", "system.views", ".x", "x.", &"x".repeat(300)] {
            assert!(check_collection("db", name).is_err(), "{name:?}");
        }
        for name in ["sessions", "fs.chunks", "with space"] {
            assert_eq!(check_collection("db", name), Ok(()), "{name:?}");
        }
    }
}
