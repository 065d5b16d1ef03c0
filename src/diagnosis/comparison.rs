//! "The port is blocked" is concluded by comparison only: this port against the host's other ports, against other
//! providers' hosts on the same port, and against the rest of the world.
//!
//! One host alone proves nothing: it may be down, restart, or have had enough of us. So nothing is concluded where
//! there was nothing to compare with, and nothing about a host of our own network from hosts outside of it.

pub mod families;
pub mod names;

use super::clouds;
use crate::outcome::{Cause, Reason, SET_THE_CLOCK, Step};

/// What answered to a connection attempt; the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// A connection came about.
    Open,
    /// It was refused.
    Refused,
    /// It was reset.
    Reset,
    /// Nothing came.
    Nothing,
    /// There is no way there from here.
    NoRoute,
    /// The name could not be looked up.
    NameUnavailable,
    /// The name does not exist.
    NoName,
}

impl Answer {
    fn words(self) -> &'static str {
        match self {
            Self::Open => "answers",
            Self::Refused => "refuses",
            Self::Reset => "resets",
            Self::Nothing => "does not answer",
            Self::NoRoute => "has no route",
            Self::NameUnavailable => "could not be looked up",
            Self::NoName => "does not exist",
        }
    }

    /// Whether its name was found.
    #[must_use]
    pub fn has_name(self) -> bool {
        !matches!(self, Self::NameUnavailable | Self::NoName)
    }
}

/// What was found at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The host, as it was asked for.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What answered.
    pub answer: Answer,
    /// The first line that it said by itself, where one was waited for.
    pub greeting: Option<String>,
    /// What its certificate is worth here; absent where nobody looked, or none was shown.
    pub trust: Option<Trust>,
}

/// What a certificate is worth here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is in order.
    Good,
    /// Its time is over, or has not come.
    Untimely,
    /// It is for another name.
    OtherName,
    /// It comes from an issuer that is not trusted here, or is no good in another way.
    Distrusted,
}

impl Trust {
    fn words(self) -> &'static str {
        match self {
            Self::Good => "",
            Self::Untimely => " with a certificate out of its time",
            Self::OtherName => " with a certificate for another name",
            Self::Distrusted => " with a certificate not trusted here",
        }
    }
}

/// Everything that there is to compare.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What failed: the step and the reason.
    pub failed: (Step, Reason),
    /// The place in question.
    pub here: Found,
    /// The same host's other ports.
    pub ports: Vec<Found>,
    /// Other providers on the same port.
    pub others: Vec<Found>,
    /// The rest of the world.
    pub outside: Vec<Found>,
    /// Whether the place is in a network of our own, and the others are not.
    pub is_apart: bool,
    /// Whether the environment names a proxy for the way out.
    pub has_proxy: bool,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// Why.
    pub cause: &'static Cause,
    /// What was compared.
    pub evidence: String,
    /// Whether that proves what was only a doubt, since somebody was in a hurry.
    pub is_proof: bool,
}

impl Comparison {
    /// What follows, if anything does.
    #[must_use]
    pub fn conclude(&self) -> Option<Conclusion> {
        let cause = match self.failed {
            _ if self.is_apart => None,
            (Step::Connect, _) => self.connection(),
            (Step::Greeting, Reason::Timeout | Reason::ConnectionLost) => self.silence(),
            (Step::Greeting | Step::Hello, Reason::Protocol) => self.stranger(),
            (Step::StartTls, Reason::TlsUnavailable) => self.stranger(),
            (Step::Tls, Reason::TlsCertificate) => self.stranger().or_else(|| self.certificates()),
            _ => None,
        }?;
        Some(Conclusion { cause, evidence: self.evidence(), is_proof: false })
    }

