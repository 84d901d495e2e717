//! Prometheus itself, and its tool: those of the `PATH`, else those of Debian's package, unpacked beside what the build made. Nothing is
//! installed, so nothing of the system changes and no service begins to run.

use super::world::Api;
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
///
/// Panics with what to do where there is none and none can be had: a test that needs it must not pass without.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    installed.unwrap_or_else(|| unpacked().join(name))
}

/// The folder of the package's programs.
fn unpacked() -> PathBuf {
    let own = std::env::current_exe().expect("this test has a path");
    let place = own.ancestors().nth(3).expect("target/debug/deps").join(PACKAGE);
    let programs = |folder: &Path| folder.join("usr/bin");
    if !programs(&place).exists() {
        fs::create_dir_all(place.parent().expect("target")).expect("a folder");
        // Whoever is first renames his into place; the others find it there.
        let fetching = tempfile::tempdir_in(place.parent().expect("target")).expect("a folder");
        fetch(fetching.path()).unwrap_or_else(|problem| {
            panic!(
                "neither on the PATH nor to be had: {problem}\n\
                 install prometheus and promtool (Debian and Ubuntu: apt-get update && apt-get install {PACKAGE})"
            )
        });
        let moved = fs::rename(fetching.path().join("root"), &place);
        assert!(programs(&place).exists(), "{moved:?}");
    }
    programs(&place)
}

fn fetch(folder: &Path) -> Result<(), String> {
    run(Command::new("apt-get").args(["download", PACKAGE]).current_dir(folder))?;
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let package =
        entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|is| is == "deb"));
    let package = package.ok_or("apt-get fetched no package")?;
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder.join("root")))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {said}")) }
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
