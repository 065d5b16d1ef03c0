//! Attempts until taken, refused or out of time.
//!
//! Here, and only here, a class becomes a decision:
//!
//! | class | decision |
//! |---|---|
//! | `Unreachable` | the next path at once; after the last one, again by schedule |
//! | `Transient` | again by schedule |
//! | `Throttled` | again after the provider's hint; a hint beyond the deadline ends it now and is passed on |
//! | `Permanent` | stop |
//! | `Misconfigured` | before the login (no STARTTLS, a wrong certificate) the next path at once; else stop |
//! | `Unconfirmed` | stop and say so, unless a duplicate is preferred to a loss |
//!
//! No attempt starts after the deadline. Recipients that were put off are tried again without those that were taken.

pub mod budget;
mod circuit;
pub mod path;
pub mod probe;
pub mod schedule;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::circuit::Circuit;
use self::path::Paths;
use self::probe::Prober;
use self::schedule::Schedule;
use crate::config::value::Size;
use crate::diagnosis::table::INTERNAL;
use crate::diagnosis::{Diagnosis, Source, Stage, State, Way, is_of_the_path};
use crate::lifecycle::{Phase, Watch};
use crate::message::Message;
use crate::observe::metrics::Metrics;
use crate::outcome::{Class, Failure, Reason, Receipt, Reply, Step, Verdict};
use crate::provider::{Path, Provider, Tls};
use crate::settings;
use crate::transport::{Attempt, Job, Phases, Transport};

/// When somebody should come back who was told that the provider refuses us: a person has to act first.
const RETRY_AFTER_MISCONFIGURED: Duration = Duration::from_secs(60);

/// A path that has not answered for so long is left for the next one: three tries of TCP fit in.
const NEXT_PATH_AFTER: Duration = Duration::from_secs(4);

settings! {
    /// The settings of delivery.
    pub struct Config {
        /// One submission, retries included: no attempt starts later than this.
        send_timeout: Duration = "30s",
        /// The first wait before a retry, at most (full jitter).
        retry_first: Duration = "250ms",
        /// The longest wait before a retry.
        retry_max: Duration = "10s",
        /// By how much the wait grows.
        retry_factor: f64 = "2",
        /// When nobody knows whether a message was taken: `report` it, or `resend` it and risk a second copy.
        unconfirmed: Unconfirmed = "report",
        /// How long logins rest after a refused one, with one try after that; each rest is twice the last, up to 5m.
        login_rest: Duration = "5s",
        /// Messages in flight; more are told to come back.
        max_in_flight: usize = "256",
        /// Bytes held for messages in flight; more are told to come back.
        max_in_flight_bytes: Size = "64MiB",
    }
}

/// What to do when content went out and no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    /// Stop and say so.
    Report,
    /// Send again: rather twice than never.
    Resend,
}

crate::words!(Unconfirmed, "`report` or `resend`", "report" => Self::Report, "resend" => Self::Resend);

/// What a delivery came to.
#[derive(Debug)]
pub struct Delivered {
    /// How many attempts were made.
    pub attempts: u32,
    /// The path of the last one.
    pub path: Option<String>,
    /// One verdict per recipient, in the envelope's order.
    pub recipients: Vec<Verdict>,
    /// The provider's answer to the content, or why there is none.
    pub result: Result<Reply, Failure>,
}

impl Delivered {
    /// Nothing was tried.
    #[must_use]
    pub fn nothing(recipients: usize, failure: Failure) -> Self {
        Self { attempts: 0, path: None, recipients: vec![Verdict::NotSent; recipients], result: Err(failure) }
    }
}

/// Hands messages to the provider.
#[derive(Debug)]
pub struct Delivery {
    transport: Transport,
    paths: Paths,
    schedule: Schedule,
    send_timeout: Duration,
    unconfirmed: Unconfirmed,
    diagnosis: Arc<Diagnosis>,
    circuit: Circuit,
    prober: Prober,
    metrics: Arc<Metrics>,
    lifecycle: Watch,
}

/// What to do after an attempt.
enum Decision {
    Stop,
    Again(Duration),
}

/// One delivery in progress.
struct Progress {
    deadline: Instant,
    attempts: u32,
    failed: u32,
    path: Option<String>,
    /// Places of recipients without a final verdict; who was asked longest ago comes first.
    open: Vec<usize>,
    /// How many of them, from the first, the last attempt has not come to: a server takes only so many at a time.
    unasked: usize,
    verdicts: Vec<Verdict>,
    taken: Option<Reply>,
}

impl Delivery {
    /// Delivery to that provider through that transport.
    #[must_use]
    pub fn new(
        config: &Config,
        provider: &Provider,
        transport: Transport,
        prober: Prober,
        metrics: Arc<Metrics>,
        lifecycle: Watch,
    ) -> Self {
        Self {
            diagnosis: Arc::new(diagnosis(provider, transport.helo_name())),
            transport,
            paths: Paths::new(provider.paths.clone()),
            schedule: Schedule::new(config.retry_first, config.retry_max, config.retry_factor),
            send_timeout: config.send_timeout,
            unconfirmed: config.unconfirmed,
            circuit: Circuit::new(config.login_rest),
            prober,
            metrics,
            lifecycle,
        }
    }

