//! Certificates and keys as files, for a listener of ours and for programs that are not ours.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority and a folder with what it issued.
pub struct Keys {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Keys {
    /// An authority of its own, with a pair `server` for `localhost` and a pair `client`.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Sidepost test authority for listeners");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let keys = Self { authority, folder: tempfile::tempdir().unwrap() };
        fs::write(keys.path("ca.crt"), keys.authority.pem()).unwrap();
        keys.issue("server");
        keys.issue("client");
        keys
    }

    /// Writes a new pair of this name, the certificate first.
    pub fn issue(&self, name: &str) {
        let (certificate, key) = self.pair(name);
        fs::write(self.path(&format!("{name}.crt")), certificate).unwrap();
        fs::write(self.path(&format!("{name}.key")), key).unwrap();
    }

    fn pair(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost", "127.0.0.1"].map(String::from)).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
        params.use_authority_key_identifier_extension = true;
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
