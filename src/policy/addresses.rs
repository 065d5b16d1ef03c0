//! Sets of addresses, as rules name them.

use std::collections::HashSet;

use crate::config::value::Value;
use crate::message::Address;
use crate::message::address::domain_name;

/// Addresses, domains, and domains whose subdomains are meant.
///
/// Case does not matter, in local parts neither: no provider tells `Bob@` from `bob@`, and a rule that did could be
/// walked around. Domains are compared in their ASCII form, however they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    mailboxes: HashSet<(String, String)>,
    domains: HashSet<String>,
    /// Domains of which the subdomains are in the set, at any depth, and they themselves are not.
    parents: HashSet<String>,
}

impl Addresses {
    /// Whether an address is in the set.
    #[must_use]
    pub fn have(&self, address: &Address) -> bool {
        let domain = address.domain();
        self.domains.contains(domain)
            || self.have_parent_of(domain)
            || (!self.mailboxes.is_empty() && self.mailboxes.contains(&key(address)))
    }

    fn have_parent_of(&self, domain: &str) -> bool {
        let parents = || domain.match_indices('.').map(|(dot, _)| &domain[dot + 1..]);
        !self.parents.is_empty() && parents().any(|parent| self.parents.contains(parent))
    }

    fn insert(&mut self, item: &str) -> Option<()> {
        if let Some(parent) = item.strip_prefix("*.").or_else(|| item.strip_prefix('.')) {
            self.parents.insert(domain_name(parent).ok()?);
        } else if let Some(domain) = item.strip_prefix('@').or_else(|| (!item.contains('@')).then_some(item)) {
            self.domains.insert(domain_name(domain).ok()?);
        } else {
            self.mailboxes.insert(key(&Address::parse(item).ok()?));
        }
        Some(())
    }
}

fn key(address: &Address) -> (String, String) {
    (address.local().to_lowercase(), address.domain().to_owned())
}

impl Value for Addresses {
    const EXPECTS: &'static str = "addresses and domains separated by commas, such as `shop@example.com, example.org, .example.net` (a dot in front means the subdomains)";

    fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        let items = text.split([',', ' ', '\n']).map(str::trim).filter(|item| !item.is_empty());
        items.into_iter().try_for_each(|item| set.insert(item))?;
        (set != Self::default()).then_some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn have(list: &str, address: &str) -> bool {
        <Addresses as Value>::parse(list).unwrap().have(&Address::parse(address).unwrap())
    }

    #[test]
    fn addresses_domains_and_subdomains() {
        for (list, address, expected) in [
            ("a@b.example", "a@b.example", true),
            ("a@b.example", "A@B.Example", true),
            ("Ä@b.example", "ä@b.example", true),
            (r#""a"@b.example"#, "a@b.example", true),
            ("a@b.example", "x@b.example", false),
            ("a@b.example", "a+b@b.example", false),
            ("b.example", "x@b.example", true),
            ("@b.example", "x@b.example", true),
            ("B.EXAMPLE", "x@b.example", true),
            ("b.example", "x@sub.b.example", false),
            ("b.example", "x@ab.example", false),
            ("b.example", "x@b.example.evil", false),
            (".b.example", "x@sub.b.example", true),
            ("*.b.example", "x@deep.sub.b.example", true),
            (".b.example", "x@b.example", false),
            (".b.example", "x@ab.example", false),
            ("bücher.example", "x@xn--bcher-kva.example", true),
            ("xn--bcher-kva.example", "x@BÜCHER.example", true),
            (".bücher.example", "x@shop.xn--bcher-kva.example", true),
            ("a.example, b.example\n c.example,", "x@c.example", true),
        ] {
            assert_eq!(have(list, address), expected, "{list} {address}");
        }
    }

    #[test]
    fn what_is_neither_is_a_mistake() {
        for text in [
            "a@",
            "@",
            "a b@",
            "a@b.example; c@d.example",
            "*",
            ".",
            "*.",
            ",",
            "a@[192.0.2.1]",
            "exa*mple.com",
            "192.0.2.1",
        ] {
            assert_eq!(<Addresses as Value>::parse(text), None, "{text}");
        }
    }
}
