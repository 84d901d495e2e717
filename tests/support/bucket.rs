//! A real S3 server, and a gate before it at which one request waits: what a client has asked for when its host is suspended.

use std::{
    net::TcpListener as Free,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

const KEY: &str = "test";
const SECRET: &str = "a-secret-for-tests";
const READY_WITHIN: Duration = Duration::from_secs(20);

/// An S3 server over a scratch folder, killed at the end of the test.
pub struct Bucket {
    pub port: u16,
    server: Child,
}

impl Bucket {
    /// Serves the folders in this one as buckets.
    pub async fn serve(folder: &Path) -> Self {
        let program = lucid_embedded::rclone().await.expect("rclone is there or can be fetched");
        let port = Free::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = Command::new(program);
        command.args(["serve", "s3", "--dir-cache-time", "5ms", "--etag-hash", "", "--config", "/dev/null"]);
        command.args(["--auth-key", &format!("{KEY},{SECRET}"), "--addr", &format!("127.0.0.1:{port}")]).arg(folder);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = quiet.spawn().expect("rclone runs");
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < READY_WITHIN, "the S3 server doesn't listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { port, server }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The variables of a client that reaches an S3 server at this port.
pub fn settings(port: u16) -> [(&'static str, String); 4] {
    [
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ]
}

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
    if server.write_all(&head).await.is_err() {
        return;
    }
    let mut body = (&mut client).take(body_bytes);
    if tokio::io::copy(&mut body, &mut server).await.is_err() {
        return;
    }
    let mut reply = Vec::new();
    if server.read_to_end(&mut reply).await.is_ok() {
        let _ = client.write_all(&reply).await;
        let _ = client.shutdown().await;
    }
}

/// Reads a request's head, asks for the end of the connection after it, and says how much of its body is to come. What of the body
/// came with it is part of what is returned.
async fn head(client: &mut TcpStream) -> Option<(Vec<u8>, u64)> {
    let mut bytes = Vec::new();
    let end = loop {
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 2;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<u64>().ok());
    let rest = bytes.split_off(end);
    bytes.extend_from_slice(b"connection: close\r\n");
    bytes.extend_from_slice(&rest);
    Some((bytes, length.unwrap_or(0).saturating_sub(rest.len() as u64 - 2)))
}
