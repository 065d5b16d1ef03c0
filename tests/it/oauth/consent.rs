//! `sidepost oauth login`: the browser and the other device, played; what is printed, written, and refused.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::support::sidecar::command;

/// The verb at work.
struct Consenting {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Consenting {
    fn start(provider: &str, issuer: &Issuer, more: &[&str]) -> Self {
        let token_url = issuer.url();
        let settings = [
            ("OAUTH_CLIENT_SECRET", "s3cret-of-client"),
            ("OAUTH_TOKEN_URL", &token_url),
            ("USERNAME", "joe@example.com"),
        ];
        let authorize = format!("http://{}/authorize", issuer.addr);
        let device = format!("http://{}/device", issuer.addr);
        let mut command = command(&settings);
        command.args(["oauth", "login", provider, "--client-id", "client", "--authorize-url", &authorize]);
        command.args(["--device-url", &device]).args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// The line that begins like this.
    fn line(&mut self, begin: &str) -> String {
        let mut lines = self.stderr.by_ref().lines().map_while(Result::ok);
        lines.find_map(|line| line.trim().starts_with(begin).then(|| line.trim().to_owned())).expect(begin)
    }

    /// The query of the address to open.
    fn query(&mut self) -> std::collections::BTreeMap<String, String> {
        let line = self.line("http://");
        let query = line.split_once('?').unwrap().1;
        let fields = query.split('&').map(|field| field.split_once('=').unwrap());
        fields.map(|(name, value)| (name.to_owned(), value.replace("%3A", ":").replace("%2F", "/"))).collect()
    }

    /// Exit code, standard output, the rest of standard error.
    fn end(mut self) -> (i32, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.stderr.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code().unwrap(), out, err)
    }
}

/// What a browser does with an address.
fn visit(address: &str) -> String {
    let (authority, target) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(authority).unwrap();
    write!(stream, "GET /{target} HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn with_refresh_token() -> Say {
    Say::Token(json!({ "refresh_token": "1//new-refresh-token" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_brings_the_code() {
    for (provider, preset) in [("google", "gmail"), ("microsoft", "microsoft365")] {
        let issuer = Issuer::start(with_refresh_token()).await;
        let mut login = Consenting::start(provider, &issuer, &[]);
        let asked = login.query();
        assert_eq!((asked["client_id"].as_str(), asked["response_type"].as_str()), ("client", "code"));
        assert_eq!(asked["code_challenge_method"], "S256");
        let redirect = &asked["redirect_uri"];
        let host = if provider == "google" { "http://127.0.0.1:" } else { "http://localhost:" };
        assert!(redirect.starts_with(host), "{redirect}");
        // Neither a stranger nor the browser's own questions end it.
        for other in ["/favicon.ico", "/?code=stolen&state=wrong", "/?code=stolen", "/"] {
            assert!(visit(&format!("{redirect}{other}")).starts_with("HTTP/1.1 404"), "{other}");
        }
        assert!(issuer.forms().is_empty());
        let page = visit(&format!("{redirect}/?state={}&code=4%2Fthe-code", asked["state"]));
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("close this window"), "{page}");
        let (code, out, err) = login.end();
        assert_eq!(code, 0, "{err}");
        for line in [
            &format!("SIDEPOST_PROVIDER={preset}"),
            "SIDEPOST_USERNAME=joe@example.com",
            "SIDEPOST_OAUTH_CLIENT_ID=client",
            "SIDEPOST_OAUTH_REFRESH_TOKEN=1//new-refresh-token",
        ] {
            assert!(out.lines().any(|found| found == line), "{line} is not in {out}");
        }
        assert!(!format!("{out}{err}").contains("s3cret-of-client"));
        let form = issuer.forms().remove(0);
        assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "4/the-code"));
        assert_eq!((&form["redirect_uri"], form["client_secret"].as_str()), (redirect, "s3cret-of-client"));
        let verifier = form["code_verifier"].as_bytes();
        let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, verifier));
        assert_eq!(challenge, asked["code_challenge"], "who brings the code is who asked for it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_pasted_does_as_well_and_the_token_goes_into_a_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let issuer =
        Issuer::start(Say::Token(json!({ "refresh_token": "1//new", "refresh_token_expires_in": 604799 }))).await;
    let mut login = Consenting::start("google", &issuer, &["--write", file.to_str().unwrap()]);
    let asked = login.query();
    let mut stdin = login.child.stdin.take().unwrap();
    writeln!(stdin, "what?\nhttp://127.0.0.1:1/?state={}&code=c\n", asked["state"]).unwrap();
    let (code, out, err) = login.end();
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("SIDEPOST_OAUTH_REFRESH_TOKEN_FILE={}", file.display())), "{out}");
    assert!(!format!("{out}{err}").contains("1//new"));
    assert!(err.contains("publish the app"), "{err}");
    assert_eq!(std::fs::read(&file).unwrap(), b"1//new");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_typed_in_on_another_device() {
    let issuer = Issuer::start(with_refresh_token()).await;
    let body = json!({
        "device_code": "device-code-1", "user_code": "ABCD-EFGH", "expires_in": 60, "interval": 0.1,
        "verification_uri": "https://microsoft.com/devicelogin"
    });
    issuer.next(Say::Answer { status: 200, head: String::new(), body: body.to_string() });
    issuer.next(Say::error(400, "authorization_pending", "AADSTS70016: pending"));
    issuer.next(Say::error(400, "authorization_pending", ""));
    let mut login = Consenting::start("microsoft", &issuer, &["--device"]);
    assert!(login.line("Open ").contains("https://microsoft.com/devicelogin on any device, enter the code ABCD-EFGH"));
    let (code, out, err) = login.end();
    assert!(code == 0 && out.contains("SIDEPOST_OAUTH_REFRESH_TOKEN=1//new-refresh-token"), "{out}{err}");
    let forms = issuer.forms();
    assert_eq!((forms.len(), forms[0]["client_id"].as_str()), (4, "client"));
    assert_eq!(forms[0]["scope"], "https://outlook.office.com/SMTP.Send offline_access");
    assert_eq!(forms[3]["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!(forms[3]["device_code"], "device-code-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_go_wrong_is_said_with_an_exit_code() {
    let issuer = Issuer::start(a_token()).await;
    let mut login = Consenting::start("google", &issuer, &[]);
    let asked = login.query();
    visit(&format!("{}/?state={}&error=access_denied", asked["redirect_uri"], asked["state"]));
    let (code, out, err) = login.end();
    assert!(code == 65 && out.is_empty() && err.contains("access_denied") && err.contains("not granted"), "{err}");
    let mut login = Consenting::start("google", &issuer, &[]);
    let asked = login.query();
    visit(&format!("{}/?state={}&code=c", asked["redirect_uri"], asked["state"]));
    let (code, out, err) = login.end();
    assert!(code == 65 && out.is_empty() && err.contains("gave no refresh token"), "{err}");
    let (code, out, err) = Consenting::start("google", &issuer, &["--timeout", "300ms"]).end();
    assert!(code == 75 && out.is_empty() && err.contains("nobody consented within"), "{err}");
    let (code, _, err) = run(&["oauth", "login", "google", "--client-id", "x"], &[], "");
    assert!(code == 64 && err.contains("SIDEPOST_OAUTH_CLIENT_SECRET"), "{err}");
    let (code, _, err) = run(&["oauth", "login", "microsoft"], &[], "");
    assert!(code == 64 && err.contains("App registrations"), "{err}");
    let unsafe_url = ["oauth", "login", "microsoft", "--client-id", "x", "--authorize-url", "http://example.com/"];
    let (code, _, err) = run(&unsafe_url, &[], "");
    assert!(code == 64 && err.contains("https://"), "{err}");
    let (code, out, _) = run(&["oauth", "login", "--help"], &[], "");
    assert!(code == 0 && out.contains("--device"));
}
