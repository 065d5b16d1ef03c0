//! Who may call: on a developer's machine every web page can reach a port on localhost, by way of the browser.
//!
//! In order: the client's address, the name it called us by (DNS rebinding, CVE-2018-5702 and its family), the page
//! it came from (cross-site requests), the token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};

use super::Api;
use super::problem::{Code, Problem, Refused};
use super::token::Tokens;
use crate::config::value::Value;
use crate::net::http::Peer;

/// Whether the client at an address may send at all.
pub type Clients = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Lets through what may pass, and counts what may not, here or further in.
pub(super) async fn check(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let answer = match admit(&api, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(Refused(reason)) = answer.extensions().get() {
        api.relay.metrics().refused("http", reason);
    }
    answer
}

fn admit(api: &Api, request: &Request) -> Result<(), Problem> {
    let peer = request.extensions().get::<Peer>();
    check_client(&api.clients, peer)?;
    let host = host(request)?;
    check_host(&api.hosts, &host)?;
    check_origin(request.headers(), &host)?;
    match &api.tokens {
        // The document that says how to authenticate asks for nothing itself.
        Some(tokens) if request.uri().path() != super::DOCUMENT => check_token(tokens, request.headers()),
        _ => Ok(()),
    }
}

fn check_client(clients: &Clients, peer: Option<&Peer>) -> Result<(), Problem> {
    match peer {
        Some(Peer(address)) if clients(*address) => Ok(()),
        _ => Err(forbidden(
            Code::ClientNotAllowed,
            "This client's address is not among those that may send; SIDEPOST_ALLOWED_CLIENTS lists them.",
        )),
    }
}

/// The host and port that the client believes it talks to: exactly one, as RFC 9112 section 3.2 wants it.
fn host(request: &Request) -> Result<String, Problem> {
    let mut fields = request.headers().get_all(HOST).iter();
    let host = match (request.uri().authority(), fields.next(), fields.next()) {
        (_, _, Some(_)) => None,
        (Some(authority), _, _) => Some(authority.as_str()),
        (None, field, _) => field.and_then(|field| field.to_str().ok()),
    };
    host.filter(|host| !host.is_empty())
        .map(str::to_ascii_lowercase)
        .ok_or_else(|| Problem::new(Code::MalformedRequest, "Exactly one Host header is needed.").counted("malformed"))
}

fn check_host(hosts: &Hosts, host: &str) -> Result<(), Problem> {
    let name = name_of(host);
    if name.is_some_and(|name| is_private(name) || hosts.contains(name)) {
        return Ok(());
    }
    Err(forbidden(
        Code::HostNotAllowed,
        "The Host header is no IP address, no local name, and not in SIDEPOST_ALLOWED_HOSTS; list it there if it is \
         a name of this service.",
    ))
}

/// The name in `name:port`, without the dot that may end it.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
    let fits = !name.is_empty() && name.bytes().all(is_name) && port.bytes().all(|byte| byte.is_ascii_digit());
    fits.then_some(name)
}

/// Names that nobody outside can make point here: what has no dot is a service in compose or in the same namespace,
/// and the suffixes are kept for private use (RFC 6761, ICANN's `.internal`) or served by the cluster's own DNS.
/// `.local` is not among them: by mDNS everybody in the same network can take a name there.
fn is_private(name: &str) -> bool {
    const SUFFIXES: [&str; 4] = [".localhost", ".internal", ".svc", ".svc.cluster.local"];
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    literal.parse::<IpAddr>().is_ok() || !name.contains('.') || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// A browser tells where a request comes from; only a page of this very service may send one.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let from_here = site.is_none_or(|site| [&b"same-origin"[..], b"none"].contains(&site));
    if from_here && headers.get_all(ORIGIN).iter().all(|origin| is_same_origin(origin, host)) {
        return Ok(());
    }
    Err(forbidden(Code::OriginNotAllowed, "The request comes from a page of another web site."))
}

