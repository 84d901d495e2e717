//! Stands between a client and a server, and breaks some of the connections: before the server hears of the request, or after it
//! has done the work and before the client hears of that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BUSY: &[u8] = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

pub struct Proxy {
    pub port: u16,
    failures: Arc<AtomicU64>,
}

impl Proxy {
    /// Breaks one request in `every`. Each connection carries one request, so that each has its chance.
    pub async fn start(server: u16, every: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let failures = Arc::new(AtomicU64::new(0));
        let broken = failures.clone();
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                number += 1;
                let fault = (number % every == 0).then(|| broken.fetch_add(1, Ordering::Relaxed));
                tokio::spawn(carry(client, server, fault));
            }
        });
        Self { port, failures }
    }

    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

async fn carry(mut client: TcpStream, server: u16, fault: Option<u64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let Some((head, body_bytes)) = head(&mut client).await else { return };
    if fault.is_some_and(|number| number % 2 == 0) {
        let _ = client.write_all(BUSY).await;
        return;
    }
    if let Some(reply) = ask(&mut client, &mut server, &head, body_bytes).await
        && fault.is_none()
    {
        answer(&mut client, &reply).await;
    }
}

/// Passes a request on, and waits for the reply.
pub async fn ask(client: &mut TcpStream, server: &mut TcpStream, head: &[u8], body_bytes: u64) -> Option<Vec<u8>> {
    server.write_all(head).await.ok()?;
    tokio::io::copy(&mut client.take(body_bytes), server).await.ok()?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).await.ok()?;
    Some(reply)
}

/// Gives the reply to the client, if it is there yet.
pub async fn answer(client: &mut TcpStream, reply: &[u8]) {
    let _ = client.write_all(reply).await;
    let _ = client.shutdown().await;
}

/// Reads a request's head, asks for the end of the connection after it, and says how much of its body is to come. What of the body
/// came with it is part of what is returned.
pub async fn head(client: &mut TcpStream) -> Option<(Vec<u8>, u64)> {
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
