//! Secrets: from a file or a variable, never from the command line, where every user of the machine reads them; and who else can reach
//! their files.

use crate::{
    args::{DoorArgs, MongoArgs},
    exit::Exit,
};
use lucid_ports::Problems;
use lucid_repository::exposed;
use std::{
    env::{self, VarError},
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

const LOOK_EVERY: Duration = Duration::from_mins(1);

/// The variable that holds the connection string.
pub const URI_VARIABLE: &str = "MONGODB_URI";
/// The variable that holds that of the API, where it has a user of its own.
const API_URI_VARIABLE: &str = "LUCID_API_MONGODB_URI";

/// Refuses a command line that shows a password.
///
/// # Errors
/// Where an argument is a connection string with a password in it.
pub fn check_arguments(arguments: &[String]) -> Result<(), Exit> {
    if arguments.iter().any(|argument| shows_password(argument)) {
        return Err(Exit::usage(format!(
            "a connection string with a password doesn't belong on the command line, where every user of this machine \
             can read it: put it into the variable {URI_VARIABLE}, or into a file for --mongodb-uri-file"
        )));
    }
    Ok(())
}

fn shows_password(argument: &str) -> bool {
    ["mongodb://", "mongodb+srv://"].iter().any(|scheme| {
        argument.split_once(scheme).is_some_and(|(_, rest)| {
            // A password may hold a '/', though it should not.
            let authority = rest.split('?').next().unwrap_or(rest);
            authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        })
    })
}

/// The connection string, from the file if one is named, else from the variable.
///
/// # Errors
/// Where there is none, or the file can't be read.
pub fn mongodb_uri(mongo: &MongoArgs) -> Result<String, Exit> {
    let uri = match &mongo.mongodb_uri_file {
        Some(path) => read_secret(path)?,
        None => env::var(URI_VARIABLE).map_err(|error| match error {
            VarError::NotPresent => {
                Exit::usage(format!("no connection string: set {URI_VARIABLE}, or name a file with --mongodb-uri-file"))
            }
            VarError::NotUnicode(_) => Exit::usage(format!("the variable {URI_VARIABLE} isn't UTF-8")),
        })?,
    };
    Ok(uri.trim().to_owned())
}

/// The connection string of the API: its own where it has one.
///
/// # Errors
/// Where there is none, or the file can't be read.
pub fn api_uri(door: &DoorArgs, mongo: &MongoArgs) -> Result<String, Exit> {
    let own = match &door.api_mongodb_uri_file {
        Some(path) => Some(read_secret(path)?),
        None => env::var_os(API_URI_VARIABLE)
            .filter(|uri| !uri.is_empty())
            .map(|uri| {
                uri.into_string().map_err(|_| Exit::usage(format!("the variable {API_URI_VARIABLE} isn't UTF-8")))
            })
            .transpose()?,
    };
    own.map_or_else(|| mongodb_uri(mongo), |uri| Ok(uri.trim().to_owned()))
}

/// The password that is the only line of a file.
///
/// # Errors
/// Where the file can't be read, or is empty.
pub fn password(path: &Path) -> Result<Zeroizing<String>, Exit> {
    let text = Zeroizing::new(read_secret(path)?);
    let password = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if password.is_empty() {
        return Err(Exit::usage(format!("the file {} holds no password", path.display())));
    }
    Ok(password)
}

/// The secret of a variable, or of the file that the variable with `_FILE` behind its name names; `None` where neither is set.
///
/// # Errors
/// Where both are set, or the secret is empty or can't be read.
pub fn of_variable(name: &str) -> Result<Option<Zeroizing<String>>, Exit> {
    let of_file = format!("{name}_FILE");
    match (env::var(name), env::var_os(&of_file)) {
        (Ok(_) | Err(VarError::NotUnicode(_)), Some(_)) => {
            Err(Exit::usage(format!("both {name} and {of_file} are set: one of them is enough")))
        }
        (Err(VarError::NotUnicode(_)), None) => Err(Exit::usage(format!("the variable {name} isn't UTF-8"))),
        (Ok(secret), None) if secret.is_empty() => Err(Exit::usage(format!("the variable {name} is empty"))),
        (Ok(secret), None) => Ok(Some(Zeroizing::new(secret))),
        (Err(VarError::NotPresent), Some(file)) => password(Path::new(&file)).map(Some),
        (Err(VarError::NotPresent), None) => Ok(None),
    }
}

fn read_secret(path: &Path) -> Result<String, Exit> {
    let failed = |error| Exit::usage(format!("the file {} can't be read: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    if let Some(exposed) = exposed(path, &file.metadata().map_err(failed)?) {
        tracing::warn!("{exposed}");
    }
    io::read_to_string(file).map_err(failed)
}

/// Tells of files with secrets that others can reach, as long as they can; looks again every minute.
pub async fn watch(files: Vec<PathBuf>, problems: Problems) {
    loop {
        for path in &files {
            let subject = format!("secret {}", path.display());
            match tokio::fs::metadata(path).await.ok().and_then(|about| exposed(path, &about)) {
                Some(exposed) => problems.set(&subject, exposed),
                None => drop(problems.clear(&subject)),
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_on_the_command_line_are_seen() {
        for argument in [
            "mongodb://lucid:secret@pi-1:27017/",
            "--mongodb-uri=mongodb://lucid:p%40ss@pi-1,pi-2/?replicaSet=rs0",
            "mongodb+srv://a:b@cluster",
            "mongodb://lucid:sec/ret@pi-1",
        ] {
            assert!(shows_password(argument), "{argument}");
        }
        for argument in ["mongodb://pi-1:27017,pi-2:27018/?x=a@b", "mongodb://lucid@pi-1", "backup"] {
            assert!(!shows_password(argument), "{argument}");
        }
    }
}
