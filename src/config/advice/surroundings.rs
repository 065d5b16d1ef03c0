//! What stands around the process: root certificates that were forgotten, a resolver that asks for much, a limit of memory.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::super::Config;
use super::super::env::{PREFIX, Problem};
use crate::net::tls;
use crate::provider::Path as Way;
use crate::time::utc;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// So many certificates are no CA of one's own but a collection, which somebody has to keep up to date.
const COLLECTION: usize = 20;
/// A collection without a younger root than this was not looked after: some are added every year or two.
const OLD: Duration = Duration::from_secs(5 * 365 * 86_400);

/// Root certificates that have ended, and collections that are old.
pub fn roots(config: &Config) -> Vec<Problem> {
    let named = config.client.ca_file.iter().map(|file| (format!("{PREFIX}CA_FILE"), file));
    let system = config.system_roots.iter().map(|file| ("SSL_CERT_FILE".to_owned(), file));
    let now = SystemTime::now();
    let told = |(variable, file): (String, &std::path::PathBuf)| {
        let sentence = about_roots(file, &tls::lives(file).ok()?, now)?;
        Some(Problem { variable, sentence })
    };
    named.chain(system).filter_map(told).collect()
}

fn about_roots(file: &Path, lives: &[(SystemTime, SystemTime)], now: SystemTime) -> Option<String> {
    let (file, all) = (file.display(), lives.len());
    let over = lives.iter().filter(|(_, end)| *end < now).count();
    let youngest = lives.iter().map(|(begin, _)| *begin).max()?;
    let age = now.duration_since(youngest).unwrap_or_default();
    if all >= COLLECTION && (age > OLD || over * 10 >= all) {
        let years = age.as_secs() / YEAR.as_secs();
        return Some(format!(
            "{file} is an old collection: {over} of its {all} root certificates have ended, and the youngest is {years} \
             years old. The roots that are built in count beside it, so leave the variable unset unless it has a CA of \
             your own in it"
        ));
    }
    let ended = lives.iter().map(|(_, end)| *end).filter(|end| *end < now).max()?;
    (all < COLLECTION).then(|| {
        format!(
            "{over} of the {all} certificates in {file} have ended (the last at {}): whoever runs that CA has a newer one",
            utc(ended)
        )
    })
}

/// A resolver that appends domains to names with a few dots: what it costs, and why not here.
pub fn resolver(config: &Config) -> Option<Problem> {
    let host = config.provider.paths.iter().find_map(Way::host)?;
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    about_resolver(host, &text)
}

fn about_resolver(host: &str, text: &str) -> Option<Problem> {
    let fields = |name: &'static str| {
        let lines = text.lines().map(str::split_whitespace);
        lines.filter_map(move |mut line| (line.next() == Some(name)).then_some(line)).next_back()
    };
    let dots = |word: &str| word.strip_prefix("ndots:").and_then(|dots| dots.parse::<usize>().ok());
    let ndots = fields("options").into_iter().flatten().filter_map(dots).next_back().unwrap_or(1);
    let domains = fields("search").into_iter().flatten().count();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    (ndots > 1 && domains > 0 && !is_address && host.matches('.').count() < ndots).then(|| Problem {
        variable: "/etc/resolv.conf".to_owned(),
        sentence: format!(
            "ndots:{ndots} with {domains} search domains makes other programs ask up to {} questions before the right one \
             for a name such as {host}, and a wildcard in one of those domains would answer it. Sidepost asks for the name \
             as an absolute one first, so its own mail pays nothing; for the application beside it, dnsConfig of the pod \
             with ndots:1, or a final dot behind the name, does the same",
            domains * 2
        ),
    })
}

/// What the process needs beside the messages that it holds, at most.
const BESIDE_MESSAGES: u64 = 8 << 20;

/// More messages than the container's memory holds.
pub fn memory(config: &Config) -> Option<Problem> {
    let limit = |file| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    about_memory(config.delivery.max_in_flight_bytes.0 as u64, limits.into_iter().find_map(limit)?)
}

fn about_memory(messages: u64, limit: u64) -> Option<Problem> {
    (limit < messages.saturating_add(BESIDE_MESSAGES)).then(|| Problem {
        variable: format!("{PREFIX}MAX_IN_FLIGHT_BYTES"),
        sentence: format!(
            "{} MiB of messages do not fit beside the process into the {} MiB of memory that this container may have: full \
             of them, it would be killed with all of them. Raise the container's limit, or lower this",
            messages >> 20,
            limit >> 20
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_do_not_fit_into_the_containers_memory_are_named() {
        let told = about_memory(64 << 20, 64 << 20).unwrap().to_string();
        assert!(
            told.starts_with("SIDEPOST_MAX_IN_FLIGHT_BYTES: 64 MiB of messages") && told.contains("the 64 MiB"),
            "{told}"
        );
        for (messages, limit) in [(64 << 20, 72 << 20), (25 << 20, 64 << 20), (1 << 34, u64::MAX)] {
            assert!(about_memory(messages, limit).is_none(), "{messages} {limit}");
        }
    }

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn roots(count: usize, over: usize, youngest: Duration) -> Option<String> {
        let now = NOW + 50 * YEAR;
        let life = |place: usize| (now - youngest, if place < over { now - YEAR } else { now + YEAR });
        about_roots(Path::new("/ca.pem"), &(0..count).map(life).collect::<Vec<_>>(), now)
    }

    #[test]
    fn a_collection_that_nobody_looked_after_is_named_and_a_ca_of_ones_own_may_be_old() {
        assert_eq!(roots(140, 3, 2 * YEAR), None);
        assert_eq!(roots(1, 0, 20 * YEAR), None);
        let old = roots(140, 3, 9 * YEAR).unwrap();
        assert!(old.contains("3 of its 140") && old.contains("9 years"), "{old}");
        assert!(roots(140, 14, YEAR).unwrap().contains("14 of its 140"));
        let ended = roots(2, 1, 3 * YEAR).unwrap();
        assert!(ended.starts_with("1 of the 2 certificates in /ca.pem have ended (the last at 2018-"), "{ended}");
        assert_eq!(roots(0, 0, YEAR), None);
    }

    #[test]
    fn a_resolver_of_a_pod_is_explained_and_a_plain_one_is_not() {
        let pod =
            "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n";
        let told = about_resolver("smtp.gmail.com", pod).unwrap().to_string();
        assert!(
            told.starts_with("/etc/resolv.conf: ndots:5 with 3 search domains") && told.contains("up to 6"),
            "{told}"
        );
        for (host, text) in [
            ("smtp.gmail.com", "nameserver 1.1.1.1\n"),
            ("smtp.gmail.com", "search example.com\nnameserver 1.1.1.1\n"),
            ("smtp.gmail.com", "options ndots:5\n"),
            ("smtp.gmail.com", "search a b\noptions ndots:x\n"),
            ("smtp.gmail.com", "search a b\noptions ndots:5 ndots:1\n"),
            ("192.0.2.1", pod),
            ("smtp.gmail.com", ""),
        ] {
            assert!(about_resolver(host, text).is_none(), "{host} {text:?}");
        }
    }
}