    fn connection(&self) -> Option<&'static Cause> {
        let is_open = |found: &Found| found.answer == Answer::Open;
        let other_port = self.ports.iter().any(is_open);
        if self.others.iter().any(is_open) {
            return Some(if other_port { &PORT_CLOSED_THERE } else { &HOST_DOWN });
        }
        let world = self.outside.iter().any(is_open);
        let all_alike = self.others.iter().all(|found| found.answer == self.here.answer);
        if !self.others.is_empty() && all_alike && (world || other_port) {
            return Some(clouds::blocked(self.here.port));
        }
        // A name that a closed network's resolver does not know was asked for nothing.
        if world || other_port || !self.outside.iter().any(|found| found.answer.has_name()) {
            return None;
        }
        Some(if self.has_proxy { &PROXY_NEEDED } else { &NO_WAY_OUT })
    }

    /// A connection came about, and nobody spoke.
    fn silence(&self) -> Option<&'static Cause> {
        let open: Vec<_> = self.others.iter().filter(|found| found.answer == Answer::Open).collect();
        if open.iter().any(|found| found.greeting.is_some()) {
            return Some(&HOST_SILENT);
        }
        // Servers that speak TLS from the first byte wait for us; their silence is no news.
        (!open.is_empty() && self.here.greeting.is_none() && !is_implicit(self.here.port)).then_some(&INTERCEPTED)
    }

    /// Two providers that have nothing to do with each other never greet by one name.
    fn stranger(&self) -> Option<&'static Cause> {
        let name = greeted_as(&self.here)?;
        self.others.iter().any(|found| greeted_as(found) == Some(name)).then_some(&INTERCEPTED)
    }

    /// Two providers do not have the same trouble with their certificates by chance.
    fn certificates(&self) -> Option<&'static Cause> {
        let trust = self.here.trust?;
        let is_shared = self.others.iter().any(|found| found.trust == Some(trust));
        match trust {
            Trust::Good => None,
            _ if !is_shared => None,
            Trust::Untimely => Some(&CLOCK_WRONG),
            Trust::OtherName => Some(&INTERCEPTED),
            Trust::Distrusted => Some(&INSPECTED),
        }
    }

    fn evidence(&self) -> String {
        let places = std::iter::once(&self.here).chain(&self.ports).chain(&self.others).chain(&self.outside);
        compared(places.map(|found| {
            let greeted = greeted_as(found).filter(|name| is_showable(name));
            let greeted = greeted.map_or(String::new(), |name| format!(" as {name}"));
            let trust = found.trust.map_or("", Trust::words);
            format!("{}:{} {}{greeted}{trust}", found.host, found.port, found.answer.words())
        }))
    }
}

/// The name in a greeting.
fn greeted_as(found: &Found) -> Option<&str> {
    found.greeting.as_deref()?.strip_prefix("220")?.trim_start_matches(['-', ' ']).split(' ').next()
}

/// What was compared, as evidence.
fn compared(met: impl Iterator<Item = String>) -> String {
    format!("Compared: {}.", met.collect::<Vec<_>>().join(", "))
}

/// Whether it looks like a host's name: a stranger may have put anything there.
fn is_showable(name: &str) -> bool {
    name.len() <= 100 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
}

fn is_implicit(port: u16) -> bool {
    matches!(port, 465 | 2465 | 8465 | 443)
}

/// Every cause that a comparison can come to, with what leads to it.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static Cause)> {
    CAUSES.into_iter().chain(names::CAUSES).chain(families::CAUSES)
}

/// The same for blocked ports, by the place that they are blocked at.
pub fn blocked_ports() -> impl Iterator<Item = (String, &'static Cause)> {
    clouds::catalogue()
}

const CAUSES: [(&str, &Cause); 8] = [
    ("this port is closed there, another port of the host is open, and so is this port elsewhere", &PORT_CLOSED_THERE),
    ("the host answers on no port, and others answer on this one", &HOST_DOWN),
    ("a connection comes about and nobody speaks, while others greet on this port", &HOST_SILENT),
    (
        "hosts that have nothing to do with each other greet by one name, are silent alike, or show certificates for \
         other names",
        &INTERCEPTED,
    ),
    ("the certificates of two providers come from issuers that are not trusted here", &INSPECTED),
    ("the certificates of two providers are out of their time", &CLOCK_WRONG),
    ("nothing answers, on this port or another, here or elsewhere", &NO_WAY_OUT),
    ("the same, and the environment has HTTPS_PROXY, HTTP_PROXY or ALL_PROXY", &PROXY_NEEDED),
];

const PORT_CLOSED_THERE: Cause = Cause {
    name: "port_closed_there",
    why: "This host does not serve this port; others do, so nothing here blocks it.",
    remedy: "Leave SIDEPOST_PORT at auto, or set it to a port that answers.",
};

const HOST_DOWN: Cause = Cause {
    name: "provider_down",
    why: "Other hosts answer on this port, so nothing here blocks it: the provider is down, or does not let this address \
          in.",
    remedy: "Look at the provider's status page; if it lasts, ask it about the address that this machine comes from.",
};

