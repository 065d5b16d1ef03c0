//! JSON as it came, borrowed from the body: names given twice, deep nesting and floods of values are no JSON here.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use memchr::{memchr, memmem};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The deepest body that we know has four levels.
const DEEPEST: usize = 32;

/// A JSON value. Text without escapes is borrowed.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number; no field of ours is one.
    Number,
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Self>),
    /// An object, in the order given; no name is there twice.
    Map(Vec<(Cow<'a, str>, Self)>),
}

/// Reads a body of at most `most` values.
///
/// # Errors
/// What is wrong and at which line and column, without a word of the body.
pub fn parse(body: &[u8], most: usize) -> Result<Json<'_>, String> {
    let left = Cell::new(most);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = Seed { left: &left, depth: 0 }.deserialize(&mut deserializer);
    value.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| error.to_string())
}

/// Takes the backslash out of `\/`, in place: PHP writes every slash of base64 text like this, and text without
/// escapes need not be copied. Outside of a string a backslash or a slash is no JSON either way.
pub fn unescape_slashes(body: &mut Vec<u8>) {
    if memmem::find(body, b"\\/").is_none() {
        return;
    }
    let (mut from, mut to) = (0, 0);
    while let Some(offset) = memchr(b'\\', &body[from..]) {
        let at = from + offset;
        body.copy_within(from..at, to);
        to += offset;
        let Some(&escaped) = body.get(at + 1) else {
            from = at;
            break;
        };
        if escaped != b'/' {
            body[to] = b'\\';
            to += 1;
        }
        body[to] = escaped;
        to += 1;
        from = at + 2;
    }
    body.copy_within(from.., to);
    body.truncate(to + body.len() - from);
}

#[derive(Clone, Copy)]
struct Seed<'c> {
    left: &'c Cell<usize>,
    depth: usize,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > DEEPEST { Err(E::custom("nested too deeply")) } else { Ok(Self { depth, ..self }) }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // A value costs more memory than the two bytes that it may be written in.
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Json::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Json::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Json::Number)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(seed)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let seed = self.deeper()?;
        let mut map = Vec::new();
        while let Some(name) = entries.next_key_seed(Name)? {
            map.push((name, entries.next_value_seed(seed)?));
        }
        if has_duplicates(&map) {
            Err(A::Error::custom("a name is given twice in one object"))
        } else {
            Ok(Json::Map(map))
        }
    }
}

fn has_duplicates(map: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    let mut names: Vec<_> = map.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// The name of a field.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_borrowed_and_order_kept() {
        let body = br#"{"b": ["x", "\n"], "a": null, "c": {"d": 1.5e3, "e": true}}"#;
        let Json::Map(map) = parse(body, 100).unwrap() else { panic!("a map") };
        assert_eq!(map.iter().map(|(name, _)| name.as_ref()).collect::<String>(), "bac");
        let Json::List(list) = &map[0].1 else { panic!("a list") };
        assert!(matches!(&list[0], Json::Text(Cow::Borrowed("x"))));
        assert_eq!(list[1], Json::Text("\n".into()));
    }

    #[test]
    fn hostile_bodies_are_refused_without_being_quoted() {
        let deep = "[".repeat(100_000);
        let many = format!("[{}0]", "0,".repeat(200));
        let cases = [
            ("{\"secret\":1,\"secret\":2}", "a name is given twice in one object at line 1 column 23"),
            ("{\"\\u0061\":1,\"a\":2}", "a name is given twice"),
            (deep.as_str(), "nested too deeply"),
            (many.as_str(), "too many values"),
            ("{\"secret\"", "EOF while parsing"),
            ("\"secret\\q\"", "invalid escape"),
            ("1e999", "number out of range"),
            ("{} {}", "trailing characters"),
            ("\"\\ud800\"", "unexpected end of hex escape"),
            ("", "EOF"),
            ("secret", "expected value"),
            ("\u{feff}{}", "expected value"),
        ];
        for (body, expected) in cases {
            let error = parse(body.as_bytes(), 100).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
        assert!(parse(b"\"\xff\"", 100).is_err());
    }

    #[test]
    fn slashes_lose_their_backslash_and_nothing_else_changes() {
        for (from, to) in [
            (r#""a\/b""#, r#""a/b""#),
            (r#""\\/""#, r#""\\/""#),
            (r#""\\\/\"\/""#, r#""\\/\"/""#),
            (r#""\n\u0041\/""#, r#""\n\u0041/""#),
            (r"\", r"\"),
            ("", ""),
        ] {
            let mut body = from.as_bytes().to_vec();
            unescape_slashes(&mut body);
            assert_eq!(String::from_utf8(body).unwrap(), to, "{from}");
        }
    }

    proptest! {
        #[test]
        fn unescaping_slashes_keeps_the_meaning(text in "\\PC{0,40}", cuts in any::<bool>()) {
            let plain = serde_json::to_string(&text).unwrap();
            let mut body = if cuts { plain.replace('/', "\\/") } else { plain }.into_bytes();
            unescape_slashes(&mut body);
            prop_assert_eq!(parse(&body, 10), Ok(Json::Text(text.into())));
        }
    }
}
