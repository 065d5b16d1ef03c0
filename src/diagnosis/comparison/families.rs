//! A connection that comes about by IPv4 while IPv6 goes nowhere: the network's, or the provider's?

use super::{Answer, Conclusion, compared};
use crate::outcome::Cause;

/// What answered at a host, by the family of its addresses; absent where it has none of that family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// By IPv4.
    pub v4: Option<Answer>,
    /// By IPv6.
    pub v6: Option<Answer>,
}

/// The provider and others, each asked by both families.
#[derive(Clone, Debug)]
pub struct Families {
    /// The provider.
    pub here: Host,
    /// Others.
    pub others: Vec<Host>,
}

impl Families {
    /// Whether IPv6 is of no use, and whose it is.
    #[must_use]
    pub fn conclude(&self) -> Option<Conclusion> {
        let is_open = |answer: Option<Answer>| answer == Some(Answer::Open);
        if !is_open(self.here.v4) || is_open(self.here.v6) || self.here.v6.is_none() {
            return None;
        }
        // Who answers by neither family tells nothing about one of them.
        let others = || self.others.iter().filter(|host| is_open(host.v4) && host.v6.is_some());
        let is_ours = others().next().is_some() && !others().any(|host| is_open(host.v6));
        let cause = if is_ours { &IPV6_BROKEN } else { &IPV6_UNANSWERED };
        Some(Conclusion { cause, evidence: self.evidence(), is_proof: false })
    }

    fn evidence(&self) -> String {
        let by = |family: &str, answer: Option<Answer>| match answer {
            Some(answer) => format!("{} by {family}", answer.words()),
            None => format!("has no {family}"),
        };
        compared(
            std::iter::once(&self.here)
                .chain(&self.others)
                .map(|host| format!("{}:{} {} and {}", host.name, host.port, by("IPv4", host.v4), by("IPv6", host.v6))),
        )
    }
}

/// Every cause that a comparison of families can come to, with what leads to it.
pub(super) const CAUSES: [(&str, &Cause); 2] = [
    ("IPv4 answers and IPv6 does not, at the provider and at others", &IPV6_BROKEN),
    ("IPv4 answers and IPv6 does not, at the provider alone or with nobody to compare with", &IPV6_UNANSWERED),
];

const IPV6_BROKEN: Cause = Cause {
    name: "ipv6_broken",
    why: "This machine has a way out by IPv6 that leads nowhere, whoever is at the other end; mail leaves by IPv4, a \
          quarter of a second later for each new connection.",
    remedy: "Mend IPv6 of this machine, pod or network (routes, firewall, egress rules for IPv6), or take its IPv6 \
             address or default route away.",
};

const IPV6_UNANSWERED: Cause = Cause {
    name: "ipv6_unanswered",
    why: "The provider's host has IPv6 addresses that do not answer from here, and mail leaves by IPv4, a quarter of a \
          second later for each new connection.",
    remedy: "Nothing has to be done. If other hosts answer by IPv6 from here, the provider has to mend it; if none does, \
             mend IPv6 of this network.",
};

#[cfg(test)]
mod tests {
    use super::*;
    use Answer::{Nothing, Open, Refused};

    fn host(v4: Option<Answer>, v6: Option<Answer>) -> Host {
        Host { name: "mail.example".to_owned(), port: 587, v4, v6 }
    }

    fn cause(here: Host, others: &[Host]) -> Option<&'static str> {
        Families { here, others: others.to_vec() }.conclude().map(|conclusion| conclusion.cause.name)
    }

    #[test]
    fn ipv6_is_broken_here_only_where_it_is_for_others_too() {
        let dead = || host(Some(Open), Some(Nothing));
        let alive = || host(Some(Open), Some(Open));
        assert_eq!(cause(dead(), &[dead()]), Some("ipv6_broken"));
        assert_eq!(cause(dead(), &[dead(), alive()]), Some("ipv6_unanswered"));
        assert_eq!(cause(dead(), &[]), Some("ipv6_unanswered"));
        assert_eq!(cause(dead(), &[host(Some(Open), None)]), Some("ipv6_unanswered"));
        assert_eq!(cause(dead(), &[host(Some(Refused), Some(Refused))]), Some("ipv6_unanswered"));
        assert_eq!(cause(alive(), &[dead()]), None, "it was only slow");
        assert_eq!(cause(host(Some(Open), None), &[dead()]), None);
        assert_eq!(cause(host(Some(Nothing), Some(Nothing)), &[dead()]), None, "that is no question of families");
    }

    #[test]
    fn the_evidence_says_what_each_family_met() {
        let families = Families { here: host(Some(Open), Some(Nothing)), others: vec![host(Some(Open), None)] };
        assert_eq!(
            families.conclude().unwrap().evidence,
            "Compared: mail.example:587 answers by IPv4 and does not answer by IPv6, mail.example:587 answers by IPv4 and \
             has no IPv6."
        );
    }
}
