//! Reading fields out of JSON, noting every mistake with its place instead of stopping at the first.

use super::json::Json;
use super::place::{LONGEST_NAME, Place};
use super::problem::Mistake;
use crate::config::env::nearest;

/// More mistakes than this help nobody, and an answer must not be longer than its request.
const MOST_MISTAKES: usize = 50;

/// The mistakes found so far.
#[derive(Debug, Default)]
pub struct Form(Vec<Mistake>);

/// An object of the body: its place, and its fields.
#[derive(Clone, Debug)]
pub struct Object<'j> {
    at: Place<'j>,
    fields: &'j [(std::borrow::Cow<'j, str>, Json<'j>)],
}

/// A value and its place.
pub type Placed<'j> = (Place<'j>, &'j Json<'j>);

/// The names of an object's fields.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Those that mean something.
    pub known: &'static [&'static str],
    /// Those that mean something elsewhere, with a sentence on what to do here.
    pub unsupported: &'static [(&'static str, &'static str)],
}

impl Form {
    /// Notes a mistake. `at` is a [`Place`], or what is written like one.
    pub fn mistake(&mut self, at: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        if self.0.len() < MOST_MISTAKES {
            self.0.push(Mistake { pointer: Some(at.into()), parameter: None, code, detail: detail.into() });
        }
    }

    /// Whether there was no mistake so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.0.is_empty()
    }

    /// Every mistake.
    #[must_use]
    pub fn into_mistakes(self) -> Vec<Mistake> {
        self.0
    }

    /// An object with these fields and no others.
    pub fn object<'j>(&mut self, (at, json): Placed<'j>, names: Names) -> Option<Object<'j>> {
        let Some(object) = Object::open((at, json)) else {
            self.mistake(at, "type", "expected an object");
            return None;
        };
        object.fields.iter().for_each(|(name, _)| self.check_name(at, name, names));
        Some(object)
    }

    fn check_name(&mut self, at: Place<'_>, name: &str, names: Names) {
        if names.known.contains(&name) {
            return;
        }
        if let Some((_, sentence)) = names.unsupported.iter().find(|(unsupported, _)| *unsupported == name) {
            return self.mistake(at.field(name), "unsupported", *sentence);
        }
        let near = nearest(name.get(..LONGEST_NAME).unwrap_or(name), names.known.iter().map(ToString::to_string));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        self.mistake(at.field(name), "unknown", format!("no such field{hint}"));
    }

    /// A text.
    pub fn text<'j>(&mut self, placed: Option<Placed<'j>>) -> Option<&'j str> {
        match placed? {
            (_, Json::Text(text)) => Some(text),
            (at, _) => {
                self.mistake(at, "type", "expected a string");
                None
            }
        }
    }

    /// A flag, down if there is none.
    pub fn flag(&mut self, placed: Option<Placed<'_>>) -> bool {
        match placed {
            None => false,
            Some((_, Json::Bool(flag))) => *flag,
            Some((at, _)) => {
                self.mistake(at, "type", "expected true or false");
                false
            }
        }
    }

    /// The items of an array.
    pub fn items<'j>(&mut self, placed: Option<Placed<'j>>) -> Vec<Placed<'j>> {
        match placed {
            None => Vec::new(),
            Some((at, Json::List(items))) => numbered(at, items),
            Some((at, _)) => {
                self.mistake(at, "type", "expected an array");
                Vec::new()
            }
        }
    }

    /// Reads a text, or notes why it cannot be read.
    pub fn parsed<'j, T, E: std::fmt::Display>(
        &mut self,
        placed: Option<Placed<'j>>,
        parse: impl FnOnce(&'j str) -> Result<T, E>,
    ) -> Option<T> {
        let (at, json) = placed?;
        let text = self.text(Some((at, json)))?;
        parse(text).map_err(|error| self.mistake(at, "invalid", error.to_string())).ok()
    }
}

impl<'j> Object<'j> {
    /// An object with fields of any name.
    #[must_use]
    pub fn open((at, json): Placed<'j>) -> Option<Self> {
        if let Json::Map(fields) = json { Some(Self { at, fields }) } else { None }
    }

    /// The value of a field; `null` is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Placed<'j>> {
        let (name, value) = self.fields.iter().find(|(field, _)| field == name)?;
        (!matches!(value, Json::Null)).then(|| (self.place(name), value))
    }

    /// The place of a field, whether it is there or not.
    #[must_use]
    pub fn place(&self, name: &'j str) -> Place<'j> {
        self.at.field(name)
    }

    /// All fields with their places.
    pub fn entries(&self) -> impl Iterator<Item = (&'j str, Placed<'j>)> + '_ {
        let given = self.fields.iter().filter(|(_, value)| !matches!(value, Json::Null));
        given.map(|(name, value)| (name.as_ref(), (self.place(name), value)))
    }
}

/// The items of an array, or the value itself where it stands alone.
pub fn one_or_many(placed: Option<Placed<'_>>) -> Vec<Placed<'_>> {
    match placed {
        None => Vec::new(),
        Some((at, Json::List(items))) => numbered(at, items),
        Some(one) => vec![one],
    }
}

fn numbered<'j>(at: Place<'j>, items: &'j [Json<'j>]) -> Vec<Placed<'j>> {
    items.iter().enumerate().map(|(index, item)| (at.item(index), item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_not_endless() {
        let mut form = Form::default();
        (0..1000).for_each(|n| form.mistake(format!("#/to/{n}"), "invalid", "no"));
        assert_eq!(form.into_mistakes().len(), MOST_MISTAKES);
    }
}
