//! Every mix of replies, without sockets.

use std::time::Duration;

use proptest::prelude::*;

use super::super::outgoing::no_slices;
use super::super::reply;
use super::*;
use crate::message::content::BareNewline;
use crate::message::dsn::{EnvelopeId, Notify, OriginalRecipient, RecipientDsn, Ret};
use crate::message::{Content, Envelope, Id};
use crate::outcome::Reason;

const PLAIN: &[&str] = &["x"];
const PIPELINING: &[&str] = &["x", "PIPELINING", "SIZE 1000"];
const CHUNKING: &[&str] = &["x", "PIPELINING", "CHUNKING"];

fn link() -> Link {
    Link {
        provider: "smtp".into(),
        host: "mail.example".into(),
        port: 587,
        login_refused: &crate::outcome::Cause { name: "login_refused", why: "", remedy: "" },
    }
}

fn capabilities(lines: &[&str]) -> Capabilities {
    let lines = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    Capabilities::parse(&reply::RawReply { code: 250, lines })
}

fn message(recipients: usize, all_or_nothing: bool) -> Message {
    let address = |n| Address::parse(&format!("r{n}@b.test")).unwrap();
    let envelope = Envelope::new(Some(Address::parse("s@a.test").unwrap()), (0..recipients).map(address).collect());
    Message {
        id: Id::new(),
        envelope: envelope.unwrap(),
        content: Content::from_bytes(b"S: x\r\n\r\n.hi\r\n", BareNewline::Reject).unwrap(),
        message_id: "1@a.test".into(),
        all_or_nothing,
    }
}

fn bytes(mut outgoing: Outgoing) -> String {
    let mut all = Vec::new();
    while !outgoing.is_done() {
        let mut slices = no_slices();
        let count = outgoing.slices(&mut slices);
        let piece: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        outgoing.advance(piece.len());
        all.extend(piece);
    }
    String::from_utf8(all).unwrap()
}

fn parsed(line: &str) -> Reply {
    reply::take(&mut format!("{line}\r\n").as_str().into()).unwrap().unwrap().into_reply()
}

/// Runs a transaction; a reply `-` closes the connection, `!` makes the pending write fail.
fn run(extensions: &[&str], message: &Message, replies: &[&str]) -> (String, Finish) {
    let (capabilities, link) = (capabilities(extensions), link());
    let open: Vec<_> = (0..message.envelope.recipients().len()).collect();
    let mut transaction = Transaction::new(message, &open, &capabilities, false, &link).unwrap();
    let mut replies = replies.iter();
    let mut wire = String::new();
    loop {
        match transaction.next() {
            Next::Finished(finish) => return (wire, finish),
            Next::Write(outgoing, _) => {
                wire.push_str(&bytes(outgoing));
                wire.push('|');
                transaction.written();
            }
            Next::Read => match replies.next() {
                Some(&"-") | None => transaction.lost(&Lost::Closed),
                Some(line) => transaction.reply(parsed(line)),
            },
        }
    }
}

fn labels(verdicts: &[(usize, Verdict)]) -> Vec<&'static str> {
    verdicts.iter().map(|(_, verdict)| verdict.label()).collect()
}

/// Flights end in `|`.
fn taken(extensions: &[&str], message: &Message, replies: &[&str], flights: &str, verdicts: &[&str]) {
    let (wire, finish) = run(extensions, message, replies);
    assert_eq!(wire, flights);
    let receipt = finish.result.unwrap();
    assert_eq!(labels(&receipt.recipients), verdicts);
    assert_eq!(finish.connection, After::Reuse);
}

fn failed(extensions: &[&str], message: &Message, replies: &[&str], class: Class, verdicts: &[&str], after: After) {
    let (wire, finish) = run(extensions, message, replies);
    let failure = finish.result.unwrap_err();
    assert_eq!((failure.class, finish.connection), (class, after), "{replies:?} {wire:?} {failure:?}");
    assert_eq!(labels(&failure.recipients), verdicts, "{replies:?}");
}