    /// The transport, for what it alone can tell.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// What is known of the chain to the provider.
    #[must_use]
    pub fn diagnosis(&self) -> &Arc<Diagnosis> {
        &self.diagnosis
    }

    /// Whether the chain was looked at since the start, as far as that is wanted.
    #[must_use]
    pub fn is_probed(&self) -> bool {
        self.prober.is_done()
    }

    /// Whether logins rest after a refused one.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.circuit.is_open()
    }

    /// Delivers a message, or says why not.
    pub async fn deliver(&self, message: &Message) -> Delivered {
        let mut progress = Progress::new(message, Instant::now() + self.send_timeout);
        let mut before = None;
        loop {
            let result = self.along_the_paths(message, &mut progress).await;
            let result = result.map_err(|failure| more_telling(before.take(), failure, progress.deadline));
            progress.record(&result);
            let decision = self.decide(message, &result, &progress);
            let again = match decision {
                Decision::Again(wait) => self.pause(wait, progress.deadline).await,
                Decision::Stop => false,
            };
            if !again {
                return progress.finish(result.map_err(|failure| self.with_retry_after(failure)));
            }
            before = result.err();
            self.metrics.retried();
        }
    }

    /// One attempt along the path that worked last, and at once along the others where that one is of no use.
    async fn along_the_paths(&self, message: &Message, progress: &mut Progress) -> Result<Receipt, Failure> {
        let (mut failed, mut unnamed): (Option<Failure>, Option<(&str, Failure)>) = (None, None);
        let last = self.paths.last();
        for (place, path, label) in self.paths.in_order() {
            if failed.is_some() && Instant::now() >= progress.deadline {
                break;
            }
            if let Some((_, failure)) = unnamed.as_ref().filter(|(host, _)| path.host() == Some(host)) {
                // The other ports of a host that is not found are no ways to it, and share its trouble.
                let _ = self.diagnosis.failed(place, failure.clone(), Source::Message);
                continue;
            }
            let job = Job {
                message,
                open: &progress.open,
                deadline: progress.deadline,
                connect: if place == last { Duration::MAX } else { NEXT_PATH_AFTER },
                gate: &self.circuit,
                lifecycle: &self.lifecycle,
            };
            let Attempt { result, is_held, phases } = self.transport.attempt(path, &job).await;
            if is_held {
                return result;
            }
            progress.attempts += 1;
            progress.path = Some(label.to_owned());
            self.count(label, &result, phases);
            match self.report(place, result) {
                // A refused login never moves us: it would be refused on every path.
                Err(failure) if is_of_the_path(&failure) => {
                    unnamed = path.host().filter(|_| failure.step == Step::Dns).map(|host| (host, failure.clone()));
                    failed = Some(further(failed, failure));
                }
                other => {
                    self.moved_to(place);
                    return other;
                }
            }
        }
        // A provider has at least one path, so there was an attempt.
        failed.map_or_else(|| Err(no_path()), Err)
    }

    /// Every attempt is a fact about the chain.
    fn report(&self, place: usize, result: Result<Receipt, Failure>) -> Result<Receipt, Failure> {
        if result.is_ok() {
            self.diagnosis.taken(place);
        }
        result.map_err(|failure| {
            // Once per trouble, not per message: what is known to be broken is looked at in its own time.
            if is_of_the_path(&failure) && self.diagnosis.is_well() {
                self.prober.wake();
            }
            self.diagnosis.failed(place, failure, Source::Message)
        })
    }

    /// Mail goes along that path from now on.
    fn moved_to(&self, place: usize) {
        if self.paths.worked(place) {
            self.diagnosis.uses(place);
        }
    }

    fn count(&self, label: &str, result: &Result<Receipt, Failure>, phases: Phases) {
        let class = result.as_ref().map_or_else(|failure| failure.class.label(), |_| "taken");
        let reply = result.as_ref().map_or_else(|failure| failure.reply.as_ref(), |receipt| Some(&receipt.reply));
        self.metrics.attempted(label, class, reply.map_or("none", Reply::group));
        self.time(phases);
    }

    fn time(&self, phases: Phases) {
        self.notice(&phases);
        if let Some(end) = phases.certificate_ends {
            self.diagnosis.certificate_ends(end);
        }
        let timed = [("connect", phases.connect), ("tls", phases.tls), ("login", phases.login), ("send", phases.send)];
        for (phase, elapsed) in timed {
            if let Some(elapsed) = elapsed {
                self.metrics.phase(phase, elapsed);
            }
        }
        if let Some(login) = phases.login_result {
            self.metrics.login(login.label());
        }
    }

    fn decide(&self, message: &Message, result: &Result<Receipt, Failure>, progress: &Progress) -> Decision {
        let by_schedule = || Decision::Again(self.schedule.wait(progress.failed.max(1)));
        let others_are_left = progress.unasked > 0 && !message.all_or_nothing;
        match result {
            Ok(_) if others_are_left => Decision::Again(Duration::ZERO),
            // All who were asked are refused for good, which says nothing about the others.
            Err(Failure { class: Class::Permanent, step: Step::Recipient, .. }) if others_are_left => {
                Decision::Again(Duration::ZERO)
            }
            Ok(receipt) if receipt.recipients.iter().any(|(_, verdict)| matches!(verdict, Verdict::Deferred(_))) => {
                by_schedule()
            }
            Ok(_) => Decision::Stop,
            Err(failure) => match (failure.class, failure.retry_after) {
                (Class::Throttled, Some(hint)) => Decision::Again(hint),
                (Class::Unreachable | Class::Transient | Class::Throttled, _) => by_schedule(),
                (Class::Unconfirmed, _) if self.unconfirmed == Unconfirmed::Resend => by_schedule(),
                (Class::Permanent | Class::Misconfigured | Class::Unconfirmed, _) => Decision::Stop,
            },
        }
    }

    /// Waits; false where the wait does not fit before the deadline, or the process ends.
    async fn pause(&self, wait: Duration, deadline: Instant) -> bool {
        let until = Instant::now() + wait;
        if until >= deadline {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep_until(until) => true,
            () = self.lifecycle.reached(Phase::Ending) => false,
        }
    }

    fn with_retry_after(&self, mut failure: Failure) -> Failure {
        let otherwise = match failure.class {
            Class::Unreachable | Class::Transient | Class::Throttled => Some(self.schedule.longest()),
            Class::Misconfigured => Some(self.circuit.next_try().unwrap_or(RETRY_AFTER_MISCONFIGURED)),
            Class::Permanent | Class::Unconfirmed => None,
        };
        failure.retry_after = failure.retry_after.or(otherwise);
        failure
    }
}

