//! TLS on our own listeners: TLS 1.2 with AEAD at the least, and a certificate that changes while we serve.
//!
//! Certificates live for weeks, processes for months. The kubelet and cert-manager swap a symbolic link under the files,
//! others write them in place one after the other; so the files are looked at every few seconds, and a pair that does
//! not fit together, or cannot be read, leaves the one in use where it is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{add_roots, certificates};
use crate::lifecycle::{Phase, Watch};
use crate::net::certificate::not_after;
use crate::observe::metrics::Metrics;
use crate::settings;
use crate::time::seconds;

settings! {
    /// TLS on our own listeners.
    pub struct Config {
        /// The certificate chain (PEM) of our own listeners, read anew when it changes; with its key it switches STARTTLS on.
        tls_cert_file: Option<PathBuf> = "",
        /// The private key (PEM) of that certificate.
        tls_key_file: Option<PathBuf> = "",
        /// Authorities (PEM) of client certificates: an SMTP client that shows one of theirs is authenticated.
        tls_client_ca_file: Option<PathBuf> = "",
    }
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(3);
/// How long a client may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Why a handshake usually does not come.
const SILENT: &str = "no handshake came; a client that speaks without TLS waits for a greeting instead";

/// TLS as a server.
pub struct ServerTls {
    files: Files,
    current: RwLock<Current>,
}

/// What is in use.
struct Current {
    config: Arc<ServerConfig>,
    /// When the certificate ends, in seconds since 1970; 0 where that cannot be read.
    expires: u64,
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// A file as the file system knows it, links followed; nothing where it cannot be seen. The time of the last change to
/// the inode moves with every write, and nobody can set it back.
type Seen = Option<(u64, u64, u64, i64, i64)>;

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.files.fmt(f)
    }
}

impl ServerTls {
    /// TLS as the settings want it; nothing where no certificate is given.
    ///
    /// # Errors
    /// What is missing, cannot be read or does not fit together, in a sentence.
    pub fn new(config: &Config) -> Result<Option<Self>, String> {
        let (certificate, key) = match (&config.tls_cert_file, &config.tls_key_file) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None, None) if config.tls_client_ca_file.is_none() => return Ok(None),
            (_, None) => return Err("SIDEPOST_TLS_KEY_FILE is missing".to_owned()),
            (None, Some(_)) => return Err("SIDEPOST_TLS_CERT_FILE is missing".to_owned()),
        };
        let files = Files { certificate, key, client_ca: config.tls_client_ca_file.clone() };
        let current = RwLock::new(files.load()?);
        Ok(Some(Self { files, current }))
    }

    /// The handshake, within its time.
    ///
    /// # Errors
    /// Where it fails or takes too long; `rustls::Error` is inside where that is the reason.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config);
        let shaken = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
        shaken.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, SILENT)))
    }

    /// Whether clients can authenticate themselves by certificate.
    #[must_use]
    pub fn knows_client_certificates(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// When the certificate in use ends, in seconds since 1970; 0 where that cannot be read.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.current.read().unwrap_or_else(PoisonError::into_inner).expires
    }

    /// Takes up new files until the process ends. What is wrong with them is said once.
    pub async fn follow(self: Arc<Self>, metrics: Arc<Metrics>, lifecycle: Watch) {
        let mut seen = self.files.seen();
        metrics.certificate_expires(self.expires());
        loop {
            tokio::select! {
                () = lifecycle.reached(Phase::Ending) => return,
                () = sleep(LOOK) => {}
            }
            let now = self.files.seen();
            if now != seen {
                seen = now;
                self.reload(&metrics);
            }
        }
    }

    fn reload(&self, metrics: &Metrics) {
        let loaded = self.files.load();
        metrics.certificate_loaded(loaded.is_ok());
        match loaded {
            Ok(current) => {
                metrics.certificate_expires(current.expires);
                tracing::info!(expires = current.expires, "the listener's certificate was read anew");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
            }
            Err(reason) => {
                tracing::error!(reason, "the listener's new certificate cannot be used; the one before stays in use");
            }
        }
    }
}

impl Files {
    fn seen(&self) -> [Seen; 3] {
        let seen = |path: &Path| {
            let file = fs::metadata(path).ok()?;
            Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
        };
        [seen(&self.certificate), seen(&self.key), self.client_ca.as_deref().and_then(seen)]
    }

    fn load(&self) -> Result<Current, String> {
        let chain = certificates(&self.certificate)?;
        let shown = self.key.display();
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("{shown} has no private key that can be read: {error}"))?;
        let expires = chain.first().and_then(|certificate| not_after(certificate)).map_or(0, seconds);
        let config = self.config(chain, key)?;
        if (1..seconds(SystemTime::now())).contains(&expires) {
            tracing::warn!(expires, file = %self.certificate.display(), "the listener's certificate has ended; clients will refuse it");
        }
        Ok(Current { config: Arc::new(config), expires })
    }

    fn config(&self, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut authorities = RootCertStore::empty();
                add_roots(&mut authorities, file)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
                    .allow_unauthenticated()
                    .build();
                builder.with_client_cert_verifier(verifier.map_err(|error| format!("{}: {error}", file.display()))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!("{} and {} do not fit together: {error}", self.certificate.display(), self.key.display())
        })?;
        if self.client_ca.is_some() {
            // A session resumed is a certificate not looked at again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