#[test]
fn one_recipient_costs_two_flights_with_pipelining() {
    let flights = "MAIL FROM:<s@a.test> SIZE=13\r\nRCPT TO:<r0@b.test>\r\nDATA\r\n|S: x\r\n\r\n..hi\r\n.\r\n|";
    taken(PIPELINING, &message(1, true), &["250 a", "250 b", "354 c", "250 d"], flights, &["accepted"]);
}

#[test]
fn one_recipient_costs_one_flight_with_chunking() {
    let flights = "MAIL FROM:<s@a.test>\r\nRCPT TO:<r0@b.test>\r\nBDAT 13 LAST\r\nS: x\r\n\r\n.hi\r\n|";
    taken(CHUNKING, &message(1, true), &["250 a", "250 b", "250 d"], flights, &["accepted"]);
}

#[test]
fn all_or_nothing_waits_for_the_recipients() {
    let flights =
        "MAIL FROM:<s@a.test>\r\nRCPT TO:<r0@b.test>\r\nRCPT TO:<r1@b.test>\r\n|BDAT 13 LAST\r\nS: x\r\n\r\n.hi\r\n|";
    taken(CHUNKING, &message(2, true), &["250 a", "250 b", "250 c", "250 d"], flights, &["accepted", "accepted"]);
}

#[test]
fn without_pipelining_one_command_goes_at_a_time() {
    let flights = "MAIL FROM:<s@a.test>\r\n|RCPT TO:<r0@b.test>\r\n|DATA\r\n|S: x\r\n\r\n..hi\r\n.\r\n|";
    taken(PLAIN, &message(1, true), &["250 a", "250 b", "354 c", "250 d"], flights, &["accepted"]);
}

#[test]
fn some_may_be_refused_where_not_all_are_needed() {
    let (wire, finish) =
        run(PIPELINING, &message(3, false), &["250", "550 5.1.1 no", "250", "450 later", "354", "250 ok"]);
    assert!(wire.ends_with("DATA\r\n|S: x\r\n\r\n..hi\r\n.\r\n|"), "{wire}");
    assert_eq!(labels(&finish.result.unwrap().recipients), ["rejected", "accepted", "deferred"]);
}

#[test]
fn one_refused_stops_all_where_all_are_needed() {
    let replies = &["250 a", "250 b", "550 5.1.1 no"];
    failed(PIPELINING, &message(2, true), replies, Class::Permanent, &["rejected"], After::ReuseAfterReset);
    let replies = &["250 a", "250 b", "450 later"];
    failed(CHUNKING, &message(2, true), replies, Class::Transient, &["deferred"], After::ReuseAfterReset);
}

#[test]
fn a_refused_sender_with_data_in_flight() {
    let one = message(1, true);
    let again = After::Reuse;
    failed(PIPELINING, &one, &["451 no", "503 a", "503 b"], Class::Transient, &[], again);
    failed(PIPELINING, &one, &["451 no", "503 a", "554 b"], Class::Transient, &[], again);
    let (wire, finish) = run(PIPELINING, &one, &["550 5.7.1 no", "503 a", "354 go", "554 no valid recipients"]);
    assert!(wire.ends_with("|.\r\n|"), "a lone dot is owed: {wire}");
    assert_eq!(finish.result.unwrap_err().reason, Reason::SenderRefused);
    failed(CHUNKING, &one, &["451 no"], Class::Transient, &[], After::Close);
}

#[test]
fn four_two_one_to_a_lone_dot_closes_as_well() {
    let replies = &["250", "550 no", "354 go", "421 4.3.2 closing"];
    failed(PIPELINING, &message(1, true), replies, Class::Permanent, &["rejected"], After::Close);
}

#[test]
fn refused_recipients_with_data_in_flight() {
    let one = message(1, true);
    failed(PIPELINING, &one, &["250", "550 no", "554 b"], Class::Permanent, &["rejected"], After::ReuseAfterReset);
    let (wire, finish) = run(PIPELINING, &one, &["250", "550 no", "354 go", "554 none"]);
    assert!(wire.ends_with("|.\r\n|"), "{wire}");
    assert_eq!(finish.connection, After::ReuseAfterReset);
    failed(CHUNKING, &one, &["250", "450 later"], Class::Transient, &["deferred"], After::Close);
    let two = message(2, false);
    failed(
        PIPELINING,
        &two,
        &["250", "550 a", "450 b", "554"],
        Class::Permanent,
        &["rejected", "deferred"],
        After::ReuseAfterReset,
    );
}

