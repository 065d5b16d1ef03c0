//! The diagnosis as it is shown: the same in health, over HTTP and by doctor.

use std::time::SystemTime;

use serde::Serialize;

use super::record::{Entry, Path, Record};
use super::{Stage, State};
use crate::time::utc;

/// All that is known at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// `pass`, `warn` or `fail`.
    pub status: &'static str,
    /// `unknown`, `ok`, `degraded` or `failed`.
    pub state: &'static str,
    /// The provider's name.
    pub provider: String,
    /// The path in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When the provider last took a message (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
    /// Every link of the chain, in order.
    pub stages: Vec<StageView>,
    /// Every path, the best first.
    pub paths: Vec<PathView>,
    /// What is worst, if anything is broken, in doubt, or not as good as it should be.
    #[serde(skip)]
    pub trouble: Option<StageView>,
}

/// One link of the chain.
#[derive(Clone, Debug, Serialize)]
pub struct StageView {
    /// Its name.
    pub stage: &'static str,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Facts,
}

/// One path to the provider.
#[derive(Clone, Debug, Serialize)]
pub struct PathView {
    /// Its name, such as `smtp:587 starttls`.
    pub path: String,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What is known of a stage or a path. Times are RFC 3339.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// `ok`, `failed`, `unknown` or `skipped`.
    pub state: &'static str,
    /// What was seen. Addresses are masked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// The word for the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// What is behind it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub why: &'static str,
    /// What to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remedy: &'static str,
    /// Whether it may pass by itself; only where there is trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// Since when it is so.
    pub since: String,
    /// When it was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
    /// When it last worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
}

impl View {
    /// The record as it stands. What took a message works, so its time counts for every link that is ok.
    pub(super) fn of(provider: &str, record: &Record, last_taken: Option<SystemTime>) -> Self {
        let standing = record.standing();
        let taken = |entry: &Entry, counts: bool| last_taken.filter(|_| counts && entry.state == State::Ok);
        let stage = |(stage, entry): (Stage, &Entry)| StageView {
            stage: stage.label(),
            facts: Facts::of(entry, taken(entry, stage >= Stage::Dns)),
        };
        let path = |path: &Path| PathView {
            path: path.way.label.clone(),
            facts: Facts::of(&path.entry, taken(&path.entry, Some(path.way.label.as_str()) == record.path())),
        };
        Self {
            status: standing.status(),
            state: standing.label(),
            provider: provider.to_owned(),
            path: record.path().map(str::to_owned),
            last_success: last_taken.map(utc),
            stages: record.all().map(stage).collect(),
            paths: record.paths().iter().map(path).collect(),
            trouble: record.trouble().map(|trouble| stage((trouble.stage, trouble.entry))),
        }
    }
}

impl Facts {
    fn of(entry: &Entry, last_taken: Option<SystemTime>) -> Self {
        let cause = entry.cause();
        Self {
            state: entry.state.label(),
            evidence: entry.evidence().to_owned(),
            cause: cause.map(|cause| cause.name),
            why: cause.map_or("", |cause| cause.why),
            remedy: cause.map_or("", |cause| cause.remedy),
            retryable: entry.cause.map(|_| entry.retryable),
            since: utc(entry.since()),
            checked: entry.checked.max(last_taken).map(utc),
            last_success: entry.last_success.max(last_taken).map(utc),
        }
    }
}
