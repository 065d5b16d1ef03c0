//! Whether anything answers at an address: without TLS, without a login, for comparison only.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::diagnosis::comparison::Answer;
use crate::diagnosis::comparison::families::Host;
use crate::diagnosis::comparison::names::Lookup;
use crate::net::resolve::{Resolver, is_missing};

/// More of a greeting than this is not read.
const LONGEST_GREETING: u64 = 512;

/// What was found at a host's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The best of what its addresses answered.
    pub answer: Answer,
    /// Whether its addresses are ones that only mean something around here.
    pub is_private: bool,
    /// The first line that it said by itself, where one was waited for.
    pub greeting: Option<String>,
}

/// Tries one address of each family, each for `wait` at most; and waits as long for a greeting where that is asked for.
pub async fn reach(resolver: &Resolver, host: &str, port: u16, greeting: bool, wait: Duration) -> Reach {
    let found = match timeout(wait, resolver.resolve(host, port)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) if is_missing(&error) => return Reach::without(Answer::NoName),
        Ok(Err(_)) | Err(_) => return Reach::without(Answer::NameUnavailable),
    };
    let (v4, v6) = by_family(&found, wait).await;
    let answer = [&v4, &v6].into_iter().flatten().map(Knock::answer).min();
    let open = [v4, v6].into_iter().flatten().find_map(Knock::open);
    let said = match open {
        Some(tcp) if greeting => first_line(tcp, wait).await,
        _ => None,
    };
    Reach {
        answer: answer.unwrap_or(Answer::NoName),
        is_private: found.iter().all(|address| is_private(address.ip())),
        greeting: said,
    }
}

/// How the lookup of a name ends, whatever is remembered of it.
pub async fn look_up(resolver: &Resolver, host: &str, wait: Duration) -> Lookup {
    let asked = Instant::now();
    match timeout(wait, resolver.ask(host)).await {
        Ok(Ok(_)) => Lookup::Found(asked.elapsed()),
        Ok(Err(error)) if is_missing(&error) => Lookup::Missing,
        Ok(Err(_)) | Err(_) => Lookup::Unavailable,
    }
}

/// What answers at a host's port by each family, where its name is found at all.
pub async fn families(resolver: &Resolver, host: String, port: u16, wait: Duration) -> Host {
    let found = timeout(wait, resolver.resolve(&host, port)).await;
    let (v4, v6) = by_family(&found.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default(), wait).await;
    let answer = |knock: Option<Knock>| knock.as_ref().map(Knock::answer);
    Host { name: host, port, v4: answer(v4), v6: answer(v6) }
}

/// One address of each family.
async fn by_family(found: &[SocketAddr], wait: Duration) -> (Option<Knock>, Option<Knock>) {
    let first = |v6: bool| found.iter().copied().find(|address| address.is_ipv6() == v6);
    tokio::join!(knock(first(false), wait), knock(first(true), wait))
}

impl Reach {
    fn without(answer: Answer) -> Self {
        Self { answer, is_private: false, greeting: None }
    }
}

/// One connection attempt.
struct Knock(Result<TcpStream, Answer>);

impl Knock {
    fn answer(&self) -> Answer {
        self.0.as_ref().map_or_else(|answer| *answer, |_| Answer::Open)
    }

    fn open(self) -> Option<TcpStream> {
        self.0.ok()
    }
}

async fn knock(address: Option<SocketAddr>, wait: Duration) -> Option<Knock> {
    Some(Knock(match timeout(wait, TcpStream::connect(address?)).await {
        Ok(Ok(tcp)) => Ok(tcp),
        Ok(Err(error)) => Err(meaning(&error)),
        Err(_) => Err(Answer::Nothing),
    }))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is foreign and has some forty members")]
fn meaning(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Answer::Refused,
        io::ErrorKind::TimedOut => Answer::Nothing,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Answer::Reset,
        _ => Answer::NoRoute,
    }
}

/// What the other side says first; it may be anything.
async fn first_line(tcp: TcpStream, wait: Duration) -> Option<String> {
    let mut said = Vec::new();
    let mut bounded = tcp.take(LONGEST_GREETING);
    let line = async {
        let mut byte = [0];
        while said.last() != Some(&b'\n') && bounded.read(&mut byte).await.is_ok_and(|count| count > 0) {
            said.push(byte[0]);
        }
    };
    // What came before the time was over still counts.
    let _ = timeout(wait, line).await;
    let text: String = said.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { ' ' }).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Addresses that the public network does not route: nothing about that network follows from them, nor the reverse.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const WAIT: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn an_open_port_with_its_greeting_and_a_closed_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let _ = tcp.write_all(b"220 mail.\x07example ESMTP\r\n250 more\r\n").await;
            }
        });
        let resolver = Resolver::default();
        let found = reach(&resolver, "127.0.0.1", port, true, WAIT).await;
        assert_eq!(found.answer, Answer::Open);
        assert_eq!(found.greeting.as_deref(), Some("220 mail. example ESMTP"));
        assert!(found.is_private);
        assert_eq!(reach(&resolver, "127.0.0.1", port, false, WAIT).await.greeting, None);
        serving.abort();
        let _ = serving.await;
        assert_eq!(reach(&resolver, "127.0.0.1", port, true, WAIT).await.answer, Answer::Refused);
    }

    #[tokio::test]
    async fn a_name_that_is_not_there() {
        let found = reach(&Resolver::default(), "no-such-host.invalid", 25, false, WAIT).await;
        assert!(matches!(found.answer, Answer::NoName | Answer::NameUnavailable), "{found:?}");
    }

    #[test]
    fn private_addresses() {
        for (ip, private) in [
            ("10.1.2.3", true),
            ("192.168.0.1", true),
            ("127.0.0.2", true),
            ("100.64.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("::ffff:10.0.0.1", true),
            ("100.128.0.1", false),
            ("8.8.8.8", false),
            ("2001:4860:4860::8888", false),
        ] {
            assert_eq!(is_private(ip.parse().unwrap()), private, "{ip}");
        }
    }
}
