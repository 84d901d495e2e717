//! Prometheus itself, and its tool.

use super::{tools, world::Api};
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
};

const PACKAGE: &str = "prometheus";

/// The program `prometheus` or `promtool`.
pub fn program(name: &str) -> PathBuf {
    tools::debian(PACKAGE, name)
}

/// What `promtool` says of what it is given on its standard input.
pub fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(program("promtool"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    // It is read to its end before anything is said.
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("promtool reads");
    child.wait_with_output().expect("promtool ends")
}

/// A running Prometheus, with its data in a folder of the test.
pub struct Prometheus {
    child: Child,
    api: Api,
}

impl Prometheus {
    /// Starts one with this configuration.
    pub fn start(dir: &Path, configuration: &str) -> Self {
        let file = dir.join("prometheus.yml");
        fs::write(&file, configuration).expect("written");
        let mut child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus starts");
        let mut said = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut before = Vec::new();
        let address = said.by_ref().find_map(|line| {
            let address = line.contains("Listening on").then(|| Some(line.split_once("address=")?.1.to_owned()));
            before.push(line);
            address.flatten()
        });
        let address = address.unwrap_or_else(|| panic!("prometheus doesn't listen: {before:#?}"));
        thread::spawn(move || said.for_each(drop));
        Self { child, api: Api::to_read(format!("http://{}", address.trim())) }
    }

    /// Starts one that reads these addresses every second.
    pub fn scraping(dir: &Path, urls: &[&str]) -> Self {
        let targets: Vec<_> = urls.iter().map(|url| url.trim_start_matches("http://")).collect();
        let targets = serde_json::to_string(&targets).expect("texts");
        Self::start(
            dir,
            &format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
                 scrape_configs: [{{ job_name: lucid, static_configs: [{{ targets: {targets} }}] }}]\n"
            ),
        )
    }

    /// What it answers to a query, at the present.
    pub fn query(&self, query: &str) -> Result<Value, String> {
        let escaped = query.bytes().fold(String::new(), |mut text, byte| {
            write!(text, "%{byte:02x}").expect("writing to a string does not fail");
            text
        });
        self.data(&format!("/api/v1/query?query={escaped}"))
    }

    /// The field `data` of what its API answers.
    pub fn data(&self, path: &str) -> Result<Value, String> {
        match self.api.get(path) {
            (200, mut answer) => Ok(answer["data"].take()),
            (status, answer) => Err(format!("{status} {answer}")),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
