//! What the relay says, in SMTP's words: the table of the whole product's promise towards an SMTP client.
//!
//! | The relay says | The client hears |
//! |---|---|
//! | taken | `250 2.0.0` with the provider's own text |
//! | refused by our rules | see [`refused`] |
//! | permanent | `554` with the provider's enhanced code, `5.0.0` where it gave none |
//! | misconfigured | `451 4.7.0`: our trouble is never the message's fault |
//! | throttled | `451 4.7.1` |
//! | transient, unreachable | `451 4.4.1` |
//! | unconfirmed | `451 4.4.2`, "outcome unknown", with the Message-ID |

use super::data::Spoiled;
use super::reply::Reply;
use crate::message::Address;
use crate::outcome::{self, Answer, Class, EnhancedCode, Failure, Outcome, Reason, Refusal, Verdict};

/// Characters kept of a text that we did not write.
const LONGEST_FOREIGN: usize = 1_000;
/// Refused recipients that are named; of the others the number is.
const MOST_NAMED: usize = 10;

/// The reply to content that reached the relay. `recipients` are those of the envelope, in its order.
#[must_use]
pub fn answered(answer: &Answer, recipients: &[Address]) -> Reply {
    let id = &answer.id;
    match &answer.outcome {
        Outcome::Taken(reply) => taken(reply, id),
        Outcome::Refused(refusal) => refused(refusal),
        Outcome::Failed(failure) => failed(failure, answer, recipients),
    }
}

/// In the provider's words, which begin with the same word as ours as often as not.
fn taken(reply: &outcome::Reply, id: &str) -> Reply {
    let text = bounded(&reply.text);
    let (word, rest) = text.split_at_checked(2).unwrap_or(("", text));
    let is_said = word.eq_ignore_ascii_case("ok") && !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    let text = if is_said { rest.trim_start_matches([':', ' ']) } else { text };
    let colon = if text.is_empty() { "" } else { ": " };
    Reply::new(250, EnhancedCode(2, 0, 0), "").with_text(format!("Ok{colon}{text}; id={id}"))
}

/// The reply about one recipient, where each gets one of its own (RFC 2033 section 4.2).
#[must_use]
pub fn about(verdict: &Verdict, answer: &Answer) -> Reply {
    let id = &answer.id;
    let of_class = |reply: &outcome::Reply, class, otherwise| {
        reply.enhanced.filter(|code| code.0 == class).unwrap_or(EnhancedCode(class, otherwise, 0))
    };
    match (verdict, &answer.outcome) {
        (Verdict::Accepted(reply), _) => taken(reply, id),
        (Verdict::Rejected(reply), _) => Reply::new(550, of_class(reply, 5, 0), "")
            .with_text(format!("The provider refused this recipient: {}; id={id}", bounded(&reply.text))),
        (Verdict::Deferred(reply), _) => Reply::new(451, of_class(reply, 4, 0), "")
            .with_text(format!("The provider put this recipient off: {}; id={id}", bounded(&reply.text))),
        (Verdict::NotSent | Verdict::Unknown, Outcome::Refused(refusal)) => refused(refusal),
        (Verdict::NotSent | Verdict::Unknown, Outcome::Failed(failure)) => failed(failure, answer, &[]),
        (Verdict::NotSent, Outcome::Taken(_)) => Reply::new(451, EnhancedCode(4, 4, 1), "")
            .with_text(format!("Not sent to this recipient before the time was over; id={id}")),
        (Verdict::Unknown, Outcome::Taken(_)) => Reply::new(451, EnhancedCode(4, 4, 2), "").with_text(format!(
            "Outcome unknown, the provider may have it; Message-ID <{}>; id={id}",
            bounded(&answer.message_id)
        )),
    }
}

