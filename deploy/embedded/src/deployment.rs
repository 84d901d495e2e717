//! A private mongod or replica set: start, look, hurt, heal, stop.

use crate::{
    Error, Mongod, Options, Result, Signal, client,
    folder::{Folder, State},
    process::{Process, log_of, tail},
    replica::{self, Role},
};
use mongodb::Client;
use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Longest wait for a start, an election, a member's return.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a server.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// A running private set. Dropping it stops the mongods a moment later, and so does the end of this process, even by
/// `kill -9`; [`stop`](Deployment::stop) waits for it.
pub struct Deployment {
    pub(crate) mongod: Mongod,
    pub(crate) options: Options,
    pub(crate) folder: Folder,
    /// The administrator's password; none without authentication.
    pub(crate) password: Option<String>,
    pub(crate) ports: Vec<u16>,
    /// One per member; none after it ended and was noticed.
    pub(crate) processes: Vec<Option<Process>>,
}

/// One member of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its process id, while it runs.
    pub pid: Option<u32>,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Deployment")
            .field("mongod", &self.mongod)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

impl Deployment {
    /// Starts a set, or goes on with the one in the folder; when this returns, every member answers and a majority
    /// takes writes.
    pub async fn start(options: Options) -> Result<Self> {
        let (mut set, earlier) = Self::prepare(options).await?;
        set.launch(earlier.as_ref()).await?;
        if earlier.is_none() {
            set.found().await?;
        } else if set.options.replica_set.is_some() {
            set.gather().await?;
        }
        set.settle().await?;
        set.save(true)?;
        Ok(set)
    }

    /// Starts members of a set to be, for whoever initiates it and makes the first user. Where that is the administrator `lucid` with
    /// [`Self::administrator_password`], all else works as with a set that was started whole, but for going on in the same folder.
    pub async fn start_unfounded(options: Options) -> Result<Self> {
        let (mut set, _) = Self::prepare(options).await?;
        set.launch(None).await?;
        Ok(set)
    }

    /// The administrator's password; none without authentication.
    pub fn administrator_password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    async fn prepare(options: Options) -> Result<(Self, Option<State>)> {
        options.check()?;
        let mongod = match &options.mongod {
            Some(mongod) => mongod.clone(),
            None => Mongod::find().await?,
        };
        let folder = Folder::open(&options.dir).await?;
        let earlier = folder.resume(&options)?;
        let password = if options.auth { Some(folder.secret("administrator-password")?) } else { None };
        if options.auth {
            folder.secret("keyfile")?;
        }
        let processes = (0..options.members).map(|_| None).collect();
        Ok((Self { mongod, options, folder, password, ports: Vec::new(), processes }, earlier))
    }

    /// The administrator's connection string, with the password: for clients, never for a log.
    pub fn uri(&self) -> String {
        let hosts: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let set = self.options.replica_set.as_ref().map(|name| format!("replicaSet={name}"));
        self.uri_with(&hosts.join(","), set.as_deref().unwrap_or("directConnection=true"))
    }

    /// The administrator's connection string for one member only.
    pub fn uri_of(&self, member: usize) -> Result<String> {
        let port = self.ports.get(member).ok_or(Error::NotRunning { member })?;
        Ok(self.uri_with(&format!("127.0.0.1:{port}"), "directConnection=true"))
    }

    fn uri_with(&self, hosts: &str, option: &str) -> String {
        match &self.password {
            // Hexadecimal, so there is nothing to escape.
            Some(password) => {
                format!("mongodb://{}:{password}@{hosts}/?{option}&authSource=admin", client::ADMINISTRATOR)
            }
            None => format!("mongodb://{hosts}/?{option}"),
        }
    }

    /// A client of the whole set, logged in as the administrator.
    pub fn client(&self) -> Result<Client> {
        client::client(&self.ports, self.options.replica_set.as_deref(), self.password.as_deref())
    }

    /// The members, in order.
    pub fn members(&mut self) -> Vec<Member> {
        let pid = |process: &mut Process| process.ended().is_none().then(|| process.pid());
        let pids = self.processes.iter_mut().map(|process| process.as_mut().and_then(pid));
        self.ports.iter().zip(pids).map(|(port, pid)| Member { port: *port, pid }).collect()
    }