const HOST_SILENT: Cause = Cause {
    name: "provider_silent",
    why: "Other hosts greet on this port, so nothing here swallows it: the provider is overloaded, or holds this address \
          off.",
    remedy: "Look at the provider's status page; if it lasts, ask it about the address that this machine comes from.",
};

const INTERCEPTED: Cause = Cause {
    name: "port_intercepted",
    why: "Hosts that have nothing to do with each other behave alike on this port: something on the way answers in \
          their place, as some hosting providers and access networks do.",
    remedy: "Use a port with implicit TLS (SIDEPOST_PORT=465 or 2465), which cannot be taken over unnoticed, and ask who \
             runs the network.",
};

const INSPECTED: Cause = Cause {
    name: "tls_inspected",
    why: "Another provider's certificate is not trusted here either: something on the way opens TLS with a CA of its own.",
    remedy: "Have mail ports taken out of the inspection; or, if you trust whoever runs it, give its CA in \
             SIDEPOST_CA_FILE.",
};

const CLOCK_WRONG: Cause = Cause {
    name: "clock_wrong",
    why: "Certificates of hosts that have nothing to do with each other are out of their time: the clock of this machine \
          is wrong.",
    remedy: SET_THE_CLOCK,
};

const NO_WAY_OUT: Cause = Cause {
    name: "no_egress",
    why: "Nothing outside answers from here, on any port.",
    remedy: "Check the network, the default route and egress rules (in Kubernetes a NetworkPolicy) of this machine or \
             pod.",
};

