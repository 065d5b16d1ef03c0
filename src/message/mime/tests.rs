use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders as _};
use proptest::prelude::*;

use super::*;
use crate::message::Address;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn draft<'a>() -> Draft<'a> {
    Draft {
        from: mailbox("Ann <ann@example.com>"),
        to: vec![mailbox("bob@example.org")],
        cc: Vec::new(),
        reply_to: Vec::new(),
        subject: "Hello".into(),
        text: Some("Hi Bob".into()),
        html: None,
        attachments: Vec::new(),
        headers: Vec::new(),
        unsubscribe: None,
        message_id: Some("id@example.com".into()),
        date: Some(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_363_456)),
    }
}

fn file<'a>(filename: &'a str) -> Attachment<'a> {
    Attachment { filename: Some(filename.into()), base64: "QUJD".into(), ..Attachment::default() }
}

fn image<'a>(id: &'a str) -> Attachment<'a> {
    Attachment { content_id: Some(id.into()), ..file("a.png") }
}

#[track_caller]
fn composed(draft: Draft<'_>) -> String {
    String::from_utf8(draft.compose().unwrap().content.to_vec()).unwrap()
}

fn pointers(draft: Draft<'_>) -> Vec<String> {
    draft.compose().map_or_else(|errors| errors.into_iter().map(|error| error.pointer).collect(), |_| Vec::new())
}

/// The value of a field, unfolded.
#[track_caller]
fn field(message: &str, name: &str) -> String {
    let head = message.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let mut values = head.split("\r\n").filter_map(|line| line.strip_prefix(&format!("{name}: ")));
    let value = values.next().unwrap_or_else(|| panic!("no {name} in {head}"));
    assert_eq!(values.next(), None, "{name} twice");
    value.to_owned()
}

#[test]
fn a_plain_message_reads_like_one() {
    assert_eq!(
        composed(draft()),
        "Date: Sun, 22 Nov 2026 16:04:16 +0000\r\n\
         From: \"Ann\" <ann@example.com>\r\n\
         To: <bob@example.org>\r\n\
         Subject: Hello\r\n\
         Message-ID: <id@example.com>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=\"utf-8\"\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         Hi Bob\r\n"
    );
}

/// The tree of media types, as in `mixed(text/plain application/pdf)`.
fn tree(message: &mail_parser::Message<'_>, part: usize) -> String {
    let part = &message.parts[part];
    let kind = part.content_type().unwrap();
    match part.sub_parts() {
        Some(children) => {
            let children: Vec<_> = children.iter().map(|child| tree(message, *child as usize)).collect();
            format!("{}({})", kind.subtype().unwrap(), children.join(" "))
        }
        None => format!("{}/{}", kind.ctype(), kind.subtype().unwrap()),
    }
}

#[test]
fn the_tree_has_only_the_branches_that_are_needed() {
    for (text, html, attachments, expected) in [
        (true, false, vec![], "text/plain"),
        (false, true, vec![], "text/html"),
        (false, false, vec![], "text/plain"),
        (true, true, vec![], "alternative(text/plain text/html)"),
        (false, true, vec![image("i")], "related(text/html image/png)"),
        (true, true, vec![image("i")], "alternative(text/plain related(text/html image/png))"),
        (true, false, vec![image("i")], "mixed(text/plain image/png)"),
        (true, false, vec![file("a.pdf")], "mixed(text/plain application/pdf)"),
        (false, false, vec![file("a.pdf")], "mixed(application/pdf)"),
        (false, false, vec![file("a.pdf"), image("i")], "mixed(application/pdf image/png)"),
        (
            true,
            true,
            vec![file("a.pdf"), image("i"), file("b"), image("j")],
            "mixed(alternative(text/plain related(text/html image/png image/png)) application/pdf application/octet-stream)",
        ),
    ] {
        let draft =
            Draft { text: text.then(|| "t".into()), html: html.then(|| "<p>h</p>".into()), attachments, ..draft() };
        let message = composed(draft);
        let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
        assert_eq!(tree(&parsed, 0), expected, "{message}");
    }
}

