//! One HTTPS request to somewhere outside: bounded in bytes and time, no redirect followed.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dial;
use super::name::is_name;
use super::resolve::Resolver;
use super::tls::Tls;

/// An answer longer than this is not the one that was asked for.
const LONGEST_ANSWER: usize = 64 * 1024;
const MOST_FIELDS: usize = 100;

/// Where to: `https://`, or `http://` to this very host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    host: String,
    port: u16,
    secure: bool,
}

impl Url {
    /// What one looks like, to complete "expected ...".
    pub const EXPECTS: &'static str = "an https:// address (http:// only for this host itself)";

    /// Reads an address; nothing where it is none, or one that would send secrets in clear.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let ip = host.parse::<std::net::IpAddr>().ok();
        let local = host.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback());
        // A user or an impossible port before or behind the host would be passed over otherwise.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" if secure => 443,
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok().filter(|&port| port > 0)?,
        };
        let sound = (ip.is_some() || is_name(&host)) && (secure || local);
        sound.then_some(Self { uri, host, port, secure })
    }

    /// The server's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// Makes requests.
#[derive(Clone, Debug)]
pub struct Client {
    resolver: Arc<Resolver>,
    tls: Tls,
    patience: Patience,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Name lookup, connection and TLS handshake, each.
    pub connect: Duration,
    /// From the request's first byte to the answer's last.
    pub answer: Duration,
}

/// A whole answer. The body may hold secrets.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
    headers: HeaderMap,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

impl Answer {
    /// When the other side says it was made, to the second (RFC 9110 section 6.6.1).
    #[must_use]
    pub fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.text(&header::DATE)?).ok()
    }

    /// How long the other side asks us to wait (RFC 9110 section 10.2.3).
    #[must_use]
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        let text = self.text(&header::RETRY_AFTER)?;
        let until = |text| httpdate::parse_http_date(text).ok()?.duration_since(now).ok();
        text.parse().map(Duration::from_secs).ok().or_else(|| until(text))
    }

    /// Whether it is a page for people.
    #[must_use]
    pub fn is_page(&self) -> bool {
        let declared = self.text(&header::CONTENT_TYPE).is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
        declared || self.body.trim_ascii_start().starts_with(b"<")
    }

    /// An answer without headers.
    #[cfg(test)]
    #[must_use]
    pub fn test(status: u16, body: &str) -> Self {
        Self { status, body: Zeroizing::new(body.into()), headers: HeaderMap::new() }
    }

    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Broken {
    /// The name could not be looked up.
    Name(io::Error),
    /// No connection came about.
    Connect(io::Error),
    /// The TLS handshake failed.
    Tls(io::Error),
    /// The connection broke, or what came is not HTTP.
    Cut(String),
    /// The answer is too long.
    TooLong,
    /// A step took longer than it may.
    Timeout(&'static str, Duration),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "its name could not be looked up ({error})"),
            Self::Connect(error) => write!(f, "no connection ({error})"),
            Self::Tls(error) => write!(f, "TLS failed ({error})"),
            Self::Cut(error) => write!(f, "the connection broke, or does not carry HTTP ({error})"),
            Self::TooLong => write!(f, "the answer is longer than {} KiB", LONGEST_ANSWER / 1024),
            Self::Timeout(step, limit) => write!(f, "nothing came of {step} within {:.1} s", limit.as_secs_f64()),
        }
    }
}

impl Client {
    /// A client that trusts what `tls` trusts.
    #[must_use]
    pub fn new(tls: Tls, patience: Patience) -> Self {
        Self { resolver: Arc::default(), tls, patience }
    }

    /// Posts a form, which may hold secrets, and reads the whole answer.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn post_form(&self, url: &Url, form: Zeroizing<Vec<u8>>) -> Result<Answer, Broken> {
        let tcp = self.connect(url).await?;
        if url.secure {
            let handshake = self.tls.connect(&url.host, tcp);
            let stream = within("the TLS handshake", self.patience.connect, handshake).await?.map_err(Broken::Tls)?;
            self.exchange(stream, url, form).await
        } else {
            self.exchange(tcp, url, form).await
        }
    }

    async fn connect(&self, url: &Url) -> Result<TcpStream, Broken> {
        let limit = self.patience.connect;
        let lookup = self.resolver.resolve(&url.host, url.port);
        let addresses = within("the name lookup", limit, lookup).await?.map_err(Broken::Name)?;
        let dialed = within("the connection attempt", limit, dial::race(addresses)).await?.map_err(Broken::Connect)?;
        Ok(dialed.tcp)
    }

    async fn exchange<S>(&self, stream: S, url: &Url, form: Zeroizing<Vec<u8>>) -> Result<Answer, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        within("the request", self.patience.answer, exchange(stream, url, form)).await?
    }
}

async fn within<T>(step: &'static str, limit: Duration, work: impl Future<Output = T>) -> Result<T, Broken> {
    timeout(limit, work).await.map_err(|_| Broken::Timeout(step, limit))
}

async fn exchange<S>(stream: S, url: &Url, form: Zeroizing<Vec<u8>>) -> Result<Answer, Broken>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(LONGEST_ANSWER).max_headers(MOST_FIELDS);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(cut)?;
    let request = request(url, form).map_err(|error| Broken::Cut(error.to_string()))?;
    let mut asked = pin!(async move {
        let (head, body) = sender.send_request(request).await.map_err(cut)?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| unread(&*error))?;
        let body = Zeroizing::new(Vec::from(body.to_bytes()));
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    });
    tokio::select! {
        answer = asked.as_mut() => answer,
        _ = connection => asked.await,
    }
}

fn request(url: &Url, form: Zeroizing<Vec<u8>>) -> hyper::http::Result<Request<Full<Bytes>>> {
    Request::post(url.target())
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, concat!("sidepost/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::CONNECTION, "close")
        // Wiped once it has been written.
        .body(Full::new(Bytes::from_owner(form)))
}

#[expect(clippy::needless_pass_by_value, reason = "to be handed to map_err")]
fn cut(error: hyper::Error) -> Broken {
    let source = std::error::Error::source(&error).map(ToString::to_string);
    Broken::Cut(source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")))
}

fn unread(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Broken {
    if error.is::<LengthLimitError>() { Broken::TooLong } else { Broken::Cut(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_this_very_host() {
        for good in [
            "https://oauth2.googleapis.com/token",
            "https://[2001:db8::1]:8443/t?x=1",
            "http://127.0.0.1:8080/token",
            "http://[::1]/token",
            "http://localhost:1/",
            "https://keycloak/",
        ] {
            let url = Url::parse(good).unwrap_or_else(|| panic!("{good}"));
            assert_eq!(url.to_string(), good);
        }
        for bad in [
            "",
            "token",
            "/token",
            "http://oauth2.googleapis.com/token",
            "http://localhost.evil.example/",
            "ftp://localhost/",
            "https://user:pass@host/token",
            "https:///token",
            "https://host:0/",
            "https://host:99999/",
            "https://ho st/",
            "https://{tenant}/token",
            "https://a/\u{0}",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
        assert_eq!(Url::parse("https://host/a?b").unwrap().target(), "/a?b");
        assert_eq!(Url::parse("https://host").unwrap().target(), "/");
    }
}
