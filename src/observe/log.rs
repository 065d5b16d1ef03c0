//! Logs: one line per submission, JSON by default, addresses masked.

mod json;
mod output;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use tracing::{info, warn};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::output::Output;
use crate::message::{Address, Submission};
use crate::outcome::{Answer, Class, Outcome};
use crate::settings;

settings! {
    /// The logs' settings.
    pub struct Config {
        /// How lines look: `json`, or `text` for people.
        log_format: Format = "json",
        /// What is logged: `error`, `warn`, `info`, `debug` or `off`.
        log_level: Level = "info",
        /// How addresses are logged: `masked` (`j***@example.com`), `full` or `none`.
        log_addresses: Addresses = "masked",
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

crate::words!(Format, "`json` or `text`", "json" => Self::Json, "text" => Self::Text);

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(LevelFilter);

crate::words!(Level, "`error`, `warn`, `info`, `debug` or `off`",
    "off" => Self(LevelFilter::OFF), "error" => Self(LevelFilter::ERROR), "warn" => Self(LevelFilter::WARN),
    "info" => Self(LevelFilter::INFO), "debug" => Self(LevelFilter::DEBUG));

/// How addresses are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Addresses {
    /// `j***@example.com`.
    Masked,
    /// As they are.
    Full,
    /// Not at all.
    None,
}

crate::words!(Addresses, "`masked`, `full` or `none`",
    "masked" => Self::Masked, "full" => Self::Full, "none" => Self::None);

/// Set once at start; the log is the one thing that the whole process shares.
static ADDRESSES: AtomicU8 = AtomicU8::new(Addresses::Masked as u8);
static OUTPUT: OnceLock<Output> = OnceLock::new();

/// Starts logging to standard output. Only the first call of a process has an effect.
pub fn start(config: &Config) {
    ADDRESSES.store(config.log_addresses as u8, Ordering::Relaxed);
    let level = config.log_level.0;
    let output = || OUTPUT.get_or_init(|| Output::new(rustix::stdio::stdout()));
    // Another subscriber can be there already only in tests, where it is the same.
    let _ = match config.log_format {
        Format::Json => {
            let layer = tracing_subscriber::fmt::layer().event_format(json::Json).with_writer(output);
            tracing_subscriber::registry().with(level).with(layer).try_init()
        }
        Format::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stdout());
            let layer = tracing_subscriber::fmt::layer().with_writer(output).with_target(false).with_ansi(ansi);
            tracing_subscriber::registry().with(level).with(layer).try_init()
        }
    };
}

/// Gives the last lines to whoever reads them, within a time limit.
pub fn finish() {
    if let Some(output) = OUTPUT.get() {
        output.finish();
    }
}

/// How many lines nobody read in time.
#[must_use]
pub fn lines_dropped() -> u64 {
    OUTPUT.get().map_or(0, Output::dropped)
}

/// What the line of a submission says of who and what; taken before the submission is used up.
#[derive(Debug)]
pub struct Line {
    ingress: &'static str,
    from: String,
    to: String,
    bytes: usize,
}

/// More recipients than this are only counted.
const MOST_RECIPIENTS: usize = 5;

impl Line {
    /// The line's beginnings.
    #[must_use]
    pub fn of(submission: &Submission) -> Self {
        let envelope = &submission.envelope;
        Self {
            ingress: submission.ingress.label(),
            from: envelope.sender().map_or_else(|| "<>".to_owned(), shown),
            to: list(envelope.recipients()),
            bytes: submission.content.len(),
        }
    }

    /// Writes the line.
    pub fn write(&self, answer: &Answer) {
        let class = answer.outcome.label();
        match &answer.outcome {
            Outcome::Taken(reply) => self.write_as(answer, class, Some(reply.code), ""),
            Outcome::Refused(refusal) => self.write_as(answer, class, None, refusal.label()),
            Outcome::Failed(failure) => {
                let code = failure.reply.as_ref().map(|reply| reply.code);
                self.write_failure(
                    answer,
                    failure.class,
                    code,
                    failure.step.label(),
                    failure.reason.label(),
                    &failure.sentence,
                );
            }
        }
    }

    fn write_as(&self, answer: &Answer, class: &str, code: Option<u16>, reason: &str) {
        info!(
            id = %answer.id, message_id = %answer.message_id, ingress = self.ingress, class, reason,
            path = answer.path.as_deref(), attempts = answer.attempts, ms = milliseconds(answer), code,
            bytes = self.bytes, from = %self.from, to = %self.to, "submission"
        );
    }

    fn write_failure(&self, answer: &Answer, class: Class, code: Option<u16>, step: &str, reason: &str, detail: &str) {
        warn!(
            id = %answer.id, message_id = %answer.message_id, ingress = self.ingress, class = class.label(), reason, step,
            path = answer.path.as_deref(), attempts = answer.attempts, ms = milliseconds(answer), code,
            bytes = self.bytes, from = %self.from, to = %self.to, detail, "submission"
        );
    }
}

fn milliseconds(answer: &Answer) -> u64 {
    u64::try_from(answer.elapsed.as_millis()).unwrap_or(u64::MAX)
}

fn list(addresses: &[Address]) -> String {
    let mut list = addresses.first().map(shown).unwrap_or_default();
    for address in addresses.iter().take(MOST_RECIPIENTS).skip(1) {
        list.push_str(", ");
        list.push_str(&shown(address));
    }
    if addresses.len() > MOST_RECIPIENTS {
        list.push_str(&format!(", and {} more", addresses.len() - MOST_RECIPIENTS));
    }
    list
}

/// An address the way the settings want it.
fn shown(address: &Address) -> String {
    const FULL: u8 = Addresses::Full as u8;
    const NONE: u8 = Addresses::None as u8;
    match ADDRESSES.load(Ordering::Relaxed) {
        FULL => address.to_string(),
        NONE => "-".to_owned(),
        _ => address.masked(),
    }
}
