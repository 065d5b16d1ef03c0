//! The `Prefer` header, RFC 7240: of its preferences we know `handling`, and the RFC has us ignore the others.

use hyper::header::{HeaderMap, HeaderValue};

/// What to do when the provider refuses some of the recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Send to the others.
    Lenient,
    /// Send to nobody.
    Strict,
}

impl Handling {
    /// What `Preference-Applied` says.
    #[must_use]
    pub fn applied(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Lenient => "handling=lenient",
            Self::Strict => "handling=strict",
        })
    }
}

/// What the caller prefers, if it says so. Of two the first counts (RFC 7240 section 2).
#[must_use]
pub fn handling(headers: &HeaderMap) -> Option<Handling> {
    let fields = headers.get_all("prefer").iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).find_map(parse)
}

fn parse(preference: &str) -> Option<Handling> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    let value = value.trim().trim_matches('"');
    match value {
        _ if !name.trim().eq_ignore_ascii_case("handling") => None,
        "strict" => Some(Handling::Strict),
        "lenient" => Some(Handling::Lenient),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[&'static str], expected: Option<Handling>) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("prefer", HeaderValue::from_static(field));
        }
        assert_eq!(handling(&headers), expected, "{fields:?}");
    }

    #[test]
    fn handling_is_found_among_others() {
        check(&[], None);
        check(&["handling=strict"], Some(Handling::Strict));
        check(&["wait=10, Handling = \"lenient\"; x=y"], Some(Handling::Lenient));
        check(&["respond-async", "handling=strict, handling=lenient"], Some(Handling::Strict));
        check(&["handling", "handling=loose", "x=handling=strict"], None);
    }
}
