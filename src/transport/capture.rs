//! Keeps mail in memory instead of sending it: for a first look, for development, for tests.
//!
//! It can be told to answer like a provider in trouble, so that an application's handling of failures can be tried
//! without a provider: `SIDEPOST_CAPTURE_SCRIPT="451 4.7.1 greylisted, 550 5.1.1 no such user, lost"`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Attempt, Job, Phases};
use crate::config::value::{Size, Value};
use crate::diagnosis::table::SCRIPTED;
use crate::message::{Address, Content, Id};
use crate::outcome::{Class, EnhancedCode, Failure, Reason, Receipt, Reply, Step, Verdict};
use crate::settings;

/// More messages than this are not kept, however small.
const MOST_MESSAGES: usize = 10_000;

settings! {
    /// The settings of `capture`.
    pub struct Config {
        /// With `PROVIDER=capture`: how many bytes of messages are kept; the oldest go first.
        capture_bytes: Size = "16MiB",
        /// With `PROVIDER=capture`: the answers to the first attempts, to try out failures: replies such as `451 4.7.1 later`, or the words `unreachable` and `lost`; then all is taken again.
        capture_script: Option<Script> = "",
        /// With `PROVIDER=capture`: how long each attempt takes, to try out a slow provider.
        capture_delay: Duration = "0s",
    }
}

/// A message that was taken.
#[derive(Debug)]
pub struct Captured {
    /// Our own name for it.
    pub id: Id,
    /// Its Message-ID, without angle brackets.
    pub message_id: String,
    /// When it was taken.
    pub received: SystemTime,
    /// The envelope's sender.
    pub sender: Option<Address>,
    /// The envelope's recipients.
    pub recipients: Vec<Address>,
    /// Headers and body.
    pub content: Content,
}

/// The memory ring.
#[derive(Debug)]
pub struct Capture {
    most_bytes: usize,
    delay: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    kept: VecDeque<Arc<Captured>>,
    bytes: usize,
    script: VecDeque<Scripted>,
}

