//! The administrator, the roles and the users of services.

use super::{
    BootstrapError, Did, Password, Result, Work,
    reach::{Failed, run},
};
use bson::{Bson, Document, doc};
use lucid_schemas::roles::{Privileges, Resource, Service, privileges, to_documents};
use mongodb::Client;

const UNAUTHORIZED: i32 = 13;
/// Another bootstrap was faster.
const IS_THERE: [i32; 2] = [51_002, 51_003];
const MECHANISM: &str = "SCRAM-SHA-256";

fn majority() -> Document {
    doc! { "w": "majority", "wtimeout": 10_000 }
}

impl Work {
    /// The administrator: he logs in, or is made by whoever reaches the first primary over loopback before there is any user.
    pub(super) async fn administrator(&mut self, mut primary: String) -> Result<()> {
        let user = self.plan.administrator.clone();
        loop {
            let login = self.reach.direct(&primary, Some((&user, &self.plan.password))).await?;
            let waits = match run(&login, doc! { "ping": 1 }).await {
                Ok(_) => {
                    self.did(Did::Found, format!("administrator {user}"));
                    return Ok(());
                }
                Err(Failed::Login(_)) => match self.make_administrator(&user, &primary).await? {
                    Made::Yes => {
                        self.did(Did::Made, format!("administrator {user}"));
                        return Ok(());
                    }
                    Made::Changed => {
                        self.did(Did::Changed, format!("password of the administrator {user}"));
                        return Ok(());
                    }
                    Made::Waits(waits) => waits,
                },
                Err(failed) => format!("{primary} can't be logged in to: {}", failed.reason()),
            };
            self.wait(waits).await?;
            primary = self.begin_set().await?.0;
        }
    }

    async fn make_administrator(&self, user: &str, primary: &str) -> Result<Made> {
        let refused = || BootstrapError::Administrator { user: user.to_owned(), member: primary.to_owned() };
        if let Some(former) = &self.plan.former {
            let client = self.reach.direct(primary, Some((user, former))).await?;
            let change = doc! { "updateUser": user, "pwd": &self.plan.password.0, "writeConcern": majority() };
            match run(&client, change).await {
                Ok(_) => return Ok(Made::Changed),
                Err(Failed::Login(_)) => {}
                Err(failed) => return Ok(Made::Waits(format!("the administrator's password: {}", failed.reason()))),
            }
        }
        let near = self.reach.near(primary).await?;
        let client = self.reach.direct(near.as_deref().unwrap_or(primary), None).await?;
        let make = doc! {
            "createUser": user,
            "pwd": &self.plan.password.0,
            "roles": [{ "role": "root", "db": "admin" }],
            "mechanisms": [MECHANISM],
            "writeConcern": majority(),
        };
        match run(&client, make).await {
            Ok(_) => Ok(Made::Yes),
            // There is a user, so he may have been made a moment ago: he is tried once more.
            Err(Failed::Refused(code, _)) if code == UNAUTHORIZED || IS_THERE.contains(&code) => {
                let login = self.reach.direct(primary, Some((user, &self.plan.password))).await?;
                match run(&login, doc! { "ping": 1 }).await {
                    Err(Failed::Login(_)) => Err(refused()),
                    Ok(_) | Err(_) => Ok(Made::Waits("another bootstrap makes the administrator".into())),
                }
            }
            Err(failed) => Ok(Made::Waits(format!("the administrator can't be made: {}", failed.reason()))),
        }
    }

    /// The roles of all services.
    pub(super) async fn roles(&mut self, set: &Client) -> Result<()> {
        for service in Service::ALL {
            let (role, wanted) = (service.role(), privileges(service, &self.plan.places));
            let asked = doc! { "rolesInfo": role, "showPrivileges": true };
            let command = |found: Option<Document>| {
                let verb = match &found {
                    Some(found) if read(found).as_ref() == Some(&wanted) && has_no_roles(found) => return None,
                    Some(_) => "updateRole",
                    None => "createRole",
                };
                let empty: Vec<Bson> = Vec::new();
                Some(
                    doc! { verb: role, "privileges": to_documents(&wanted), "roles": empty, "writeConcern": majority() },
                )
            };
            let did = self.keep(set, (asked, "roles"), command).await?;
            self.did(did, format!("role {role}"));
        }
        Ok(())
    }

