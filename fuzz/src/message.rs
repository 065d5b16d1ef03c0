//! A message that we composed, as a reader that is not ours sees it.

use mail_parser::{Message, MessageParser};

/// The longest line of RFC 5322 section 2.1.1, without its end.
const LONGEST_LINE: usize = 998;

/// The names of the header fields in lower case, in their order, found with nothing but line ends and colons.
pub fn field_names(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let fields = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']) && !line.is_empty());
    fields.map(|line| line.split(':').next().unwrap_or_default().to_ascii_lowercase()).collect()
}

/// What must hold of every message that we compose, as opposed to one that we pass on; returns what the reader made of
/// it.
pub fn assert_composed(bytes: &[u8]) -> Message<'_> {
    assert!(!bytes.contains(&0), "a NUL");
    assert!(bytes.split(|&byte| byte == b'\n').all(|line| line.len() <= LONGEST_LINE + 1), "a long line");
    let parsed = MessageParser::default().parse(bytes).expect("a message");
    let names = field_names(bytes);
    for once in ["date", "from", "subject", "message-id", "mime-version", "content-type"] {
        assert_eq!(names.iter().filter(|name| *name == once).count(), 1, "{once} in {names:?}");
    }
    for at_most_once in ["to", "cc", "reply-to", "list-unsubscribe", "content-transfer-encoding"] {
        assert!(names.iter().filter(|name| *name == at_most_once).count() <= 1, "{at_most_once} in {names:?}");
    }
    for never in ["bcc", "sender", "received", "return-path", "content-disposition", "content-id"] {
        assert!(!names.iter().any(|name| name == never), "{never} in {names:?}");
    }
    for part in parsed.parts.iter().skip(1) {
        for header in part.headers() {
            let name = header.name().to_ascii_lowercase();
            assert!(
                ["content-type", "content-disposition", "content-transfer-encoding", "content-id"]
                    .contains(&name.as_str()),
                "{name} in a part"
            );
        }
    }
    parsed
}
