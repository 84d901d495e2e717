//! A webhook, as tests see it: what it was told, and what it answers.

use super::World;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

/// The other end of a channel.
pub struct Receiver {
    pub url: String,
    told: Arc<Mutex<Vec<Value>>>,
    /// What it answers.
    pub status: Arc<AtomicU16>,
}

impl Receiver {
    /// One that answers so.
    pub fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let receiver = Self { url, told: Arc::default(), status: Arc::new(AtomicU16::new(status)) };
        let (told, status) = (receiver.told.clone(), receiver.status.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                drop(answer(&stream, &told, status.load(Ordering::SeqCst)));
            }
        });
        receiver
    }

    /// What it has taken, in order.
    pub fn messages(&self) -> Vec<Value> {
        self.told.lock().expect("whole").clone()
    }

    /// What it was told of alerts of this rule, in order: key, and whether it is so.
    pub fn told(&self, rule: &str) -> Vec<(String, String)> {
        let messages = self.messages();
        let alerts = messages.iter().flat_map(|message| message["alerts"].as_array().cloned().unwrap_or_default());
        let ours = alerts.filter(|alert| alert["labels"]["alertname"] == rule);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ours.map(|alert| (text(&alert["annotations"]["dedup_key"]), text(&alert["status"]))).collect()
    }
}

/// Only what is taken counts as told.
fn answer(mut stream: &TcpStream, told: &Mutex<Vec<Value>>, status: u16) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if status == 200 {
        told.lock().expect("whole").push(serde_json::from_slice(&body).unwrap_or_default());
    }
    write!(stream, "HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// A file of channels in the folder of this world.
pub fn channels_file(world: &World, text: &str) -> PathBuf {
    let path = world.dir().join("channels.toml");
    private(&path, text);
    path
}

/// Writes a file that only this account may read.
pub fn private(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("set");
}
