//! One message through a session with a provider that says whatever it likes.
//!
//! The first line sets the scene: `P`, `C`, `S`, `8` and `U` for the extensions offered, a digit from 1 to 5 for the
//! number of recipients, `a` for all-or-nothing, `r` for an envelope left open before. The others are what the
//! provider says; `-` closes the connection, `?` lets time run out, `!` breaks the next write.
//!
//! A model beside it reads what is written, and keeps book of what a provider that means what it says has taken.
//! The transaction must end; each recipient has one verdict at most, and exactly one on success; nothing is reported
//! taken that was not, and nothing that was taken is reported as certainly not.
#![no_main]

use std::collections::{HashSet, VecDeque};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sidepost::config::Config;
use sidepost::message::content::BareNewline;
use sidepost::message::{Address, Content, Envelope, Id, Message};
use sidepost::outcome::{Class, Verdict};
use sidepost::provider::Link;
use sidepost::transport::smtp::classify::Lost;
use sidepost::transport::smtp::parts::{
    After, Capabilities, Finish, Next, Outgoing, RawReply, Transaction, no_slices, take,
};

const CONTENT: &[u8] = b"Subject: x\r\n\r\n.hello\r\n";
const STUFFED: &[u8] = b"Subject: x\r\n\r\n..hello\r\n.\r\n";

/// What a provider was asked and has not answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    Content,
    LoneDot,
}

/// A provider that means what it says.
#[derive(Default)]
struct Model {
    asked: VecDeque<Asked>,
    sender: bool,
    accepted: HashSet<usize>,
    refused: usize,
    /// It has said 354 and was not answered yet.
    reading: bool,
    /// How often all of the content was written.
    contents: usize,
    /// Whom it has taken the message for.
    taken: HashSet<usize>,
    /// It said something about the content.
    answered: bool,
    said_goodbye: bool,
}

impl Model {
    /// Reads a flight, as far as it was written.
    fn read(&mut self, mut flight: &[u8]) {
        while !flight.is_empty() {
            if std::mem::take(&mut self.reading) {
                if flight == b".\r\n" {
                    self.asked.push_back(Asked::LoneDot);
                } else {
                    assert_eq!(flight, STUFFED, "content, and nothing behind it");
                    self.contents += 1;
                    self.asked.push_back(Asked::Content);
                }
                return;
            }
            let end = flight.windows(2).position(|pair| pair == b"\r\n").expect("whole lines");
            let line = std::str::from_utf8(&flight[..end]).expect("text");
            flight = &flight[end + 2..];
            let asked = match line.split([' ', ':']).next() {
                Some("RSET") => Asked::Reset,
                Some("MAIL") => Asked::Mail,
                Some("RCPT") => Asked::Rcpt(line[line.len() - 10..line.len() - 8].parse().expect("a number")),
                Some("DATA") => Asked::Data,
                Some("BDAT") => {
                    assert_eq!(line, format!("BDAT {} LAST", CONTENT.len()));
                    assert_eq!(flight, CONTENT);
                    flight = &[];
                    self.contents += 1;
                    Asked::Content
                }
                _ => panic!("{line:?} is no command"),
            };
            self.asked.push_back(asked);
        }
    }

    fn says(&mut self, reply: &RawReply) {
        let yes = (200..300).contains(&reply.code);
        self.said_goodbye |= reply.code == 421;
        match self.asked.pop_front() {
            Some(Asked::Mail) => self.sender = yes,
            Some(Asked::Rcpt(place)) if yes => drop(self.accepted.insert(place)),
            Some(Asked::Rcpt(_)) => self.refused += 1,
            Some(Asked::Data) => self.reading = reply.code == 354,
            Some(Asked::Content) => {
                self.answered = true;
                if yes && self.sender {
                    self.taken.clone_from(&self.accepted);
                }
            }
            Some(Asked::Reset | Asked::LoneDot) => {}
            None => panic!("a reply was read that nobody was waiting for"),
        }
    }
}

fn bytes(mut outgoing: Outgoing) -> Vec<u8> {
    let mut all = Vec::new();
    while !outgoing.is_done() {
        let mut slices = no_slices();
        let count = outgoing.slices(&mut slices);
        let piece: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        outgoing.advance(piece.len());
        all.extend(piece);
    }
    all
}

fn capabilities(scene: &str) -> Capabilities {
    let offered = [('P', "PIPELINING"), ('C', "CHUNKING"), ('S', "SIZE 1000"), ('8', "8BITMIME"), ('U', "SMTPUTF8")];
    let lines = offered.iter().filter(|(letter, _)| scene.contains(*letter)).map(|(_, line)| line.as_bytes().to_vec());
    let lines = std::iter::once(b"there".to_vec()).chain(lines).collect();
    Capabilities::parse(&RawReply { code: 250, lines })
}