#[test]
fn refused_content_is_every_accepted_recipients_verdict() {
    let two = message(2, false);
    let replies = &["250", "250", "550 5.1.1 no", "354", "554 5.7.1 spam"];
    failed(PIPELINING, &two, replies, Class::Permanent, &["rejected", "rejected"], After::Reuse);
    let replies = &["250", "250", "250", "354", "451 later"];
    failed(PIPELINING, &two, replies, Class::Transient, &["deferred", "deferred"], After::Reuse);
    failed(
        CHUNKING,
        &message(1, true),
        &["250", "250", "552 5.3.4 big"],
        Class::Permanent,
        &["rejected"],
        After::Reuse,
    );
    failed(
        PLAIN,
        &message(1, true),
        &["250", "250", "451 no data"],
        Class::Transient,
        &["deferred"],
        After::ReuseAfterReset,
    );
}

#[test]
fn four_two_one_anywhere_ends_it_and_nothing_was_taken() {
    let one = message(1, true);
    for at in 0..4 {
        let mut replies = vec!["250", "250", "354", "250"];
        replies[at] = "421 4.3.2 closing";
        let (_, finish) = run(PIPELINING, &one, &replies);
        assert_eq!((finish.result.unwrap_err().class, finish.connection), (Class::Transient, After::Close), "{at}");
    }
}

#[test]
fn four_two_one_to_a_recipient_leaves_the_chunk_to_the_others() {
    let two = message(2, false);
    let (_, finish) = run(CHUNKING, &two, &["250", "250", "421 4.3.2 closing", "250 taken"]);
    assert_eq!(labels(&finish.result.unwrap().recipients), ["accepted", "deferred"]);
    assert_eq!(finish.connection, After::Close);
    let replies = &["250", "250", "421 4.3.2 closing", "-"];
    failed(CHUNKING, &two, replies, Class::Transient, &["deferred"], After::Close);
    failed(CHUNKING, &message(1, true), &["250", "421 no"], Class::Transient, &["deferred"], After::Close);
}

#[test]
fn one_refused_is_enough_where_all_are_needed_and_the_connection_ends() {
    for (extensions, end) in [(PLAIN, "-"), (PLAIN, "421 bye"), (CHUNKING, "-"), (CHUNKING, "421 bye")] {
        let replies = &["250", "550 5.1.1 no", end];
        failed(extensions, &message(2, true), replies, Class::Permanent, &["rejected"], After::Close);
        let replies = &["250", "450 later", end];
        failed(extensions, &message(2, true), replies, Class::Transient, &["deferred"], After::Close);
    }
}

#[test]
fn an_answer_out_of_place_ends_all_trust() {
    let one = message(1, true);
    failed(PIPELINING, &one, &["250", "250", "250 yes?"], Class::Misconfigured, &["not_sent"], After::Close);
    failed(PIPELINING, &one, &["550 no", "503", "250 yes?"], Class::Misconfigured, &[], After::Close);
    failed(PLAIN, &one, &["250", "354 go on"], Class::Misconfigured, &[], After::Close);
    failed(CHUNKING, &one, &["354 go on"], Class::Unconfirmed, &["unknown"], After::Close);
    failed(CHUNKING, &one, &["250", "354 go on"], Class::Unconfirmed, &["unknown"], After::Close);
    failed(PIPELINING, &one, &["250", "250", "354", "354 go on"], Class::Unconfirmed, &["unknown"], After::Close);
}

#[test]
fn a_chunk_waits_for_the_answer_to_rset() {
    let (message, capabilities, link) = (message(1, true), capabilities(CHUNKING), link());
    let mut transaction = Transaction::new(&message, &[0], &capabilities, true, &link).unwrap();
    let Next::Write(outgoing, _) = transaction.next() else { panic!("writes first") };
    assert_eq!(bytes(outgoing), "RSET\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r0@b.test>\r\nDATA\r\n");
    assert!(transaction.is_useless(451) && transaction.is_useless(421) && !transaction.is_useless(250));
}

