//! What is signed: service accounts and certificates, checked by OpenSSL.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output.stdout
}

/// Header and claims of an assertion whose signature OpenSSL finds good.
fn verified(folder: &Path, assertion: &str) -> (Value, Value) {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    std::fs::write(folder.join("signed"), signed).unwrap();
    std::fs::write(folder.join("signature"), URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    openssl(folder, &["dgst", "-sha256", "-prverify", "key.pem", "-signature", "signature", "signed"]);
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (json(header), json(claims))
}

fn folder_with_key() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    openssl(
        folder.path(),
        &["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"],
    );
    folder
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

const PERSONAL: [&str; 3] = ["OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_REFRESH_TOKEN"];

fn service_account(folder: &Path, provider: &Provider, issuer: &Issuer) -> Settings {
    let key = std::fs::read_to_string(folder.join("key.pem")).unwrap();
    let file = json!({
        "type": "service_account", "client_email": "robot@project.iam.gserviceaccount.com", "private_key": key,
        "private_key_id": "key-1", "token_uri": "https://oauth2.googleapis.com/token"
    });
    std::fs::write(folder.join("account.json"), file.to_string()).unwrap();
    let path = folder.join("account.json").display().to_string();
    Settings::google(provider, issuer).without(&PERSONAL).with("OAUTH_SERVICE_ACCOUNT_FILE", &path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_signs_for_the_mailbox() {
    let folder = folder_with_key();
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(a_token()).await;
    let sidecar = service_account(folder.path(), &provider, &issuer).start();
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    let form = issuer.forms().remove(0);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(form.len(), 2);
    let (header, claims) = verified(folder.path(), &form["assertion"]);
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
    let issued = claims["iat"].as_u64().unwrap();
    assert!(issued.abs_diff(now()) < 60);
    let wanted = json!({
        "iss": "robot@project.iam.gserviceaccount.com", "sub": USER, "scope": "https://mail.google.com/",
        "aud": issuer.url(), "iat": issued, "exp": issued + 300
    });
    assert_eq!(claims, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_measured_said_and_worked_around() {
    let folder = folder_with_key();
    let provider = Provider::start(taking("token-2"));
    let issuer = Issuer::start(a_token()).await;
    let words = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
    issuer.next(Say::error(400, "invalid_grant", words));
    issuer.clock_ahead(-900);
    let settings = service_account(folder.path(), &provider, &issuer);
    let sidecar = settings.start();
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    let issued =
        |form: &crate::support::issuer::Form| verified(folder.path(), &form["assertion"]).1["iat"].as_u64().unwrap();
    let forms = issuer.forms();
    assert!(issued(&forms[0]).abs_diff(now()) < 60);
    assert!(issued(&forms[1]).abs_diff(now() - 900) < 60);
    // Where that does not help either, both are said.
    issuer.always(Say::error(400, "invalid_grant", words));
    let answer = settings.start().send(&letter("to@example.org")).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    let detail = answer.text("detail");
    assert!(detail.contains("s ahead of the issuer's") && detail.contains("Set the clock"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_shows_its_certificate() {
    let folder = folder_with_key();
    let path = |name: &str| folder.path().join(name).display().to_string();
    openssl(
        folder.path(),
        &["req", "-x509", "-new", "-key", "key.pem", "-subj", "/CN=app", "-days", "2", "-out", "cert.pem"],
    );
    openssl(folder.path(), &["x509", "-in", "cert.pem", "-outform", "DER", "-out", "cert.der"]);
    let thumbprint =
        |algorithm: &str| URL_SAFE_NO_PAD.encode(openssl(folder.path(), &["dgst", algorithm, "-binary", "cert.der"]));
    let both = [std::fs::read(path("cert.pem")).unwrap(), std::fs::read(path("key.pem")).unwrap()].concat();
    std::fs::write(path("both.pem"), both).unwrap();
    for apart in [true, false] {
        let provider = Provider::start(taking("token-1"));
        let issuer = Issuer::start(a_token()).await;
        let mut settings = Settings::google(&provider, &issuer)
            .without(&["OAUTH_CLIENT_SECRET", "OAUTH_REFRESH_TOKEN"])
            .with("PROVIDER", "microsoft365")
            .with("OAUTH_TENANT", "contoso.com");
        settings = if apart {
            settings
                .with("OAUTH_CLIENT_CERTIFICATE_FILE", &path("cert.pem"))
                .with("OAUTH_CLIENT_KEY_FILE", &path("key.pem"))
        } else {
            settings.with("OAUTH_CLIENT_CERTIFICATE_FILE", &path("both.pem"))
        };
        assert_eq!(settings.start().send(&letter("to@example.org")).await.status, 200);
        let form = issuer.forms().remove(0);
        assert_eq!(form["grant_type"], "client_credentials");
        assert_eq!(form["scope"], "https://outlook.office365.com/.default");
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let (header, claims) = verified(folder.path(), &form["client_assertion"]);
        assert_eq!(header["x5t"], json!(thumbprint("-sha1")));
        assert_eq!(header["x5t#S256"], json!(thumbprint("-sha256")));
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["aud"]),
            (&json!("client"), &json!("client"), &json!(issuer.url()))
        );
        assert!(claims["exp"].as_u64().unwrap() > now() && claims["jti"].as_str().unwrap().len() > 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_shows_its_secret() {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(a_token()).await;
    let settings = Settings::google(&provider, &issuer)
        .without(&["OAUTH_REFRESH_TOKEN"])
        .with("PROVIDER", "microsoft365")
        .with("OAUTH_TENANT", "contoso.com");
    assert_eq!(settings.start().send(&letter("to@example.org")).await.status, 200);
    let form = issuer.forms().remove(0);
    assert_eq!(
        (form["grant_type"].as_str(), form["client_secret"].as_str()),
        ("client_credentials", "s3cret-of-client")
    );
}
