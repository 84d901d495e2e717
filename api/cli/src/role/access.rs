//! Who may come to a service: what is refused before it listens.

use crate::{args::AccessArgs, exit::Exit, secrets};
use bson::DateTime;
use lucid_http::{Anonymous, Tls};
use lucid_ports::{Problems, TokenLook, Tokens};
use lucid_schemas::access::Standing;
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;

/// What somebody may do who shows no token.
pub fn anonymous(args: &AccessArgs) -> Anonymous {
    args.anonymous.map_or_else(Anonymous::default, |anybody| Anonymous::everybody(anybody.role()))
}

/// What it speaks over, read again from now on; none where no files are named.
///
/// # Errors
/// Where they can't be used.
pub fn tls(args: &AccessArgs, problems: &Problems, stop: &CancellationToken) -> Result<Option<Tls>, Exit> {
    let Some((certificate, key)) = args.tls_cert_file.clone().zip(args.tls_key_file.clone()) else { return Ok(None) };
    let tls = Tls::open(certificate, key.clone()).map_err(Exit::usage)?;
    tokio::spawn(tls.clone().keep(problems.clone(), stop.clone()));
    tokio::spawn(secrets::watch(vec![key], problems.clone()));
    Ok(Some(tls))
}

/// How its addresses begin.
pub const fn scheme(tls: Option<&Tls>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

/// Refuses an address that others can reach where what they send could be read on the way, unless that was said to be meant.
pub fn check_way(service: &str, address: SocketAddr, args: &AccessArgs) -> Result<(), Exit> {
    let lacks_tls = !address.ip().is_loopback() && !args.plain_http && args.tls_cert_file.is_none();
    if lacks_tls { Err(refusal(service, address, true, args.anonymous.is_none())) } else { Ok(()) }
}

/// Refuses an address that others can reach where none of them could do anything, unless that was said to be meant.
pub async fn check_tokens(
    service: &str,
    address: SocketAddr,
    args: &AccessArgs,
    tokens: &dyn Tokens,
) -> Result<(), Exit> {
    if address.ip().is_loopback() || args.anonymous.is_some() {
        return Ok(());
    }
    let look = tokens.look_at_tokens().await.map_err(Exit::failed)?;
    if has_valid(&look, look.now) { Ok(()) } else { Err(refusal(service, address, false, true)) }
}

fn has_valid(look: &TokenLook, now: DateTime) -> bool {
    look.tokens.iter().any(|token| token.standing(now) == Standing::Valid)
}

fn refusal(service: &str, address: SocketAddr, lacks_tls: bool, lacks_tokens: bool) -> Exit {
    let tls = "a certificate (--tls-cert-file and --tls-key-file) or --plain-http, which says that nobody reads along";
    let token = "a token (`lucid-ops token create`), or --anonymous none, viewer or requester for those who have none";
    let needs = match (lacks_tls, lacks_tokens) {
        (true, true) => format!("{tls}; and {token}"),
        (true, false) => tls.to_owned(),
        (false, _) => token.to_owned(),
    };
    Exit::usage(format!("the {service} doesn't listen on {address}, which others can reach, without {needs}"))
}
