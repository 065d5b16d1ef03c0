//! A message composed from its parts: fields of the input are cut at bytes 0xFF, which no text has.
//!
//! In order: the author's name and address, subject, text, HTML, a header's name and value, a file's name, media type,
//! content id and base64, Message-ID, unsubscribe URL and address, and flags (`i` inline, `1` one click). What is
//! absent or empty is not set.
//!
//! What is composed must be read back by mail-parser as it was meant, with exactly the fields that were asked for.
#![no_main]

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use libfuzzer_sys::fuzz_target;
use mail_parser::MimeHeaders as _;
use sidepost::message::address::Mailbox;
use sidepost::message::mime::{Attachment, Draft, Unsubscribe};
use sidepost::message::{Address, header};
use sidepost_fuzz::{content, message};

/// What a reader sees of a body: its lines, and no matter how many line ends come last.
fn seen(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}

fn decoded(base64: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    GeneralPurpose::new(&STANDARD, config).decode(text).ok()
}

fuzz_target!(|data: &[u8]| {
    let Ok(fields) = data.split(|&byte| byte == 0xff).map(std::str::from_utf8).collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let field = |n: usize| fields.get(n).copied().filter(|text: &&str| !text.is_empty());
    let text = |n: usize| field(n).map(Cow::Borrowed);
    let flags = field(14).unwrap_or_default();
    let Ok(address) = Address::parse(field(1).unwrap_or("a@b.test")) else { return };
    let Ok(from) = Mailbox::new(field(0), address) else { return };
    let file = [7, 8, 9, 10].iter().any(|&n| field(n).is_some()).then(|| Attachment {
        filename: text(7),
        content_type: text(8),
        content_id: text(9),
        inline: flags.contains('i'),
        base64: text(10).unwrap_or_default(),
    });
    let unsubscribe = (field(12).is_some() || field(13).is_some()).then(|| Unsubscribe {
        url: text(12),
        mailto: text(13),
        one_click: flags.contains('1'),
    });
    let draft = Draft {
        from: from.clone(),
        to: vec![from.clone()],
        cc: Vec::new(),
        reply_to: vec![from.clone(), from.clone()],
        subject: text(2).unwrap_or_default(),
        text: text(3),
        html: text(4),
        attachments: file.iter().cloned().collect(),
        headers: field(5).map(|name| (name.into(), text(6).unwrap_or_default())).into_iter().collect(),
        unsubscribe: unsubscribe.clone(),
        message_id: text(11),
        date: None,
    };
    let composed = match draft.compose() {
        Ok(composed) => composed,
        Err(errors) => {
            assert!(errors.iter().all(|error| error.pointer.starts_with('/') && !error.sentence.is_empty()));
            return;
        }
    };
    content::assert_sound(&composed.content);
    let bytes = composed.content.to_vec();
    let parsed = message::assert_composed(&bytes);

    assert!(header::is_id(&composed.message_id));
    assert_eq!(parsed.message_id(), Some(composed.message_id.as_str()));
    assert_eq!(parsed.subject().unwrap_or_default(), field(2).unwrap_or_default().trim_matches(' '));
    let people = |address: Option<&mail_parser::Address<'_>>| -> Vec<_> {
        let people = address.into_iter().flat_map(mail_parser::Address::iter);
        people.map(|one| (one.name().map(str::to_owned), one.address().map(str::to_owned))).collect()
    };
    let one = (from.name().map(str::to_owned), Some(from.address().to_string()));
    assert_eq!(people(parsed.from()), [one.clone()]);
    assert_eq!(people(parsed.to()), [one.clone()]);
    assert_eq!(people(parsed.reply_to()), [one.clone(), one]);

    let mut expected = vec!["date", "from", "to", "reply-to", "subject", "message-id", "mime-version", "content-type"];
    let one_part = file.is_none() && !(field(3).is_some() && field(4).is_some());
    let only_file = file.is_some() && field(3).is_none() && field(4).is_none();
    expected.extend((one_part && !only_file).then_some("content-transfer-encoding"));
    expected.extend(unsubscribe.is_some().then_some("list-unsubscribe"));
    expected.extend(unsubscribe.is_some_and(|unsubscribe| unsubscribe.one_click).then_some("list-unsubscribe-post"));
    let custom = field(5).map(str::to_ascii_lowercase);
    expected.extend(custom.as_deref());
    let mut names = message::field_names(&bytes);
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);

    for (n, subtype) in [(3, "plain"), (4, "html")] {
        if let Some(meant) = field(n) {
            let part = parsed.parts.iter().find(|part| part.is_text() && part.is_content_type("text", subtype));
            assert_eq!(seen(part.and_then(|part| part.text_contents()).unwrap_or_default()), seen(meant));
        }
    }
    if let Some(file) = file {
        let part = parsed.parts.iter().find(|part| part.content_disposition().is_some()).expect("a file");
        assert_eq!(part.attachment_name().unwrap_or_default(), file.filename.unwrap_or_default().trim_matches(' '));
        assert_eq!(Some(part.contents().to_vec()), decoded(&file.base64));
    }
});
