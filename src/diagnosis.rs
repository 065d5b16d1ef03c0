//! The one truth about whether mail can leave, and if not, why: what health, metrics, log and doctor all show.
//!
//! The chain to the provider is a row of [`Stage`]s. Every attempt is a fact about it, a real message as well as a
//! probe: it got so far, and either was taken or failed in a way that `record` judges. A doubt is no verdict: what may
//! pass by itself, such as a provider that restarts, is shown with its cause, and is called broken only once it lasts.

mod clouds;
pub mod comparison;
mod record;
pub mod table;
mod view;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use self::comparison::Conclusion;
pub use self::record::is_of_the_path;
use self::record::{Headline, Now, Record, Trouble};
pub use self::view::{Facts, PathView, StageView, View};
use crate::outcome::{Cause, Failure, Reason, Step};

/// A link of the chain to the provider, in the order in which a message needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The settings can work.
    Config,
    /// The name that we give.
    Name,
    /// The provider's name is found.
    Dns,
    /// A connection comes about along one of the paths.
    Connect,
    /// It is protected.
    Tls,
    /// The provider greets us.
    Greeting,
    /// It lets us in.
    Auth,
    /// It takes mail from our senders.
    Sender,
    /// It takes mail.
    Accepted,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Config,
        Self::Name,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Greeting,
        Self::Auth,
        Self::Sender,
        Self::Accepted,
    ];

    /// The word for metrics, logs and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Name => "name",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Auth => "auth",
            Self::Sender => "sender",
            Self::Accepted => "accepted",
        }
    }

    /// The stage that a failure is about; nothing where it is about ourselves.
    #[must_use]
    pub fn of(failure: &Failure) -> Option<Self> {
        match (failure.step, failure.reason) {
            (_, Reason::ShuttingDown | Reason::NoConnectionFree) | (Step::Wait, _) => None,
            // Some say it only when they see the sender, or even the whole message.
            (_, Reason::AuthRejected) => Some(Self::Auth),
            (_, Reason::SenderRefused) => Some(Self::Sender),
            (Step::Dns, _) => Some(Self::Dns),
            (Step::Connect, _) => Some(Self::Connect),
            (Step::Tls | Step::StartTls, _) => Some(Self::Tls),
            (Step::Greeting | Step::Hello, _) => Some(Self::Greeting),
            (Step::Auth, _) => Some(Self::Auth),
            (Step::Sender, _) => Some(Self::Sender),
            (Step::Recipient | Step::Data | Step::Content | Step::Final, _) => Some(Self::Accepted),
        }
    }
}

/// What is known of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It works.
    Ok,
    /// It does not.
    Failed,
    /// Not tried yet, or not known for certain: then there is evidence, and a cause.
    Unknown,
    /// It is not needed with these settings.
    Skipped,
}

impl State {
    /// The word for logs and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// The whole chain in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nothing was tried yet.
    Unknown,
    /// Mail can leave.
    Ok,
    /// Mail can leave, but not along the best path; or there is a doubt.
    Degraded,
    /// Mail cannot leave.
    Failed,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Ok, Self::Degraded, Self::Failed];

    /// The word for metrics, logs and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }

    /// The word of `application/health+json`.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Unknown | Self::Ok => "pass",
            Self::Degraded => "warn",
            Self::Failed => "fail",
        }
    }
}

/// Who learned a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A message on its way.
    Message,
    /// A probe that waits as long as a message would.
    Probe,
    /// A probe that waits only a moment: that nothing came yet proves little.
    HastyProbe,
}

/// One way to the provider, as the diagnosis sees it.
#[derive(Clone, Debug)]
pub struct Way {
    /// As in answers, logs and metric labels.
    pub label: String,
    /// Whether TLS comes before the greeting; absent where there is none at all.
    pub tls_first: Option<bool>,
}

/// What is known of the chain to one provider. Shared; facts come from everywhere.
#[derive(Debug)]
pub struct Diagnosis {
    provider: String,
    record: Mutex<Record>,
    /// What the log was last told.
    logged: Mutex<Headline>,
    /// How many looks are on their way: the log waits for what they add up to.
    looks: AtomicUsize,
    /// One more than the place of the path on which all is well; 0 where something is not.
    clean: AtomicUsize,
    /// When the provider last took a message, in milliseconds since 1970; 0 before the first.
    last_taken: AtomicU64,
    /// When the certificate that was last seen ends, likewise.
    certificate_ends: AtomicU64,
}

impl Diagnosis {
    /// Nothing is known yet. `logs_in` says whether there are credentials.
    #[must_use]
    pub fn new(provider: &str, ways: Vec<Way>, logs_in: bool) -> Self {
        let record = Record::new(ways, logs_in, Now::read());
        Self {
            provider: provider.to_owned(),
            logged: Mutex::new(record.headline()),
            record: Mutex::new(record),
            looks: AtomicUsize::new(0),
            clean: AtomicUsize::new(0),
            last_taken: AtomicU64::new(0),
            certificate_ends: AtomicU64::new(0),
        }
    }

