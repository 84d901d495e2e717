//! A real S3 server over a scratch folder, which can be killed, and comes back on the same port.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lucid_repository::StorageSettings;

const KEY: &str = "test";
const SECRET: &str = "a-secret-for-tests";
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    pub port: u16,
    child: Option<Child>,
}

impl Server {
    /// Serves the folders in this one as buckets.
    pub async fn start(folder: &Path) -> Self {
        let program = lucid_embedded::rclone().await.expect("rclone is there or can be fetched");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let mut server = Self { program, folder: folder.into(), port, child: None };
        server.restart();
        server
    }

    /// Starts it again after [`Self::kill`]; returns once it takes connections.
    pub fn restart(&mut self) {
        let log = std::fs::File::create(self.folder.with_extension("log")).expect("a log");
        let child = Command::new(&self.program)
            .args(["serve", "s3", "--auth-key", &format!("{KEY},{SECRET}"), "--addr"])
            .arg(format!("127.0.0.1:{}", self.port))
            // Tests damage the files behind its back; hashing a pack for each part that is asked for takes longer than all else.
            .args(["--dir-cache-time", "5ms", "--etag-hash", "", "--config", "/dev/null"])
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("rclone runs");
        self.child = Some(child);
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < PATIENCE, "the S3 server doesn't listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn settings(&self) -> StorageSettings {
        settings(self.port)
    }
}

/// What a client of the server needs, if it is reached at this port.
pub fn settings(port: u16) -> StorageSettings {
    variables(port).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The same as variables of a process.
pub fn variables(port: u16) -> [(&'static str, String); 4] {
    [
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ]
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
