//! One method per endpoint; blocking, since a verb has nothing else to do meanwhile.

use crate::{
    ClientError, JobQuery, Service, agent,
    path::{job_path, piece},
    sse::{Message, Messages},
};
use lucid_schemas::{
    http::{
        AuditReport, BackupBody, BackupPage, BackupView, CopyBody, EventList, Health, JobPage, JobView, PruneBody,
        ReencryptBody, RestoreBody, VerifyBody,
    },
    problem::Problem,
    run::{GiveUpBody, PauseBody, QueueList, QueueView, WorkerList},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{BufRead, BufReader, Read},
    net::IpAddr,
    time::Duration,
};
use ureq::{
    Agent, Body,
    http::{Response, Uri},
    tls::RootCerts,
};

pub(crate) const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// A stream older than this is opened anew, so that a dead connection isn't listened to for long.
const STREAM_WITHIN: Duration = Duration::from_mins(1);
const EXPORT_WITHIN: Duration = Duration::from_hours(24);
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An answer that is read as it comes.
pub(crate) type Lines = BufReader<Box<dyn Read>>;

/// A service, as a client sees it.
#[derive(Debug, Clone)]
pub struct Client {
    service: Service,
    url: String,
    pub(crate) agent: Agent,
    pub(crate) roots: Option<RootCerts>,
    idempotency_key: Option<String>,
}

impl Client {
    /// A client of the API at this address, such as `http://127.0.0.1:8089`. Calls nobody yet.
    ///
    /// # Errors
    /// Where the address makes no sense.
    pub fn new(api_url: &str) -> Result<Self, ClientError> {
        Self::of(Service::Api, api_url)
    }