    /// The program that runs.
    pub fn mongod(&self) -> &Mongod {
        &self.mongod
    }

    /// The version that runs, such as `6.0.5`.
    pub fn version(&self) -> &str {
        self.mongod.version()
    }

    /// The log file of a member.
    pub fn log(&self, member: usize) -> PathBuf {
        log_of(&self.folder.member(member))
    }

    /// Sends a signal to a member; after `SIGKILL` it is gone when this returns.
    pub async fn kill(&mut self, member: usize, signal: Signal) -> Result<()> {
        let process = self.process(member)?;
        if !process.signal(signal)? {
            return Err(Error::NotRunning { member });
        }
        if signal == Signal::SIGKILL {
            process.wait_for_end().await?;
        }
        Ok(())
    }

    /// Starts a member again on its port, after a clean stop if it still runs; waits until it serves.
    pub async fn restart(&mut self, member: usize) -> Result<()> {
        self.process(member)?.stop().await?;
        let start = Instant::now();
        loop {
            self.spawn(member).await?;
            match self.wait_listening(member).await {
                Err(Error::PortTaken { .. }) if start.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                listening => break listening?,
            }
        }
        if self.options.replica_set.is_none() {
            return Ok(());
        }
        self.until(member, "the member to serve again", |roles| {
            matches!(roles[member], Some(Role::Primary | Role::Secondary)).then_some(())
        })
        .await
    }

    /// Which member is primary; waits for one.
    pub async fn primary(&self) -> Result<usize> {
        self.until(0, "a primary", primary_of).await
    }

    /// Makes the primary step down, and waits for the next one, which is returned (the same one if it is alone).
    pub async fn step_down(&self) -> Result<usize> {
        let old = self.primary().await?;
        let alone = self.ports.len() == 1;
        let (seconds, catch_up_seconds) = if alone { (1, 0) } else { (5, 4) };
        let command = bson::doc! {
            "replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": catch_up_seconds, "force": alone,
        };
        client::command(&self.direct(old)?, command).await?;
        self.until(old, "another primary", |roles| primary_of(roles).filter(|new| alone || *new != old)).await
    }

    /// Stops all members, cleanly if they can.
    pub async fn stop(mut self) -> Result<()> {
        let stops = self.processes.iter_mut().flatten().map(Process::stop);
        futures::future::join_all(stops).await.into_iter().collect()
    }

    /// Looks at the roles of the members until they are as wanted; on failure shows the log of `member`.
    pub(crate) async fn until<T>(
        &self,
        member: usize,
        what: &str,
        wanted: impl Fn(&[Option<Role>]) -> Option<T>,
    ) -> Result<T> {
        let anonymous = self.ports.iter().map(|port| client::direct(*port, None)).collect::<Result<Vec<Client>>>()?;
        let start = Instant::now();
        loop {
            if let Some(found) = wanted(&replica::roles(&anonymous).await) {
                return Ok(found);
            }
            if start.elapsed() > PATIENCE {
                return Err(self.too_long(what, member));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(crate) fn too_long(&self, what: &str, member: usize) -> Error {
        let log = self.log(member);
        Error::Timeout { what: what.to_owned(), seconds: PATIENCE.as_secs(), tail: tail(&log), log }
    }

    pub(crate) fn save(&self, ready: bool) -> Result<()> {
        let Options { replica_set, auth, .. } = &self.options;
        self.folder.save(&State { replica_set: replica_set.clone(), auth: *auth, ports: self.ports.clone(), ready })
    }

    pub(crate) fn direct(&self, member: usize) -> Result<Client> {
        client::direct(self.ports[member], self.password.as_deref())
    }

    pub(crate) fn process(&mut self, member: usize) -> Result<&mut Process> {
        self.processes.get_mut(member).and_then(Option::as_mut).ok_or(Error::NotRunning { member })
    }
}

/// The primary among some members' roles.
pub(crate) fn primary_of(roles: &[Option<Role>]) -> Option<usize> {
    roles.iter().position(|role| *role == Some(Role::Primary))
}
