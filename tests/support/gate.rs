//! A gate before each member of a set, under whose address all others know the member: while it is shut, what goes through it is held
//! back, as on a network that loses every packet, and arrives once it is open again.

use super::World;
use bson::{Bson, Document, doc};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

const WITHIN: Duration = Duration::from_secs(60);

/// The way to one member.
pub struct Gate {
    /// The port under which the member is known.
    pub port: u16,
    shut: watch::Sender<bool>,
}

impl Gate {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let gate = Self { port: listener.local_addr().expect("bound").port(), shut: watch::channel(false).0 };
        let shut = gate.shut.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, shut.clone()));
            }
        });
        gate
    }

    /// From now on nothing comes through.
    pub fn shut(&self) {
        self.shut.send_replace(true);
    }

    /// What was held back comes through, and whatever follows.
    pub fn open(&self) {
        self.shut.send_replace(false);
    }

    /// Puts one before each member of this world, and has the set know its members by them.
    pub async fn before_all(world: &mut World) -> Vec<Self> {
        let mut gates = Vec::new();
        for member in world.deployment.members() {
            gates.push(Self::before(member.port).await);
        }
        let primary = world.deployment.primary().await.expect("a primary");
        let client = mongodb::Client::with_uri_str(world.deployment.uri_of(primary).expect("an address")).await;
        let admin = client.expect("a client").database("admin");
        let mut config = admin.run_command(doc! { "replSetGetConfig": 1 }).await.expect("told");
        let mut config = config.remove("config").and_then(|config| config.as_document().cloned()).expect("a config");
        let members = config.get_array_mut("members").expect("members");
        for (member, gate) in members.iter_mut().zip(&gates) {
            let Bson::Document(member) = member else { panic!("{member:?}") };
            member.insert("host", format!("127.0.0.1:{}", gate.port));
        }
        let version = config.get_i32("version").expect("a version") + 1;
        config.insert("version", version);
        admin.run_command(doc! { "replSetReconfig": config, "force": true }).await.expect("taken");
        // A config that was forced has a version of the server's choice; the set is one again when all have it and one is primary.
        let begun = Instant::now();
        loop {
            // It may be the primary no more, and drop its connections.
            let status = admin.run_command(doc! { "replSetGetStatus": 1 }).await;
            let states = status.as_ref().map(states).unwrap_or_default();
            if states.contains(&1) && states.iter().all(|state| [1, 2].contains(state)) {
                return gates;
            }
            assert!(begun.elapsed() < WITHIN, "{status:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn states(status: &Document) -> Vec<i32> {
    let members = status.get_array("members").into_iter().flatten();
    members.map(|member| member.as_document().and_then(|member| member.get_i32("state").ok()).unwrap_or(-1)).collect()
}

async fn carry(client: TcpStream, port: u16, shut: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(pass(from_client, to_server, shut.clone()), pass(from_server, to_client, shut));
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut shut: watch::Receiver<bool>) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if shut.wait_for(|is_shut| !is_shut).await.is_err() || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
