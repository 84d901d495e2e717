//! What the files say that are there.

use super::{
    content::{FILES, INIT, Settings, URI_OF, text},
    folder::Folder,
    secret::{self, escaped},
};
use crate::exit::Exit;
use std::{collections::BTreeMap, path::PathBuf};
use zeroize::Zeroizing;

/// Who logs in to MongoDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// Whom `lucid-ops bootstrap` works as.
    Administrator,
    /// The API.
    Api,
    /// Workers that read: backups, verifications, copies, prunes.
    Worker,
    /// Workers that restore.
    Restore,
    /// The monitor.
    Monitor,
    /// Changes of schemas.
    Migration,
}

impl User {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Administrator, Self::Api, Self::Worker, Self::Restore, Self::Monitor, Self::Migration];

    /// The name in MongoDB.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Administrator => "lucid",
            Self::Api => "lucid_api",
            Self::Worker => "lucid_worker",
            Self::Restore => "lucid_restore",
            Self::Monitor => "lucid_monitor",
            Self::Migration => "lucid_migration",
        }
    }

    /// The variable of `mongodb-init.env` that holds the password.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Administrator => "MONGO_INITDB_ROOT_PASSWORD",
            Self::Api => "LUCID_API_PASSWORD",
            Self::Worker => "LUCID_WORKER_PASSWORD",
            Self::Restore => "LUCID_RESTORE_PASSWORD",
            Self::Monitor => "LUCID_MONITOR_PASSWORD",
            Self::Migration => "LUCID_MIGRATION_PASSWORD",
        }
    }
}

/// The passwords that the files to be written are made from.
pub struct Passwords(BTreeMap<User, Zeroizing<String>>);

impl Passwords {
    /// That of a user.
    ///
    /// # Errors
    /// Where `mongodb-init.env` doesn't hold it.
    pub fn of(&self, user: User) -> Result<&str, Exit> {
        self.0.get(&user).map(|password| password.as_str()).ok_or_else(|| {
            let variable = user.variable();
            Exit::usage(format!(
                "{INIT} has no {variable}, so no file can be made for '{}': add a line '{variable}=...' with the password that MongoDB \
                 knows, or with a new one",
                user.name()
            ))
        })
    }
}

/// The texts of the files that are there.
pub struct Known {
    folder: PathBuf,
    texts: BTreeMap<&'static str, Zeroizing<String>>,
}

impl Known {
    /// Reads them.
    ///
    /// # Errors
    /// Where one can't be read.
    pub fn read(folder: &Folder) -> Result<Self, Exit> {
        let mut texts = BTreeMap::new();
        for file in &FILES {
            if let Some(text) = folder.read(file.name)? {
                texts.insert(file.name, text);
            }
        }
        Ok(Self { folder: folder.path().to_owned(), texts })
    }

    /// Whether this file is there and says this.
    pub fn says(&self, name: &str, text: &str) -> bool {
        self.texts.get(name).is_some_and(|there| there.as_str() == text)
    }

    /// What `mongodb-init.env` says of a variable.
    pub fn value(&self, variable: &str) -> Option<&str> {
        value(self.texts.get(INIT)?, variable)
    }

    /// The passwords: those of `mongodb-init.env`, but new ones for the users of files that are made anew, and for all where nothing is there.
    ///
    /// # Errors
    /// Where `mongodb-init.env` is gone and others aren't, or they hold other passwords than it.
    pub fn passwords(&self, replace: &[String]) -> Result<Passwords, Exit> {
        let Some(init) = self.texts.get(INIT) else {
            return self
                .nothing_is_there()
                .and_then(|()| User::ALL.into_iter().map(new).collect::<Result<_, _>>().map(Passwords));
        };
        let mut passwords = BTreeMap::new();
        for user in User::ALL {
            let anew = |(file, of, _): &&(&str, User, &str)| *of == user && replace.iter().any(|name| name == file);
            if URI_OF.iter().find(anew).is_some() {
                passwords.extend([new(user)?]);
            } else if let Some(password) = value(init, user.variable()).filter(|password| !password.is_empty()) {
                passwords.insert(user, Zeroizing::new(password.to_owned()));
            }
        }
        let passwords = Passwords(passwords);
        self.check(&passwords, replace).map(|()| passwords)
    }

