//! Whether a service lives, asked as container managers do.

use std::{
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};
use ureq::{Agent, http::Uri};

const LIVEZ: &str = "/livez";

/// Asks a service on this host whether it lives: at the path of the address, or `/livez` where it has none. One that speaks TLS is only
/// connected to, since its certificate is for the name that others know it by.
///
/// # Errors
/// Why it doesn't seem to live.
pub fn probe(url: &str, within: Duration) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| "that is no address, such as http://127.0.0.1:8089/livez".to_owned())?;
    if uri.scheme_str() == Some("https") {
        return connect(&uri, within);
    }
    let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
    let agent: Agent = config.timeout_global(Some(within)).build().into();
    let path = if matches!(uri.path(), "" | "/") { LIVEZ } else { "" };
    let answer = agent.get(format!("{}{path}", url.trim_end_matches('/'))).call().map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("it answers {}", answer.status())) }
}

fn connect(uri: &Uri, within: Duration) -> Result<(), String> {
    let (host, port) = (uri.host().unwrap_or_default().trim_matches(['[', ']']), uri.port_u16().unwrap_or(443));
    let address = (host, port).to_socket_addrs().map_err(|error| error.to_string())?.next();
    let address = address.ok_or("its name has no address")?;
    TcpStream::connect_timeout(&address, within).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    const WITHIN: Duration = Duration::from_secs(5);

    /// Answers one request with this status, and tells what was asked for.
    fn service(status: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("somebody asks");
            let mut first = String::new();
            BufReader::new(client.try_clone().expect("a handle")).read_line(&mut first).expect("a request");
            write!(client, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("answered");
            first
        });
        (url, asked)
    }

    #[test]
    fn a_service_lives_where_it_says_so() {
        let (url, asked) = service("200 OK");
        assert_eq!(probe(&url, WITHIN), Ok(()));
        assert!(asked.join().expect("asked").starts_with("GET /livez "));
        let (url, asked) = service("200 OK");
        assert_eq!(probe(&format!("{url}/readyz"), WITHIN), Ok(()));
        assert!(asked.join().expect("asked").starts_with("GET /readyz "));
        let (url, _asked) = service("503 Service Unavailable");
        assert!(probe(&url, WITHIN).is_err_and(|problem| problem.contains("503")));
    }

    #[test]
    fn whoever_is_gone_or_says_nothing_does_not_live() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("bound");
        assert!(probe(&format!("http://{at}"), Duration::from_millis(100)).is_err(), "it accepts, and is silent");
        assert_eq!(probe(&format!("https://{at}"), WITHIN), Ok(()));
        drop(listener);
        assert!(probe(&format!("http://{at}"), WITHIN).is_err());
        assert!(probe(&format!("https://{at}"), WITHIN).is_err());
        assert!(probe("nonsense://", WITHIN).is_err());
    }
}
