//! Every mix of replies, over the whole real path: random providers, several messages, both doors.
//!
//! Each round is a provider made from a seed, a sidecar in front of it, and callers; afterwards the answers, the
//! provider's ledger and our own counters must tell the same story. `MIXES_SECONDS` sets how long (20), `MIXES_SEED`
//! plays one round again, `MIXES_ROUNDS` so many times over (the order of concurrent messages is not in the seed).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::support::callers::{Address, Door, Fate, Heard, Letter};
use crate::support::provider::{Action, Content, Pace, Provider, Script, Step, WithoutRecipients};
use crate::support::sidecar::{Sidecar, get};

/// Rounds mostly wait, so several are played at a time.
const AT_ONCE: usize = 10;
/// A round that takes longer hangs.
const LONGEST_ROUND: Duration = Duration::from_secs(60);
const CODES: [u16; 9] = [250, 354, 421, 450, 451, 452, 550, 552, 554];

#[tokio::test(flavor = "multi_thread")]
async fn answers_ledger_and_counters_tell_the_same_story() {
    let mut seeds: Box<dyn Iterator<Item = u64> + Send> = match number("MIXES_SEED") {
        Some(seed) => Box::new((0..number("MIXES_ROUNDS").unwrap_or(1)).map(move |_| seed)),
        None => Box::new(until(Instant::now() + Duration::from_secs(number("MIXES_SECONDS").unwrap_or(20)))),
    };
    let mut rounds = tokio::task::JoinSet::new();
    let (mut played, mut complaints) = (0, Vec::new());
    loop {
        while rounds.len() < AT_ONCE
            && complaints.is_empty()
            && let Some(seed) = seeds.next()
        {
            rounds.spawn(round(seed));
        }
        let Some(found) = rounds.join_next().await else { break };
        complaints.extend(found.unwrap());
        played += 1;
    }
    eprintln!("{played} mixes played");
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

fn until(end: Instant) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(|| fastrand::u64(..1 << 40)).take_while(move |_| Instant::now() < end)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Plays one round; what does not fit.
async fn round(seed: u64) -> Option<String> {
    let mix = Mix::new(seed);
    let script = format!("{:?}", mix.script);
    let complaints = match tokio::time::timeout(LONGEST_ROUND, tokio::spawn(mix.play())).await {
        Ok(Ok(complaints)) => complaints,
        Ok(Err(panicked)) => vec![panicked.to_string()],
        Err(_) => vec!["no end".to_owned()],
    };
    let story = || format!("MIXES_SEED={seed}\n  {}\n  {script}", complaints.join("\n  "));
    (!complaints.is_empty()).then(story)
}

/// A provider, and what is sent through it.
struct Mix {
    script: Script,
    connections: u64,
    messages_per_connection: u64,
    mail: Vec<(Letter, Door)>,
    /// So many are sent one after the other, the rest together.
    in_turn: usize,
    pause: Duration,
}

impl Mix {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mail: Vec<_> = (0..rng.usize(1..8)).map(|n| (letter(n, &mut rng), door(&mut rng))).collect();
        Self {
            script: script(&mail, &mut rng),
            connections: rng.u64(1..5),
            messages_per_connection: *pick(&[1, 2, 100], &mut rng),
            in_turn: rng.usize(0..=mail.len()),
            mail,
            pause: *pick(&[Duration::ZERO, Duration::from_millis(40)], &mut rng),
        }
    }

    async fn play(self) -> Vec<String> {
        let provider = Provider::start(self.script.clone());
        let sidecar = self.sidecar(&provider);
        let at = Address { http: sidecar.http, smtp: sidecar.smtp };
        let mut heard = Vec::new();
        for (letter, door) in &self.mail[..self.in_turn] {
            heard.push(letter.send(*door, at).await);
            tokio::time::sleep(self.pause).await;
        }
        let together: Vec<_> = self.mail[self.in_turn..]
            .iter()
            .cloned()
            .map(|(letter, door)| tokio::spawn(async move { letter.send(door, at).await }))
            .collect();
        for send in together {
            heard.push(send.await.unwrap());
        }
        // What was taken and not answered may be booked a little later.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let held = provider.ledger.held();
        let mut complaints = strangers(&self.mail, &held);
        for ((letter, door), heard) in self.mail.iter().zip(&heard) {
            let found = compare(letter, *door, heard, &held);
            complaints.extend(found.iter().map(|what| format!("{} by {door:?}: {what}: heard {heard:?}", letter.id)));
        }
        let books = Books::read(&sidecar).await;
        complaints.extend(self.compare_books(&books, &heard, held.len()));
        complaints
    }

    fn sidecar(&self, provider: &Provider) -> Sidecar {
        let port = provider.addr.port().to_string();
        let (connections, messages) = (self.connections.to_string(), self.messages_per_connection.to_string());
        Sidecar::start(&[
            ("PROVIDER", "smtp"),
            ("HOST", "127.0.0.1"),
            ("PORT", &port),
            ("TLS", "none"),
            ("CONNECTIONS", &connections),
            ("CONNECTION_MESSAGES", &messages),
            ("SEND_TIMEOUT", "4s"),
            ("REPLY_TIMEOUT", "1s"),
            ("ANSWER_TIMEOUT", "2s"),
            ("RETRY_FIRST", "2ms"),
            ("RETRY_MAX", "20ms"),
        ])
    }

    /// Our own counters against the answers and the ledger.
    fn compare_books(&self, books: &Books, heard: &[Heard], held: usize) -> Vec<String> {
        let recipients = self.mail.iter().map(|(letter, _)| letter.to.len() as u64).sum::<u64>();
        let taken = heard.iter().filter(|heard| heard.fate == Fate::Taken).count() as u64;
        let accepted = self.mail.iter().zip(heard).map(|((letter, _), heard)| accepted(letter, heard)).sum::<u64>();
        let unconfirmed = books.of("sidepost_attempts_total{class=\"unconfirmed\"");
        let delivered = books.of("sidepost_attempts_total{class=\"taken\"");
        let attempts = books.of("sidepost_attempts_total");
        let submissions = books.of("sidepost_submissions_total");
        let facts = [
            (submissions == self.mail.len() as u64, "each message is answered once"),
            (books.of("sidepost_submissions_total{answer=\"taken\"") == taken, "taken is what callers heard"),
            (books.of("sidepost_recipients_total") == recipients, "each recipient has one verdict"),
            (books.of("sidepost_recipients_total{verdict=\"accepted\"}") == accepted, "accepted is what callers heard"),
            (attempts == submissions + books.of("sidepost_retries_total"), "an attempt is the first or a retry"),
            ((delivered..=delivered + unconfirmed).contains(&(held as u64)), "what is held was taken or unconfirmed"),
            (books.of("sidepost_in_flight_messages") == 0, "no message is in flight"),
            (books.of("sidepost_in_flight_bytes") == 0, "no byte is in flight"),
            (books.of("sidepost_connections{side=\"provider\"}") <= self.connections, "connections have a limit"),
        ];
        facts.iter().filter(|(holds, _)| !holds).map(|(_, what)| format!("not so: {what}, {books:?}")).collect()
    }
}

