//! A server as mail programs write it: `[smtp.example.com]:587`, `smtp.example.com:submission`, `smtp.example.com::587`.

use crate::net::name::is_name;

/// Port names of the Internet's registry, as far as they mean mail.
const SERVICES: [(&str, u16); 6] =
    [("smtp", 25), ("submission", 587), ("submissions", 465), ("smtps", 465), ("ssmtp", 465), ("urd", 465)];

/// A server by name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its name, or an IP address.
    pub host: String,
    /// Its port, where one is given.
    pub port: Option<u16>,
    /// In brackets: the server itself, and not the mail exchangers of that domain.
    pub brackets: bool,
}

impl Destination {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // `smtp://user:password@host` is a usual mistake.
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"[].:-_/ ".contains(&b));
        let broken = || {
            let what = if is_plain { format!("`{text}`") } else { "what stands there".to_owned() };
            format!("{what} is no server: expected a name or [name], with :port where it has one")
        };
        let (host, rest, brackets) = match text.strip_prefix('[') {
            Some(inside) => inside.split_once(']').map(|(host, rest)| (host, rest, true)).ok_or_else(broken)?,
            // An address of IPv6 alone has more colons than one, and Exim doubles the one before a port.
            None => match text.find(':') {
                Some(_) if text.parse::<std::net::Ipv6Addr>().is_ok() => (text, "", false),
                Some(at) => (&text[..at], &text[at..], false),
                None => (text, "", false),
            },
        };
        let address = host.strip_prefix("IPv6:").unwrap_or(host);
        let is_address = address.parse::<std::net::IpAddr>().is_ok();
        let host = if is_address { address } else { host.trim_end_matches('.') };
        if !is_address && !is_name(host) {
            return Err(broken());
        }
        let port = match rest.trim_start_matches(':') {
            "" if rest.is_empty() => None,
            word if rest.starts_with(':') => Some(port(word).ok_or_else(broken)?),
            _ => return Err(broken()),
        };
        Ok(Self { host: host.to_owned(), port, brackets })
    }
}

/// A port by number or name.
pub fn port(word: &str) -> Option<u16> {
    let named = SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, port)| *port);
    named.or_else(|| word.parse().ok().filter(|&port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_write_a_server() {
        for (text, host, port, brackets) in [
            ("smtp.example.com", "smtp.example.com", None, false),
            ("[smtp.example.com]", "smtp.example.com", None, true),
            ("[smtp.example.com]:587", "smtp.example.com", Some(587), true),
            ("[smtp.example.com]:submission", "smtp.example.com", Some(587), true),
            ("smtp.example.com.:smtps", "smtp.example.com", Some(465), false),
            ("smtp.example.com::587", "smtp.example.com", Some(587), false),
            ("192.0.2.1:25", "192.0.2.1", Some(25), false),
            ("[2001:db8::1]:2525", "2001:db8::1", Some(2525), true),
            ("2001:db8::1", "2001:db8::1", None, false),
            ("[IPv6:2001:db8::1]", "2001:db8::1", None, true),
        ] {
            assert_eq!(Destination::parse(text), Ok(Destination { host: host.to_owned(), port, brackets }), "{text}");
        }
        for bad in ["", "[]", "[a", "a b", "a:", "a:0", "a:99999", "a:b", "[a]587", "smtp://a", ":25", "a/b"] {
            assert!(Destination::parse(bad).is_err(), "{bad}");
        }
        let said = Destination::parse("smtp://joe:hunter2@a.test").unwrap_err();
        assert!(said.starts_with("what stands there is no server"), "{said}");
    }
}
