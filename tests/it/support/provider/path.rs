//! The argument of MAIL and RCPT: a path and its parameters.

/// Such as `<a@b.test> SIZE=5`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    /// Without angle brackets.
    pub(super) address: String,
    /// What came behind.
    pub(super) parameters: String,
}

impl Path {
    pub(super) fn keywords(&self) -> impl Iterator<Item = &str> {
        self.parameters.split_ascii_whitespace().map(|parameter| parameter.split('=').next().unwrap_or(parameter))
    }

    pub(super) fn has(&self, keyword: &str) -> bool {
        self.keywords().any(|own| own.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn size(&self) -> Option<usize> {
        self.parameters.split_ascii_whitespace().find_map(|parameter| parameter.strip_prefix("SIZE=")?.parse().ok())
    }
}

/// Reads `FROM:<a@b> X=Y` with the prefix `FROM:`.
pub(super) fn parse(argument: &str, prefix: &str) -> Option<Path> {
    let head = argument.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix))?;
    let inside = argument[head.len()..].strip_prefix('<')?;
    let end = closing_bracket(inside)?;
    let (address, behind) = (&inside[..end], &inside[end + 1..]);
    let parameters = if behind.is_empty() { behind } else { behind.strip_prefix(' ')? };
    Some(Path { address: address.to_string(), parameters: parameters.to_string() })
}

/// The first `>` that is not quoted.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_parameters() {
        let read = |text| parse(text, "FROM:").map(|path| (path.address, path.parameters));
        let path = |address: &str, parameters: &str| Some((address.to_string(), parameters.to_string()));
        assert_eq!(read("FROM:<>"), path("", ""));
        assert_eq!(read("from:<a@b> SIZE=12 BODY=8BITMIME"), path("a@b", "SIZE=12 BODY=8BITMIME"));
        assert_eq!(read(r#"FROM:<"a> SIZE=1 \""@b>"#), path(r#""a> SIZE=1 \""@b"#, ""));
        assert_eq!(read("FROM: <a@b>"), None);
        assert_eq!(read("FROM:<a@b"), None);
        assert_eq!(read("FROM:<a@b>SIZE=1"), None);
        assert_eq!(parse("FROM:<a> SIZE=12 X", "FROM:").unwrap().size(), Some(12));
    }
}
