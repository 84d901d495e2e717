//! The other ends of channels, for tests: real ones, in this process.

use crate::config::Config;
use lucid_schemas::zones::Rules;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// What was asked of a receiver.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) line: String,
    /// In lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// How a receiver answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    To(String),
    Never,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let receiver = Self { url, asked: Arc::default(), answer: Arc::new(Mutex::new(Answer::Status(200))) };
        let served = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.serve(stream).await });
            }
        });
        receiver
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// What it was told since the last time.
    pub(crate) fn told(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufStream::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let mut asked = Asked { line: line.trim_end().into(), headers: Vec::new(), body: String::new() };
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            asked.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        asked.body = String::from_utf8(body).ok()?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answered = match answer {
            Answer::Status(status) => format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
            Answer::To(url) => {
                format!("HTTP/1.1 307 There\r\nlocation: {url}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            }
            Answer::Never => {
                sleep(Duration::from_secs(600)).await;
                return None;
            }
        };
        stream.write_all(answered.as_bytes()).await.ok()?;
        stream.flush().await.ok()
    }
}

/// A mail server that takes everything, or refuses every reader.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    pub(crate) mails: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    pub(crate) async fn start(refuses: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self { port: listener.local_addr().expect("an address").port(), mails: Arc::default() };
        let mails = server.mails.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, mails.clone(), refuses));
            }
        });
        server
    }

    pub(crate) fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn converse(stream: TcpStream, mails: Arc<Mutex<Vec<String>>>, refuses: bool) -> Option<()> {
    let mut stream = BufStream::new(stream);
    let mut reply = "220 here\r\n";
    loop {
        stream.write_all(reply.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        reply = match line.split([' ', ':', '\r']).next()? {
            "EHLO" => "250-here\r\n250 8BITMIME\r\n",
            "RCPT" if refuses => "550 nobody of that name\r\n",
            "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 fine\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                stream.flush().await.ok()?;
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") {
                    stream.read_line(&mut mail).await.ok()?;
                }
                mails.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
                "250 taken\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "500 what\r\n",
        };
    }
}

/// A file of channels, as it lies on a node.
pub(crate) struct File {
    folder: TempDir,
}

impl File {
    pub(crate) fn new(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a folder") };
        file.write(text);
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("channels.toml")
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(self.path(), text).expect("written");
        fs::set_permissions(self.path(), PermissionsExt::from_mode(0o600)).expect("set");
    }
}

pub(crate) fn config(text: &str) -> Config {
    Config::read(&File::new(text).path(), &Rules::bundled()).expect("a file that works")
}

/// A channel of this name at this receiver.
pub(crate) fn hook(name: &str, receiver: &Receiver) -> String {
    format!("[channels.{name}]\nkind = \"webhook\"\nurl = \"{}\"\n", receiver.url)
}