fn failed(failure: &Failure, answer: &Answer, recipients: &[Address]) -> Reply {
    let (sentence, id) = (bounded(&failure.sentence), &answer.id);
    let temporary = |subject, detail| Reply::new(451, EnhancedCode(4, subject, detail), "");
    match failure.class {
        Class::Permanent => permanent(failure, answer)
            .with_text(format!("{sentence}{}; id={id}", naming_refused(&answer.recipients, recipients))),
        Class::Misconfigured => temporary(7, 0).with_text(format!("{sentence}; id={id}")),
        Class::Throttled => temporary(7, 1).with_text(format!("{sentence}; id={id}")),
        Class::Transient | Class::Unreachable => temporary(4, 1).with_text(format!("{sentence}; id={id}")),
        Class::Unconfirmed => temporary(4, 2).with_text(format!(
            "Outcome unknown, the provider may have it: {sentence}; Message-ID <{}>; id={id}",
            bounded(&answer.message_id)
        )),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "most reasons have no code of their own")]
fn permanent(failure: &Failure, answer: &Answer) -> Reply {
    let rejections = answer.recipients.iter().filter_map(Verdict::reply);
    let said = failure.reply.iter().chain(rejections).filter_map(|reply| reply.enhanced).find(|code| code.0 == 5);
    let (code, otherwise) = match failure.reason {
        Reason::TooLarge => (552, EnhancedCode(5, 3, 4)),
        Reason::NeedsSmtpUtf8 => (550, EnhancedCode(5, 6, 7)),
        Reason::NeedsEightBit => (554, EnhancedCode(5, 6, 3)),
        // The next time the client is told at RCPT, and sends the others in another transaction (RFC 5321 section
        // 4.5.3.1.10); a 5yz here would make it give up what can be sent.
        Reason::TooManyRecipients => return Reply::new(452, EnhancedCode(4, 5, 3), ""),
        _ => (554, EnhancedCode(5, 0, 0)),
    };
    Reply::new(code, said.unwrap_or(otherwise), "")
}

/// ` Refused: j***@example.com, k***@example.com and 3 more`, or nothing.
fn naming_refused(verdicts: &[Verdict], recipients: &[Address]) -> String {
    let mut refused = verdicts.iter().zip(recipients).filter(|(verdict, _)| matches!(verdict, Verdict::Rejected(_)));
    let named: Vec<String> = refused.by_ref().take(MOST_NAMED).map(|(_, address)| address.masked()).collect();
    match (named.is_empty(), refused.count()) {
        (true, _) => String::new(),
        (false, 0) => format!(" Refused: {}", named.join(", ")),
        (false, more) => format!(" Refused: {} and {more} more", named.join(", ")),
    }
}

/// The reply where our own rules refuse, before or after the content.
#[must_use]
pub fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::TooLarge { limit } => Reply::new(552, EnhancedCode(5, 3, 4), "")
            .with_text(format!("The message is larger than the {limit} bytes that may be sent")),
        Refusal::TooManyRecipients { limit } => Reply::new(452, EnhancedCode(4, 5, 3), "")
            .with_text(format!("A message may have {limit} recipients; send the others in another one")),
        Refusal::HeaderTooLarge { limit } => Reply::new(552, EnhancedCode(5, 3, 4), "")
            .with_text(format!("The header is larger than the {limit} bytes that are looked at")),
        Refusal::Loop => Reply::new(554, EnhancedCode(5, 4, 6), "A mail loop: the message was here before"),
        Refusal::SenderNotAllowed { sender } => Reply::new(550, EnhancedCode(5, 7, 1), "").with_text(match sender {
            Some(sender) => format!("{sender} may not send here (SIDEPOST_ALLOWED_SENDERS)"),
            None => "A From or Sender header that is no clear list of addresses may not be sent here \
                     (SIDEPOST_ALLOWED_SENDERS)"
                .to_owned(),
        }),
        Refusal::RecipientNotAllowed { recipient, setting } => Reply::new(550, EnhancedCode(5, 7, 1), "")
            .with_text(format!("{recipient} may not get mail from here ({setting})")),
        Refusal::Overloaded => {
            Reply::new(451, EnhancedCode(4, 3, 2), "Too many messages are in flight; try again in a moment")
        }
        Refusal::Draining => DRAINING,
    }
}

