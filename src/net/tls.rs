//! TLS towards the provider and whoever issues tokens for it: always verified, TLS 1.2 with AEAD at the least, sessions resumed.

pub mod link;
pub mod server;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate;

/// Verified TLS as a client.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// TLS that trusts the built-in roots and those in `files` (PEM).
    ///
    /// # Errors
    /// A file that cannot be read or has no certificate, with its name.
    pub fn new(files: &[&Path]) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for file in files {
            add_roots(&mut roots, file)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// The handshake.
    ///
    /// # Errors
    /// Where it fails; `rustls::Error` is inside where that is the reason.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.0.connect(name, tcp).await
    }
}

fn add_roots(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{} has a certificate that is no root: {error}", file.display()))?;
    }
    Ok(())
}

/// When each certificate of a file (PEM) begins and ends, as far as it can be read.
///
/// # Errors
/// A file that cannot be read or has no certificate, with its name.
pub fn lives(file: &Path) -> Result<Vec<(SystemTime, SystemTime)>, String> {
    let life = |certificate: &CertificateDer<'_>| {
        Some((certificate::not_before(certificate)?, certificate::not_after(certificate)?))
    };
    Ok(certificates(file)?.iter().filter_map(life).collect())
}

/// Every certificate of a file (PEM); there is at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = file.display();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let certificates: Vec<_> =
        certificates.collect::<Result<_, _>>().map_err(|error| format!("{shown} is not PEM: {error}"))?;
    if certificates.is_empty() { Err(format!("{shown} has no certificate in it")) } else { Ok(certificates) }
}
