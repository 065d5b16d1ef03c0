//! The query of a URL.
//!
//! A plus is a plus, as RFC 3986 has it: `?to=me+tag@example.com`, typed by hand, means that address. Addresses have
//! no spaces outside of quotes, and those who encode write `%20` or `%2B`.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use hyper::http::request::Parts;

use crate::net::percent::decoded;

/// The parameters, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what follows the question mark. What is no UTF-8 is replaced, and fits nothing then.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    /// Every name, as often as it is there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Every value of a name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()).collect()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.uri.query().map(Self::parse).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_a_plus_stays() {
        let query = Query::parse("to=a%2Bb+c%40d.e&&to=%C3%A4&from&x=%zz%4");
        assert_eq!(query.all("to"), ["a+b+c@d.e", "\u{e4}"]);
        assert_eq!(query.all("from"), [""]);
        assert_eq!(query.all("x"), ["%zz%4"]);
        assert_eq!(query.names().collect::<String>(), "totofromx");
    }
}
