//! A name that is not found, or not soon: the resolver, or the servers that know this name?

use std::time::Duration;

use super::{Conclusion, compared};
use crate::outcome::{Cause, Reason};

/// A lookup that takes longer is worth a word: resolvers answer in milliseconds, and from memory at once.
pub const SLOW: Duration = Duration::from_secs(1);

/// How a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The name was found, after so long.
    Found(Duration),
    /// There is no such name.
    Missing,
    /// It could not be looked up, or not in time.
    Unavailable,
}

impl Lookup {
    fn is_slow(self) -> bool {
        matches!(self, Self::Found(after) if after >= SLOW)
    }

    fn is_quick(self) -> bool {
        matches!(self, Self::Found(after) if after < SLOW)
    }

    fn words(self) -> String {
        match self {
            Self::Found(after) if after < SLOW => "was found".to_owned(),
            Self::Found(after) => format!("was found after {:.1} s", after.as_secs_f64()),
            Self::Missing => "does not exist".to_owned(),
            Self::Unavailable => "could not be looked up".to_owned(),
        }
    }
}

/// The provider's name and others, looked up at once.
#[derive(Clone, Debug)]
pub struct Names {
    /// The provider's.
    pub here: (String, Lookup),
    /// Others'.
    pub others: Vec<(String, Lookup)>,
}

impl Names {
    /// Why the provider's name was not found.
    #[must_use]
    pub fn conclude(&self, failed: Reason) -> Option<Conclusion> {
        let is_found = |(_, lookup): &(String, Lookup)| matches!(lookup, Lookup::Found(_));
        let cause = match (self.here.1, self.others.iter().any(is_found)) {
            (Lookup::Found(_), _) => return self.conclude_slow(),
            _ if self.others.is_empty() => return None,
            (_, false) => &NO_NAMES,
            (Lookup::Missing, true) if failed == Reason::NameNotFound => &NO_SUCH_NAME,
            (Lookup::Unavailable, true) if failed == Reason::NameUnavailable => &NAME_SERVERS_DOWN,
            (Lookup::Missing | Lookup::Unavailable, true) => return None,
        };
        Some(self.because(cause))
    }

    /// Why it was found late; nothing where it is found in time.
    #[must_use]
    pub fn conclude_slow(&self) -> Option<Conclusion> {
        if self.here.1.is_quick() {
            return None;
        }
        let any = |is: fn(Lookup) -> bool| self.others.iter().any(|(_, lookup)| is(*lookup));
        let cause = match (any(Lookup::is_quick), any(Lookup::is_slow)) {
            (true, _) => &NAME_SLOW,
            (false, true) => &RESOLVER_SLOW,
            (false, false) if self.here.1.is_slow() => &NAME_SLOW,
            (false, false) if self.others.is_empty() => return None,
            (false, false) => &NO_NAMES,
        };
        Some(self.because(cause))
    }

    fn because(&self, cause: &'static Cause) -> Conclusion {
        let met = std::iter::once(&self.here).chain(&self.others);
        let evidence = compared(met.map(|(name, lookup)| format!("{name} {}", lookup.words())));
        let is_proof = !matches!(self.here.1, Lookup::Found(_));
        Conclusion { cause, evidence, is_proof }
    }
}

/// Every cause that a comparison of names can come to, with what leads to it.
pub(super) const CAUSES: [(&str, &Cause); 5] = [
    ("the name does not exist, and others are found", &NO_SUCH_NAME),
    ("neither this name is found nor any other", &NO_NAMES),
    ("the name cannot be looked up, and others are found", &NAME_SERVERS_DOWN),
    ("the name is found after a second or more, and so are others", &RESOLVER_SLOW),
    ("the name is found after a second or more, and others at once", &NAME_SLOW),
];

const NO_SUCH_NAME: Cause = Cause {
    name: "name_not_found",
    why: "Other names are found from here, so it is this one that does not exist.",
    remedy: "Check the spelling of SIDEPOST_HOST.",
};