// === The plan ===

fn pick<'a, T>(from: &'a [T], rng: &mut Rng) -> &'a T {
    &from[rng.usize(..from.len())]
}

fn letter(n: usize, rng: &mut Rng) -> Letter {
    let to = (0..rng.usize(1..5)).map(|r| format!("m{n}r{r}@example.org")).collect();
    let lines = *pick(&[1, 30, 3_000], rng);
    Letter { id: format!("mix-{n}-end@example.com"), to, text: ".\n.. a line of the text\n".repeat(lines) }
}

fn door(rng: &mut Rng) -> Door {
    *pick(&[Door::Http, Door::Http, Door::Strict, Door::Smtp, Door::Smtp], rng)
}

fn script(mail: &[(Letter, Door)], rng: &mut Rng) -> Script {
    let offers = [
        &["PIPELINING", "CHUNKING", "SIZE 36700160"][..],
        &["PIPELINING", "CHUNKING"],
        &["PIPELINING", "SIZE"],
        &["PIPELINING"],
        &["CHUNKING"],
        &[],
    ];
    let mut script = Script::new().extensions(offers[rng.usize(..offers.len())]);
    let without = [WithoutRecipients::Refuse, WithoutRecipients::TakeContent, WithoutRecipients::LeaveChunk];
    script = script.without_recipients(*pick(&without, rng)).content_mark(*pick(&[0, 10, 40_000], rng));
    if rng.bool() {
        script = script.replies_apart();
    }
    if rng.bool() {
        script = script.paced(pace(rng));
    }
    if rng.u8(..4) == 0 {
        script = script.messages_per_connection(rng.u32(1..4));
    }
    if rng.u8(..4) == 0 {
        let farewell = pick(&[Action::close(), Action::reset(), Action::goodbye()], rng).clone();
        script = script.idle(Duration::from_millis(rng.u64(5..60)), farewell);
    }
    if rng.u8(..8) == 0 {
        script = script.commit_delay(Duration::from_millis(rng.u64(1..100)));
    }
    // A provider that goes on after 421 does not lose its answers as well: then nobody could know anything.
    let faults = if rng.bool() { Faults { goes_on: true, loses_answers: false } } else { LOSING };
    for _ in 0..rng.usize(..9) {
        script = misbehave(script, mail, faults, rng);
    }
    script
}

