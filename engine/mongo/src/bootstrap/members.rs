//! The set and its members.

use super::{
    BootstrapError, Did, Password, Result, Work,
    reach::{Failed, run},
};
use bson::{Bson, Document, doc};
use futures::future::join_all;
use mongodb::Client;

const UNAUTHORIZED: i32 = 13;
const ALREADY_INITIALIZED: i32 = 23;

/// What a member says of itself to anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Hello {
    set: Option<String>,
    /// Whether it was started as a member of a set to be.
    replicates: bool,
    primary: bool,
    /// The members that it knows.
    known: Vec<String>,
}

impl Hello {
    fn read(told: &Document) -> Self {
        let is = |field| told.get_bool(field).unwrap_or(false);
        let of = |field| told.get_array(field).into_iter().flatten().filter_map(Bson::as_str).map(str::to_owned);
        Self {
            set: told.get_str("setName").ok().map(str::to_owned),
            replicates: is("isreplicaset") || told.contains_key("setName"),
            primary: is("isWritablePrimary"),
            known: of("hosts").chain(of("passives")).chain(of("arbiters")).collect(),
        }
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

impl Work {
    /// Begins the set where there is none; its primary, and whether it was begun.
    pub(super) async fn begin_set(&mut self) -> Result<(String, Did)> {
        let mut initiated = false;
        loop {
            let hellos = self.greet().await?;
            self.check(&hellos)?;
            let told = || self.plan.members.iter().zip(&hellos);
            let primary = told().find(|(_, hello)| hello.as_ref().is_ok_and(|hello| hello.primary));
            if let Some((primary, _)) = primary {
                return Ok((primary.clone(), if initiated { Did::Made } else { Did::Found }));
            }
            let silent = told().find_map(|(member, hello)| Some((member, hello.as_ref().err()?.clone().reason())));
            let waits = if told().any(|(_, hello)| hello.as_ref().is_ok_and(|hello| hello.set.is_some())) {
                format!("the set {} has no primary among {}", self.plan.replica_set, self.plan.members.join(", "))
            } else if let Some((member, reason)) = silent {
                format!("{member} isn't there yet: {reason}")
            } else {
                match self.initiate().await? {
                    None => {
                        initiated = true;
                        continue;
                    }
                    Some(waits) => waits,
                }
            };
            self.wait(waits).await?;
        }
    }

    /// Makes a set of the first member alone; what has to come first, where it can't.
    async fn initiate(&self) -> Result<Option<String>> {
        let (name, first) = (&self.plan.replica_set, &self.plan.members[0]);
        let near = self.reach.near(first).await?;
        let client = self.reach.direct(near.as_deref().unwrap_or(first), None).await?;
        let config = doc! { "_id": name, "members": [{ "_id": 0, "host": first }] };
        Ok(match run(&client, doc! { "replSetInitiate": config }).await {
            Ok(_) => None,
            Err(Failed::Refused(ALREADY_INITIALIZED, _)) => Some(format!("{first} is being initiated")),
            Err(Failed::Refused(UNAUTHORIZED, _)) => Some(format!(
                "{first} has to be initiated by a bootstrap that reaches it by loopback, on its machine or in its network namespace"
            )),
            Err(failed) => Some(format!("{first} can't be initiated: {}", failed.reason())),
        })
    }

    async fn greet(&self) -> Result<Vec<std::result::Result<Hello, Failed>>> {
        let greet = async |member: &String| {
            let client = self.reach.direct(member, None).await?;
            Ok(run(&client, doc! { "hello": 1 }).await.map(|told| Hello::read(&told)))
        };
        join_all(self.plan.members.iter().map(greet)).await.into_iter().collect()
    }

    /// Refuses what isn't the set that is meant.
    fn check(&self, hellos: &[std::result::Result<Hello, Failed>]) -> Result<()> {
        let wanted = self.plan.replica_set.clone();
        let heard =
            || self.plan.members.iter().zip(hellos).filter_map(|(member, hello)| Some((member, hello.as_ref().ok()?)));
        for (member, hello) in heard() {
            let member = member.clone();
            match &hello.set {
                Some(found) if *found != wanted => {
                    return Err(BootstrapError::OtherSet { member, found: found.clone(), wanted });
                }
                None if !hello.replicates => return Err(BootstrapError::Standalone { member, wanted }),
                Some(_) | None => {}
            }
            self.only_told(&hello.known)?;
        }
        let mut in_set = heard().filter(|(_, hello)| !hello.known.is_empty());
        if let Some((one, first)) = in_set.next() {
            let knows =
                |hello: &Hello| hello.known.iter().any(|known| first.known.iter().any(|one| is_same(one, known)));
            if let Some((other, _)) = in_set.find(|(_, hello)| !knows(hello)) {
                return Err(BootstrapError::TwoSets { one: one.clone(), other: other.clone(), wanted });
            }
        }
        Ok(())
    }

    fn only_told(&self, known: &[String]) -> Result<()> {
        let is_told = |known: &&String| self.plan.members.iter().any(|told| is_same(told, known));
        let others: Vec<String> = known.iter().filter(|known| !is_told(known)).cloned().collect();
        if others.is_empty() {
            return Ok(());
        }
        Err(BootstrapError::OtherMembers { set: self.plan.replica_set.clone(), others })
    }

    /// Takes into the set who isn't in it yet, one after the other, and waits until each has its data.
    pub(super) async fn join_all(&mut self) -> Result<()> {
        loop {
            let waits = match self.join_one().await? {
                Joined::All => return Ok(()),
                Joined::One(member) => {
                    self.did(Did::Made, format!("member {member}"));
                    self.until_serving(&member).await?;
                    continue;
                }
                Joined::Waits(waits) => waits,
            };
            self.wait(waits).await?;
        }
    }

    async fn join_one(&mut self) -> Result<Joined> {
        let Some(primary) = self.primary().await? else {
            return Ok(Joined::Waits(format!("the set {} has no primary", self.plan.replica_set)));
        };
        let mut config = match run(&primary, doc! { "replSetGetConfig": 1 }).await {
            Ok(mut told) => match told.remove("config") {
                Some(Bson::Document(config)) => config,
                _ => return Ok(Joined::Waits("the primary tells no configuration".into())),
            },
            Err(Failed::Refused(UNAUTHORIZED, reason)) => {
                return Err(BootstrapError::Refused { doing: "read the set's configuration".into(), reason });
            }
            Err(failed) => return Ok(Joined::Waits(format!("the set's configuration: {}", failed.reason()))),
        };
        let members: Vec<Document> =
            config.get_array("members").into_iter().flatten().filter_map(Bson::as_document).cloned().collect();
        let known: Vec<String> =
            members.iter().filter_map(|member| member.get_str("host").ok().map(str::to_owned)).collect();
        self.only_told(&known)?;
        let is_in = |told: &&String| known.iter().any(|known| is_same(known, told));
        let Some(new) = self.plan.members.iter().find(|told| !is_in(told)).cloned() else {
            return Ok(Joined::All);
        };
        let hellos = self.greet().await?;
        self.check(&hellos)?;
        let of_new = self.plan.members.iter().zip(&hellos).find(|(told, _)| **told == new);
        if let Some((_, Err(failed))) = of_new {
            return Ok(Joined::Waits(format!("{new} isn't there yet: {}", failed.clone().reason())));
        }
        let next_id = members.iter().filter_map(|member| member.get_i32("_id").ok()).max().unwrap_or(0) + 1;
        let version = config.get_i32("version").map(i64::from).or_else(|_| config.get_i64("version")).unwrap_or(1);
        let mut members: Vec<Bson> = members.into_iter().map(Bson::from).collect();
        members.push(doc! { "_id": next_id, "host": &new }.into());
        config.insert("members", members);
        config.insert("version", version + 1);
        Ok(match run(&primary, doc! { "replSetReconfig": config }).await {
            Ok(_) => Joined::One(new),
            // Another bootstrap, an election, or a member that isn't ready yet: all of it is looked at anew.
            Err(failed) => Joined::Waits(format!("{new} isn't in the set yet: {}", failed.reason())),
        })
    }

    /// The primary, logged in to as the administrator.
    async fn primary(&self) -> Result<Option<Client>> {
        let login = (self.plan.administrator.as_str(), &self.plan.password);
        self.primary_as(login).await
    }

    /// The primary, logged in to.
    pub(super) async fn primary_as(&self, login: (&str, &Password)) -> Result<Option<Client>> {
        let hellos = self.greet().await?;
        let is_primary = |hello: &std::result::Result<Hello, Failed>| hello.as_ref().is_ok_and(|hello| hello.primary);
        let Some((primary, _)) = self.plan.members.iter().zip(&hellos).find(|(_, hello)| is_primary(hello)) else {
            return Ok(None);
        };
        self.reach.direct(primary, Some(login)).await.map(Some)
    }

    async fn until_serving(&mut self, member: &str) -> Result<()> {
        const SERVES: [i32; 2] = [1, 2];
        loop {
            let status = match self.primary().await? {
                Some(primary) => run(&primary, doc! { "replSetGetStatus": 1 }).await.unwrap_or_default(),
                None => Document::new(),
            };
            let told = status.get_array("members").into_iter().flatten().filter_map(Bson::as_document);
            let told = told.filter(|told| told.get_str("name").is_ok_and(|name| is_same(name, member)));
            let (mut state, mut said) = ("not heard of".to_owned(), String::new());
            for told in told {
                if told.get_i32("state").is_ok_and(|state| SERVES.contains(&state)) {
                    return Ok(());
                }
                state = told.get_str("stateStr").unwrap_or_default().to_owned();
                said = told.get_str("lastHeartbeatMessage").unwrap_or_default().to_owned();
            }
            let said = if said.is_empty() { said } else { format!(" ({said})") };
            self.wait(format!("{member} has no data yet: it is {state}{said}")).await?;
        }
    }
}

enum Joined {
    All,
    One(String),
    Waits(String),
}