    /// The users of services, each with the role of its service and no other, and with the password that was told.
    pub(super) async fn users(&mut self, set: &Client) -> Result<()> {
        for (service, password) in self.plan.services.clone() {
            let (user, role) = (service.user(), service.role());
            let knows = self.knows(user, &password).await?;
            let roles = vec![doc! { "role": role, "db": "admin" }];
            let command = |found: Option<Document>| {
                let verb = match &found {
                    Some(found) if knows && is_role(found, role) => return None,
                    Some(_) => "updateUser",
                    None => "createUser",
                };
                let pwd = &password.0;
                Some(doc! {
                    verb: user, "pwd": pwd, "roles": &roles, "mechanisms": [MECHANISM], "writeConcern": majority(),
                })
            };
            let did = self.keep(set, (doc! { "usersInfo": user }, "users"), command).await?;
            self.did(did, format!("user {user}"));
        }
        Ok(())
    }

    /// Whether a user logs in with this password.
    async fn knows(&mut self, user: &str, password: &Password) -> Result<bool> {
        loop {
            let waits = match self.primary_as((user, password)).await? {
                Some(primary) => match run(&primary, doc! { "ping": 1 }).await {
                    Ok(_) => return Ok(true),
                    Err(Failed::Login(_)) => return Ok(false),
                    Err(failed) => failed.reason(),
                },
                None => "there is no primary".into(),
            };
            self.wait(format!("the password of {user} can't be tried: {waits}")).await?;
        }
    }

    /// Asks for what is there, and makes or changes it until it needs no command any more.
    async fn keep(
        &mut self,
        set: &Client,
        (asked, field): (Document, &str),
        command: impl Fn(Option<Document>) -> Option<Document>,
    ) -> Result<Did> {
        loop {
            let doing = || asked.keys().next().cloned().unwrap_or_default();
            let waits = match run(set, asked.clone()).await {
                Ok(answer) => {
                    let found = answer.get_array(field).ok().and_then(|found| found.first()?.as_document().cloned());
                    let did = if found.is_some() { Did::Changed } else { Did::Made };
                    let Some(command) = command(found) else { return Ok(Did::Found) };
                    match run(set, command).await {
                        Ok(_) => return Ok(did),
                        Err(Failed::Refused(code, reason)) if !IS_THERE.contains(&code) && !is_passing(code) => {
                            return Err(BootstrapError::Refused { doing: doing(), reason });
                        }
                        Err(failed) => failed.reason(),
                    }
                }
                Err(Failed::Refused(UNAUTHORIZED, reason)) => {
                    return Err(BootstrapError::Refused { doing: doing(), reason });
                }
                Err(failed) => failed.reason(),
            };
            self.wait(format!("{}: {waits}", doing())).await?;
        }
    }
}

fn is_passing(code: i32) -> bool {
    crate::error::is_passing_code(code)
}

enum Made {
    Yes,
    Changed,
    Waits(String),
}

/// The privileges of a role as told; `None` where it holds one that no role here has.
fn read(role: &Document) -> Option<Privileges> {
    let mut all = Privileges::new();
    for told in role.get_array("privileges").ok()?.iter().filter_map(Bson::as_document) {
        let resource = Resource::read(told.get_document("resource").ok()?)?;
        let actions = told.get_array("actions").ok()?.iter().filter_map(Bson::as_str).map(str::to_owned);
        all.entry(resource).or_default().extend(actions);
    }
    Some(all)
}

fn has_no_roles(role: &Document) -> bool {
    role.get_array("roles").is_ok_and(Vec::is_empty)
}

/// Whether a user has this role and no other.
fn is_role(user: &Document, role: &str) -> bool {
    let Ok(roles) = user.get_array("roles") else { return false };
    let names: Vec<&str> =
        roles.iter().filter_map(Bson::as_document).filter_map(|role| role.get_str("role").ok()).collect();
    names == [role]
}