/// Which lies a provider tells.
#[derive(Clone, Copy)]
struct Faults {
    /// 421 is not followed by the end of the connection.
    goes_on: bool,
    /// What was taken is not answered.
    loses_answers: bool,
}

const LOSING: Faults = Faults { goes_on: false, loses_answers: true };

/// One more fault, somewhere.
fn misbehave(script: Script, mail: &[(Letter, Door)], faults: Faults, rng: &mut Rng) -> Script {
    let recipient = |rng: &mut Rng| pick(&pick(mail, rng).0.to, rng).clone();
    match rng.u8(..24) {
        0 => script.on(Step::Greeting, early(rng)),
        1 => script.on(Step::Ehlo, early(rng)),
        2 => script.on(Step::Content, in_mid_content(rng)),
        3..=4 => script.on(Step::Rset, somehow(Step::Rset, faults, rng)),
        5..=7 => script.on(Step::Mail, somehow(Step::Mail, faults, rng)),
        8..=10 => script.on(Step::Rcpt, somehow(Step::Rcpt, faults, rng)),
        11..=13 => script.on_recipient(&recipient(rng), somehow(Step::Rcpt, faults, rng)),
        14..=15 => script.always_recipient(&recipient(rng), Action::reply(*pick(&[450, 550], rng), "no")),
        16..=18 => script.on(Step::Data, somehow(Step::Data, faults, rng)),
        _ => script.on(Step::Final, somehow(Step::Final, faults, rng)),
    }
}

fn pace(rng: &mut Rng) -> Pace {
    let sizes: Vec<_> = (0..rng.usize(1..4)).map(|_| rng.usize(1..40)).collect();
    Pace::pieces(&sizes, Duration::from_millis(rng.u64(..2)))
}

/// Before there is mail.
fn early(rng: &mut Rng) -> Action {
    let action = match rng.u8(..4) {
        0 => Action::close(),
        1 => Action::reset(),
        _ => Action::reply(*pick(&[421, 450, 451, 554], rng), "not now"),
    };
    action.then_close()
}

fn in_mid_content(rng: &mut Rng) -> Action {
    match rng.u8(..4) {
        0 => Action::close(),
        1 => Action::reset(),
        2 => Action::reply(*pick(&[451, 552], rng), "enough").then_close(),
        _ => Action::reply(*pick(&[451, 552], rng), "enough").then_reset(),
    }
}

fn somehow(step: Step, faults: Faults, rng: &mut Rng) -> Action {
    let code = *pick(&CODES, rng);
    let action = match rng.u8(..12) {
        0 => return lost_answer(rng),
        1 => Action::good(),
        2 => Action::lines(code, &["one", "two"]),
        _ => Action::reply(code, "so"),
    };
    let action = if rng.u8(..4) == 0 { action.paced(pace(rng)) } else { action };
    let action = match rng.u8(..8) {
        _ if code == 421 && !faults.goes_on => action.then_close(),
        0 => action.then_close(),
        1 if step != Step::Final || faults.loses_answers => action.then_reset(),
        _ => action,
    };
    // Who says nothing at the end may have taken it all the same.
    let silent = step == Step::Final && faults.loses_answers && rng.bool();
    if silent { lost_answer(rng).taken() } else { action }
}

fn lost_answer(rng: &mut Rng) -> Action {
    if rng.bool() { Action::close() } else { Action::reset() }
}

// === The comparison ===

