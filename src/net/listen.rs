//! Listening addresses: `off`, or a list such as `127.0.0.1:1025,[::1]:1025`; `*:1025` is every address, and
//! `unix:/run/sidepost.sock` a unix socket.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use tokio::net::{TcpListener, TcpSocket};

use super::stream::Listener;
use super::unix;
use crate::config::value::Value;
use crate::settings;

settings! {
    /// What holds for all listeners.
    pub struct Config {
        /// The mode of unix sockets: by default their owner and group may connect.
        socket_mode: Mode = "0660",
    }
}

/// Connections that the kernel keeps for us until we accept them.
pub(super) const BACKLOG: u32 = 1024;
/// The kernel takes 107 bytes (unix(7)).
const LONGEST_PATH: usize = 107;

/// The mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u32);

impl Value for Mode {
    const EXPECTS: &'static str = "a mode in octal, such as `0660` or `0666`";

    fn parse(text: &str) -> Option<Self> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777).map(Self)
    }
}

/// Somewhere to listen, or to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port of an address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Value for Address {
    const EXPECTS: &'static str = "an address such as `127.0.0.1:8025` or `unix:/run/sidepost.sock`";

    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && path.len() <= LONGEST_PATH && !path.contains('\0');
            return fits.then(|| Self::Unix(path.into()));
        }
        match text.strip_prefix("*:").or_else(|| text.strip_prefix(':')) {
            Some(port) => Some(Self::Tcp((Ipv6Addr::UNSPECIFIED, port.parse().ok()?).into())),
            None => text.parse().ok().map(Self::Tcp),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl Address {
    /// The TCP address, if it is one.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// How somebody on this host reaches it.
    #[must_use]
    pub fn reachable(&self) -> Self {
        match self {
            // Loopback in IPv4 works whether `[::]` or its replacement was bound.
            Self::Tcp(address) if address.ip().is_unspecified() => {
                Self::Tcp((Ipv4Addr::LOCALHOST, address.port()).into())
            }
            Self::Tcp(_) | Self::Unix(_) => self.clone(),
        }
    }

    /// Whether somebody on another host can reach it.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.tcp().is_some_and(|address| !address.ip().to_canonical().is_loopback())
    }

    fn is_ipv6(&self) -> bool {
        self.tcp().is_some_and(|address| address.is_ipv6())
    }
}

/// Addresses to listen on; none where the listener is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(Vec<Address>);

impl Value for Listen {
    const EXPECTS: &'static str = "`off`, or addresses such as `127.0.0.1:1025,[::1]:1025` and `unix:/run/sidepost.sock` (107 bytes at most); \
         `*:1025` is every address";

    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("off") {
            return Some(Self(Vec::new()));
        }
        text.split(',').map(|part| Address::parse(part.trim())).collect::<Option<_>>().map(Self)
    }
}

impl Listen {
    /// Whether there is anything to listen on.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether somebody on another host can reach it.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.0.iter().any(Address::is_remote)
    }

    /// An address at which somebody on this host reaches it.
    #[must_use]
    pub fn reachable(&self) -> Option<Address> {
        self.0.first().map(Address::reachable)
    }

    /// Binds them all.
    ///
    /// An IPv6 address on a host without IPv6 is passed over where another address of the list can be bound, and
    /// `[::]` becomes `0.0.0.0`, so that the defaults work on every host.
    ///
    /// # Errors
    /// The first address that cannot be bound, with the reason.
    pub fn bind(&self, config: &Config) -> io::Result<Vec<Listener>> {
        let mut bound = Vec::new();
        let mut passed_over = None;
        for address in &self.0 {
            match address.bind(config.socket_mode) {
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

impl Address {
    fn bind(&self, Mode(mode): Mode) -> io::Result<Listener> {
        match self {
            Self::Tcp(address) => bind_port(*address).map(Listener::Tcp),
            Self::Unix(path) => unix::bind(path, mode).map(|(listener, file)| Listener::Unix(listener, file)),
        }
    }
}

fn bind_port(address: SocketAddr) -> io::Result<TcpListener> {
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

fn naming(address: &Address, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let expected = expected.iter().map(|address| Address::Tcp(address.parse().unwrap())).collect();
        assert_eq!(Listen::parse(text), Some(Listen(expected)), "{text}");
    }

    #[test]
    fn lists_words_and_stars() {
        check("off", &[]);
        check("127.0.0.1:1025, [::1]:1025", &["127.0.0.1:1025", "[::1]:1025"]);
        check("*:25", &["[::]:25"]);
        check(":25", &["[::]:25"]);
        for bad in
            ["", "1025", "localhost:1025", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:1,,", "unix:", "unix:run/a"]
        {
            assert_eq!(Listen::parse(bad), None, "{bad}");
        }
        assert_eq!(Listen::parse(&format!("unix:/{}", "x".repeat(LONGEST_PATH))), None);
    }

    #[test]
    fn sockets_and_ports_in_one_list() {
        let list = Listen::parse("unix:/run/a.sock, *:25").unwrap();
        assert_eq!(list.reachable(), Some(Address::Unix("/run/a.sock".into())));
        assert_eq!(list.0[1].reachable().to_string(), "127.0.0.1:25");
        assert_eq!(list.0[0].to_string(), "unix:/run/a.sock");
        assert!(list.is_remote() && !Listen::parse("unix:/a,[::1]:25,127.0.0.9:1").unwrap().is_remote());
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!([Mode::parse("0660"), Mode::parse("777")], [Some(Mode(0o660)), Some(Mode(0o777))]);
        for bad in ["", "66", "0o660", "888", "7777", "+660", "rw-"] {
            assert_eq!(Mode::parse(bad), None, "{bad}");
        }
    }
}
