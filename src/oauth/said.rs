//! What somebody outside said, made fit to be shown: printable, short, without addresses.

/// What a person needs of a text.
const LONGEST: usize = 300;
/// From here on Microsoft's texts are for its own support.
const SMALL_PRINT: &str = "Trace ID:";

/// The text as it may be shown.
#[must_use]
pub fn shown(text: &str) -> String {
    let text = text.split(SMALL_PRINT).next().unwrap_or_default();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut shown = String::new();
    for word in words {
        if shown.len() + word.len() > LONGEST {
            shown.push_str(" ...");
            break;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(&masked(word));
    }
    shown
}

/// A word with the local parts of addresses in it hidden, however it is put together.
fn masked(word: &str) -> String {
    let Some((local, domain)) = word.split_once('@') else { return word.to_owned() };
    let is_part = |c: char| c.is_alphanumeric() || ".!#$%&*+-/?^_`{|}~".contains(c);
    let start = local.rfind(|c| !is_part(c)).map_or(0, |at| at + local[at..].chars().next().map_or(1, char::len_utf8));
    let (before, local) = local.split_at(start);
    let first = local.chars().next().map_or(String::new(), String::from);
    format!("{before}{first}***@{}", masked(domain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_cut_down_to_what_helps() {
        assert_eq!(shown("AADSTS70008: expired.\r\nTrace ID: 255d\r\nTimestamp: 2016-01-09"), "AADSTS70008: expired.");
        assert_eq!(shown("user 'joe@example.com', or <ann@b.test>"), "user 'j***@example.com', or <a***@b.test>");
        assert_eq!(shown("a\u{1b}[31m b\u{0}c"), "a [31m b c");
        assert!(shown(&"word ".repeat(1000)).len() < LONGEST + 10);
        assert_eq!(shown(&"x".repeat(1000)), " ...");
    }

    proptest! {
        #[test]
        fn no_address_and_no_control_character_comes_through(text in "\\PC{0,40}[a-z]{3,9}@[a-z]{2,9}\\.test\\PC{0,40}") {
            let shown = shown(&text);
            prop_assert!(!shown.chars().any(char::is_control));
            let local = text.split('@').next().unwrap();
            let last: String = local.chars().rev().take_while(char::is_ascii_lowercase).collect();
            prop_assume!(last.len() >= 3);
            let whole = last.chars().rev().collect::<String>() + "@";
            prop_assert!(!shown.contains(&whole), "{shown}");
        }
    }
}