/// What the provider holds must be what was sent, to whom it was sent.
fn strangers(mail: &[(Letter, Door)], held: &[Content]) -> Vec<String> {
    let fits = |content: &Content| {
        mail.iter().any(|(letter, door)| {
            content.message_id.as_ref() == Some(&letter.id)
                && content.recipients.iter().all(|to| letter.to.contains(to))
                && (*door != Door::Smtp || content.bytes.ends_with(&wire_text(letter)))
                && !content.has_bare_newline()
        })
    };
    let strange = held.iter().filter(|content| !fits(content));
    strange.map(|content| format!("nobody sent this: {:?} to {:?}", content.message_id, content.recipients)).collect()
}

fn wire_text(letter: &Letter) -> Vec<u8> {
    letter.text.replace('\n', "\r\n").into_bytes()
}

/// One message: what the caller heard against what the provider holds.
fn compare(letter: &Letter, door: Door, heard: &Heard, held: &[Content]) -> Vec<String> {
    let mut complaints = Vec::new();
    let verdicts = match verdicts(letter, heard) {
        Ok(verdicts) => verdicts,
        Err(why) => return vec![why],
    };
    let copies = |to: &String| held.iter().filter(|content| content.recipients.contains(to)).count();
    for (to, verdict) in &verdicts {
        let copies = copies(to);
        let fits = match verdict.as_str() {
            "accepted" => copies == 1,
            "unknown" => copies <= 1,
            _ => copies == 0,
        };
        if !fits {
            complaints.push(format!("{to} is {verdict} and has {copies}"));
        }
    }
    if !agrees(door, heard, &verdicts) {
        complaints.push(format!("the answer does not fit its verdicts {verdicts:?}"));
    }
    if heard.fate == Fate::Nothing {
        complaints.push("no answer".to_owned());
    }
    complaints
}

/// One verdict per recipient, in order. Over SMTP there is one for all.
fn verdicts(letter: &Letter, heard: &Heard) -> Result<Vec<(String, String)>, String> {
    let Some(list) = heard.body["recipients"].as_array() else {
        let verdict = match heard.fate {
            Fate::Taken => "accepted",
            Fate::Unknown => "unknown",
            Fate::Refused | Fate::Later | Fate::Nothing => "not_sent",
        };
        return Ok(letter.to.iter().map(|to| (to.clone(), verdict.to_owned())).collect());
    };
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let verdicts: Vec<_> = list.iter().map(|entry| (text(entry, "email"), text(entry, "status"))).collect();
    let named: Vec<_> = verdicts.iter().map(|(to, _)| to.clone()).collect();
    if named == letter.to { Ok(verdicts) } else { Err(format!("the recipients are {named:?}")) }
}

/// The word for the whole against the words for each.
fn agrees(door: Door, heard: &Heard, verdicts: &[(String, String)]) -> bool {
    let count = |word: &str| verdicts.iter().filter(|(_, verdict)| verdict == word).count();
    let (accepted, all) = (count("accepted"), verdicts.len());
    match heard.fate {
        Fate::Taken if door == Door::Http => {
            accepted > 0 && (heard.body["status"] == if accepted == all { "sent" } else { "partial" })
        }
        Fate::Taken => accepted == all,
        Fate::Unknown => accepted == 0 && count("unknown") > 0,
        Fate::Refused | Fate::Later | Fate::Nothing => accepted == 0 && count("unknown") == 0,
    }
}

fn accepted(letter: &Letter, heard: &Heard) -> u64 {
    let verdicts = verdicts(letter, heard).unwrap_or_default();
    verdicts.iter().filter(|(_, verdict)| verdict == "accepted").count() as u64
}

/// Our counters, all of them, at one moment.
#[derive(Debug)]
struct Books(BTreeMap<String, u64>);

impl Books {
    async fn read(sidecar: &Sidecar) -> Self {
        let text = String::from_utf8(get(sidecar.admin, "/metrics").await.body.to_vec()).unwrap();
        let ours = text.lines().filter(|line| line.starts_with("sidepost_") && !line.contains("_seconds"));
        let series = ours.filter_map(|line| line.rsplit_once(' '));
        Self(series.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// The sum of all series that begin so.
    fn of(&self, beginning: &str) -> u64 {
        self.0.iter().filter(|(name, _)| name.starts_with(beginning)).map(|(_, value)| value).sum()
    }
}
