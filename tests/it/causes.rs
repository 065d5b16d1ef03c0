//! Every cause that Sidepost can name: `docs/causes.md` is written from the tables themselves, so that it cannot go stale.
//!
//! `SIDEPOST_TEST_UPDATE=1 cargo test --test it causes` writes the document anew.

use std::fmt::Write as _;

use sidepost::diagnosis::{comparison, table};
use sidepost::oauth::remedy;
use sidepost::outcome::Cause;
use sidepost::provider::preset::PRESETS;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/causes.md");

const BEGINNING: &str = "\
# Causes

The word behind `cause` in `/health`, in the log line `provider state`, in `sidepost doctor --json` and in the label of
`sidepost_diagnosis_info`: on what evidence it is named, what it means, and what to do. The sentences are those that
Sidepost says itself. [What it looks like](diagnosis.md) shows some with all that is really said.

A test writes this document from the tables in the program. The particular comes first: what a provider is known to say
outranks what any provider means by its code, and a comparison with other hosts outranks what one host alone can show.
";

struct Document(String);

impl Document {
    fn section(&mut self, title: &str, about: &str) -> &mut Self {
        let _ = write!(self.0, "\n## {title}\n\n{about}\n");
        self
    }

    fn cause(&mut self, seen: &str, cause: &Cause) {
        let _ = write!(self.0, "\n### `{}`\n\n**Seen:** {seen}.\n", cause.name);
        for (word, text) in [("Means", cause.why), ("Do", cause.remedy)] {
            if !text.is_empty() {
                let _ = write!(self.0, "\n**{word}:** {text}\n");
            }
        }
    }
}

fn document() -> String {
    let mut text = Document(BEGINNING.to_owned());
    text.section("By comparison", "This host and this port against others (`SIDEPOST_CONTROL_HOSTS`).");
    comparison::catalogue().for_each(|(seen, cause)| text.cause(seen, cause));
    text.section(
        "Blocked ports",
        "Dropped or refused for everybody on this port, while the rest of the world answers; then by the place that this is.",
    );
    comparison::blocked_ports().for_each(|(seen, cause)| text.cause(&seen, cause));
    text.section("By the provider's words", "Its reply, codes included, has one of these words in it.");
    for (providers, words, cause) in table::catalogue() {
        let who =
            if providers.is_empty() { "a reply".to_owned() } else { format!("a reply of {}", providers.join(" or ")) };
        let words: Vec<_> = words.iter().map(|words| format!("`{}`", words.trim())).collect();
        text.cause(&format!("{who} with {}", words.join(" or ")), cause);
    }
    text.section("Refused logins by provider", "5yz to the login, in words that nobody wrote a row for.");
    for preset in PRESETS {
        text.cause(&format!("`SIDEPOST_PROVIDER={}`", preset.name), &preset.login_refused);
    }
    text.section("By the link that broke", "Where nothing more is known.");
    table::general().for_each(|(seen, cause)| text.cause(seen, cause));
    text.section("Tokens", "What the issuer of OAuth tokens says, or what became of the question.");
    remedy::catalogue().for_each(|(seen, cause)| text.cause(&seen, cause));
    text.0
}

#[test]
fn the_document_has_every_cause_as_the_program_knows_it() {
    let document = document();
    if std::env::var_os("SIDEPOST_TEST_UPDATE").is_some() {
        std::fs::write(DOCUMENT, &document).unwrap();
    }
    let written = std::fs::read_to_string(DOCUMENT).unwrap();
    assert!(written == document, "SIDEPOST_TEST_UPDATE=1 writes docs/causes.md anew");
}

#[test]
fn every_cause_is_one_word_and_what_a_person_can_act_on_says_how() {
    let document = document();
    let mut sections = document.split("\n### `").skip(1);
    assert!(sections.all(|section| {
        let name = section.split('`').next().unwrap();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    }));
    let named = |name: &str| document.contains(&format!("### `{name}`"));
    for entry in
        ["port_blocked", "tls_inspected", "login_refused", "oauth_grant", "connection_refused", "resolver_slow"]
    {
        assert!(named(entry), "{entry}");
    }
}