#[test]
fn an_inline_image_has_what_readers_look_for() {
    let message =
        composed(Draft { html: Some("<img src=cid:logo>".into()), attachments: vec![image("<logo>")], ..draft() });
    for piece in [
        "multipart/related;",
        "type=\"text/html\"",
        "Content-ID: <logo>\r\n",
        "Content-Disposition: inline;\r\n filename=\"a.png\"\r\n",
        "Content-Type: image/png\r\n",
        "Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\n",
    ] {
        assert!(message.contains(piece), "{piece} in {message}");
    }
}

#[test]
fn everything_outside_ascii_is_encoded() {
    let message = composed(Draft {
        from: mailbox("Jörg Müller <joerg@bücher.example>"),
        subject: "Grüße 山".into(),
        text: Some("Grüße".into()),
        attachments: vec![file("Übersicht 山.pdf")],
        headers: vec![("X-Note".into(), "schön".into())],
        ..draft()
    });
    assert!(message.is_ascii());
    let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!((from.name(), from.address()), (Some("Jörg Müller"), Some("joerg@xn--bcher-kva.example")));
    assert_eq!(parsed.subject(), Some("Grüße 山"));
    assert_eq!(parsed.body_text(0).as_deref(), Some("Grüße"));
    assert_eq!(parsed.attachment(0).unwrap().attachment_name(), Some("Übersicht 山.pdf"));
    assert_eq!(header::encoded_word::decode(&field(&message, "X-Note")), "schön");
}

#[test]
fn fields_are_written_as_programs_expect_them() {
    let long_url = format!("https://example.com/{}", "u".repeat(300));
    let json = format!("{{\"a\": [{}]}}", "\"value\", ".repeat(50));
    let message = composed(Draft {
        cc: vec![mailbox("c@x.yz"), mailbox("\"D, E\" <d@x.yz>")],
        reply_to: vec![mailbox("r@x.yz")],
        headers: vec![
            ("In-Reply-To".into(), "a@b".into()),
            ("References".into(), format!("<1@b>  <2@b> 3@b <{}@b>", "4".repeat(90)).into()),
            ("X-Api".into(), json.as_str().into()),
            ("Auto-Submitted".into(), "auto-generated".into()),
            ("Feedback-ID".into(), "a:b:c".into()),
            ("X-Empty".into(), "".into()),
        ],
        unsubscribe: Some(Unsubscribe {
            url: Some(long_url.as_str().into()),
            mailto: Some("leave@x.yz?subject=out".into()),
            one_click: true,
        }),
        ..draft()
    });
    for (name, value) in [
        ("Cc", "<c@x.yz>, \"D, E\" <d@x.yz>".to_owned()),
        ("Reply-To", "<r@x.yz>".to_owned()),
        ("In-Reply-To", "<a@b>".to_owned()),
        ("References", format!("<1@b> <2@b> <3@b> <{}@b>", "4".repeat(90))),
        ("X-Api", json.trim().to_owned()),
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("Feedback-ID", "a:b:c".to_owned()),
        ("List-Unsubscribe", format!("<{long_url}>, <mailto:leave@x.yz?subject=out>")),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()),
    ] {
        assert_eq!(field(&message, name), value);
    }
}

#[test]
fn without_shown_recipients_a_placeholder_stands_in() {
    assert_eq!(field(&composed(Draft { to: Vec::new(), ..draft() }), "To"), "undisclosed-recipients:;");
    let only_cc = composed(Draft { to: Vec::new(), cc: vec![mailbox("c@x.yz")], ..draft() });
    assert!(!only_cc.contains("\r\nTo:"));
}

#[test]
fn a_message_id_is_made_of_the_senders_domain_or_taken() {
    for (given, expected) in [(Some("<a@b.c>"), Some("a@b.c")), (Some("a@b.c"), Some("a@b.c")), (None, None)] {
        let composed = Draft { message_id: given.map(Cow::from), ..draft() }.compose().unwrap();
        let message = String::from_utf8(composed.content.to_vec()).unwrap();
        assert_eq!(field(&message, "Message-ID"), format!("<{}>", composed.message_id));
        assert_eq!(composed.message_id, expected.unwrap_or(&composed.message_id));
        assert!(expected.is_some() || composed.message_id.ends_with("@example.com"));
    }
}

