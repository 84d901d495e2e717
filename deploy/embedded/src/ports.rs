//! Free ports on loopback.
//!
//! They are sought below the range that systems hand to outgoing connections (32768 and up), so that a member that
//! was stopped finds its port free when it comes back.

use crate::{Error, Result};
use std::net::{Ipv4Addr, TcpListener};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Whether a port can be bound now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Ports that are free now, `count` in a row from `first` if it is given.
pub(crate) fn choose(first: Option<u16>, count: usize) -> Result<Vec<u16>> {
    match first {
        Some(first) => (0..count).map(|offset| fixed(first, offset)).collect(),
        None => any(count),
    }
}

fn fixed(first: u16, offset: usize) -> Result<u16> {
    let port = u16::try_from(offset).ok().and_then(|offset| first.checked_add(offset));
    port.filter(|port| is_free(*port)).ok_or(Error::PortTaken { port: port.unwrap_or(u16::MAX) })
}

fn any(count: usize) -> Result<Vec<u16>> {
    let start = getrandom::u32().unwrap_or(std::process::id()) % u32::from(COUNT);
    let candidates = (0..u32::from(COUNT)).map(|step| (start + step * 37) % u32::from(COUNT));
    let ports: Vec<u16> = candidates
        .filter_map(|offset| u16::try_from(offset).ok())
        .map(|offset| FIRST + offset)
        .filter(|port| is_free(*port))
        .take(count)
        .collect();
    if ports.len() == count { Ok(ports) } else { Err(Error::PortTaken { port: FIRST }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_never_chosen() {
        let ports = choose(None, 3).expect("free ports");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[1])).expect("bind");
        assert!(choose(Some(ports[1]), 1).is_err(), "{taken:?}");
        assert_eq!(choose(Some(ports[0]), 1).expect("free"), [ports[0]]);
        assert!(choose(Some(u16::MAX), 2).is_err(), "beyond the last port");
    }
}
