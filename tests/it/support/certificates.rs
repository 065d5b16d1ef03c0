//! A certificate authority for tests, and one server certificate for each thing that can be wrong with one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// The names for which every certificate but [`Certificate::WrongHost`] is made.
const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "*.network.test"];
/// The name in [`Certificate::WrongHost`].
pub const WRONG_NAME: &str = "mail.elsewhere.test";

/// A server certificate, named after what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing: `localhost`, `127.0.0.1`, `::1` and what ends in `.network.test`, valid now, issued by the authority of [`Certificates::ca_file`].
    Good,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Made for [`WRONG_NAME`].
    WrongHost,
    /// Issued by an authority that nobody was told about.
    OtherIssuer,
    /// Its own issuer, marked as an authority, as appliances make them.
    SelfSigned,
}

impl Certificate {
    /// Every one of them.
    pub const ALL: [Self; 6] =
        [Self::Good, Self::Expired, Self::NotYetValid, Self::WrongHost, Self::OtherIssuer, Self::SelfSigned];
}

/// A certificate with its key.
#[derive(Debug)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The authority and the server certificates, made once per process.
#[derive(Debug)]
pub struct Certificates {
    ca: CertificateDer<'static>,
    ca_pem: String,
    ca_file: PathBuf,
    identities: Vec<Identity>,
}

impl Certificates {
    /// The one set of this process.
    pub fn new() -> &'static Self {
        static ONCE: OnceLock<Certificates> = OnceLock::new();
        ONCE.get_or_init(Self::make)
    }

    fn make() -> Self {
        let (ours, other) = (authority("Sidepost test authority"), authority("Some other authority"));
        let identities = Certificate::ALL.map(|which| identity(which, &ours, &other)).into();
        let ca_file = write_for_this_process(&ours.pem());
        Self { ca: ours.der().clone(), ca_pem: ours.pem(), ca_file, identities }
    }

    /// The authority's certificate as a file: the value for `SIDEPOST_CA_FILE`.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// The same, as text.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A TLS server that shows this certificate.
    pub fn server(&self, which: Certificate, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let identity = &self.identities[which as usize];
        let config = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .unwrap();
        Arc::new(config)
    }

    /// A TLS client that trusts the authority and nobody else.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

fn crypto() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn identity(which: Certificate, ours: &Issuer, other: &Issuer) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = server_params(which);
    let certificate = match which {
        Certificate::SelfSigned => params.self_signed(&key),
        Certificate::OtherIssuer => params.signed_by(&key, other),
        Certificate::Good | Certificate::Expired | Certificate::NotYetValid | Certificate::WrongHost => {
            params.signed_by(&key, ours)
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Identity { chain: vec![certificate.unwrap().der().clone()], key }
}

fn server_params(which: Certificate) -> CertificateParams {
    let names = if which == Certificate::WrongHost { vec![WRONG_NAME] } else { NAMES.to_vec() };
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, names[0]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    match which {
        Certificate::Expired => params.not_after = date_time_ymd(2020, 1, 1),
        Certificate::NotYetValid => params.not_before = date_time_ymd(2999, 1, 1),
        Certificate::SelfSigned => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        Certificate::Good | Certificate::WrongHost | Certificate::OtherIssuer => {}
    }
    params
}

/// A static is never dropped, so nothing would take a temporary file away at the end: the next process does.
fn write_for_this_process(pem: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    remove_leftovers(folder);
    let file = folder.join(format!("ca-{}.pem", std::process::id()));
    fs::write(&file, pem).unwrap();
    file
}

fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix("ca-")?.strip_suffix(".pem"));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another test process may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    async fn handshake(which: Certificate) -> Result<(), String> {
        let certificates = Certificates::new();
        let (near, far) = duplex(1 << 16);
        let server = tokio::spawn(async move {
            let config = certificates.server(which, rustls::ALL_VERSIONS);
            TlsAcceptor::from(config).accept(far).await?.write_all(b"x").await
        });
        let name = "localhost".try_into().unwrap();
        let shaken = TlsConnector::from(certificates.client()).connect(name, near).await;
        let result = match shaken {
            Ok(mut stream) => stream.read_u8().await.map(|_| ()).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        server.abort();
        result
    }

    #[tokio::test]
    async fn each_certificate_is_wrong_in_its_own_way() {
        let wrong = [
            (Certificate::Expired, "Expired"),
            (Certificate::NotYetValid, "NotValidYet"),
            (Certificate::WrongHost, "not valid for name"),
            (Certificate::OtherIssuer, "UnknownIssuer"),
            (Certificate::SelfSigned, "CaUsedAsEndEntity"),
        ];
        assert_eq!(handshake(Certificate::Good).await, Ok(()));
        for (which, words) in wrong {
            let error = handshake(which).await.unwrap_err();
            let normal =
                error.replace("certificate expired", "Expired").replace("certificate not valid yet", "NotValidYet");
            assert!(normal.contains(words), "{which:?}: {error}");
        }
    }

    #[test]
    fn the_authority_is_a_file() {
        let certificates = Certificates::new();
        assert_eq!(fs::read_to_string(certificates.ca_file()).unwrap(), certificates.ca_pem());
        assert!(certificates.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }
}