#[test]
fn custom_fields_cannot_touch_what_belongs_to_others() {
    let refused = "From|TO|cc|Bcc|Reply-To|subject|Date|DATE|Message-Id|message-id|MIME-Version|mime-version|Content-Type\
        |Content-Transfer-Encoding|content-x|Sender|Received|Return-Path|Delivered-To|Resent-To|ARC-Seal|DKIM-Signature\
        |Authentication-Results||X Y|X:|X:Y|X-Ünicode|X\r\nY|X\n|X_Y|X\0";
    for name in refused.split('|') {
        let expected = format!("/headers/{name}");
        assert_eq!(pointers(Draft { headers: vec![(name.into(), "x".into())], ..draft() }), [expected]);
    }
    let long = "X".repeat(77);
    assert_eq!(pointers(Draft { headers: vec![(long.as_str().into(), "x".into())], ..draft() }).len(), 1);
    assert_eq!(pointers(Draft { headers: vec![("a/b~c".into(), "x".into())], ..draft() }), ["/headers/a~1b~0c"]);
}

#[test]
fn fields_that_stand_once_are_taken_once() {
    for (first, second, refused) in [
        ("References", "references", true),
        ("List-Id", "List-ID", true),
        ("List-Unsubscribe", "List-Unsubscribe-Post", false),
        ("X-Tag", "X-Tag", false),
        ("Comments", "Comments", false),
    ] {
        let headers = vec![(first.into(), "<a@b>".into()), (second.into(), "<a@b>".into())];
        assert_eq!(!pointers(Draft { headers, ..draft() }).is_empty(), refused, "{first} {second}");
    }
    let headers = vec![("List-Unsubscribe".into(), "<https://a.b>".into())];
    let unsubscribe = Some(Unsubscribe { url: Some("https://a.b/c".into()), ..Unsubscribe::default() });
    assert_eq!(pointers(Draft { headers, unsubscribe, ..draft() }), ["/headers/List-Unsubscribe"]);
}

#[test]
fn unsubscribing_needs_a_way_that_works() {
    for (url, mailto, one_click, expected) in [
        (Some("https://a.b/c,d?e=(f)"), None, true, None),
        (Some("http://a.b"), None, false, None),
        (Some("http://a.b"), None, true, Some("/unsubscribe/url")),
        (Some("HTTPS://a.b"), None, true, None),
        (Some("https://"), None, false, Some("/unsubscribe/url")),
        (Some("ftp://a.b"), None, false, Some("/unsubscribe/url")),
        (Some("https://a.b/>, <x"), None, false, Some("/unsubscribe/url")),
        (Some("https://a.b/ü"), None, false, Some("/unsubscribe/url")),
        (Some("https://a.b/\r\nX: y"), None, false, Some("/unsubscribe/url")),
        (None, Some("mailto:a@b.c?subject=x%20y"), false, None),
        (None, Some("a@b.c"), false, None),
        (None, Some("mailto:"), false, Some("/unsubscribe/mailto")),
        (None, Some("a@b.c>"), false, Some("/unsubscribe/mailto")),
        (None, Some("a@b.c\nX: y"), false, Some("/unsubscribe/mailto")),
        (None, Some("a@b.c"), true, Some("/unsubscribe/one_click")),
        (None, None, true, Some("/unsubscribe/one_click")),
        (None, None, false, Some("/unsubscribe")),
    ] {
        let unsubscribe = Some(Unsubscribe { url: url.map(Cow::from), mailto: mailto.map(Cow::from), one_click });
        assert_eq!(pointers(Draft { unsubscribe, ..draft() }), Vec::from_iter(expected), "{url:?} {mailto:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let found = pointers(Draft {
        subject: "a\nb".into(),
        text: Some("\0".into()),
        html: Some("\0".into()),
        message_id: Some("x".into()),
        headers: vec![("X-A".into(), "a\r".into()), ("Date".into(), "x".into())],
        attachments: vec![
            Attachment { content_type: Some("x".into()), content_id: Some("a b".into()), ..file("a\0") },
            Attachment { base64: "*".into(), ..Attachment::default() },
            image("i"),
            image("<i>"),
        ],
        ..draft()
    });
    let expected = "/subject /message_id /headers/X-A /headers/Date /text /html /attachments/0/content_type \
        /attachments/0/filename /attachments/0/content_id /attachments/1/content /attachments/3/content_id";
    assert_eq!(found.join(" "), expected);
}

