//! Where in a body something is. Each field has a place, few have a mistake: it is put into words only then.

use std::fmt;

/// The deepest field that we read has three steps (`#/attachments/0/content`).
const DEEPEST: usize = 4;
/// A name longer than this is not repeated in an answer.
pub const LONGEST_NAME: usize = 100;

/// The way from the body's root to a value; written as a JSON Pointer in a URI fragment (RFC 6901 section 6).
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'j> {
    steps: [Option<Step<'j>>; DEEPEST],
}

#[derive(Clone, Copy, Debug)]
enum Step<'j> {
    Name(&'j str),
    Index(usize),
}

impl<'j> Place<'j> {
    /// The place of a field of this object; of the object itself where the name is too long to repeat.
    #[must_use]
    pub fn field(self, name: &'j str) -> Self {
        if name.len() > LONGEST_NAME { self } else { self.below(Step::Name(name)) }
    }

    /// The place of an item of this array.
    #[must_use]
    pub fn item(self, index: usize) -> Self {
        self.below(Step::Index(index))
    }

    fn below(mut self, step: Step<'j>) -> Self {
        if let Some(free) = self.steps.iter_mut().find(|step| step.is_none()) {
            *free = Some(step);
        }
        self
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("#")?;
        self.steps.iter().flatten().try_for_each(|step| match step {
            Step::Name(name) => write!(f, "/{}", fragment(&name.replace('~', "~0").replace('/', "~1"))),
            Step::Index(index) => write!(f, "/{index}"),
        })
    }
}

impl From<Place<'_>> for String {
    fn from(place: Place<'_>) -> Self {
        place.to_string()
    }
}

/// What of a JSON Pointer cannot stand in a URI fragment, percent-encoded.
#[must_use]
pub fn fragment(pointer: &str) -> String {
    let mut encoded = String::with_capacity(pointer.len());
    for byte in pointer.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(byte.into()),
            _ if b"-._~!$&'()*+,;=:@/".contains(&byte) => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_pointers_in_fragments() {
        let root = Place::default();
        assert_eq!(root.to_string(), "#");
        assert_eq!(root.field("headers").field("a/b~c d\u{e4}%").to_string(), "#/headers/a~1b~0c%20d%C3%A4%25");
        assert_eq!(root.field("attachments").item(12).field("content").to_string(), "#/attachments/12/content");
        assert_eq!(root.field(&"x".repeat(101)).to_string(), "#");
    }

    #[test]
    fn deeper_than_any_field_of_ours_is_the_place_above() {
        let deep = (0..10).fold(Place::default(), Place::item);
        assert_eq!(deep.to_string(), "#/0/1/2/3");
    }
}
