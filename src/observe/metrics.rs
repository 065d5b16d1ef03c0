//! Every metric, in one list. Names, units and labels follow Prometheus' rules; every series exists from the start,
//! and no label ever holds text that came from outside.

use std::time::{Duration, SystemTime};

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::{log, process};
use crate::outcome::{Class, Refusal, Reply, Verdict};
use crate::time::fractional_seconds;

/// From the doors' point of view: seconds from complete submission to answer.
const SUBMISSION_SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// One phase of one attempt.
const PHASE_SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const MESSAGE_BYTES: &[f64] =
    &[1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 33_554_432.0];
/// The parts of an attempt that are timed.
pub const PHASES: [&str; 4] = ["connect", "tls", "login", "send"];
/// How a login can end.
pub const LOGINS: [&str; 3] = ["accepted", "refused", "failed"];
/// How a request for a token can end.
pub const TOKEN_RESULTS: [&str; 3] = ["granted", "refused", "failed"];
/// How taking up a new certificate can end.
const RELOADS: [&str; 2] = ["loaded", "failed"];
/// Refusals that the ingresses themselves make, before there is a submission.
const FORM_REASONS: [&str; 4] = ["malformed", "forbidden", "unauthorized", "connection_limit"];

/// What has to be asked at the moment of reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Messages in flight.
    pub messages: usize,
    /// Bytes in flight.
    pub bytes: usize,
    /// Connections to the provider, idle ones included.
    pub provider_connections: usize,
    /// Whether logins rest after a refused one.
    pub logins_rest: bool,
    /// Tokens, where they are what we log in with.
    pub tokens: Tokens,
}

/// The times of what we log in with, in seconds since 1970, and how often it was asked for; 0 where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokens {
    /// When the access token ends.
    pub expiry: f64,
    /// When the last one came.
    pub last_refresh: f64,
    /// Since when none can be had.
    pub failing_since: f64,
    /// Since when the refresh token is known.
    pub refresh_token_since: f64,
    /// When the refresh token ends, if that was announced.
    pub refresh_token_expiry: f64,
    /// Requests, in the order of [`TOKEN_RESULTS`].
    pub requests: [u64; 3],
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    submissions: IntCounterVec,
    submission_seconds: HistogramVec,
    submission_bytes: Histogram,
    refusals: IntCounterVec,
    attempts: IntCounterVec,
    replies: IntCounterVec,
    attempt_seconds: HistogramVec,
    recipients: IntCounterVec,
    retries: IntCounter,
    logins: IntCounterVec,
    in_flight_messages: IntGauge,
    in_flight_bytes: IntGauge,
    connections: IntGaugeVec,
    last_success: Gauge,
    last_attempt: Gauge,
    token_times: [Gauge; 5],
    token_requests: IntCounterVec,
    certificate_expiry: IntGauge,
    certificate_reloads: IntCounterVec,
}

/// Names and meanings, in the order of the times of [`Tokens`].
const TOKEN_TIMES: [(&str, &str); 5] = [
    ("sidepost_oauth_token_expiry_timestamp_seconds", "When the access token for the login ends; 0 without one."),
    ("sidepost_oauth_last_refresh_timestamp_seconds", "When the last access token came; 0 before the first."),
    ("sidepost_oauth_failing_since_timestamp_seconds", "Since when no access token can be had; 0 while one can."),
    (
        "sidepost_oauth_refresh_token_since_timestamp_seconds",
        "Since when the refresh token in use is known, which is at least that old; 0 without one.",
    ),
    (
        "sidepost_oauth_refresh_token_expiry_timestamp_seconds",
        "When the refresh token ends, where its issuer announces it; else 0.",
    ),
];