const PROXY_NEEDED: Cause = Cause {
    name: "proxy_needed",
    why: "Nothing outside answers from here, and the environment names a proxy: this network has no other way out.",
    remedy: "Have egress to the provider's submission port allowed for this machine or pod; SMTP does not go through an \
             HTTP proxy.",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str, port: u16, answer: Answer) -> Found {
        Found { host: host.to_owned(), port, answer, greeting: None, trust: None }
    }

    fn greeting(found: Found, line: &str) -> Found {
        Found { greeting: Some(line.to_owned()), ..found }
    }

    fn comparison(step: Step, reason: Reason, here: Answer) -> Comparison {
        Comparison {
            failed: (step, reason),
            here: found("mail.example", 587, here),
            ports: Vec::new(),
            others: Vec::new(),
            outside: Vec::new(),
            is_apart: false,
            has_proxy: false,
        }
    }

    fn connect(here: Answer, ports: &[(u16, Answer)], others: &[Answer], outside: &[Answer]) -> Comparison {
        let ports = ports.iter().map(|(port, answer)| found("mail.example", *port, *answer)).collect();
        let others = others.iter().map(|answer| found("other.example", 587, *answer)).collect();
        let outside = outside.iter().map(|answer| found("web.example", 443, *answer)).collect();
        let reason = if here == Answer::Refused { Reason::ConnectionRefused } else { Reason::ConnectionTimeout };
        Comparison { ports, others, outside, ..comparison(Step::Connect, reason, here) }
    }

    fn cause(comparison: &Comparison) -> Option<&'static str> {
        comparison.conclude().map(|conclusion| conclusion.cause.name)
    }

    #[test]
    fn ports_blocked_and_not_blocked() {
        use Answer::{NameUnavailable, NoName, NoRoute, Nothing, Open, Refused};
        for (here, ports, others, outside, expected) in [
            // The provider and everybody else are dropped on this port, and the world is there.
            (Nothing, &[][..], &[Nothing, Nothing][..], &[Open][..], Some("port_blocked")),
            (Nothing, &[(465, Nothing)], &[Nothing], &[Open], Some("port_blocked")),
            (Nothing, &[(465, Nothing), (2525, Open)], &[Nothing], &[], Some("port_blocked")),
            (Refused, &[], &[Refused, Refused], &[Open], Some("port_blocked")),
            (NoRoute, &[], &[NoRoute], &[Open], Some("port_blocked")),
            // Somebody else answers there: then it is the provider.
            (Nothing, &[], &[Nothing, Open], &[Open], Some("provider_down")),
            (Refused, &[], &[Open], &[], Some("provider_down")),
            (Refused, &[(465, Open)], &[Open], &[Open], Some("port_closed_there")),
            // A refusal that came from there, while others are dropped: the port is not blocked towards it.
            (Refused, &[], &[Nothing, Nothing], &[Open], None),
            (Nothing, &[], &[Nothing, Refused], &[Open], None),
            // Nobody to compare with.
            (Nothing, &[], &[], &[Open], None),
            (Nothing, &[(465, Open)], &[], &[Open], None),
            (Refused, &[], &[], &[], None),
            (Nothing, &[], &[Nothing], &[], None),
            // Nothing at all.
            (Nothing, &[], &[Nothing], &[Nothing], Some("no_egress")),
            (NoRoute, &[], &[], &[NoRoute], Some("no_egress")),
            (Nothing, &[], &[], &[Nothing, NoName], Some("no_egress")),
            (Refused, &[], &[NoName], &[NoName, NameUnavailable], None),
        ] {
            let comparison = connect(here, ports, others, outside);
            assert_eq!(cause(&comparison), expected, "{comparison:?}");
        }
    }

    #[test]
    fn a_host_of_our_own_network_is_not_judged_by_the_world() {
        let mut comparison = connect(Answer::Nothing, &[], &[Answer::Nothing], &[Answer::Open]);
        comparison.is_apart = true;
        assert_eq!(cause(&comparison), None);
    }

    #[test]
    fn a_proxy_in_the_environment_explains_why_nothing_answers() {
        let mut comparison = connect(Answer::Nothing, &[], &[Answer::Nothing], &[Answer::Nothing]);
        comparison.has_proxy = true;
        assert_eq!(cause(&comparison), Some("proxy_needed"));
    }

    #[test]
    fn somebody_who_answers_for_everybody() {
        let strange = "220 proxy.isp.example ESMTP ready";
        let mut comparison = comparison(Step::Tls, Reason::TlsCertificate, Answer::Open);
        comparison.here = greeting(comparison.here, strange);
        comparison.others = vec![greeting(found("other.example", 587, Answer::Open), "220 other.example hello")];
        assert_eq!(cause(&comparison), None);
        comparison.others.push(greeting(found("third.example", 587, Answer::Open), strange));
        let evidence = comparison.conclude().unwrap().evidence;
        assert!(evidence.contains("third.example:587 answers as proxy.isp.example."), "{evidence}");
        comparison.failed = (Step::StartTls, Reason::TlsUnavailable);
        assert_eq!(cause(&comparison), Some("port_intercepted"));
    }

    #[test]
    fn a_silent_host_and_a_silent_network() {
        let mut comparison = comparison(Step::Greeting, Reason::Timeout, Answer::Open);
        comparison.others = vec![found("other.example", 587, Answer::Open)];
        assert_eq!(cause(&comparison), Some("port_intercepted"));
        comparison.others.push(greeting(found("third.example", 587, Answer::Open), "220 third.example"));
        assert_eq!(cause(&comparison), Some("provider_silent"));
        comparison.others.clear();
        assert_eq!(cause(&comparison), None);
    }

    #[test]
    fn certificates_that_two_providers_have_no_luck_with() {
        use Trust::{Distrusted, Good, OtherName, Untimely};
        for (here, others, expected) in [
            (Some(Distrusted), &[Some(Good), Some(Distrusted)][..], Some("tls_inspected")),
            (Some(Distrusted), &[Some(Good), None, Some(Untimely)], None),
            (Some(Untimely), &[Some(Untimely)], Some("clock_wrong")),
            (Some(Untimely), &[Some(Good)], None),
            (Some(OtherName), &[Some(OtherName)], Some("port_intercepted")),
            (Some(OtherName), &[], None),
            (Some(Good), &[Some(Good)], None),
            (None, &[Some(Distrusted)], None),
        ] {
            let mut comparison = comparison(Step::Tls, Reason::TlsCertificate, Answer::Open);
            comparison.here.trust = here;
            let other = |&trust| Found { trust, ..found("other.example", 587, Answer::Open) };
            comparison.others = others.iter().map(other).collect();
            assert_eq!(cause(&comparison), expected, "{here:?} {others:?}");
        }
    }

    #[test]
    fn the_evidence_says_what_was_compared() {
        let comparison = connect(Answer::Nothing, &[(465, Answer::Open)], &[Answer::Nothing], &[Answer::Open]);
        assert_eq!(
            comparison.conclude().unwrap().evidence,
            "Compared: mail.example:587 does not answer, mail.example:465 answers, other.example:587 does not answer, \
             web.example:443 answers."
        );
    }
}