    /// The provider took a message along that path. Costs next to nothing where that is no news.
    pub fn taken(&self, place: usize) {
        self.last_taken.store(milliseconds(SystemTime::now()), Ordering::Relaxed);
        if self.clean.load(Ordering::Relaxed) != place + 1 {
            self.update(|record, now| record.taken(place, now));
        }
    }

    /// An attempt along that path failed. Gives it back with what comparisons have shown of it.
    #[must_use]
    pub fn failed(&self, place: usize, failure: Failure, source: Source) -> Failure {
        let failure = self.record().explained(place, failure);
        self.update(|record, now| record.failed(place, &failure, source, now));
        failure
    }

    /// A comparison has shown why a path fails so.
    pub fn concluded(&self, place: usize, failed: (Step, Reason), conclusion: &Conclusion) {
        self.update(|record, now| record.concluded(place, failed, conclusion, now));
    }

    /// Whether a comparison has shown why the path fails.
    #[must_use]
    pub fn is_explained(&self, place: usize) -> bool {
        self.record().paths().get(place).is_some_and(record::Path::is_explained)
    }

    /// A stage works, and not as well as it should; or, without a conclusion, it does again.
    pub fn remarked(&self, stage: Stage, conclusion: Option<&Conclusion>) {
        let is_news = self.record().remark(stage).map(|remark| &remark.conclusion) != conclusion;
        if is_news {
            self.update(|record, now| record.remarked(stage, conclusion, now));
        }
    }

    /// Mail goes along that path from now on.
    pub fn uses(&self, place: usize) {
        self.update(|record, _| record.uses(place));
    }

    /// An attempt along that path came through a stage, and was not meant to go further.
    pub fn reached(&self, place: usize, stage: Stage) {
        self.update(|record, now| record.reached(place, stage, now));
    }

    /// A stage that no attempt tells about works, or does not.
    pub fn noted(&self, stage: Stage, state: State, evidence: &str, cause: Option<&'static Cause>) {
        self.update(|record, now| record.noted(stage, state, evidence, cause, now));
    }

    fn update(&self, change: impl FnOnce(&mut Record, Now)) {
        let mut record = self.record();
        change(&mut record, Now::read());
        self.clean.store(record.clean().map_or(0, |place| place + 1), Ordering::Relaxed);
        self.log_news(&record);
    }

    /// A look that consists of several facts begins; the log hears of them together, when what is given here is dropped.
    #[must_use]
    pub fn look(&self) -> Look<'_> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        Look(self)
    }

    /// One line per change of state, and none per message.
    fn log_news(&self, record: &Record) {
        if self.looks.load(Ordering::Relaxed) > 0 {
            return;
        }
        let now = record.headline();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged != now {
            *logged = now;
            self.log(record);
        }
    }

    fn log(&self, record: &Record) {
        let (provider, state, path) = (self.provider.as_str(), record.standing().label(), record.path());
        match record.trouble() {
            None => info!(provider, state, path, "provider state"),
            Some(Trouble { stage, entry }) => {
                let (stage, cause, detail) = (stage.label(), entry.cause(), entry.evidence());
                let (cause, why, remedy) = cause.map_or(("", "", ""), |cause| (cause.name, cause.why, cause.remedy));
                warn!(provider, state, path, stage, cause, detail, why, remedy, "provider state");
            }
        }
    }

    /// The provider's name.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Since when a link is broken.
    #[must_use]
    pub fn failing_since(&self) -> Option<SystemTime> {
        self.record().failing_since()
    }

    /// The chain in one word.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.record().standing()
    }

    /// Whether nothing is broken or in doubt, whatever could be better.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.record().is_well()
    }

    /// When the provider last took a message.
    #[must_use]
    pub fn last_taken(&self) -> Option<SystemTime> {
        moment(&self.last_taken)
    }

    /// The provider showed a certificate that holds until then.
    pub fn certificate_ends(&self, at: SystemTime) {
        self.certificate_ends.store(milliseconds(at), Ordering::Relaxed);
    }

    /// Until when the certificate holds that the provider last showed.
    #[must_use]
    pub fn certificate_end(&self) -> Option<SystemTime> {
        moment(&self.certificate_ends)
    }

    /// All that is known at this moment.
    #[must_use]
    pub fn view(&self) -> View {
        View::of(&self.provider, &self.record(), self.last_taken())
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Each change leaves a record that makes sense, whatever panics later.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look on its way.
#[derive(Debug)]
pub struct Look<'a>(&'a Diagnosis);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.looks.fetch_sub(1, Ordering::Relaxed);
        self.0.log_news(&self.0.record());
    }
}

fn moment(stored: &AtomicU64) -> Option<SystemTime> {
    match stored.load(Ordering::Relaxed) {
        0 => None,
        since => Some(UNIX_EPOCH + Duration::from_millis(since)),
    }
}

fn milliseconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