#[test]
fn a_line_that_cannot_be_folded_is_refused_and_any_other_text_is_not() {
    let long = "w".repeat(3_000);
    for (name, value, refused) in [
        ("X-A", long.clone(), true),
        ("X-A", "w".repeat(990), false),
        ("X-A", format!("a{}b", " ".repeat(2_000)), true),
        ("X-A", format!("ü{long}"), false),
        ("X-A", "ü ".repeat(22_000), true),
        ("X-A", "word ".repeat(2_000), false),
        ("References", format!("<{}@b>", "r".repeat(248)), false),
        ("References", "<a@b> ".repeat(500), false),
    ] {
        let result = Draft { headers: vec![(name.into(), value.into())], ..draft() }.compose();
        assert_eq!(result.is_err(), refused, "{result:?}");
    }
    let message = composed(Draft {
        subject: long.as_str().into(),
        text: Some(long.as_str().into()),
        html: Some(long.as_str().into()),
        attachments: vec![file(&long[..255])],
        ..draft()
    });
    assert_well_formed(message.as_bytes());
    let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
    assert_eq!(parsed.subject(), Some(long.as_str()));
    assert_eq!(parsed.body_text(0).as_deref(), Some(long.as_str()));
}

#[test]
fn a_long_plain_subject_is_folded_and_not_encoded() {
    let subject = "an ordinary subject of many words ".repeat(5);
    assert_eq!(field(&composed(Draft { subject: subject.as_str().into(), ..draft() }), "Subject"), subject.trim());
}