/// The process is ending.
pub const DRAINING: Reply = Reply::new(421, EnhancedCode(4, 3, 2), "Sidepost is shutting down; try again");

/// The reply to content that was read to its end and not kept.
#[must_use]
pub fn spoiled(why: Spoiled, limit: usize) -> Reply {
    match why {
        Spoiled::TooLarge => refused(&Refusal::TooLarge { limit: limit as u64 }),
        Spoiled::BareLineEnd => Reply::new(
            550,
            EnhancedCode(5, 6, 0),
            "The content has a CR or LF that stands alone; every line must end in CRLF (SIDEPOST_BARE_NEWLINE=reject)",
        ),
        Spoiled::Nul => Reply::new(
            550,
            EnhancedCode(5, 6, 0),
            "The content has a NUL; what is not text must be encoded, such as in base64 (RFC 2045)",
        ),
        Spoiled::NoRoom => Reply::new(452, EnhancedCode(4, 3, 1), "No room for the message just now; try again"),
        Spoiled::Draining => DRAINING,
    }
}

fn bounded(text: &str) -> &str {
    text[..text.floor_char_boundary(LONGEST_FOREIGN)].trim_end()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::{Cause, Step};

    fn provider_says(code: u16, enhanced: Option<EnhancedCode>, text: &str) -> outcome::Reply {
        outcome::Reply { code, enhanced, text: text.to_owned() }
    }

    fn failure(class: Class) -> Failure {
        Failure {
            class,
            step: Step::Final,
            reason: Reason::ProviderBusy,
            cause: &Cause { name: "test", why: "", remedy: "" },
            sentence: "Mend it.".to_owned(),
            reply: None,
            retry_after: None,
            recipients: Vec::new(),
        }
    }

    fn answer(outcome: Outcome, recipients: Vec<Verdict>) -> Answer {
        Answer {
            id: "ID".to_owned(),
            message_id: "m@x.test".to_owned(),
            attempts: 1,
            elapsed: Duration::ZERO,
            path: None,
            recipients,
            outcome,
        }
    }

    fn shown(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn check(outcome: Outcome, expected: &str) {
        assert_eq!(shown(&answered(&answer(outcome, Vec::new()), &[])), format!("{expected}\r\n"));
    }

    #[test]
    fn taken_quotes_the_provider() {
        check(Outcome::Taken(provider_says(250, None, "queued as X")), "250 2.0.0 Ok: queued as X; id=ID");
        for (said, told) in [
            ("Ok: queued as X", "Ok: queued as X"),
            ("OK id=1x", "Ok: id=1x"),
            ("ok", "Ok"),
            ("", "Ok"),
            ("Okay then", "Ok: Okay then"),
        ] {
            check(Outcome::Taken(provider_says(250, None, said)), &format!("250 2.0.0 {told}; id=ID"));
        }
        let odd = provider_says(252, Some(EnhancedCode(2, 5, 0)), "fine\r\n550 no");
        check(Outcome::Taken(odd), "250-2.0.0 Ok: fine \r\n250 2.0.0 550 no; id=ID");
    }

    #[test]
    fn every_class_has_its_codes_and_only_permanent_is_final() {
        check(Outcome::Failed(failure(Class::Permanent)), "554 5.0.0 Mend it.; id=ID");
        check(Outcome::Failed(failure(Class::Misconfigured)), "451 4.7.0 Mend it.; id=ID");
        check(Outcome::Failed(failure(Class::Throttled)), "451 4.7.1 Mend it.; id=ID");
        check(Outcome::Failed(failure(Class::Transient)), "451 4.4.1 Mend it.; id=ID");
        check(Outcome::Failed(failure(Class::Unreachable)), "451 4.4.1 Mend it.; id=ID");
        let unknown = "Outcome unknown, the provider may have it: Mend it.; Message-ID <m@x.test>; id=ID";
        check(Outcome::Failed(failure(Class::Unconfirmed)), &format!("451 4.4.2 {unknown}"));
    }

    #[test]
    fn permanent_takes_the_providers_enhanced_code_of_class_five_only() {
        for (said, code) in [(EnhancedCode(5, 1, 1), "5.1.1"), (EnhancedCode(4, 2, 2), "5.0.0")] {
            let failure = Failure { reply: Some(provider_says(550, Some(said), "no")), ..failure(Class::Permanent) };
            check(Outcome::Failed(failure), &format!("554 {code} Mend it.; id=ID"));
        }
        for (reason, codes) in [
            (Reason::TooLarge, "552 5.3.4"),
            (Reason::NeedsSmtpUtf8, "550 5.6.7"),
            (Reason::NeedsEightBit, "554 5.6.3"),
            (Reason::TooManyRecipients, "452 4.5.3"),
        ] {
            let failure = Failure { reason, ..failure(Class::Permanent) };
            check(Outcome::Failed(failure), &format!("{codes} Mend it.; id=ID"));
        }
    }

    #[test]
    fn each_recipient_hears_its_own_verdict() {
        let said = |code, enhanced| provider_says(code, enhanced, "so");
        let taken = answer(Outcome::Taken(said(250, None)), Vec::new());
        let failed = answer(Outcome::Failed(failure(Class::Misconfigured)), Vec::new());
        let full = answer(Outcome::Refused(Refusal::Overloaded), Vec::new());
        for (verdict, answer, start) in [
            (Verdict::Accepted(said(250, None)), &taken, "250 2.0.0 Ok: so; id=ID"),
            (Verdict::Rejected(said(550, Some(EnhancedCode(5, 1, 1)))), &taken, "550 5.1.1 "),
            (Verdict::Rejected(said(550, Some(EnhancedCode(4, 1, 1)))), &failed, "550 5.0.0 "),
            (Verdict::Deferred(said(450, Some(EnhancedCode(4, 2, 1)))), &taken, "451 4.2.1 "),
            (Verdict::Deferred(said(450, None)), &failed, "451 4.0.0 "),
            (Verdict::NotSent, &taken, "451 4.4.1 "),
            (Verdict::NotSent, &failed, "451 4.7.0 Mend it."),
            (Verdict::NotSent, &full, "451 4.3.2 "),
            (Verdict::Unknown, &taken, "451 4.4.2 "),
        ] {
            let text = shown(&about(&verdict, answer));
            assert!(text.starts_with(start), "{verdict:?}: {text}");
        }
    }

    #[test]
    fn refused_recipients_are_named_masked_and_bounded() {
        let rejected = Verdict::Rejected(provider_says(550, Some(EnhancedCode(5, 1, 1)), "unknown"));
        let recipients: Vec<Address> =
            (0..14).map(|n| Address::parse(&format!("user{n}@example.com")).unwrap()).collect();
        let two = answer(Outcome::Failed(failure(Class::Permanent)), vec![Verdict::NotSent, rejected.clone()]);
        let text = shown(&answered(&two, &recipients[..2]));
        assert_eq!(text, "554 5.1.1 Mend it. Refused: u***@example.com; id=ID\r\n");
        let many = answer(Outcome::Failed(failure(Class::Permanent)), vec![rejected; 14]);
        let text = shown(&answered(&many, &recipients));
        assert!(text.contains(" and 4 more; id=ID") && !text.contains("user"), "{text}");
    }

    #[test]
    fn our_own_refusals_have_their_codes() {
        let cases = [
            (Refusal::TooLarge { limit: 7 }, "552 5.3.4 "),
            (Refusal::TooManyRecipients { limit: 7 }, "452 4.5.3 "),
            (Refusal::Overloaded, "451 4.3.2 "),
            (Refusal::Draining, "421 4.3.2 "),
        ];
        for (refusal, start) in cases {
            assert!(shown(&refused(&refusal)).starts_with(start), "{refusal:?}");
        }
    }
}