impl Metrics {
    /// Registers everything, each label set at zero. `paths` are the ways to the provider, `ingresses` the doors.
    ///
    /// # Errors
    /// Where two metrics have one name, which a test rules out.
    pub fn new(paths: &[String], ingresses: &[&str]) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let metrics = Self {
            submissions: counters(
                &registry,
                "sidepost_submissions_total",
                "Submissions answered, by door and answer.",
                &["ingress", "answer"],
            )?,
            submission_seconds: histograms(
                &registry,
                "sidepost_submission_duration_seconds",
                "From a complete submission to its answer.",
                &["ingress"],
                SUBMISSION_SECONDS,
            )?,
            submission_bytes: registered(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new("sidepost_submission_bytes", "Size of messages as they leave.")
                        .buckets(MESSAGE_BYTES.to_vec()),
                )?,
            )?,
            refusals: counters(
                &registry,
                "sidepost_refusals_total",
                "Requests refused by our own rules, by door and reason.",
                &["ingress", "reason"],
            )?,
            attempts: counters(
                &registry,
                "sidepost_attempts_total",
                "Attempts to hand a message to the provider, by path and class (taken, or why not).",
                &["path", "class"],
            )?,
            replies: counters(
                &registry,
                "sidepost_attempts_by_reply_total",
                "Attempts to hand a message to the provider, by the group of its reply (RFC 3463; none where it said nothing).",
                &["reply"],
            )?,
            attempt_seconds: histograms(
                &registry,
                "sidepost_attempt_duration_seconds",
                "Time of one attempt, by phase.",
                &["phase"],
                PHASE_SECONDS,
            )?,
            recipients: counters(
                &registry,
                "sidepost_recipients_total",
                "Recipients of answered submissions, by verdict.",
                &["verdict"],
            )?,
            retries: registered(
                &registry,
                IntCounter::new("sidepost_retries_total", "Attempts after the first of a submission.")?,
            )?,
            logins: counters(&registry, "sidepost_logins_total", "Logins at the provider, by result.", &["result"])?,
            in_flight_messages: registered(
                &registry,
                IntGauge::new("sidepost_in_flight_messages", "Messages taken in and not yet answered.")?,
            )?,
            in_flight_bytes: registered(
                &registry,
                IntGauge::new("sidepost_in_flight_bytes", "Bytes held for messages in flight.")?,
            )?,
            connections: registered(
                &registry,
                IntGaugeVec::new(Opts::new("sidepost_connections", "Open connections, by side."), &["side"])?,
            )?,
            last_success: registered(
                &registry,
                Gauge::new(
                    "sidepost_last_success_timestamp_seconds",
                    "When the provider last took a message; 0 before the first.",
                )?,
            )?,
            last_attempt: registered(
                &registry,
                Gauge::new(
                    "sidepost_last_attempt_timestamp_seconds",
                    "When the provider was last asked; 0 before the first.",
                )?,
            )?,
            token_times: token_times(&registry)?,
            token_requests: counters(
                &registry,
                "sidepost_oauth_requests_total",
                "Requests for an access token, by result.",
                &["result"],
            )?,
            certificate_expiry: registered(
                &registry,
                IntGauge::new(
                    "sidepost_certificate_expiry_timestamp_seconds",
                    "When the certificate of our own listeners ends; 0 where there is none.",
                )?,
            )?,
            certificate_reloads: counters(
                &registry,
                "sidepost_certificate_reloads_total",
                "New certificates for our own listeners, by result.",
                &["result"],
            )?,
            registry,
        };
        let build = registered(
            &metrics.registry,
            IntGaugeVec::new(Opts::new("sidepost_build_info", "Always 1; the version is the label."), &["version"])?,
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.start_at_zero(paths, ingresses);
        Ok(metrics)
    }

    fn start_at_zero(&self, paths: &[String], ingresses: &[&str]) {
        let classes = || Class::ALL.iter().map(|class| class.label());
        for ingress in ingresses {
            self.submission_seconds.with_label_values(&[ingress]);
            for answer in classes().chain(["taken", "refused"]) {
                self.submissions.with_label_values(&[ingress, answer]);
            }
            for reason in Refusal::LABELS.iter().chain(&FORM_REASONS) {
                self.refusals.with_label_values(&[ingress, reason]);
            }
        }
        for path in paths {
            for class in classes().chain(["taken"]) {
                self.attempts.with_label_values(&[path.as_str(), class]);
            }
        }
        Reply::GROUPS.iter().for_each(|group| drop(self.replies.with_label_values(&[group])));
        PHASES.iter().for_each(|phase| drop(self.attempt_seconds.with_label_values(&[phase])));
        TOKEN_RESULTS.iter().for_each(|result| drop(self.token_requests.with_label_values(&[result])));
        RELOADS.iter().for_each(|result| drop(self.certificate_reloads.with_label_values(&[result])));
        LOGINS.iter().for_each(|result| drop(self.logins.with_label_values(&[result])));
        Verdict::LABELS.iter().for_each(|verdict| drop(self.recipients.with_label_values(&[verdict])));
        for side in ["ingress", "provider"] {
            self.connections.with_label_values(&[side]);
        }
    }

    /// A submission was answered.
    pub fn answered(&self, ingress: &str, answer: &str, elapsed: Duration) {
        self.submissions.with_label_values(&[ingress, answer]).inc();
        self.submission_seconds.with_label_values(&[ingress]).observe(elapsed.as_secs_f64());
    }

    /// A message of that many bytes was admitted.
    #[allow(clippy::cast_precision_loss, reason = "a histogram has no use for the last bits")]
    pub fn admitted(&self, bytes: usize) {
        self.submission_bytes.observe(bytes as f64);
    }

    /// A request was refused by our own rules; `reason` is a label of [`Refusal`] or of the ingress' own.
    pub fn refused(&self, ingress: &str, reason: &str) {
        self.refusals.with_label_values(&[ingress, reason]).inc();
    }

    /// An attempt ended; `class` is `taken` or a [`Class`] label, `reply` one of [`Reply::GROUPS`].
    pub fn attempted(&self, path: &str, class: &str, reply: &str) {
        self.attempts.with_label_values(&[path, class]).inc();
        self.replies.with_label_values(&[reply]).inc();
        let now = fractional_seconds(SystemTime::now());
        self.last_attempt.set(now);
        if class == "taken" {
            self.last_success.set(now);
        }
    }

    /// A phase of an attempt took that long; `phase` is one of [`PHASES`].
    pub fn phase(&self, phase: &str, elapsed: Duration) {
        self.attempt_seconds.with_label_values(&[phase]).observe(elapsed.as_secs_f64());
    }

    /// A login ended; `result` is one of [`LOGINS`].
    pub fn login(&self, result: &str) {
        self.logins.with_label_values(&[result]).inc();
    }

    /// A submission is being tried again.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// A recipient got its verdict.
    pub fn recipient(&self, verdict: &str) {
        self.recipients.with_label_values(&[verdict]).inc();
    }

    /// A client's connection, counted for as long as the guard lives.
    #[must_use]
    pub fn client_connected(&self) -> Connected {
        let gauge = self.connections.with_label_values(&["ingress"]);
        gauge.inc();
        Connected(gauge)
    }

    /// When the certificate of our own listeners ends, in seconds since 1970.
    pub fn certificate_expires(&self, at: u64) {
        self.certificate_expiry.set(i64::try_from(at).unwrap_or(i64::MAX));
    }

    /// A new certificate for our own listeners was there.
    pub fn certificate_loaded(&self, good: bool) {
        self.certificate_reloads.with_label_values(&[if good { "loaded" } else { "failed" }]).inc();
    }

    /// The classic text format.
    #[must_use]
    pub fn render(&self, now: Snapshot) -> Vec<u8> {
        self.in_flight_messages.set(signed(now.messages));
        self.in_flight_bytes.set(signed(now.bytes));
        self.connections.with_label_values(&["provider"]).set(signed(now.provider_connections));
        self.set_tokens(&now.tokens);
        let mut text = Vec::new();
        // Writing into a Vec cannot fail, and a scrape with a part missing beats none.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        let dropped = ("sidepost_log_lines_dropped_total", "Lines of the log that nobody read in time.");
        process::line(&mut text, dropped.0, "counter", dropped.1, log::lines_dropped());
        process::render(&mut text);
        text
    }
}