    /// The same of a service at this address.
    ///
    /// # Errors
    /// Where the address makes no sense.
    pub fn of(service: Service, at: &str) -> Result<Self, ClientError> {
        let bad = |problem: &str| ClientError::BadUrl { service, url: at.to_owned(), problem: problem.to_owned() };
        let expected = format!("expected something like {}", service.example());
        let uri: Uri = at.parse().map_err(|_| bad(&expected))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if !authority.as_str().contains('@') => {}
            (Some("http" | "https"), Some(_)) => return Err(bad("it must not hold a password")),
            _ => return Err(bad(&expected)),
        }
        if uri.query().is_some() {
            return Err(bad("it must not have a query"));
        }
        let url = at.trim_end_matches('/').to_owned();
        Ok(Self { service, url, agent: agent::open(None, None), roots: None, idempotency_key: None })
    }

    /// Sends this key with every request for a job, so that however often it is sent, there is one.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: Option<&str>) -> Self {
        self.idempotency_key = key.map(str::to_owned);
        self
    }

    /// The API's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether what is sent there stays on this machine.
    pub fn is_on_this_machine(&self) -> bool {
        let uri: Option<Uri> = self.url.parse().ok();
        uri.as_ref().and_then(Uri::host).is_some_and(|host| {
            let host = host.trim_matches(['[', ']']);
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        })
    }

    /// `GET /health`; a service that is down answers, too.
    pub fn health(&self) -> Result<Health, ClientError> {
        let (status, text) = self.text(self.agent.get(self.address("/health")).call())?;
        match serde_json::from_str(&text) {
            Ok(health) => Ok(health),
            Err(_) => self.parse(status, &text),
        }
    }

    /// `POST /backup`.
    pub fn backup(&self, body: &BackupBody) -> Result<JobView, ClientError> {
        self.post("/backup", body)
    }

    /// `POST /restore`.
    pub fn restore(&self, body: &RestoreBody) -> Result<JobView, ClientError> {
        self.post("/restore", body)
    }

    /// `POST /verify`.
    pub fn verify(&self, body: &VerifyBody) -> Result<JobView, ClientError> {
        self.post("/verify", body)
    }

    /// `POST /prune`.
    pub fn prune(&self, body: &PruneBody) -> Result<JobView, ClientError> {
        self.post("/prune", body)
    }

    /// `POST /copy`.
    pub fn copy(&self, body: &CopyBody) -> Result<JobView, ClientError> {
        self.post("/copy", body)
    }

    /// `POST /reencrypt`.
    pub fn reencrypt(&self, body: &ReencryptBody) -> Result<JobView, ClientError> {
        self.post("/reencrypt", body)
    }

    /// `GET /jobs`.
    pub fn jobs(&self, query: &JobQuery) -> Result<JobPage, ClientError> {
        self.get("/jobs", query.pairs())
    }

    /// `GET /backups`; the query's kind doesn't count.
    pub fn backups(&self, query: &JobQuery) -> Result<BackupPage, ClientError> {
        let mut pairs = query.pairs();
        pairs.retain(|(name, _)| *name != "kind");
        self.get("/backups", pairs)
    }

    /// `GET /jobs/{id}`.
    pub fn job(&self, id: &str) -> Result<JobView, ClientError> {
        self.get(&job_path("jobs", id, "")?, Vec::new())
    }

    /// `GET /backup/{id}`.
    pub fn backup_job(&self, id: &str) -> Result<BackupView, ClientError> {
        self.get(&job_path("backup", id, "")?, Vec::new())
    }

    /// `GET /jobs/{id}/events`.
    pub fn events(&self, id: &str) -> Result<EventList, ClientError> {
        self.get(&job_path("jobs", id, "/events")?, Vec::new())
    }

    /// `GET /jobs/{id}/events` as a stream, after the event with this number.
    pub(crate) fn job_stream(&self, id: &str, after: i64) -> Result<Messages<Lines>, ClientError> {
        let path = job_path("jobs", id, "/events")?;
        let headers = [("accept", "text/event-stream".to_owned()), ("last-event-id", after.to_string())];
        self.open(&path, &[], &headers, STREAM_WITHIN).map(Messages::new)
    }

    /// The next message of a stream; `None` where the server has ended it, or where it is old.
    pub(crate) fn message(&self, messages: &mut Messages<Lines>) -> Result<Option<Message>, ClientError> {
        match messages.read() {
            Err(error) if is_timeout(&error) => Ok(None),
            read => read.map_err(|error| self.broke_off(&error)),
        }
    }

    /// `GET /jobs/audit`: the jobs after this one.
    pub fn audit(&self, after: Option<&str>) -> Result<AuditReport, ClientError> {
        self.get("/jobs/audit", after.map(|after| ("after", after.to_owned())).into_iter().collect())
    }

    /// `GET /jobs/export`: a line for each job after this one.
    pub(crate) fn export(&self, after: Option<&str>) -> Result<Lines, ClientError> {
        let query: Vec<_> = after.map(|after| ("after", after.to_owned())).into_iter().collect();
        self.open("/jobs/export", &query, &[], EXPORT_WITHIN)
    }

    /// The next line, without its end; `None` after the last one.
    pub(crate) fn line(&self, lines: &mut Lines) -> Result<Option<String>, ClientError> {
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) if line.ends_with('\n') => Ok(Some(line.trim_end_matches('\n').to_owned())),
            Ok(_) => Err(self.odd("its last line breaks off")),
            Err(error) => Err(self.broke_off(&error)),
        }
    }

    /// `DELETE /jobs/{id}`.
    pub fn cancel(&self, id: &str) -> Result<JobView, ClientError> {
        let address = self.address(&job_path("jobs", id, "")?);
        self.read(self.agent.delete(address).call())
    }

    /// `POST /jobs/{id}/resume`.
    pub fn resume(&self, id: &str) -> Result<JobView, ClientError> {
        let address = self.address(&job_path("jobs", id, "/resume")?);
        self.read(self.agent.post(address).send_empty())
    }

    /// `POST /jobs/{id}/give-up`.
    pub fn give_up(&self, id: &str, reason: Option<String>) -> Result<JobView, ClientError> {
        self.post(&job_path("jobs", id, "/give-up")?, &GiveUpBody { reason })
    }

    /// `POST /jobs/{id}/retry`.
    pub fn retry(&self, id: &str) -> Result<JobView, ClientError> {
        let address = self.address(&job_path("jobs", id, "/retry")?);
        self.read(self.agent.post(address).send_empty())
    }

    /// `GET /queues`.
    pub fn queues(&self) -> Result<QueueList, ClientError> {
        self.get("/queues", Vec::new())
    }

    /// `POST /queues/{kind}/pause`.
    pub fn pause(&self, kind: &str, reason: Option<String>) -> Result<QueueView, ClientError> {
        self.post(&format!("/queues/{}/pause", piece(kind)), &PauseBody { reason })
    }

    /// `POST /queues/{kind}/resume`.
    pub fn resume_queue(&self, kind: &str) -> Result<QueueView, ClientError> {
        let address = self.address(&format!("/queues/{}/resume", piece(kind)));
        self.read(self.agent.post(address).send_empty())
    }

    /// `GET /workers`.
    pub fn workers(&self) -> Result<WorkerList, ClientError> {
        self.get("/workers", Vec::new())
    }

    /// An answer that is read as it comes.
    fn open(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        headers: &[(&'static str, String)],
        within: Duration,
    ) -> Result<Lines, ClientError> {
        let request = self.agent.get(self.address(path)).query_pairs(query.iter().cloned());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let config = request.config().timeout_global(None).timeout_recv_response(Some(ANSWER_WITHIN));
        let answer = config.timeout_recv_body(Some(within)).build().call();
        let answer = answer.map_err(|error| self.not_reachable(&error))?;
        if answer.status().is_success() {
            let reader: Box<dyn Read> = Box::new(answer.into_body().into_reader());
            return Ok(BufReader::new(reader));
        }
        let (status, text) = self.text(Ok(answer))?;
        match self.parse::<serde_json::Value>(status, &text) {
            Ok(_) => Err(self.odd(&format!("status {status} without a stream"))),
            Err(error) => Err(error),
        }
    }

    fn broke_off(&self, error: &std::io::Error) -> ClientError {
        self.away(format!("its answer broke off: {error}"))
    }

    pub(crate) fn odd(&self, reason: &str) -> ClientError {
        ClientError::NotTheApi { service: self.service, url: self.url.clone(), reason: reason.to_owned() }
    }

    fn away(&self, reason: String) -> ClientError {
        ClientError::NotReachable { service: self.service, url: self.url.clone(), reason }
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Vec<(&'static str, String)>,
    ) -> Result<T, ClientError> {
        self.read(self.agent.get(self.address(path)).query_pairs(query).call())
    }

    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let mut post = self.agent.post(self.address(path));
        if let Some(key) = &self.idempotency_key {
            post = post.header("Idempotency-Key", key);
        }
        self.read(post.send_json(body))
    }

    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<T, ClientError> {
        let (status, text) = self.text(answer)?;
        self.parse(status, &text)
    }

    pub(crate) fn text(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<(u16, String), ClientError> {
        let mut answer = answer.map_err(|error| self.not_reachable(&error))?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = body.map_err(|error| self.not_reachable(&error))?;
        Ok((answer.status().as_u16(), text))
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, status: u16, text: &str) -> Result<T, ClientError> {
        if (200..300).contains(&status) {
            return serde_json::from_str(text).map_err(|error| self.odd(&format!("its answer doesn't fit: {error}")));
        }
        Err(match serde_json::from_str::<Problem>(text) {
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) => self.odd(&format!("status {status} without a problem document")),
        })
    }

    fn not_reachable(&self, error: &ureq::Error) -> ClientError {
        match error {
            ureq::Error::Protocol(_) | ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
                self.odd(&error.to_string())
            }
            _ => self.away(error.to_string()),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == std::io::ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_make_no_sense_are_refused() {
        for url in ["", "127.0.0.1:8089", "https://u:p@pi-1", "http://u:p@pi-1", "ftp://x", "http://x/?y", "a b"] {
            assert!(matches!(Client::new(url), Err(ClientError::BadUrl { .. })), "{url}");
        }
        let client = Client::new("http://127.0.0.1:8089/").expect("a client");
        assert_eq!(client.address("/health"), "http://127.0.0.1:8089/health");
        for (url, is_here) in [
            ("http://127.0.0.1:8089", true),
            ("http://[::1]:8089", true),
            ("http://LOCALHOST", true),
            ("http://pi-1:8089", false),
            ("http://localhost.evil.example", false),
            ("http://10.0.0.1:8089", false),
        ] {
            assert_eq!(Client::new(url).expect("a client").is_on_this_machine(), is_here, "{url}");
        }
    }

    #[test]
    fn hostile_ids_never_reach_a_path() {
        let client = Client::new("http://127.0.0.1:1").expect("a client");
        for id in ["../health", "a/b", "x?y=z", "", "a b"] {
            assert!(matches!(client.job(id), Err(ClientError::BadId { .. })), "{id}");
        }
    }

    #[test]
    fn a_silent_port_says_what_to_do() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let client = Client::new(&format!("http://127.0.0.1:{port}")).expect("a client");
        let error = client.health().expect_err("nobody listens");
        assert!(error.is_unreachable());
        let said = error.to_string();
        for words in ["no API answers at http://127.0.0.1:", "lucid-ops api", "--api or LUCID_API"] {
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn answers_of_something_else_are_told_apart() {
        let client = Client::new("http://127.0.0.1:1").expect("a client");
        let odd = client.parse::<JobView>(200, "<html>").expect_err("not a job");
        assert!(matches!(odd, ClientError::NotTheApi { .. }), "{odd}");
        let odd = client.parse::<JobView>(502, "Bad Gateway").expect_err("not a problem");
        assert!(odd.to_string().contains("502"), "{odd}");
    }
}