fn is_same_origin(origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) == Some(host)
}

fn check_token(tokens: &Tokens, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let token = given.and_then(|given| {
        let (scheme, token) = given.split_at_checked(b"Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
    });
    match token {
        Some(token) if tokens.contain(token) => Ok(()),
        Some(_) => Err(unauthorized("The token is not one of SIDEPOST_API_TOKEN.", "Bearer error=\"invalid_token\"")),
        None => Err(unauthorized("Send `Authorization: Bearer` with a token of SIDEPOST_API_TOKEN.", "Bearer")),
    }
}

fn unauthorized(detail: &str, challenge: &'static str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
        .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
        .counted("unauthorized")
}

fn forbidden(code: Code, detail: &str) -> Problem {
    Problem::new(code, detail).counted("forbidden")
}

/// Names by which this service may be called, besides those that are private anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Value for Hosts {
    const EXPECTS: &'static str = "host names such as `mail.example.com,*.example.net`, or `*` for every name";

    fn parse(text: &str) -> Option<Self> {
        let names: Vec<_> = text.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
        let fits = |name: &String| {
            let bare = name.strip_prefix("*.").unwrap_or(name);
            name == "*" || (!bare.is_empty() && !bare.contains(['*', ':', '/', ' ']))
        };
        names.iter().all(fits).then_some(Self(names))
    }
}

impl Hosts {
    fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|listed| match listed.strip_prefix('*') {
            Some(suffix) => name.ends_with(suffix),
            None => listed == name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(host: &str) -> bool {
        let hosts = Hosts::parse("mail.example.com, *.example.net").unwrap();
        check_host(&hosts, host).is_ok()
    }

    #[test]
    fn private_names_and_listed_ones_pass() {
        for host in [
            "127.0.0.1:8025",
            "10.1.2.3",
            "[::1]:8025",
            "[::1]",
            "localhost",
            "localhost.:80",
            "a.localhost",
            "sidepost:8025",
            "my_mail",
            "sidepost.mail.svc",
            "sidepost.mail.svc.cluster.local:80",
            "host.docker.internal",
            "mail.example.com:443",
            "a.b.example.net",
        ] {
            assert!(passes(host), "{host}");
        }
    }

    #[test]
    fn public_and_broken_names_do_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "box.local",
            "example.net",
            "sub.mail.example.com",
            ":80",
            "evil.example:80@localhost",
            "[evil.example]",
            "evil.example@localhost",
            ".",
        ] {
            assert!(!passes(host), "{host}");
        }
        assert!(check_host(&Hosts::parse("*").unwrap(), "anything.example").is_ok());
        for bad in ["", "a,,b", "http://a", "a:80", "*.*", "a*"] {
            assert_eq!(Hosts::parse(bad), None, "{bad}");
        }
    }

    fn from_page(origin: Option<&'static str>, site: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        origin.map(|origin| headers.insert(ORIGIN, HeaderValue::from_static(origin)));
        site.map(|site| headers.insert("sec-fetch-site", HeaderValue::from_static(site)));
        check_origin(&headers, "localhost:8025").is_ok()
    }

    #[test]
    fn only_our_own_pages_may_call() {
        assert!(from_page(None, None));
        assert!(from_page(None, Some("none")));
        assert!(from_page(Some("http://localhost:8025"), Some("same-origin")));
        for origin in ["null", "http://localhost", "http://localhost:8026", "https://evil.example", "file://", ""] {
            assert!(!from_page(Some(origin), None), "{origin}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!from_page(None, Some(site)), "{site}");
        }
    }

    #[test]
    fn whoever_has_no_address_may_not_call() {
        let clients: Clients = Arc::new(|address| address == IpAddr::from([127, 0, 0, 1]));
        let peer = Peer([127, 0, 0, 1].into());
        assert!(check_client(&clients, Some(&peer)).is_ok());
        assert!(check_client(&clients, None).is_err());
    }
}