impl Capture {
    /// An empty ring.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let script = config.capture_script.clone().map(|script| script.0).unwrap_or_default();
        let inner = Inner { kept: VecDeque::new(), bytes: 0, script: script.into() };
        Self { most_bytes: config.capture_bytes.0, delay: config.capture_delay, inner: Mutex::new(inner) }
    }

    /// Takes a message, or answers from the script.
    pub async fn attempt(&self, job: &Job<'_>) -> Attempt {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let scripted = self.inner().script.pop_front();
        let result = match scripted {
            None => Ok(self.take(job)),
            Some(scripted) => scripted.answer(job).unwrap_or_else(|| Ok(self.take(job))),
        };
        Attempt { result, is_held: false, phases: Phases { send: Some(self.delay), ..Phases::default() } }
    }

    fn take(&self, job: &Job<'_>) -> Receipt {
        let message = job.message;
        let every = message.envelope.recipients();
        self.keep(Captured {
            id: message.id,
            message_id: message.message_id.clone(),
            received: SystemTime::now(),
            sender: message.envelope.sender().cloned(),
            recipients: job.open.iter().filter_map(|&place| every.get(place).cloned()).collect(),
            content: message.content.clone(),
        });
        let enhanced = Some(EnhancedCode(2, 0, 0));
        let reply = Reply { code: 250, enhanced, text: format!("Ok: captured as {}", message.id) };
        let recipients = job.open.iter().map(|&place| (place, Verdict::Accepted(reply.clone()))).collect();
        Receipt { reply, recipients }
    }

    fn keep(&self, captured: Captured) {
        let mut inner = self.inner();
        inner.bytes += captured.content.len();
        inner.kept.push_back(Arc::new(captured));
        // The newest stays even if it alone is more than the limit: it is what somebody is about to look at.
        while inner.kept.len() > MOST_MESSAGES || (inner.bytes > self.most_bytes && inner.kept.len() > 1) {
            let Some(oldest) = inner.kept.pop_front() else { break };
            inner.bytes -= oldest.content.len();
        }
    }

    /// The message of that id, if it is still kept.
    #[must_use]
    pub fn get(&self, id: &Id) -> Option<Arc<Captured>> {
        self.inner().kept.iter().rev().find(|captured| captured.id == *id).cloned()
    }

    /// The latest messages, the newest first.
    #[must_use]
    pub fn latest(&self, count: usize) -> Vec<Arc<Captured>> {
        self.inner().kept.iter().rev().take(count).cloned().collect()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answers to the first attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(Vec<Scripted>);

impl Value for Script {
    const EXPECTS: &'static str = "a comma list of SMTP replies such as `451 4.7.1 later` or `550 5.1.1 no such user`, and the words `unreachable`, `lost`";

    fn parse(text: &str) -> Option<Self> {
        text.split(',').map(|entry| Scripted::parse(entry.trim())).collect::<Option<_>>().map(Self)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scripted {
    Reply(Reply),
    Unreachable,
    Lost,
}

impl Scripted {
    fn parse(entry: &str) -> Option<Self> {
        match entry {
            "unreachable" => Some(Self::Unreachable),
            "lost" => Some(Self::Lost),
            _ => parse_reply(entry).map(Self::Reply),
        }
    }

    /// The attempt's result; nothing where the script says that it is taken.
    fn answer(self, job: &Job<'_>) -> Option<Result<Receipt, Failure>> {
        let (class, step, reason) = match &self {
            Self::Reply(reply) if reply.is_positive() => return None,
            Self::Reply(reply) => class_of(reply),
            Self::Unreachable => (Class::Unreachable, Step::Connect, Reason::ConnectionRefused),
            Self::Lost => (Class::Unconfirmed, Step::Final, Reason::OutcomeUnknown),
        };
        let (verdict, reply, said) = match self {
            Self::Reply(reply) if class == Class::Permanent => {
                (Verdict::Rejected(reply.clone()), Some(reply.clone()), reply.to_string())
            }
            Self::Reply(reply) => (Verdict::Deferred(reply.clone()), Some(reply.clone()), reply.to_string()),
            Self::Unreachable => (Verdict::NotSent, None, "unreachable".to_owned()),
            Self::Lost => (Verdict::Unknown, None, "lost after the content".to_owned()),
        };
        let sentence = format!("capture was told by SIDEPOST_CAPTURE_SCRIPT to answer: {said}");
        let recipients = job.open.iter().map(|&place| (place, verdict.clone())).collect();
        Some(Err(Failure { class, step, reason, cause: &SCRIPTED, sentence, reply, retry_after: None, recipients }))
    }
}

fn class_of(reply: &Reply) -> (Class, Step, Reason) {
    match reply.code {
        421 => (Class::Throttled, Step::Sender, Reason::Throttled),
        530 | 534 | 535 => (Class::Misconfigured, Step::Auth, Reason::AuthRejected),
        553 => (Class::Misconfigured, Step::Sender, Reason::SenderRefused),
        500.. => (Class::Permanent, Step::Final, Reason::ContentRefused),
        _ => (Class::Transient, Step::Final, Reason::ProviderBusy),
    }
}

fn parse_reply(entry: &str) -> Option<Reply> {
    let (code, rest) = entry.split_once(' ').unwrap_or((entry, ""));
    let code = code.parse().ok().filter(|code| (200..600).contains(code) && code / 100 != 3)?;
    let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let numbers: Option<Vec<u16>> = word.split('.').map(|n| n.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[class, subject, detail]) if class == code / 100 => {
            let enhanced = EnhancedCode(u8::try_from(class).ok()?, subject, detail);
            Some(Reply { code, enhanced: Some(enhanced), text: text.to_owned() })
        }
        _ => Some(Reply { code, enhanced: None, text: rest.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Lifecycle;
    use crate::message::content::BareNewline;
    use crate::message::{Envelope, Message};
    use crate::transport::Gate;

    /// Nobody is kept out.
    #[derive(Debug)]
    struct Open;

    impl Gate for Open {
        fn admit(&self) -> Result<(), Box<Failure>> {
            Ok(())
        }
        fn entered(&self) {}
        fn refused(&self, failure: Failure) -> Failure {
            failure
        }
    }

    fn message(size: usize) -> Message {
        let envelope = Envelope::new(None, vec![Address::parse("a@b.test").unwrap()]).unwrap();
        let content = Content::from_bytes(&vec![b'x'; size], BareNewline::Normalize).unwrap();
        Message { id: Id::new(), envelope, content, message_id: "1@b.test".into(), all_or_nothing: true }
    }

    async fn send(capture: &Capture, message: &Message) -> Result<Receipt, Failure> {
        let lifecycle = Lifecycle::new();
        let deadline = tokio::time::Instant::now();
        capture
            .attempt(&Job {
                message,
                open: &[0],
                deadline,
                connect: Duration::MAX,
                gate: &Open,
                lifecycle: &lifecycle.watch(),
            })
            .await
            .result
    }

    fn capture(bytes: usize, script: &str) -> Capture {
        let script = <Option<Script> as Value>::parse(script).unwrap();
        Capture::new(&Config { capture_bytes: Size(bytes), capture_script: script, capture_delay: Duration::ZERO })
    }

    #[tokio::test]
    async fn the_oldest_make_room_and_the_newest_always_stays() {
        let capture = capture(2_500, "");
        let messages: Vec<_> = (0..4).map(|_| message(998)).collect();
        for message in &messages {
            send(&capture, message).await.unwrap();
        }
        let kept: Vec<_> = capture.latest(10).iter().map(|captured| captured.id).collect();
        assert_eq!(kept, [messages[3].id, messages[2].id]);
        assert!(capture.get(&messages[0].id).is_none());
        let large = message(10_000);
        send(&capture, &large).await.unwrap();
        assert_eq!(capture.latest(10).len(), 1);
        assert!(capture.get(&large.id).is_some());
    }

    #[tokio::test]
    async fn the_script_answers_first() {
        let capture = capture(1 << 20, "451 4.7.1 later, 250, 535 5.7.8 bad password, lost, unreachable, 550 no");
        let message = message(10);
        let class = |result: Result<Receipt, Failure>| result.map(|_| ()).map_err(|failure| failure.class);
        let mut classes = Vec::new();
        for _ in 0..7 {
            classes.push(class(send(&capture, &message).await));
        }
        let expected = [
            Err(Class::Transient),
            Ok(()),
            Err(Class::Misconfigured),
            Err(Class::Unconfirmed),
            Err(Class::Unreachable),
            Err(Class::Permanent),
            Ok(()),
        ];
        assert_eq!(classes, expected);
        assert_eq!(capture.latest(10).len(), 2);
    }

    #[test]
    fn a_script_that_is_none_is_refused() {
        for bad in ["hello", "354 go", "99", "451 later,,", "700"] {
            assert_eq!(Script::parse(bad), None, "{bad}");
        }
    }
}
