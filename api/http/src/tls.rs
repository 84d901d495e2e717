//! TLS of a port: a certificate and its key from two files, read again when they change.
//!
//! Invariants: connections that are open stay so; a new pair that can't be used leaves the old one in use, and is told.

use lucid_ports::Problems;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How often it is looked whether the files have changed.
const EVERY: Duration = Duration::from_secs(5);
const SUBJECT: &str = "certificate";

/// What a port proves with that it is the one that is meant. Clones are the same.
#[derive(Clone)]
pub struct Tls(Arc<Kept>);

struct Kept {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    used: RwLock<Arc<CertifiedKey>>,
}

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Tls {
    /// Of these two PEM files: the certificate with those that vouch for it behind it, and its key.
    ///
    /// # Errors
    /// One sentence that names the file and says what is wrong.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let used = read(&certificate, &key).and_then(|pair| usable(&pair, &certificate, &key, &provider))?;
        Ok(Self(Arc::new(Kept { certificate, key, provider, used: RwLock::new(Arc::new(used)) })))
    }

    /// What a server needs.
    ///
    /// # Errors
    /// Where the library has no protocol in common with itself, which is a defect.
    pub fn config(&self) -> std::io::Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.0.provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
        Ok(builder.with_no_client_auth().with_cert_resolver(Arc::clone(&self.0) as _))
    }

    /// Uses what the files hold, whenever that changes, until `stop`; tells where it can't.
    pub async fn keep(self, problems: Problems, stop: CancellationToken) {
        let mut seen = None;
        while !stop.is_cancelled() {
            let (kept, last) = (Arc::clone(&self.0), seen.take());
            // Reading files may hang.
            let looked = spawn_blocking(move || kept.look(last)).await;
            let (now, problem) = looked.unwrap_or_else(|broken| (None, Some(broken.to_string())));
            seen = now;
            match problem {
                None => drop(problems.clear(SUBJECT)),
                Some(problem) => {
                    problems.set(
                        SUBJECT,
                        format!("{problem}; the certificate from before stays in use until that is mended"),
                    );
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(EVERY) => {}
            }
        }
    }
}

impl Kept {
    /// What the files hold now, and what is wrong with it.
    fn look(&self, last: Option<Pair>) -> (Option<Pair>, Option<String>) {
        let pair = match read(&self.certificate, &self.key) {
            Ok(pair) => pair,
            Err(problem) => return (last, Some(problem)),
        };
        let used = match usable(&pair, &self.certificate, &self.key, &self.provider) {
            Ok(used) => used,
            Err(problem) => return (Some(pair), Some(problem)),
        };
        if last.as_ref() != Some(&pair) {
            *self.used.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(used);
            if last.is_some() {
                tracing::info!(file = %self.certificate.display(), "the certificate has changed: the new one is used");
            }
        }
        (Some(pair), None)
    }
}

fn read(certificate: &PathBuf, key: &PathBuf) -> Result<Pair, String> {
    let read =
        |path: &PathBuf| fs::read(path).map_err(|error| format!("the file {} can't be read: {error}", path.display()));
    Ok(Pair { certificate: read(certificate)?, key: Zeroizing::new(read(key)?) })
}

fn usable(
    pair: &Pair,
    certificate: &PathBuf,
    key: &PathBuf,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let wrong =
        |path: &PathBuf, problem: &dyn fmt::Display| format!("the file {} can't be used: {problem}", path.display());
    let chain = CertificateDer::pem_slice_iter(&pair.certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| wrong(certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong(certificate, &"it holds no certificate in PEM form"));
    }
    // The error would quote what it has read.
    let private = PrivateKeyDer::from_pem_slice(&pair.key);
    let private = private.map_err(|_| wrong(key, &"it holds no private key in PEM form"))?;
    CertifiedKey::from_der(chain, private, provider)
        .map_err(|error| wrong(certificate, &format!("with the key in {}: {error}", key.display())))
}

impl ResolvesServerCert for Kept {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.used.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.certificate).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::Path, process::Command};

    /// A certificate for `localhost` that vouches for itself, and its key.
    fn make(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("openssl runs: apt-get install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (certificate, key)
    }

    fn used(tls: &Tls) -> Vec<u8> {
        tls.0.used.read().expect("whole").cert[0].to_vec()
    }

    #[test]
    fn a_new_pair_is_used_and_a_broken_one_leaves_the_old_one_and_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = make(folder.path(), "first");
        let (other, other_key) = make(folder.path(), "second");
        let tls = Tls::open(certificate.clone(), key.clone()).expect("usable");
        tls.config().expect("a server");
        let first = used(&tls);
        let (mut seen, problem) = tls.0.look(None);
        assert_eq!(problem, None);
        let good = fs::read(&certificate).expect("read");
        for (what, certificate_now, key_now) in [
            ("half a pair", fs::read(&other).expect("read"), fs::read(&key).expect("read")),
            ("no certificate", b"nonsense".to_vec(), fs::read(&key).expect("read")),
            ("no key", good.clone(), b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n".to_vec()),
            ("a key for a certificate", fs::read(&key).expect("read"), good.clone()),
        ] {
            fs::write(&certificate, certificate_now).expect("written");
            fs::write(&key, key_now).expect("written");
            let (now, problem) = tls.0.look(seen);
            let problem = problem.unwrap_or_else(|| panic!("{what} is used"));
            assert!(
                problem.contains(&folder.path().display().to_string()) && !problem.contains("c2VjcmV0"),
                "{problem}"
            );
            assert_eq!(used(&tls), first, "{what}");
            assert!(Tls::open(certificate.clone(), key.clone()).is_err(), "{what}: nothing begins with it");
            seen = now;
        }
        fs::remove_file(&key).expect("removed");
        let (now, problem) = tls.0.look(seen);
        assert!(problem.is_some_and(|problem| problem.contains("can't be read")));
        fs::copy(&other, &certificate).expect("copied");
        fs::copy(&other_key, &key).expect("copied");
        let (_, problem) = tls.0.look(now);
        assert_eq!(problem, None);
        assert_ne!(used(&tls), first, "the new one is used");
        assert!(!format!("{tls:?}").contains("PRIVATE"), "{tls:?}");
    }
}