const NO_NAMES: Cause = Cause {
    name: "no_names",
    why: "No name at all is found from here: the resolver is down, or cannot be reached.",
    remedy: "Check the resolver of this machine or pod (/etc/resolv.conf, CoreDNS), and that egress rules let port 53 \
             out, UDP and TCP.",
};

const NAME_SERVERS_DOWN: Cause = Cause {
    name: "name_servers_down",
    why: "Other names are found from here, so the resolver works: the servers that know this name do not answer it.",
    remedy: "Check the spelling of SIDEPOST_HOST; if it is right, look at the provider's status page.",
};

const RESOLVER_SLOW: Cause = Cause {
    name: "resolver_slow",
    why: "The resolver takes long for every name: it is overloaded, packets get lost on the way to it, or the first of \
          several does not answer.",
    remedy: "Check the resolvers of this machine or pod (/etc/resolv.conf, CoreDNS and its load): every new connection \
             waits for them.",
};

const NAME_SLOW: Cause = Cause {
    name: "name_slow",
    why: "The servers that know this name take long to answer, and the resolver keeps their answer for a short time only.",
    remedy: "Use a resolver that keeps answers (a node-local cache in Kubernetes); mail leaves all the same, later by \
             this time for each new connection.",
};

#[cfg(test)]
mod tests {
    use super::*;
    use Lookup::{Found, Missing, Unavailable};

    const QUICK: Lookup = Found(Duration::from_millis(3));
    const LATE: Lookup = Found(Duration::from_millis(1500));

    fn names(here: Lookup, others: &[Lookup]) -> Names {
        let others = others.iter().map(|&lookup| ("other.example".to_owned(), lookup)).collect();
        Names { here: ("mail.example".to_owned(), here), others }
    }

    fn name(conclusion: Option<Conclusion>) -> Option<&'static str> {
        conclusion.map(|conclusion| conclusion.cause.name)
    }

    #[test]
    fn a_name_that_is_wrong_and_a_resolver_that_is_down() {
        use Reason::{NameNotFound, NameUnavailable};
        for (failed, here, others, expected) in [
            (NameNotFound, Missing, &[QUICK, Missing][..], Some("name_not_found")),
            (NameNotFound, Missing, &[Missing], Some("no_names")),
            (NameNotFound, Missing, &[], None),
            (NameUnavailable, Unavailable, &[Unavailable], Some("no_names")),
            (NameUnavailable, Unavailable, &[Unavailable, LATE], Some("name_servers_down")),
            (NameUnavailable, Missing, &[QUICK], None),
            (NameUnavailable, LATE, &[LATE, Unavailable], Some("resolver_slow")),
            (NameUnavailable, QUICK, &[QUICK], None),
        ] {
            assert_eq!(name(names(here, others).conclude(failed)), expected, "{failed:?} {here:?} {others:?}");
        }
    }

    #[test]
    fn what_is_found_late_is_late_for_everybody_or_for_this_name_alone() {
        for (here, others, expected) in [
            (QUICK, &[LATE][..], None),
            (LATE, &[LATE, LATE], Some("resolver_slow")),
            (LATE, &[LATE, QUICK], Some("name_slow")),
            (LATE, &[], Some("name_slow")),
            (LATE, &[Unavailable], Some("name_slow")),
            (Unavailable, &[QUICK], Some("name_slow")),
            (Unavailable, &[Unavailable], Some("no_names")),
            (Unavailable, &[], None),
        ] {
            assert_eq!(name(names(here, others).conclude_slow()), expected, "{here:?} {others:?}");
        }
    }

    #[test]
    fn the_evidence_says_how_long_each_took() {
        let conclusion = names(LATE, &[Unavailable]).conclude_slow().unwrap();
        assert_eq!(
            conclusion.evidence,
            "Compared: mail.example was found after 1.5 s, other.example could not be looked up."
        );
    }
}