#[test]
fn a_lost_connection_is_unconfirmed_once_the_content_is_out() {
    let one = message(1, true);
    failed(PIPELINING, &one, &["-"], Class::Transient, &[], After::Close);
    failed(PIPELINING, &one, &["250", "250", "-"], Class::Transient, &["not_sent"], After::Close);
    failed(PIPELINING, &one, &["250", "250", "354", "-"], Class::Unconfirmed, &["unknown"], After::Close);
    failed(CHUNKING, &one, &["-"], Class::Unconfirmed, &["unknown"], After::Close);
    failed(CHUNKING, &one, &["250", "250", "-"], Class::Unconfirmed, &["unknown"], After::Close);
    let two = message(2, false);
    failed(
        PIPELINING,
        &two,
        &["250", "550 no", "250", "354", "-"],
        Class::Unconfirmed,
        &["rejected", "unknown"],
        After::Close,
    );
    failed(PIPELINING, &two, &["250", "550 no", "-"], Class::Transient, &["rejected"], After::Close);
}

#[test]
fn a_write_that_failed_leaves_the_last_words_to_be_read() {
    let (message, capabilities, link) = (message(1, true), capabilities(CHUNKING), link());
    let start = || {
        let mut transaction = Transaction::new(&message, &[0], &capabilities, false, &link).unwrap();
        assert!(matches!(transaction.next(), Next::Write(..)));
        transaction.write_failed();
        assert_eq!(transaction.waiting(), Waiting::LastWords);
        transaction
    };
    let finish = |mut transaction: Transaction<'_>, replies: &[&str]| {
        for line in replies {
            transaction.reply(parsed(line));
        }
        if transaction.finish.is_none() {
            transaction.lost(&Lost::Timeout(Duration::from_secs(2)));
        }
        let Next::Finished(finish) = transaction.next() else { panic!("finished") };
        assert_eq!(finish.connection, After::Close);
        finish.result.unwrap_err().class
    };
    assert_eq!(finish(start(), &[]), Class::Transient);
    assert_eq!(finish(start(), &["250", "250", "552 5.3.4 too big"]), Class::Permanent);
    assert_eq!(finish(start(), &["250", "250", "250 ok"]), Class::Transient, "a yes to half a message is no yes");
}

#[test]
fn nothing_is_written_behind_half_a_flight() {
    let link = link();
    for (extensions, recipients) in [(PLAIN, 1), (CHUNKING, 2)] {
        let (message, capabilities) = (message(recipients, true), capabilities(extensions));
        let open: Vec<_> = (0..recipients).collect();
        let mut transaction = Transaction::new(&message, &open, &capabilities, false, &link).unwrap();
        assert!(matches!(transaction.next(), Next::Write(..)));
        transaction.write_failed();
        let finish = loop {
            match transaction.next() {
                Next::Read => transaction.reply(parsed("250 yes")),
                Next::Write(..) => panic!("it goes on"),
                Next::Finished(finish) => break finish,
            }
        };
        assert_eq!((finish.result.unwrap_err().class, finish.connection), (Class::Transient, After::Close));
    }
}

#[test]
fn what_the_server_cannot_carry_is_refused_before_a_word() {
    let link = link();
    let mut message = message(1, true);
    message.content = Content::from_bytes("\u{e4}".as_bytes(), BareNewline::Reject).unwrap();
    let refused = |message: &Message, lines: &[&str]| {
        Transaction::new(message, &[0], &capabilities(lines), false, &link).map(|_| ()).unwrap_err().reason
    };
    assert_eq!(refused(&message, PIPELINING), Reason::NeedsEightBit);
    assert_eq!(refused(&message, &["x", "8BITMIME", "SIZE 2"]), Reason::TooLarge);
}

