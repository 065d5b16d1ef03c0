//! The provider's name, looked up at every new connection, so that the record's lifetime is the resolver's business.
//!
//! A name with a dot is asked for as absolute first: a pod's resolver with `ndots:5` would try three search domains
//! before it, and a wildcard in one of them would answer with somebody else's address. What `/etc/hosts` knows stays in
//! force, and a short name of the cluster (`postfix.mail`) is still found by the second question.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// More addresses than this are not tried.
const MOST_ADDRESSES: usize = 8;

/// Looks up names and remembers the last good answer of each.
#[derive(Debug, Default)]
pub struct Resolver {
    last: Mutex<Vec<(String, Vec<IpAddr>)>>,
}

impl Resolver {
    /// The addresses of a host, in the order in which to try them.
    ///
    /// # Errors
    /// Where the name does not exist, or cannot be looked up and never could be.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(vec![(ip, port).into()]);
        }
        let addresses = match look_up(host, port).await {
            Ok(found) => {
                self.remember(host, &found);
                found
            }
            // A resolver that stumbles must not stop mail to an address that worked a minute ago.
            Err(error) if !is_missing(&error) => self.recall(host).ok_or(error)?,
            Err(error) => return Err(error),
        };
        Ok(in_turn(addresses.into_iter().map(|ip| (ip, port).into()).collect()))
    }

    fn remember(&self, host: &str, addresses: &[IpAddr]) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|(known, _)| known != host);
        last.push((host.to_owned(), addresses.to_vec()));
    }

    fn recall(&self, host: &str) -> Option<Vec<IpAddr>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().find(|(known, _)| known == host).map(|(_, addresses)| addresses.clone())
    }
}

async fn look_up(host: &str, port: u16) -> io::Result<Vec<IpAddr>> {
    if is_absolute_by_look(host)
        && !hosts_file_has(host)
        && let Ok(found) = ask(&format!("{host}."), port).await
    {
        return Ok(found);
    }
    ask(host, port).await
}

async fn ask(host: &str, port: u16) -> io::Result<Vec<IpAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.map(|address| address.ip()).collect();
    if found.is_empty() { Err(io::Error::other("No address associated with hostname")) } else { Ok(found) }
}

fn is_absolute_by_look(host: &str) -> bool {
    host.contains('.') && !host.ends_with('.')
}

/// Whether the hosts file has the name, which the C library compares letter by letter, without a final dot.
fn hosts_file_has(host: &str) -> bool {
    // A few hundred bytes, read before a connection is opened and never for a message.
    std::fs::read_to_string("/etc/hosts").is_ok_and(|text| names(&text).any(|name| name.eq_ignore_ascii_case(host)))
}

fn names(hosts: &str) -> impl Iterator<Item = &str> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split_whitespace().skip(1))
}

/// Whether the error says that the name is not there. Only the text of `getaddrinfo` tells that from a resolver that is
/// not there.
#[must_use]
pub fn is_missing(error: &io::Error) -> bool {
    let text = error.to_string();
    ["not known", "No address associated", "nodename nor servname"].iter().any(|words| text.contains(words))
}

/// Both families in turn, the resolver's first choice first (RFC 8305 section 4).
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut mixed: Vec<_> = first.into_iter().flat_map(|a| std::iter::once(a).chain(second.next())).collect();
    mixed.extend(second);
    mixed.truncate(MOST_ADDRESSES);
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let given = addresses(&["[::1]:1", "[::2]:1", "127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"]);
        let mixed = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "127.0.0.3:1"]);
        assert_eq!(in_turn(given), mixed);
        assert!(in_turn(Vec::new()).is_empty());
    }

    #[test]
    fn the_hosts_file_is_read_as_the_c_library_reads_it() {
        let text = "127.0.0.1 localhost # mail.commented\n::1\tip6-localhost  MAIL.example\n";
        assert_eq!(names(text).collect::<Vec<_>>(), ["localhost", "ip6-localhost", "MAIL.example"]);
    }

    #[tokio::test]
    async fn addresses_and_short_names_need_no_resolver() {
        let resolver = Resolver::default();
        assert_eq!(resolver.resolve("192.0.2.1", 25).await.unwrap(), addresses(&["192.0.2.1:25"]));
        assert_eq!(resolver.resolve("[2001:db8::1]", 25).await.unwrap(), addresses(&["[2001:db8::1]:25"]));
        let local = resolver.resolve("localhost", 25).await.unwrap();
        assert!(!local.is_empty() && local.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(resolver.recall("localhost").unwrap().len(), local.len());
    }
}