    /// The other files are of no use without the administrator's password, and their own can't be set without it.
    fn nothing_is_there(&self) -> Result<(), Exit> {
        let Some((name, _)) = self.texts.iter().find(|(name, _)| URI_OF.iter().any(|(file, ..)| file == *name)) else {
            return Ok(());
        };
        Err(Exit::usage(format!(
            "{}/{name} is there, but {INIT} isn't, which alone holds the administrator's password: put it back, or, to begin anew with a set \
             that was never started, remove the other files",
            self.folder.display()
        )))
    }

    /// Files that stay must hold the passwords that `bootstrap` sets.
    fn check(&self, passwords: &Passwords, replace: &[String]) -> Result<(), Exit> {
        for (file, user, variable) in URI_OF {
            let stays = !replace.iter().any(|name| name == file);
            let Some(uri) = self.texts.get(file).filter(|_| stays).and_then(|text| value(text, variable)) else {
                continue;
            };
            let Some(password) = passwords.0.get(&user) else { continue };
            let login = Zeroizing::new(format!("://{}:{}@", user.name(), &*escaped(password)));
            if !uri.contains(login.as_str()) {
                return Err(Exit::usage(format!(
                    "{}/{file}: {variable} doesn't hold the user {} with the password that {INIT} holds as {}: make them agree, or say \
                     `--replace {file}`, which makes a new one for both",
                    self.folder.display(),
                    user.name(),
                    user.variable()
                )));
            }
        }
        Ok(())
    }

    /// A file as it is, but for the passwords in its connection strings; `None` where it isn't there, or lacks one of them.
    ///
    /// # Errors
    /// Where a password isn't known.
    pub fn anew(&self, name: &str, passwords: &Passwords) -> Result<Option<Zeroizing<String>>, Exit> {
        let logins = URI_OF.iter().filter(|(file, ..)| *file == name).map(|(_, user, variable)| (*user, *variable));
        let logins: Vec<(User, &str)> = logins.collect();
        let Some(there) = self.texts.get(name).filter(|_| !logins.is_empty()) else { return Ok(None) };
        let mut anew = Zeroizing::new(String::with_capacity(2 * there.len() + 1_024));
        let mut set = 0;
        for line in there.lines() {
            let of_user =
                |(_, variable): &&(User, &str)| line.strip_prefix(variable).is_some_and(|it| it.starts_with('='));
            match (logins.iter().find(of_user), line.split_once("://"), line.rsplit_once('@')) {
                (Some((user, _)), Some((scheme, _)), Some((_, rest))) => {
                    let password = escaped(passwords.of(*user)?);
                    anew.extend([scheme, "://", user.name(), ":", password.as_str(), "@", rest]);
                    set += 1;
                }
                (Some(_), ..) => return Ok(None),
                (None, ..) => anew.push_str(line),
            }
            anew.push('\n');
        }
        Ok((set == logins.len()).then_some(anew))
    }

    /// `mongodb-init.env` with these passwords: as it is but for them, or new.
    ///
    /// # Errors
    /// Never where it is new.
    pub fn init(&self, settings: &Settings, passwords: &Passwords) -> Result<Zeroizing<String>, Exit> {
        let Some(there) = self.texts.get(INIT) else {
            let file = FILES.iter().find(|file| file.name == INIT).ok_or_else(|| Exit::failed(INIT))?;
            return text(file, settings, &|user| passwords.of(user));
        };
        let mut init = Zeroizing::new(String::with_capacity(2 * there.len() + 1_024));
        let sets = |line: &str, user: &User| line.split_once('=').is_some_and(|(name, _)| name == user.variable());
        let new = passwords.0.iter().filter(|(user, _)| value(there, user.variable()).is_none());
        let lines = there.lines().map(|line| match passwords.0.iter().find(|(user, _)| sets(line, user)) {
            Some((user, password)) => (user.variable(), "=", password.as_str()),
            None => (line, "", ""),
        });
        for (name, is, value) in lines.chain(new.map(|(user, password)| (user.variable(), "=", password.as_str()))) {
            init.extend([name, is, value, "\n"]);
        }
        Ok(init)
    }
}

fn new(user: User) -> Result<(User, Zeroizing<String>), Exit> {
    secret::password().map(|password| (user, password))
}

/// The value of a variable in a file of variables: what comes last, as all readers of such files take it.
fn value<'a>(text: &'a str, variable: &str) -> Option<&'a str> {
    let named = |line: &'a str| line.split_once('=').filter(|(name, _)| *name == variable);
    text.lines().rev().find_map(named).map(|(_, value)| value.trim())
}