proptest! {
    /// Whatever is answered, wherever it breaks off: it ends, each recipient has at most one verdict, nothing is
    /// reported taken without the last 250, and an unconfirmed end is only ever reported with all content out.
    #[test]
    fn every_mix_of_replies_ends_well(
        extensions in prop_oneof![Just(PLAIN), Just(PIPELINING), Just(CHUNKING)],
        recipients in 1usize..4,
        strict in any::<bool>(),
        codes in proptest::collection::vec(prop_oneof![Just("250"), Just("354"), Just("421"), Just("451"), Just("550"), Just("503")], 0..9),
    ) {
        let message = message(recipients, strict);
        let (wire, finish) = run(extensions, &message, &codes);
        let content_out = wire.contains("S: x");
        let verdicts = match &finish.result {
            Ok(receipt) => {
                prop_assert!(content_out);
                prop_assert_eq!(receipt.reply.code, 250);
                prop_assert!(!strict || labels(&receipt.recipients).iter().all(|label| *label == "accepted"));
                prop_assert_eq!(receipt.recipients.len(), recipients);
                &receipt.recipients
            }
            Err(failure) => {
                prop_assert!(failure.class != Class::Unconfirmed || content_out);
                prop_assert!(labels(&failure.recipients).iter().all(|label| *label != "accepted"));
                &failure.recipients
            }
        };
        let mut places: Vec<_> = verdicts.iter().map(|(place, _)| *place).collect();
        places.sort_unstable();
        places.dedup();
        prop_assert_eq!(places.len(), verdicts.len());
    }
}

// === What the server offers beyond the least ===

const WISHES: &[&str] = &["x", "PIPELINING", "DSN"];

fn with_wishes(recipients: usize) -> Message {
    let mut dsn = Dsn::of(Ret::parse("HDRS"), EnvelopeId::parse("a+2Bb"));
    let notify = Notify::parse("NEVER");
    dsn.push(1, RecipientDsn { notify, original: OriginalRecipient::parse("rfc822;x@y.test") });
    let message = message(recipients, true);
    Message { envelope: message.envelope.with_dsn(dsn), ..message }
}

/// RFC 3461 section 5: said to who understands it, in the same flight.
#[test]
fn wishes_go_to_a_server_that_offers_dsn_and_to_no_other() {
    let replies = ["250 a", "250 b", "250 c", "354 d", "250 e"];
    let flights = "MAIL FROM:<s@a.test> RET=HDRS ENVID=a+2Bb\r\nRCPT TO:<r0@b.test>\r\n\
                   RCPT TO:<r1@b.test> NOTIFY=NEVER ORCPT=rfc822;x@y.test\r\n|DATA\r\n|S: x\r\n\r\n..hi\r\n.\r\n|";
    taken(WISHES, &with_wishes(2), &replies, flights, &["accepted", "accepted"]);
    let flights = "MAIL FROM:<s@a.test> SIZE=13\r\nRCPT TO:<r0@b.test>\r\nRCPT TO:<r1@b.test>\r\n|DATA\r\n|S: x\r\n\r\n..hi\r\n.\r\n|";
    taken(PIPELINING, &with_wishes(2), &replies, flights, &["accepted", "accepted"]);
}

fn refused_before_a_word(extensions: &[&str], message: &Message) -> Failure {
    let (capabilities, link) = (capabilities(extensions), link());
    let open: Vec<_> = (0..message.envelope.recipients().len()).collect();
    Transaction::new(message, &open, &capabilities, false, &link).unwrap_err()
}

fn to(recipients: &[&str], all_or_nothing: bool) -> Message {
    let addresses = recipients.iter().map(|text| Address::parse(text).unwrap()).collect();
    let message = message(1, all_or_nothing);
    Message { envelope: Envelope::new(message.envelope.sender().cloned(), addresses).unwrap(), ..message }
}

