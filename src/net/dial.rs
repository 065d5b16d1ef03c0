//! A connection to one of several addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// RFC 8305 section 5: the next address is tried that long after the one before it.
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection that came about.
#[derive(Debug)]
pub struct Dialed {
    /// It.
    pub tcp: TcpStream,
    /// Whether IPv6 had been tried before, by a way that there is, and IPv4 was what answered.
    pub has_left_ipv6: bool,
}

/// What has been tried so far.
#[derive(Debug, Default)]
struct Tried {
    v6: bool,
    errors: Vec<(SocketAddr, io::Error)>,
}

/// Connects to whichever address answers first; each gets a head start before the next (RFC 8305 section 5).
///
/// # Errors
/// What is most telling of what they said, once all have failed.
pub async fn race(addresses: Vec<SocketAddr>) -> io::Result<Dialed> {
    let mut waiting = addresses.into_iter();
    let mut running = JoinSet::new();
    let mut tried = Tried::default();
    loop {
        let more = waiting.next();
        let none_left = more.is_none();
        if let Some(address) = more {
            tried.v6 |= address.is_ipv6();
            running.spawn(async move { (address, TcpStream::connect(address).await) });
        }
        match next_result(&mut running, none_left).await? {
            Some((address, Ok(tcp))) => return Ok(Dialed { tcp, has_left_ipv6: tried.has_left_ipv6(address) }),
            Some((address, Err(error))) => tried.errors.push((address, error)),
            None => {}
        }
        if none_left && running.is_empty() {
            return Err(tried.told());
        }
    }
}

type Ended = (SocketAddr, io::Result<TcpStream>);

/// The next attempt to end; nothing where the head start is over before that.
async fn next_result(running: &mut JoinSet<Ended>, wait: bool) -> io::Result<Option<Ended>> {
    let ended = if wait {
        running.join_next().await
    } else {
        tokio::time::timeout(CONNECTION_ATTEMPT_DELAY, running.join_next()).await.unwrap_or(None)
    };
    ended.transpose().map_err(io::Error::other)
}

impl Tried {
    fn has_left_ipv6(&self, answered: SocketAddr) -> bool {
        // A machine that has no IPv6 at all leaves nothing behind.
        let is_no_way = |(address, error): &(SocketAddr, io::Error)| address.is_ipv6() && has_no_way(error);
        answered.is_ipv4() && self.v6 && !self.errors.iter().any(is_no_way)
    }

    /// That a family has no way out is told last: the other one says what is wrong.
    fn told(mut self) -> io::Error {
        self.errors.sort_by_key(|(_, error)| has_no_way(error));
        let mut errors = self.errors.into_iter();
        let Some((address, first)) = errors.next() else {
            return io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        };
        match errors.find(|(other, error)| other.is_ipv6() != address.is_ipv6() && error.kind() != first.kind()) {
            Some((other, error)) => {
                let text = format!("{}: {first}; {}: {error}", family(address), family(other));
                io::Error::new(first.kind(), text)
            }
            None => first,
        }
    }
}

fn has_no_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable)
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv6() { "IPv6" } else { "IPv4" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_address_does_not_stop_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            other.local_addr().unwrap()
        };
        let dialed = race(vec![closed, open]).await.unwrap();
        assert_eq!((dialed.tcp.peer_addr().unwrap(), dialed.has_left_ipv6), (open, false));
        assert_eq!(race(vec![closed]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(race(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    fn told(errors: &[(&str, io::ErrorKind)]) -> io::Error {
        let errors = errors.iter().map(|(address, kind)| (address.parse().unwrap(), (*kind).into())).collect();
        Tried { v6: true, errors }.told()
    }

    #[test]
    fn a_family_without_a_way_does_not_hide_what_the_other_one_met() {
        use io::ErrorKind::{ConnectionRefused, NetworkUnreachable};
        let (v4, v6) = ("192.0.2.1:587", "[2001:db8::1]:587");
        let both = told(&[(v4, ConnectionRefused), (v6, NetworkUnreachable)]);
        assert_eq!(both.kind(), ConnectionRefused);
        assert_eq!(both.to_string(), "IPv4: connection refused; IPv6: network unreachable");
        let alike = told(&[(v4, ConnectionRefused), (v6, ConnectionRefused)]);
        assert_eq!(alike.to_string(), "connection refused");
        assert_eq!(told(&[(v4, NetworkUnreachable)]).kind(), NetworkUnreachable);
    }

    #[test]
    fn ipv6_is_left_behind_only_where_there_is_one() {
        let tried = |v6, errors: &[(&str, io::ErrorKind)]| {
            let errors = errors.iter().map(|(address, kind)| (address.parse().unwrap(), (*kind).into())).collect();
            Tried { v6, errors }.has_left_ipv6("192.0.2.1:587".parse().unwrap())
        };
        let v6 = "[2001:db8::1]:587";
        assert!(tried(true, &[]) && tried(true, &[(v6, io::ErrorKind::ConnectionRefused)]));
        assert!(!tried(false, &[]) && !tried(true, &[(v6, io::ErrorKind::NetworkUnreachable)]));
    }
}