/// No field x no way out: either a mistake with the field's pointer, or exactly the header that was meant.
#[test]
fn nothing_can_be_injected_through_any_field() {
    const ATTACKS: &[&str] = &[
        "\r",
        "\n",
        "\r\n",
        "\r\n\r\n",
        "\0",
        "\u{85}",
        "\u{2028}",
        "\u{760a}",
        "\u{0a0d}",
        "=?utf-8?Q?=0D=0A?=",
        "=?utf-8?B?DQo=?=",
        "a>, <evil@x.y",
        "\r\nX-Evil: 1",
        "\nX-Evil: 1",
        "\"; x=\"",
        "%0d%0aX-Evil:",
        "\\\r\n",
        "\u{ff1e}",
        "(",
        ";",
        "\u{1b}[31m",
    ];
    type Set = fn(&mut Draft<'static>, String);
    let fields: &[(&str, Set)] = &[
        ("/subject", |d, s| d.subject = s.into()),
        ("/text", |d, s| d.text = Some(s.into())),
        ("/html", |d, s| d.html = Some(s.into())),
        ("/message_id", |d, s| d.message_id = Some(s.into())),
        ("/headers/X-A", |d, s| d.headers = vec![("X-A".into(), s.into())]),
        ("/headers/References", |d, s| d.headers = vec![("References".into(), s.into())]),
        ("/headers/List-Id", |d, s| d.headers = vec![("List-Id".into(), s.into())]),
        ("/headers/", |d, s| d.headers = vec![(s.into(), "x".into())]),
        ("/unsubscribe", |d, s| d.unsubscribe = Some(Unsubscribe { url: Some(s.into()), ..Unsubscribe::default() })),
        ("/unsubscribe", |d, s| d.unsubscribe = Some(Unsubscribe { mailto: Some(s.into()), ..Unsubscribe::default() })),
        ("/attachments/0/filename", |d, s| d.attachments = vec![Attachment { filename: Some(s.into()), ..file("") }]),
        ("/attachments/0/content_type", |d, s| {
            d.attachments = vec![Attachment { content_type: Some(s.into()), ..file("a") }];
        }),
        ("/attachments/0/content_id", |d, s| {
            d.attachments = vec![Attachment { content_id: Some(s.into()), ..file("a") }];
        }),
        ("/attachments/0/content", |d, s| d.attachments = vec![Attachment { base64: s.into(), ..file("a") }]),
    ];
    for (pointer, set) in fields {
        for attack in ATTACKS {
            for value in [
                (*attack).to_owned(),
                format!("a{attack}b"),
                format!("a@b{attack}"),
                format!("<a{attack}@b>"),
                format!("text/plain{attack}"),
            ] {
                let mut draft = draft();
                set(&mut draft, value.clone());
                let expected = expected_names(&draft);
                match draft.compose() {
                    Err(errors) => {
                        assert!(errors.iter().all(|e| e.pointer.starts_with(pointer)), "{errors:?} {value:?}");
                    }
                    Ok(composed) => {
                        let bytes = composed.content.to_vec();
                        assert_well_formed(&bytes);
                        assert_eq!(names(&bytes), expected, "{value:?}");
                        assert!(
                            !String::from_utf8_lossy(&bytes).contains("=?utf-8?Q?=0D=0A?=")
                                || pointer.starts_with("/text")
                                || pointer.starts_with("/html"),
                            "{value:?}"
                        );
                    }
                }
            }
        }
    }
    for attack in ATTACKS {
        for name in [(*attack).to_owned(), format!("a{attack}b")] {
            if let Ok(mailbox) = Mailbox::new(Some(&name), Address::parse("a@b.c").unwrap()) {
                let message =
                    composed(Draft { from: mailbox.clone(), to: vec![mailbox.clone(), mailbox.clone()], ..draft() });
                let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
                assert_eq!(names(message.as_bytes()), expected_names(&draft()));
                let to: Vec<_> = parsed.to().unwrap().iter().map(|to| (to.name(), to.address())).collect();
                assert_eq!(to, vec![(mailbox.name(), Some("a@b.c")); 2]);
            }
        }
    }
}

#[track_caller]
fn assert_well_formed(bytes: &[u8]) {
    assert!(bytes.ends_with(b"\r\n"));
    for line in bytes[..bytes.len() - 2].split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(
            line.len() <= 998 && !line.contains(&b'\r') && !line.contains(&0),
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
    assert_eq!(memchr::memchr_iter(b'\n', bytes).count(), memchr::memmem::find_iter(bytes, b"\r\n").count());
}

/// The names of the top header in lower case, sorted.
fn names(bytes: &[u8]) -> Vec<String> {
    let parsed = MessageParser::default().parse(bytes).unwrap();
    let mut names: Vec<_> = parsed.headers().iter().map(|header| header.name().to_ascii_lowercase()).collect();
    names.sort_unstable();
    names
}

fn expected_names(draft: &Draft<'_>) -> Vec<String> {
    let mut names: Vec<String> = draft.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.extend(["date", "from", "message-id", "subject", "mime-version", "content-type"].map(String::from));
    names.extend((!draft.to.is_empty() || draft.cc.is_empty()).then(|| "to".to_owned()));
    names.extend((!draft.cc.is_empty()).then(|| "cc".to_owned()));
    names.extend((!draft.reply_to.is_empty()).then(|| "reply-to".to_owned()));
    if let Some(unsubscribe) = &draft.unsubscribe {
        names.push("list-unsubscribe".to_owned());
        names.extend(unsubscribe.one_click.then(|| "list-unsubscribe-post".to_owned()));
    }
    let bodies = usize::from(draft.text.is_some()) + usize::from(draft.html.is_some()) + draft.attachments.len();
    let single = bodies == 0 || (bodies == 1 && draft.attachments.is_empty());
    names.extend(single.then(|| "content-transfer-encoding".to_owned()));
    names.sort_unstable();
    names
}

/// Text as callers write it, as attackers write it, and as nobody writes it.
fn wild() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[ -~]{0,12}",
        4 => "\\PC{0,8}",
        2 => "[a-z]{0,200}",
        1 => any::<String>(),
        1 => proptest::sample::select(vec!["=?utf-8?Q?a?=", "  ", "\r\n", "\t", "\"", "<>", "--", ".", "\u{2028}"]).prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn wild_file() -> impl Strategy<Value = (Attachment<'static>, Vec<u8>)> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let id = proptest::option::of(prop_oneof![3 => "[a-z0-9@.]{1,12}", 1 => wild()]);
    (proptest::option::of(wild()), id, any::<bool>(), bytes).prop_map(|(filename, id, inline, bytes)| {
        let attachment = Attachment {
            filename: filename.map(Cow::Owned),
            content_id: id.map(Cow::Owned),
            content_type: None,
            inline,
            base64: STANDARD.encode(&bytes).into(),
        };
        (attachment, bytes)
    })
}

fn wild_mailbox() -> impl Strategy<Value = Mailbox> {
    let address =
        prop_oneof!["[a-z.+]{1,10}@[a-z]{1,9}\\.example", "\"[ -~]{1,12}\"@x\\.example", "[a-zäö山]{1,9}@x\\.example"];
    (proptest::option::of(wild()), address).prop_map(|(name, address)| {
        let address = Address::parse(&address).ok().filter(|address| !address.is_misread());
        let address = address.unwrap_or_else(|| Address::parse("a@b.example").unwrap());
        Mailbox::new(name.as_deref(), address.clone()).or_else(|_| Mailbox::new(None, address)).unwrap()
    })
}

fn wild_mailboxes() -> impl Strategy<Value = Vec<Mailbox>> {
    proptest::collection::vec(wild_mailbox(), 0..4)
}

fn wild_headers() -> impl Strategy<Value = Vec<(Cow<'static, str>, Cow<'static, str>)>> {
    let name = prop_oneof![4 => "X-[A-Za-z]{1,9}", 1 => wild().prop_map(|name| name.replace(['/', '~'], ""))];
    proptest::collection::vec((name.prop_map(Cow::Owned), wild().prop_map(Cow::Owned)), 0..4)
}

prop_compose! {
    fn wild_draft()(
        from in wild_mailbox(),
        to in wild_mailboxes(),
        cc in wild_mailboxes(),
        reply_to in wild_mailboxes(),
        subject in wild(),
        text in proptest::option::of(wild()),
        html in proptest::option::of(wild()),
        files in proptest::collection::vec(wild_file(), 0..3),
        headers in wild_headers(),
        message_id in proptest::option::of(prop_oneof![3 => "[a-z]{1,9}@[a-z]{1,9}", 1 => wild()]),
    ) -> (Draft<'static>, Vec<Vec<u8>>) {
        let (attachments, bytes): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let draft = Draft {
            from, to, cc, reply_to, subject: subject.into(), text: text.map(Cow::Owned), html: html.map(Cow::Owned),
            attachments, headers, unsubscribe: None, message_id: message_id.map(Cow::Owned), date: None,
        };
        (draft, bytes)
    }
}

/// What a reader gets to see of a body: proper line ends, and a last one that may be there or not.
fn seen(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}

fn people(mailboxes: &[Mailbox]) -> Vec<(Option<String>, Option<String>)> {
    mailboxes.iter().map(|m| (m.name().map(str::to_owned), Some(m.address().to_string()))).collect()
}

fn parsed_people(address: Option<&mail_parser::Address<'_>>) -> Vec<(Option<String>, Option<String>)> {
    let people = address.into_iter().flat_map(mail_parser::Address::iter);
    people.map(|a| (a.name().map(str::to_owned), a.address().map(str::to_owned))).collect()
}

proptest! {
    #[test]
    fn whatever_is_composed_arrives_as_it_was_meant((draft, files) in wild_draft()) {
        let meant = draft.clone();
        let composed = match draft.compose() {
            Ok(composed) => composed,
            Err(errors) => {
                prop_assert!(errors.iter().all(|error| error.pointer.starts_with('/') && !error.sentence.is_empty()));
                return Ok(());
            }
        };
        let bytes = composed.content.to_vec();
        assert_well_formed(&bytes);
        prop_assert_eq!(names(&bytes), expected_names(&meant));
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        prop_assert_eq!(parsed.subject().unwrap_or_default(), meant.subject.trim_matches(' '));
        prop_assert_eq!(parsed.message_id(), Some(composed.message_id.as_str()));
        prop_assert_eq!(people(std::slice::from_ref(&meant.from)), parsed_people(parsed.from()));
        prop_assert_eq!(people(&meant.cc), parsed_people(parsed.cc()));
        prop_assert_eq!(people(&meant.reply_to), parsed_people(parsed.reply_to()));
        prop_assert_eq!(people(&meant.to), if meant.to.is_empty() { vec![] } else { parsed_people(parsed.to()) });
        let bodies = [(&meant.text, "plain"), (&meant.html, "html")];
        for (body, subtype) in bodies.into_iter().filter_map(|(body, subtype)| Some((body.as_ref()?, subtype))) {
            let part = parsed.parts.iter().find(|part| part.is_text() && part.is_content_type("text", subtype)).unwrap();
            prop_assert_eq!(seen(part.text_contents().unwrap()), seen(body));
        }
        prop_assert_eq!(meant.attachments.len(), files.len());
        let mut arrived: Vec<_> = parsed.parts.iter()
            .filter(|part| part.content_disposition().is_some())
            .map(|part| (part.attachment_name().unwrap_or_default().to_owned(), part.contents().to_vec()))
            .collect();
        let mut sent: Vec<_> = meant.attachments.iter().zip(files)
            .map(|(attachment, bytes)| (attachment.filename.as_deref().unwrap_or_default().trim_matches(' ').to_owned(), bytes))
            .collect();
        arrived.sort();
        sent.sort();
        prop_assert_eq!(arrived, sent);
    }
}

#[test]
fn large_files_stay_in_the_buffer_and_arrive_whole() {
    let file = |seed: u32, size: u32| -> Vec<u8> {
        (0..size).map(|n| (n.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    };
    let files = [file(1, 200_001), file(2, 10), file(3, 100_002)];
    let encoded: Vec<String> = files.iter().map(|file| STANDARD.encode(file)).collect();
    let buffer = format!("{{\"a\":\"{}\",\"b\":\"{}\",\"c\":\"{}\"}}", encoded[0], encoded[1], encoded[2]).into_bytes();
    let text = std::str::from_utf8(&buffer).unwrap();
    let borrowed = |n: usize| {
        let start = text.find(encoded[n].as_str()).unwrap();
        Cow::Borrowed(&text[start..start + encoded[n].len()])
    };
    // The inline one comes first in the message, and last in the buffer.
    let attachment = |n, id: Option<&'static str>| Attachment {
        filename: Some(format!("{n}.bin").into()),
        content_id: id.map(Cow::from),
        base64: borrowed(n),
        ..Attachment::default()
    };
    let attachments = vec![attachment(0, None), attachment(1, None), attachment(2, Some("image"))];
    let draft = Draft { html: Some("<img src=\"cid:image\">".into()), attachments, ..draft() };
    let plan = draft.plan(&buffer).unwrap();
    let before = buffer.as_ptr() as usize;
    let place = before..before + buffer.len();
    let content = plan.assemble(buffer).content;
    let stayed: usize =
        content.chunks().iter().filter(|chunk| place.contains(&(chunk.as_ptr() as usize))).map(bytes::Bytes::len).sum();
    let bytes = content.to_vec();
    assert_eq!(bytes.len(), content.len());
    let parsed = MessageParser::default().parse(&bytes).unwrap();
    for (n, file) in files.iter().enumerate() {
        let name = format!("{n}.bin");
        let part = parsed.attachments().find(|part| part.attachment_name() == Some(name.as_str())).unwrap();
        assert!(part.contents() == file, "{name}");
    }
    assert!(bytes.split(|&b| b == b'\n').all(|line| line.len() <= 78 + 1));
    // The allocator may have had to move the buffer to make it longer; it is still one buffer then.
    assert!(stayed == 0 || stayed > 300_000);
}