fn link() -> &'static Link {
    static LINK: OnceLock<Link> = OnceLock::new();
    LINK.get_or_init(|| {
        let variables = [("SIDEPOST_PROVIDER", "smtp"), ("SIDEPOST_HOST", "mail.test")];
        let config = Config::from_variables(variables.map(|(name, value)| (name.into(), value.into())));
        let provider = config.expect("good settings").provider;
        provider.link(provider.servers().first().expect("a server"))
    })
}

fn message(recipients: usize, all_or_nothing: bool) -> Message {
    let address = |n: usize| Address::parse(&format!("r{n:02}@b.test")).expect("an address");
    let envelope = Envelope::new(Address::parse("s@a.test").ok(), (0..recipients).map(address).collect());
    Message {
        id: Id::new(),
        envelope: envelope.expect("recipients"),
        content: Content::from_bytes(CONTENT, BareNewline::Reject).expect("good content"),
        message_id: "1@a.test".to_owned(),
        all_or_nothing,
    }
}

/// What comes from the provider's side, in turn.
enum Said {
    Reply(RawReply),
    Lost(Lost),
}

fn next_said(lines: &mut std::str::Lines<'_>, breaks: &mut bool) -> Said {
    let mut input = BytesMut::new();
    for line in lines.by_ref() {
        match line {
            "-" => break,
            "?" => return Said::Lost(Lost::Timeout(Duration::from_secs(30))),
            "!" => *breaks = true,
            _ => input.extend_from_slice(format!("{line}\r\n").as_bytes()),
        }
        match take(&mut input) {
            Ok(Some(reply)) => return Said::Reply(reply),
            Ok(None) => {}
            Err(malformed) => return Said::Lost(Lost::Malformed(malformed)),
        }
    }
    Said::Lost(Lost::Closed)
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let scene = lines.next().unwrap_or_default();
    let recipients = scene.chars().filter_map(|c| c.to_digit(6)).find(|&n| n > 0).unwrap_or(1) as usize;
    let (strict, reset) = (scene.contains('a'), scene.contains('r'));
    let (message, capabilities) = (message(recipients, strict), capabilities(scene));
    let open: Vec<usize> = (0..recipients).collect();
    let mut transaction =
        Transaction::new(&message, &open, &capabilities, reset, link()).expect("nothing special is needed");

    let (mut model, mut breaks, mut broken) = (Model::default(), false, false);
    let finish = loop {
        match transaction.next() {
            Next::Finished(finish) => break finish,
            Next::Write(outgoing, _) => {
                assert!(!broken, "nothing more is written to a broken connection");
                let flight = bytes(outgoing);
                assert!(!flight.is_empty());
                if std::mem::take(&mut breaks) {
                    // All but the last byte: the provider has every command, and no end of the content.
                    broken = true;
                    transaction.write_failed();
                    model.read(&flight);
                    model.contents = 0;
                } else {
                    model.read(&flight);
                    transaction.written();
                }
            }
            Next::Read => match next_said(&mut lines, &mut breaks) {
                Said::Lost(lost) => transaction.lost(&lost),
                Said::Reply(reply) => {
                    model.says(&reply);
                    transaction.reply(reply.into_reply());
                }
            },
        }
    };
    judge(&finish, &model, recipients, strict, broken);
});

fn judge(finish: &Finish, model: &Model, recipients: usize, strict: bool, broken: bool) {
    assert!(model.contents <= 1, "content goes out once");
    let verdicts = match &finish.result {
        Ok(receipt) => &receipt.recipients,
        Err(failure) => &failure.recipients,
    };
    let places: HashSet<usize> = verdicts.iter().map(|(place, _)| *place).collect();
    assert_eq!(places.len(), verdicts.len(), "one verdict each");
    assert!(places.iter().all(|&place| place < recipients));
    let accepted: HashSet<usize> = verdicts
        .iter()
        .filter(|(_, verdict)| matches!(verdict, Verdict::Accepted(_)))
        .map(|(place, _)| *place)
        .collect();
    match &finish.result {
        Ok(receipt) => {
            assert!(receipt.reply.is_positive() && model.contents == 1 && !broken);
            assert_eq!(places.len(), recipients, "a verdict for everybody");
            assert_eq!(accepted, model.taken, "neither more nor less than was taken");
            assert!(!strict || accepted.len() == recipients, "all or nothing");
        }
        Err(failure) => {
            assert!(accepted.is_empty() && !failure.sentence.is_empty());
            let unconfirmed = failure.class == Class::Unconfirmed;
            assert!(!unconfirmed || model.contents == 1, "what was not sent is not unconfirmed");
            assert!(unconfirmed || broken || model.taken.is_empty(), "it was taken, and would be sent again");
            let unknown = model.sender && !model.accepted.is_empty() && model.contents == 1 && !model.answered;
            let certain = model.said_goodbye || (strict && model.refused > 0);
            assert!(!unknown || certain || unconfirmed, "nobody knows what became of it");
        }
    }
    if finish.connection != After::Close {
        assert!(
            model.asked.is_empty() && !model.reading && !model.said_goodbye && !broken,
            "what is reused is in step"
        );
        assert!(finish.connection == After::ReuseAfterReset || !model.sender || model.answered, "an open envelope");
    }
}
