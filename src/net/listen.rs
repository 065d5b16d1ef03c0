//! Listening addresses: `off`, or a list such as `127.0.0.1:1025,[::1]:1025`; `*:1025` is every address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::config::value::Value;

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: u32 = 1024;

/// Addresses to listen on; none where the listener is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(Vec<SocketAddr>);

impl Value for Listen {
    const EXPECTS: &'static str =
        "`off`, or addresses with ports such as `127.0.0.1:1025,[::1]:1025`; `*:1025` is every address";

    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("off") {
            return Some(Self(Vec::new()));
        }
        text.split(',').map(|part| parse_address(part.trim())).collect::<Option<_>>().map(Self)
    }
}

fn parse_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("*:").or_else(|| text.strip_prefix(':')) {
        Some(port) => Some((Ipv6Addr::UNSPECIFIED, port.parse().ok()?).into()),
        None => text.parse().ok(),
    }
}

impl Listen {
    /// Whether there is anything to listen on.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.is_empty()
    }

    /// An address at which somebody on this host reaches it.
    #[must_use]
    pub fn reachable(&self) -> Option<SocketAddr> {
        self.0.first().map(|address| match address.ip() {
            // Loopback in IPv4 works whether `[::]` or its replacement was bound.
            ip if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
            _ => *address,
        })
    }

    /// Binds them all.
    ///
    /// An IPv6 address on a host without IPv6 is passed over where another address of the list can be bound, and
    /// `[::]` becomes `0.0.0.0`, so that the defaults work on every host.
    ///
    /// # Errors
    /// The first address that cannot be bound, with the reason.
    pub fn bind(&self) -> io::Result<Vec<TcpListener>> {
        let mut bound = Vec::new();
        let mut passed_over = None;
        for &address in &self.0 {
            match bind_one(address) {
                Ok(listener) => bound.push(listener),
                Err(error) if address.is_ipv6() && has_no_ipv6(&error) => passed_over = Some((address, error)),
                Err(error) => return Err(naming(address, &error)),
            }
        }
        match passed_over {
            Some((address, error)) if bound.is_empty() => Err(naming(address, &error)),
            _ => Ok(bound),
        }
    }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    match bind_socket(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && has_no_ipv6(&error) => {
            bind_socket((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        other => other,
    }
}

fn bind_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn naming(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let expected = expected.iter().map(|address| address.parse().unwrap()).collect();
        assert_eq!(Listen::parse(text), Some(Listen(expected)), "{text}");
    }

    #[test]
    fn lists_words_and_stars() {
        check("off", &[]);
        check("127.0.0.1:1025, [::1]:1025", &["127.0.0.1:1025", "[::1]:1025"]);
        check("*:25", &["[::]:25"]);
        check(":25", &["[::]:25"]);
        for bad in ["", "1025", "localhost:1025", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:1,,"] {
            assert_eq!(Listen::parse(bad), None, "{bad}");
        }
    }
}
