//! Where messages may go: what they tell, and what opens the door, must not be read on the way.

use reqwest::Url;
use std::net::IpAddr;

/// Whether a host is this one, so that nobody reads along.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// An address for HTTP; `https`, or on this host, unless that is waived. What is wrong with it, without telling it.
pub(super) fn url(text: &str, is_insecure_fine: bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be an address such as https://example.org/hook")?;
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        _ if host.is_empty() => Err("names no host"),
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err("holds a user or a password: give them as `authorization`")
        }
        "https" => Ok(url),
        "http" if is_insecure_fine || is_loopback(host) => Ok(url),
        "http" => Err("is read by everybody on the way: must be https, or on this host (or `insecure = true`)"),
        _ => Err("must begin with https://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_host_unless_told() {
        for fine in [
            "https://example.org/x",
            "http://127.0.0.1:9093",
            "http://localhost/x",
            "http://[::1]:8/",
            "http://127.8.9.1/",
        ] {
            assert!(url(fine, false).is_ok(), "{fine}");
        }
        for bad in [
            "http://example.org/",
            "http://10.0.0.1/",
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "http://[::ffff:10.0.0.1]/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "https://user:word@example.org/",
            "http://user@127.0.0.1/",
            "example.org",
            "",
        ] {
            assert!(url(bad, false).is_err(), "{bad}");
        }
        assert!(url("http://10.0.0.1/", true).is_ok());
        assert!(url("https://user:word@example.org/", true).is_err());
    }
}