impl Progress {
    fn new(message: &Message, deadline: Instant) -> Self {
        let count = message.envelope.recipients().len();
        Self {
            deadline,
            attempts: 0,
            failed: 0,
            path: None,
            open: (0..count).collect(),
            unasked: 0,
            verdicts: vec![Verdict::NotSent; count],
            taken: None,
        }
    }

    fn record(&mut self, result: &Result<Receipt, Failure>) {
        let fell = match result {
            Ok(receipt) => {
                self.taken = Some(receipt.reply.clone());
                &receipt.recipients
            }
            Err(failure) => &failure.recipients,
        };
        for (place, verdict) in fell {
            if let Some(slot) = self.verdicts.get_mut(*place) {
                *slot = verdict.clone();
            }
        }
        let verdicts = &self.verdicts;
        self.open.retain(|&place| !matches!(verdicts.get(place), Some(Verdict::Accepted(_) | Verdict::Rejected(_))));
        let is_asked = |place: &usize| fell.iter().any(|(asked, _)| asked == place);
        self.open.sort_by_key(is_asked);
        let unasked = self.open.partition_point(|place| !is_asked(place));
        self.unasked = if fell.is_empty() { 0 } else { unasked };
        // One of several transactions is no failure.
        self.failed += u32::from(self.unasked == 0);
    }

    /// A message that was taken for some stays taken, whatever became of the others later.
    fn finish(self, result: Result<Receipt, Failure>) -> Delivered {
        let result = match (self.taken, result) {
            (Some(reply), _) => Ok(reply),
            (None, Ok(receipt)) => Ok(receipt.reply),
            (None, Err(failure)) => Err(failure),
        };
        Delivered { attempts: self.attempts, path: self.path, recipients: self.verdicts, result }
    }
}

/// An attempt that our own deadline cut short says nothing about the provider; what the one before it found does.
fn more_telling(before: Option<Failure>, last: Failure, deadline: Instant) -> Failure {
    let cut_short = Instant::now() >= deadline && last.reply.is_none() && last.class.is_retryable();
    match before {
        Some(before) if cut_short => before,
        _ => last,
    }
}

/// Of two paths that failed, what to tell, as health does: a certificate that does not hold says more than a port that
/// is closed, and else the better path.
fn further(before: Option<Failure>, last: Failure) -> Failure {
    match before {
        Some(before) if before.class == Class::Misconfigured || last.class == Class::Unreachable => before,
        _ => last,
    }
}

fn diagnosis(provider: &Provider, name: Option<&str>) -> Diagnosis {
    let tls_first = |path: &Path| match path {
        Path::Smtp(server) => (server.tls != Tls::None).then_some(server.tls == Tls::Implicit),
        Path::Capture => None,
    };
    let way = |path: &Path| Way { label: path.to_string(), tls_first: tls_first(path) };
    let ways = provider.paths.iter().map(way).collect();
    let diagnosis = Diagnosis::new(&provider.name, ways, provider.credentials.is_some());
    let (state, evidence) = match name {
        Some(name) => (State::Ok, format!("EHLO gives {name}.")),
        None => (State::Skipped, "EHLO gives the address in brackets, since no full name is known here.".to_owned()),
    };
    diagnosis.noted(Stage::Name, state, &evidence, None);
    diagnosis
}

fn no_path() -> Failure {
    let (class, step, reason) = (Class::Misconfigured, Step::Wait, Reason::Unsupported);
    Failure::new(class, step, reason, &INTERNAL, "The provider has no path at all.")
}