/// RFC 9422: where all or nobody is to get it, one transaction has to do.
#[test]
fn more_recipients_than_the_server_takes_go_in_several_transactions() {
    let limited = &["x", "PIPELINING", "LIMITS RCPTMAX=2"];
    let (wire, finish) = run(limited, &message(3, false), &["250", "250", "250", "354", "250"]);
    assert!(wire.contains("<r0@b.test>") && wire.contains("<r1@b.test>") && !wire.contains("<r2@b.test>"), "{wire}");
    assert_eq!(labels(&finish.result.unwrap().recipients), ["accepted", "accepted"], "of the third there is no word");
    taken(
        limited,
        &message(2, true),
        &["250", "250", "250", "354", "250"],
        &wire.replace("DATA", "|DATA").replace("||", "|"),
        &["accepted"; 2],
    );
    let failure = refused_before_a_word(limited, &message(3, true));
    assert_eq!((failure.class, failure.reason), (Class::Permanent, Reason::TooManyRecipients));
    assert!(failure.sentence.contains("takes 2 at a time") && failure.recipients.is_empty(), "{failure:?}");
}

/// RFC 6531 section 3.2: a domain has a form in ASCII, a local part has none.
#[test]
fn what_is_not_ascii_needs_smtputf8() {
    let offered = &["x", "PIPELINING", "SMTPUTF8", "8BITMIME"];
    let idn = to(&["a@b\u{fc}cher.example"], true);
    let (wire, _) = run(PIPELINING, &idn, &["250", "250", "354", "250"]);
    assert!(wire.contains("RCPT TO:<a@xn--bcher-kva.example>") && !wire.contains("SMTPUTF8"), "{wire}");
    let two = ["a@b.test", "\u{e4}@b.test"];
    let (wire, _) = run(offered, &to(&two, true), &["250", "250", "250", "354", "250"]);
    assert!(wire.starts_with("MAIL FROM:<s@a.test> SMTPUTF8\r\n") && wire.contains("<\u{e4}@b.test>"), "{wire}");
    let failure = refused_before_a_word(PIPELINING, &to(&two, true));
    assert_eq!((failure.class, failure.reason), (Class::Permanent, Reason::NeedsSmtpUtf8));
    assert!(
        failure.sentence.contains("\u{e4}***@b.test") && labels(&failure.recipients) == ["rejected"],
        "{failure:?}"
    );
    // Where not all are needed, the others get it.
    let (wire, finish) = run(PIPELINING, &to(&two, false), &["250", "250", "354", "250"]);
    assert!(!wire.contains("\u{e4}") && !wire.contains("SMTPUTF8"), "{wire}");
    assert_eq!(labels(&finish.result.unwrap().recipients), ["rejected", "accepted"]);
    let envelope = Envelope::new(Address::parse("\u{f6}@a.test").ok(), vec![Address::parse(two[0]).unwrap()]).unwrap();
    let sender = Message { envelope, ..to(&two[..1], false) };
    assert!(refused_before_a_word(PIPELINING, &sender).sentence.contains("The sender \u{f6}***@a.test"));
}

/// RFC 6532: a header that was declared to be UTF-8 needs it too; one that was not is the old 8-bit mess, and goes as it is.
#[test]
fn a_declared_header_needs_smtputf8_and_8_bit_content_8bitmime() {
    let eight_bit = |utf8_header| {
        let message = to(&["a@b.test"], true);
        let content = Content::from_bytes("Subject: \u{e4}\r\n\r\n\u{e4}\r\n".as_bytes(), BareNewline::Reject).unwrap();
        Message { envelope: message.envelope.with_utf8_header(utf8_header), content, ..message }
    };
    let (wire, _) = run(&["x", "8BITMIME"], &eight_bit(false), &["250"]);
    assert!(wire.starts_with("MAIL FROM:<s@a.test> BODY=8BITMIME\r\n"), "{wire}");
    let (wire, _) = run(&["x", "8BITMIME", "SMTPUTF8"], &eight_bit(true), &["250"]);
    assert!(wire.starts_with("MAIL FROM:<s@a.test> BODY=8BITMIME SMTPUTF8\r\n"), "{wire}");
    assert_eq!(refused_before_a_word(&["x", "8BITMIME"], &eight_bit(true)).reason, Reason::NeedsSmtpUtf8);
    let failure = refused_before_a_word(&["x", "SMTPUTF8"], &eight_bit(false));
    assert_eq!((failure.class, failure.reason), (Class::Permanent, Reason::NeedsEightBit));
}
