//! From an empty folder, or one that is known, to a set that serves.

use crate::{
    Deployment, Error, Result, client,
    deployment::{LOOK, PATIENCE, primary_of},
    folder::State,
    ports,
    process::{Process, log_of, tail},
    replica::{self, Role},
};
use std::{ffi::OsString, path::Path, time::Instant};

/// mongod's exit code where it cannot listen.
const CANNOT_LISTEN: i32 = 48;

impl Deployment {
    /// Starts the mongods, on the ports of an earlier start where they are free.
    pub(crate) async fn launch(&mut self, earlier: Option<&State>) -> Result<()> {
        const ATTEMPTS: usize = 3;
        for attempt in 1..=ATTEMPTS {
            let kept = earlier.filter(|state| attempt == 1 && state.ports.iter().all(|port| ports::is_free(*port)));
            self.ports = match (self.options.first_port(), kept) {
                (None, Some(state)) => state.ports.clone(),
                (first, _) => ports::choose(first, self.options.members)?,
            };
            if earlier.is_none() {
                // Before there are data: a crash from here on leaves a folder that is known to be unfinished.
                self.save(false)?;
            }
            match self.launch_once().await {
                Err(Error::PortTaken { .. }) if self.options.first_port().is_none() && attempt < ATTEMPTS => {
                    for process in self.processes.iter_mut().flatten() {
                        process.stop().await?;
                    }
                }
                launched => return launched,
            }
        }
        Ok(())
    }

    pub(crate) async fn launch_once(&mut self) -> Result<()> {
        for member in 0..self.ports.len() {
            self.spawn(member).await?;
        }
        for member in 0..self.ports.len() {
            self.wait_listening(member).await?;
        }
        Ok(())
    }

    pub(crate) async fn spawn(&mut self, member: usize) -> Result<()> {
        let home = self.folder.member(member);
        let data = home.join("data");
        tokio::fs::create_dir_all(&data).await.map_err(Error::io(&data))?;
        let command = self.command_line(member, &data);
        let process = Process::start(&command, &log_of(&home), self.folder.lock_handle()?).await?;
        self.processes[member] = Some(process);
        Ok(())
    }

    fn command_line(&self, member: usize, data: &Path) -> Vec<OsString> {
        let options = &self.options;
        let cache_gib = f64::from(options.wired_tiger_cache_mib) / 1024.0;
        let mut line: Vec<OsString> = vec![self.mongod.path().into()];
        line.extend(["--nounixsocket", "--bind_ip", "127.0.0.1", "--port"].map(OsString::from));
        line.push(self.ports[member].to_string().into());
        line.extend(["--dbpath".into(), data.into()]);
        line.extend(["--wiredTigerCacheSizeGB".into(), cache_gib.to_string().into()]);
        if let Some(name) = &options.replica_set {
            let oplog_mib = options.oplog_mib.to_string();
            line.extend(["--replSet".into(), name.into(), "--oplogSize".into(), oplog_mib.into()]);
        }
        if let Some(most) = options.max_connections {
            line.extend(["--maxConns".into(), most.to_string().into()]);
        }
        match (options.auth, &options.replica_set) {
            (true, Some(_)) => line.extend(["--keyFile".into(), self.folder.path("keyfile").into()]),
            (true, None) => line.push("--auth".into()),
            (false, _) => {}
        }
        let ours = [
            ("diagnosticDataCollectionEnabled", "false"),
            // The default lets a member linger for 15 s at its end, for clients that we don't have.
            ("shutdownTimeoutMillisForSignaledShutdown", "100"),
            // Guards guessable passwords; ours has 384 random bits, and logging in is what tests do most.
            ("scramSHA256IterationCount", "5000"),
        ];
        let theirs = options.extra_parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in ours.into_iter().chain(theirs) {
            line.extend(["--setParameter".into(), format!("{name}={value}").into()]);
        }
        line
    }

    /// Waits until a member takes connections, as told by its own log: on its port somebody else might answer.
    pub(crate) async fn wait_listening(&mut self, member: usize) -> Result<()> {
        let (port, log) = (self.ports[member], self.log(member));
        let start = Instant::now();
        loop {
            let ended = self.process(member)?.ended();
            if is_listening(&log) && ended.is_none() {
                return Ok(());
            }
            match ended {
                Some(status) if status.code() == Some(CANNOT_LISTEN) => return Err(Error::PortTaken { port }),
                Some(status) => {
                    return Err(Error::Ended { member, status: status.to_string(), tail: tail(&log), log });
                }
                None if start.elapsed() > PATIENCE => return Err(self.too_long("mongod to listen", member)),
                None => tokio::time::sleep(LOOK / 2).await,
            }
        }
    }

    /// The first start: makes the set and its administrator.
    pub(crate) async fn found(&self) -> Result<()> {
        let first = client::direct(self.ports[0], None)?;
        if let Some(name) = &self.options.replica_set {
            replica::initiate(&first, name, &self.ports, &self.options).await?;
        }
        let Some(password) = &self.password else { return Ok(()) };
        let primary =
            if self.options.replica_set.is_some() { self.until(0, "a primary", primary_of).await? } else { 0 };
        replica::create_administrator(&client::direct(self.ports[primary], None)?, password).await
    }

    /// A later start: the members may have other ports than before.
    pub(crate) async fn gather(&self) -> Result<()> {
        let first = self.direct(0)?;
        let start = Instant::now();
        loop {
            match replica::move_to(&first, &self.ports).await {
                Err(error) if replica::is_early(&error) && start.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                moved => return moved,
            }
        }
    }

    /// Waits until every member serves and a majority takes writes.
    pub async fn settle(&self) -> Result<()> {
        if self.options.replica_set.is_none() {
            return client::command(&self.direct(0)?, bson::doc! { "ping": 1 }).await.map(drop);
        }
        let serves = |role: &Option<Role>| matches!(role, Some(Role::Primary | Role::Secondary));
        let start = Instant::now();
        loop {
            let primary = self
                .until(0, "every member to serve", |roles| primary_of(roles).filter(|_| roles.iter().all(serves)))
                .await?;
            match replica::prove_writes(&self.direct(primary)?, self.ports.len()).await {
                // An election between the look and the note.
                Err(error) if replica::is_deposed(&error) && start.elapsed() < PATIENCE => {
                    tokio::time::sleep(LOOK).await;
                }
                proven => return proven,
            }
        }
    }
}

fn is_listening(log: &Path) -> bool {
    const LISTENING: &[u8] = b"\"Waiting for connections\"";
    std::fs::read(log).is_ok_and(|log| log.windows(LISTENING.len()).any(|window| window == LISTENING))
}
