//! Mail over TLS against a server that has a certificate: of somebody who is trusted, and of somebody who isn't.

use super::tests::{message, one};
use super::*;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, mpsc},
    thread,
};

/// Of `localhost`, signed by `ca.pem`; good until 2126, and for nothing but these tests.
const CERTIFICATE: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");
const TRUSTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/send/tls/ca.pem");
/// The variable that says whom a process trusts.
const WHOM: &str = "SSL_CERT_FILE";

/// A mail server that takes everything; what it took.
fn start(tls: &'static str) -> (u16, mpsc::Receiver<String>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = listener.local_addr().expect("an address").port();
    let (taken, mails) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever doesn't trust it hangs up.
            drop(converse(stream, config.clone(), tls, &taken));
        }
    });
    (port, mails)
}

fn converse(stream: TcpStream, config: Arc<ServerConfig>, tls: &str, taken: &mpsc::Sender<String>) -> io::Result<()> {
    if tls == "starttls" {
        let mut plain = BufReader::new(&stream);
        for reply in ["220 here\r\n", "250-here\r\n250 STARTTLS\r\n", "220 go on\r\n"] {
            if !reply.starts_with("220 here") {
                plain.read_line(&mut String::new())?;
            }
            (&stream).write_all(reply.as_bytes())?;
        }
    }
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut sealed = BufReader::new(StreamOwned::new(connection, stream));
    if tls == "implicit" {
        say(&mut sealed, "220 here\r\n")?;
    }
    loop {
        let mut line = String::new();
        if sealed.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let reply = match line.split([' ', ':', '\r']).next().unwrap_or_default() {
            "EHLO" => "250-here\r\n250 8BITMIME\r\n",
            "DATA" => {
                say(&mut sealed, "354 go on\r\n")?;
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") {
                    sealed.read_line(&mut mail)?;
                }
                taken.send(mail).map_err(io::Error::other)?;
                "250 taken\r\n"
            }
            _ => "250 fine\r\n",
        };
        say(&mut sealed, reply)?;
    }
}

fn say<S: Read + Write>(stream: &mut BufReader<S>, reply: &str) -> io::Result<()> {
    stream.get_mut().write_all(reply.as_bytes())?;
    stream.get_mut().flush()
}

fn mail_to(host: &str, port: u16, tls: &str) -> Channel {
    one(&format!(
        "[channels.one]\nkind = \"smtp\"\nhost = \"{host}\"\nport = {port}\ntls = \"{tls}\"\n\
         from = \"lucid@example.org\"\nto = [\"ops@example.org\"]"
    ))
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_no_mail_and_it_is_said_what_to_do() {
    for tls in ["implicit", "starttls"] {
        let (port, mails) = start(tls);
        let error = Sender::default().send(&mail_to("localhost", port, tls), &message()).await.expect_err(tls);
        let told = error.to_string();
        assert!(matches!(error, SendError::Away { .. }), "{told}");
        assert!(told.contains("invalid peer certificate") && told.contains(WHOM), "{told}");
        assert!(mails.try_recv().is_err(), "nothing was sent");
    }
}

/// Whom a process trusts is asked once, and by a variable: so this test is a process of its own.
#[tokio::test]
async fn mail_reaches_a_server_whose_certificate_is_trusted_under_its_own_name_alone() {
    if std::env::var_os(WHOM).is_none_or(|file| file != TRUSTED) {
        let name = "send::tls::mail_reaches_a_server_whose_certificate_is_trusted_under_its_own_name_alone";
        let own = std::env::current_exe().expect("this test has a path");
        let ran = Command::new(own).args(["--exact", name]).env(WHOM, TRUSTED).output().expect("it runs");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
        return;
    }
    for tls in ["implicit", "starttls"] {
        let (port, mails) = start(tls);
        Sender::default().send(&mail_to("localhost", port, tls), &message()).await.expect(tls);
        assert!(mails.try_recv().expect("a mail").contains("To: ops@example.org"));
        let wrong = Sender::default().send(&mail_to("127.0.0.1", port, tls), &message()).await.expect_err(tls);
        assert!(wrong.to_string().contains("the name in its certificate"), "{wrong}");
        assert!(mails.try_recv().is_err(), "nothing was sent");
    }
}
