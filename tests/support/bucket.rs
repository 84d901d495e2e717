//! A real S3 server, and a gate before it at which one request waits: what a client has asked for when its host is suspended.

// The repository's own tests break connections with them.
#[path = "../../jobs/repository/tests/suite/support/proxy.rs"]
#[allow(dead_code, reason = "a part is used here")]
mod proxy;
#[path = "../../jobs/repository/tests/suite/support/server.rs"]
#[allow(dead_code, reason = "a part is used here")]
mod server;

use proxy::{answer, ask, head};
pub use server::{Server, variables};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// Passes requests on; once it is armed, one that changes something waits.
pub struct Gate {
    pub port: u16,
    state: Arc<State>,
}

/// How many more requests that change something pass. Until it is armed: more than there will ever be.
struct State {
    left: AtomicUsize,
    reached: Notify,
    opened: Notify,
}

const UNARMED: usize = usize::MAX / 2;

impl Gate {
    /// Before the server at this port.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State { left: UNARMED.into(), reached: Notify::new(), opened: Notify::new() });
        let theirs = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, theirs.clone()));
            }
        });
        Self { port, state }
    }

    /// From now on so many requests that change something pass, and the next one waits.
    pub fn arm(&self, passing: usize) {
        self.state.left.store(passing, Ordering::SeqCst);
    }

    /// Waits until a request does.
    pub async fn reached(&self) {
        self.state.reached.notified().await;
    }

    /// Lets it pass.
    pub fn open(&self) {
        self.state.opened.notify_one();
    }
}

/// One request; the connection ends after it.
async fn carry(mut client: TcpStream, server: u16, state: Arc<State>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let Some((head, body_bytes)) = head(&mut client).await else { return };
    let changes = ["PUT ", "POST ", "DELETE "].iter().any(|method| head.starts_with(method.as_bytes()));
    let count = |left: usize| left.checked_sub(1).or(Some(UNARMED));
    if changes && state.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(0) {
        state.reached.notify_one();
        state.opened.notified().await;
    }
    if let Some(reply) = ask(&mut client, &mut server, &head, body_bytes).await {
        answer(&mut client, &reply).await;
    }
}