impl Metrics {
    fn set_tokens(&self, now: &Tokens) {
        let times =
            [now.expiry, now.last_refresh, now.failing_since, now.refresh_token_since, now.refresh_token_expiry];
        self.token_times.iter().zip(times).for_each(|(gauge, time)| gauge.set(time));
        for (result, total) in TOKEN_RESULTS.iter().zip(now.requests) {
            let counter = self.token_requests.with_label_values(&[result]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}

fn token_times(registry: &Registry) -> prometheus::Result<[Gauge; 5]> {
    let gauge = |place: usize| {
        let (name, help) = TOKEN_TIMES[place];
        registered(registry, Gauge::new(name, help)?)
    };
    Ok([gauge(0)?, gauge(1)?, gauge(2)?, gauge(3)?, gauge(4)?])
}

/// One client's connection in the gauge; leaves it when dropped.
#[derive(Debug)]
pub struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn registered<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> prometheus::Result<HistogramVec> {
    registered(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(&["smtp:587 starttls".to_owned()], &["http", "smtp", "lmtp"]).unwrap()
    }

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render(Snapshot {
            messages: 3,
            bytes: 4096,
            provider_connections: 2,
            tokens: Tokens::default(),
            logins_rest: false,
        }))
        .unwrap()
    }

    #[test]
    fn every_series_exists_at_zero_and_none_is_added_by_use() {
        let metrics = metrics();
        let series = |text: String| text.lines().filter(|line| !line.starts_with('#')).count();
        let before = series(text(&metrics));
        metrics.answered("http", "taken", Duration::from_millis(3));
        metrics.attempted("smtp:587 starttls", "unconfirmed", "none");
        metrics.refused("smtp", "overloaded");
        metrics.recipient("rejected");
        metrics.login("refused");
        metrics.phase("tls", Duration::from_millis(3));
        assert_eq!(series(text(&metrics)), before);
        assert!(before < 250, "{before} series");
    }

    #[test]
    fn gauges_are_of_the_moment() {
        let metrics = metrics();
        let guard = metrics.client_connected();
        let shown = text(&metrics);
        assert!(shown.contains("sidepost_in_flight_messages 3\n"), "{shown}");
        assert!(shown.contains("sidepost_connections{side=\"ingress\"} 1\n"));
        assert!(shown.contains("sidepost_connections{side=\"provider\"} 2\n"));
        assert!(shown.contains("process_resident_memory_bytes "));
        drop(guard);
        assert!(text(&metrics).contains("sidepost_connections{side=\"ingress\"} 0\n"));
    }
}
