//! The file with the token of API and monitor: the services make it, the verbs find it.
//!
//! Invariants: a service only ever uses a secret that it made itself, or that its own account did, in a file that nobody else could read
//! or exchange; a verb sends nothing but a token, and unasked only to this machine.

use crate::{exit::Exit, output};
use lucid_client::Client;
use lucid_embedded::trusted_folder;
use lucid_http::{
    Token,
    secret::{Presented, SECRET_BYTES, TOKEN_PREFIX as PREFIX},
};
use lucid_ports::Problems;
use lucid_repository::exposed;
use nix::{
    fcntl::OFlag,
    unistd::{Uid, geteuid},
};
use serde::Deserialize;
use std::{
    env, fmt,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The variable that holds a token.
const VARIABLE: &str = "LUCID_TOKEN";
/// More than any token has.
const TOKEN_BYTES_MAX: usize = 200;
const NONE: &str = "it holds no token";
const SYSTEM_PLACE: &str = "/run/lucid-ops/token";
/// The permission bits of everyone but the owner.
const OTHERS: u32 = 0o077;

type Secret = Zeroizing<String>;

/// The token of a service: the one of its last start where it is sound, else a new one.
///
/// # Errors
/// Where the file can't be made, or can't be trusted.
pub fn keep(place: &Path) -> Result<Token, Exit> {
    let refused = |problem: &dyn fmt::Display| {
        let place = place.display();
        Exit::failed(format!(
            "the token of the API can't be kept in {place}: {problem}; name another file with --token-file"
        ))
    };
    let place = folder(place).map_err(|problem| refused(&problem))?;
    loop {
        match File::options().read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(&place) {
            Ok(file) => return own(&file).map(|secret| Token::new(secret, place)).map_err(|problem| refused(&problem)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(refused(&error)),
        }
        match make(&place) {
            Ok(()) => {}
            // Another API of this account was faster: the token is common to both.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&error)),
        }
    }
}

/// The same for a service that goes on without: nobody can change anything through it then, and its problems say why.
pub fn keep_or_go_without(place: &Path, problems: &Problems) -> Token {
    keep(place).unwrap_or_else(|exit| {
        let problem = format!("{exit}; until it is started again, nothing can be changed through this service");
        tracing::warn!("{problem}");
        problems.set("token", problem);
        Token::new(Zeroizing::default(), place.to_owned())
    })
}

/// Where a service keeps it, and verbs look for it, unless told otherwise.
pub fn place(asked: Option<&Path>) -> PathBuf {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    match (asked, runtime) {
        (Some(asked), _) => asked.to_owned(),
        (None, Some(runtime)) if !geteuid().is_root() => runtime.join("lucid-ops/token"),
        (None, _) => SYSTEM_PLACE.into(),
    }
}

/// The client of a verb, which trusts the certificates of a file where one is named, with the token where one can be found.
///
/// # Errors
/// Where a file that was named holds none.
pub fn client(client: Client, named: Option<&Path>, roots: Option<&Path>) -> Result<Client, Exit> {
    let client = match roots {
        None => client,
        Some(file) => {
            let refused = |problem: &dyn fmt::Display| Exit::usage(format!("{}: {problem}", file.display()));
            let pem = fs::read(file).map_err(|error| refused(&error))?;
            client.with_roots(&pem).map_err(|error| refused(&error))?
        }
    };
    let secret =
        match named {
            // An empty variable names none.
            Some(file) if !file.as_os_str().is_empty() => Some(read(file).map_err(|problem| {
                Exit::usage(format!("the token can't be read from {}: {problem}", file.display()))
            })?),
            Some(_) | None => env::var(VARIABLE).ok().filter(|token| !token.is_empty()).map(Zeroizing::new),
        };
    if let Some(secret) = secret {
        return client.with_token(secret.trim()).map_err(Exit::usage);
    }
    match if client.is_on_this_machine() { find(client.url()) } else { None } {
        Some(secret) => client.with_found_token(secret.trim()).map_err(Exit::usage),
        None => Ok(client),
    }
}

/// The token of the service at this address, where it is in one of the usual places and this account may read it.
fn find(url: &str) -> Option<Secret> {
    #[derive(Deserialize)]
    struct Card {
        api_url: Option<String>,
        monitor_url: Option<String>,
    }
    let dev = Path::new(crate::args::DEV_DIR);
    let card = fs::read(dev.join("dev.json")).ok().and_then(|bytes| serde_json::from_slice::<Card>(&bytes).ok());
    let is_there = |card: Card| [card.api_url, card.monitor_url].iter().flatten().any(|there| there == url);
    let of_dev = card.is_some_and(is_there).then(|| dev.join("token"));
    let places = of_dev.into_iter().chain([place(None), SYSTEM_PLACE.into()]);
    places.into_iter().find_map(|place| read(&place).ok())
}

/// The file's place by its real name, in a folder that nobody else can exchange it in; made where there is none.
fn folder(place: &Path) -> Result<PathBuf, String> {
    let name = place.file_name().ok_or("it names no file")?;
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    trusted_folder(folder).map(|folder| folder.join(name)).map_err(|error| error.to_string())
}

/// The secret of a file that nobody else can have read or written.
fn own(file: &File) -> Result<Secret, String> {
    let again = "remove it, and a new one is made";
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is there, and isn't a file".into());
    }
    let uid = Uid::from_raw(about.uid());
    if uid != geteuid() {
        return Err(format!("it belongs to user {uid}, who knows what it holds: {again}"));
    }
    if about.mode() & OTHERS != 0 {
        return Err(format!("others can read it (mode {:04o}): {again}", about.mode() & 0o7777));
    }
    let secret = secret(file).and_then(|secret| if is_own(&secret) { Ok(secret) } else { Err(NONE.into()) });
    secret.map_err(|problem| format!("{problem}: {again}"))
}

fn read(path: &Path) -> Result<Secret, String> {
    let told = |error: io::Error| error.to_string();
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(told)?;
    let secret = secret(&file)?;
    if let Some(exposed) = exposed(path, &file.metadata().map_err(told)?) {
        output::say(exposed);
    }
    Ok(secret)
}

fn secret(file: &File) -> Result<Secret, String> {
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_BYTES_MAX));
    file.take(TOKEN_BYTES_MAX as u64).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let is_one = is_own(text.trim_end()) || Presented::read(text.trim_end().as_bytes()).is_some();
    if is_one { Ok(Zeroizing::new(text.trim_end().to_owned())) } else { Err(NONE.into()) }
}

/// Whether this is a token that a service has made for its file, and none of the store.
fn is_own(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX);
    digits.is_some_and(|digits| digits.len() == 2 * SECRET_BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whole, durable, and never readable by others; `AlreadyExists` where somebody was faster.
fn make(place: &Path) -> io::Result<()> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut()).map_err(io::Error::other)?;
    let folder = place.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o600)).tempfile_in(folder)?;
    file.write_all(PREFIX.as_bytes())?;
    for byte in bytes.iter() {
        write!(file, "{byte:02x}")?;
    }
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist_noclobber(place).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
