//! `lucid-ops env generate`: the files of variables that MongoDB and the services are started with, and the key of the replica set.
//!
//! Each password stands in two files: in that of its service, and in `mongodb-init.env`, from which `lucid-ops bootstrap` sets it. Invariants:
//! `mongodb-init.env` is written first and whole, and every other file is made from it, so that a run that was broken off is completed with the
//! same passwords; nothing that is there is written over unless its name was said; nothing is written before all that is there was read and fits.

mod content;
mod folder;
mod known;
mod secret;

use self::{
    content::{FILES, INIT, Settings},
    folder::Folder,
    known::{Known, User},
};
use crate::{
    args::{EnvCommand, GenerateArgs, MEMBERS, REPLICA_SET},
    exit::Exit,
    output, repositories, variables,
};
use lucid_repository::{exposed, new_key_file};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The key of the repository of backups.
const REPOSITORY_KEY: &str = "repository.key";

/// Runs the verb.
///
/// # Errors
/// Where what is there doesn't fit what was asked for, or can't be read or written.
pub fn run(command: EnvCommand) -> Result<(), Exit> {
    match command {
        EnvCommand::Generate(args) => generate(&args).and_then(|said| output::print(&said)),
        EnvCommand::Table => output::print(&variables::table()),
    }
}

/// Makes what is missing and what is to be made anew, and says what it did.
fn generate(args: &GenerateArgs) -> Result<String, Exit> {
    repositories::places(std::slice::from_ref(&args.repository))?;
    let folder = Folder::open(&args.dir)?;
    let beside = folder.path().parent().unwrap_or(Path::new("/")).join("secrets");
    let secrets = Folder::open(args.secrets_dir.as_deref().unwrap_or(&beside))?;
    let known = Known::read(&folder)?;
    let settings = settings(args, &known)?;
    let passwords = known.passwords(&args.replace)?;
    let mut said = Said::default();
    let key = format!("{}.key", settings.replica_set);
    said.write(&secrets, &key, 0o400, false, "the key by which the members know each other", secret::replica_key)?;
    let of_backups = "the key of the repository: keep a copy in another place, since without it no backup can be read";
    said.write(&secrets, REPOSITORY_KEY, 0o400, false, of_backups, || new_key_file().map_err(Exit::failed))?;
    // First: the other files are made from what it holds.
    let init = known.init(&settings, &passwords)?;
    let replaced = !args.replace.is_empty() && !known.says(INIT, &init);
    said.write(&folder, INIT, 0o600, replaced, content::purpose(INIT), || Ok(init))?;
    for file in FILES.iter().filter(|file| file.name != INIT) {
        let replace = args.replace.iter().any(|name| name == file.name);
        let text = || match known.anew(file.name, &passwords)? {
            Some(anew) => Ok(anew),
            None => content::text(file, &settings, &|user: User| passwords.of(user)),
        };
        said.write(&folder, file.name, 0o600, replace, file.purpose, text)?;
    }
    Ok(said.text)
}

/// What was asked for, where it fits what the files say that are there.
fn settings(args: &GenerateArgs, known: &Known) -> Result<Settings, Exit> {
    let choose = |what: &str, asked: Option<String>, known: Option<&str>, new: &str| match (asked, known) {
        (Some(asked), Some(known)) if asked != known => Err(Exit::usage(format!(
            "the files in {} were made for {what} {known}, not for {asked}: change them by hand, or name another folder with --dir",
            args.dir.display()
        ))),
        (asked, known) => Ok(asked.or(known.map(str::to_owned)).unwrap_or_else(|| new.to_owned())),
    };
    let asked = (!args.members.is_empty()).then(|| args.members.join(","));
    let members = choose("the members", asked, known.value(content::MEMBERS), MEMBERS)?;
    let replica_set = choose("the replica set", args.replica_set.clone(), known.value(content::SET), REPLICA_SET)?;
    content::check_members(&members)?;
    content::check_set(&replica_set)?;
    Ok(Settings { members, replica_set, repository: args.repository.clone() })
}

/// What is told of each file: where it is, and what it is for; never what is in it.
#[derive(Default)]
struct Said {
    text: String,
}

impl Said {
    /// Writes the file where there is none, or where it is to be made anew.
    fn write(
        &mut self,
        folder: &Folder,
        name: &str,
        mode: u32,
        replace: bool,
        purpose: &str,
        text: impl FnOnce() -> Result<Zeroizing<String>, Exit>,
    ) -> Result<(), Exit> {
        let place: PathBuf = folder.path().join(name);
        let was_there = folder.has(name);
        if was_there && !replace {
            let open = place.metadata().ok().and_then(|about| exposed(&place, &about));
            self.line("kept", &place, &open.unwrap_or_else(|| purpose.to_owned()));
            return Ok(());
        }
        folder.write(name, mode, &text()?)?;
        self.line(if was_there { "made anew" } else { "made" }, &place, purpose);
        Ok(())
    }

    fn line(&mut self, done: &str, place: &Path, about: &str) {
        let _ = writeln!(self.text, "{done:<9}  {}: {about}", place.display());
    }
}

/// All that is made where nobody names another replica set.
#[cfg(test)]
pub fn names() -> Vec<String> {
    let keys = [format!("{REPLICA_SET}.key"), REPOSITORY_KEY.to_owned()];
    FILES.iter().map(|file| file.name.to_owned()).chain(keys).collect()
}

#[cfg(test)]
mod tests;
