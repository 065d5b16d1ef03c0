use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::TlsConnector;

use super::*;
use crate::lifecycle::Lifecycle;
use crate::observe::metrics::Snapshot;

/// An authority, and a folder with what it issues.
struct Issuer {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Issuer {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { authority, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificate and key as PEM.
    fn issue(&self, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["us.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, until: i32) {
        let (certificate, key) = self.issue(until);
        fs::write(self.path("tls.crt"), certificate).unwrap();
        fs::write(self.path("tls.key"), key).unwrap();
    }

    fn config(&self) -> Config {
        fs::write(self.path("ca.crt"), self.authority.pem()).unwrap();
        Config {
            tls_cert_file: Some(self.path("tls.crt")),
            tls_key_file: Some(self.path("tls.key")),
            tls_client_ca_file: None,
        }
    }

    fn server(&self) -> Arc<ServerTls> {
        Arc::new(ServerTls::new(&self.config()).unwrap().unwrap())
    }

    /// A client with a certificate of its own, if an issuer of one is given.
    fn client(&self, of: Option<&Self>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match of.map(|issuer| issuer.issue(2100)) {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

/// A handshake and a byte; whether the client showed a certificate.
async fn shake(server: &Arc<ServerTls>, client: TlsConnector) -> Result<bool, String> {
    let (near, far) = duplex(1 << 16);
    let server = Arc::clone(server);
    let serving = tokio::spawn(async move {
        let mut stream = server.accept(far).await?;
        stream.write_all(b"x").await?;
        Ok::<_, io::Error>(stream.get_ref().1.peer_certificates().is_some())
    });
    let mut stream =
        client.connect(ServerName::try_from("us.test").unwrap(), near).await.map_err(|error| error.to_string())?;
    let read = stream.read_u8().await;
    let served = serving.await.unwrap().map_err(|error| error.to_string())?;
    read.map(|_| served).map_err(|error| error.to_string())
}

fn refusal(config: &Config) -> String {
    ServerTls::new(config).unwrap_err()
}

#[tokio::test]
async fn mistakes_are_named_by_variable_or_file() {
    let issuer = Issuer::new();
    let none = Config { tls_cert_file: None, tls_key_file: None, tls_client_ca_file: None };
    assert!(ServerTls::new(&none).unwrap().is_none());
    let config = issuer.config();
    assert!(refusal(&config).contains("cannot read") && refusal(&config).contains("tls.crt"), "{}", refusal(&config));
    issuer.write(2100);
    assert!(ServerTls::new(&config).is_ok());
    assert!(refusal(&Config { tls_key_file: None, ..config.clone() }).contains("SIDEPOST_TLS_KEY_FILE is missing"));
    assert!(refusal(&Config { tls_cert_file: None, ..config.clone() }).contains("SIDEPOST_TLS_CERT_FILE is missing"));
    assert!(refusal(&Config { tls_client_ca_file: Some(issuer.path("ca.crt")), ..none }).contains("is missing"));
    let swapped = Config {
        tls_cert_file: config.tls_key_file.clone(),
        tls_key_file: config.tls_cert_file.clone(),
        ..config.clone()
    };
    assert!(refusal(&swapped).contains("has no certificate in it"));
    assert!(refusal(&Config { tls_key_file: config.tls_cert_file.clone(), ..config.clone() }).contains("private key"));
    fs::write(issuer.path("tls.key"), issuer.issue(2100).1).unwrap();
    assert!(refusal(&config).contains("do not fit together"), "{}", refusal(&config));
    fs::write(issuer.path("tls.crt"), [0xff; 100]).unwrap();
    assert!(refusal(&config).contains("tls.crt"));
}

#[tokio::test]
async fn a_valid_client_certificate_is_seen_and_a_foreign_one_refused() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    issuer.write(2100);
    let config = Config { tls_client_ca_file: Some(issuer.path("ca.crt")), ..issuer.config() };
    let server = Arc::new(ServerTls::new(&config).unwrap().unwrap());
    assert!(server.knows_client_certificates());
    assert_eq!(shake(&server, issuer.client(None)).await, Ok(false));
    assert_eq!(shake(&server, issuer.client(Some(&issuer))).await, Ok(true));
    assert!(shake(&server, issuer.client(Some(&stranger))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_shake_hands_is_not_waited_for() {
    let issuer = Issuer::new();
    issuer.write(2100);
    let (_near, far) = duplex(1 << 16);
    let error = issuer.server().accept(far).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// The clock is paused: nothing here waits for a socket. Each step is as a certificate manager takes it.
#[tokio::test(start_paused = true)]
async fn new_files_are_taken_up_and_broken_ones_are_not() {
    const Y2100: u64 = 4_102_444_800;
    const Y2200: u64 = 7_258_118_400;
    let issuer = Issuer::new();
    let link = |data: &str| {
        std::os::unix::fs::symlink(data, issuer.path("..data_tmp")).unwrap();
        fs::rename(issuer.path("..data_tmp"), issuer.path("..data")).unwrap();
    };
    for (version, year) in [("..1", 2100), ("..2", 2200)] {
        fs::create_dir(issuer.path(version)).unwrap();
        let (certificate, key) = issuer.issue(year);
        fs::write(issuer.path(version).join("tls.crt"), certificate).unwrap();
        fs::write(issuer.path(version).join("tls.key"), key).unwrap();
    }
    link("..1");
    let config = Config {
        tls_cert_file: Some(issuer.path("..data/tls.crt")),
        tls_key_file: Some(issuer.path("..data/tls.key")),
        tls_client_ca_file: None,
    };
    let server = Arc::new(ServerTls::new(&config).unwrap().unwrap());
    let (lifecycle, metrics) = (Lifecycle::new(), Arc::new(Metrics::new(&[], &["smtp"]).unwrap()));
    tokio::spawn(Arc::clone(&server).follow(Arc::clone(&metrics), lifecycle.watch()));
    let later = || sleep(2 * LOOK);
    let counted = |result: &str| {
        let text = String::from_utf8(metrics.render(Snapshot::default())).unwrap();
        let series = format!("sidepost_certificate_reloads_total{{result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().to_owned()
    };
    later().await;
    assert_eq!((server.expires(), counted("loaded").as_str()), (Y2100, "0"));
    link("..2");
    later().await;
    assert_eq!((server.expires(), counted("loaded").as_str()), (Y2200, "1"));
    assert_eq!(shake(&server, issuer.client(None)).await, Ok(false));
    // Written in place, the certificate first: for a while the two do not fit together.
    fs::copy(issuer.path("..1/tls.crt"), issuer.path("..2/tls.crt")).unwrap();
    later().await;
    later().await;
    assert_eq!((server.expires(), counted("failed").as_str()), (Y2200, "1"), "said once");
    assert_eq!(shake(&server, issuer.client(None)).await, Ok(false));
    fs::copy(issuer.path("..1/tls.key"), issuer.path("..2/tls.key")).unwrap();
    later().await;
    assert_eq!((server.expires(), counted("loaded").as_str()), (Y2100, "2"));
    fs::remove_file(issuer.path("..data")).unwrap();
    later().await;
    assert_eq!((server.expires(), counted("failed").as_str()), (Y2100, "2"));
    assert_eq!(shake(&server, issuer.client(None)).await, Ok(false));
    let text = String::from_utf8(metrics.render(Snapshot::default())).unwrap();
    assert!(text.contains("sidepost_certificate_expiry_timestamp_seconds 4102444800\n"), "{text}");
}
