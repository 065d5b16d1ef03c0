//! The provider's name, looked up at every new connection, so that the record's lifetime is the resolver's business.
//!
//! A name with a dot is asked for as absolute first: a pod's resolver with `ndots:5` would try three search domains
//! before it, and a wildcard in one of them would answer with somebody else's address. What `/etc/hosts` knows stays in
//! force, and a short name of the cluster (`postfix.mail`) is still found by the second question.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// More addresses than this are not tried.
const MOST_ADDRESSES: usize = 8;
/// An address that worked before is used when the resolver has said nothing for so long.
const STALE_AFTER: Duration = Duration::from_secs(2);
/// Who asks later than this does not join a question that is out: its packet may be lost.
const JOINED: Duration = Duration::from_secs(3);
/// Questions about one name that are out at once: each holds a thread for as long as a dead resolver is silent.
const MOST_QUESTIONS: usize = 4;

/// Looks up names and remembers the last good answer of each.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    names: Arc<Mutex<HashMap<String, Name>>>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Name {
    last: Option<Vec<IpAddr>>,
    asked: Vec<(Instant, Question)>,
}

type Found = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

/// A question that is out, for everybody who wants to know.
type Question = watch::Receiver<Option<Found>>;

impl Resolver {
    /// The addresses of a host, in the order in which to try them.
    ///
    /// # Errors
    /// Where the name does not exist, or cannot be looked up and never could be.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(vec![(ip, port).into()]);
        }
        // A resolver that stumbles must not stop mail to an address that worked a minute ago.
        let last = self.names().get(host).and_then(|name| name.last.clone());
        let addresses = match last {
            None => self.ask(host).await?,
            Some(last) => match timeout(STALE_AFTER, self.ask(host)).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) if is_missing(&error) => return Err(error),
                Ok(Err(_)) | Err(_) => last,
            },
        };
        Ok(in_turn(addresses.into_iter().map(|ip| (ip, port).into()).collect()))
    }

    /// What the resolver says now, whatever is remembered.
    ///
    /// # Errors
    /// Where the name does not exist, or cannot be looked up.
    pub async fn ask(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut question = self.question(host);
        let answered = question.wait_for(Option::is_some).await;
        let found = answered.ok().and_then(|found| found.clone());
        match found {
            Some(found) => found.map_err(|(kind, text)| io::Error::new(kind, text)),
            None => Err(io::Error::other("the lookup was broken off")),
        }
    }

    /// The one that is out, where it is young, or where there are enough of them; else a new one.
    fn question(&self, host: &str) -> Question {
        let mut names = self.names();
        let name = names.entry(host.to_owned()).or_default();
        name.asked.retain(|(_, question)| question.has_changed().is_ok_and(|answered| !answered));
        let is_enough = name.asked.len() >= MOST_QUESTIONS;
        if let Some((_, question)) = name.asked.last().filter(|(asked, _)| is_enough || asked.elapsed() < JOINED) {
            return question.clone();
        }
        let (answer, question) = watch::channel(None);
        name.asked.push((Instant::now(), question.clone()));
        let (resolver, host) = (self.clone(), host.to_owned());
        tokio::spawn(async move {
            let found = look_up(&host).await;
            if let Ok(addresses) = &found {
                resolver.names().entry(host).or_default().last = Some(addresses.clone());
            }
            answer.send_replace(Some(found.map_err(|error| (error.kind(), error.to_string()))));
        });
        question
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Name>> {
        // Every change is a whole one.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    if is_absolute_by_look(host)
        && !hosts_file_has(host)
        && let Ok(found) = ask(&format!("{host}.")).await
    {
        return Ok(found);
    }
    ask(host).await
}

async fn ask(host: &str) -> io::Result<Vec<IpAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect();
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
/// not there: glibc's, the BSDs', and the two of musl.
#[must_use]
pub fn is_missing(error: &io::Error) -> bool {
    let text = error.to_string();
    let words =
        ["not known", "No address associated", "nodename nor servname", "does not resolve", "no usable address"];
    words.iter().any(|words| text.contains(words))
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
        assert_eq!(resolver.names()["localhost"].last.as_ref().unwrap().len(), local.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_out_is_shared_while_it_is_young_and_never_asked_too_often() {
        let resolver = Resolver::default();
        // Answers that never come: the other ends are held here.
        let mut held = Vec::new();
        let mut out = |resolver: &Resolver| {
            let (answer, question) = watch::channel(None);
            resolver.names().entry("mail.example".to_owned()).or_default().asked.push((Instant::now(), question));
            held.push(answer);
        };
        out(&resolver);
        let count = |resolver: &Resolver| resolver.names()["mail.example"].asked.len();
        let joined = resolver.question("mail.example");
        assert_eq!(count(&resolver), 1);
        tokio::time::advance(JOINED).await;
        (0..MOST_QUESTIONS - 1).for_each(|_| out(&resolver));
        tokio::time::advance(JOINED).await;
        let _ = resolver.question("mail.example");
        assert_eq!(count(&resolver), MOST_QUESTIONS);
        drop(joined);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_before_helps_out_when_the_resolver_is_silent() {
        let resolver = Resolver::default();
        let (_answer, question) = watch::channel(None);
        let name = Name { last: Some(vec!["192.0.2.7".parse().unwrap()]), asked: vec![(Instant::now(), question)] };
        resolver.names().insert("mail.example".to_owned(), name);
        let asked = Instant::now();
        assert_eq!(resolver.resolve("mail.example", 25).await.unwrap(), addresses(&["192.0.2.7:25"]));
        assert_eq!(asked.elapsed(), STALE_AFTER);
    }
}
