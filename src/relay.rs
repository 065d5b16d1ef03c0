//! The whole story on one screen: room for it, admit, sign, deliver, count, answer.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::delivery::budget::{Budget, Hold};
use crate::delivery::{Delivered, Delivery};
use crate::diagnosis::table::INTERNAL;
use crate::diagnosis::{Diagnosis, View};
use crate::dkim::{SignError, Signer};
use crate::lifecycle::Watch;
use crate::message::{Ingress, Message, Submission};
use crate::oauth::Status;
use crate::observe::health::TokenNews;
use crate::observe::log;
use crate::observe::metrics::{Metrics, Snapshot, Tokens};
use crate::outcome::{Answer, Class, Failure, Outcome, Reason, Refusal, Step, Verdict};
use crate::policy::Policy;
use crate::time::{fractional_seconds, utc};
use crate::transport::Transport;
use crate::transport::capture::Capture;

/// Takes submissions from every ingress and answers each exactly once.
#[derive(Debug)]
pub struct Relay {
    policy: Policy,
    signer: Option<Arc<Signer>>,
    delivery: Delivery,
    budget: Budget,
    metrics: Arc<Metrics>,
    lifecycle: Watch,
}

impl Relay {
    /// Puts the parts together.
    #[must_use]
    pub fn new(policy: Policy, delivery: Delivery, budget: Budget, metrics: Arc<Metrics>, lifecycle: Watch) -> Self {
        Self { policy, signer: None, delivery, budget, metrics, lifecycle }
    }

    /// The same, with signatures where there is a signer.
    #[must_use]
    pub fn signing(self, signer: Option<Signer>) -> Self {
        Self { signer: signer.map(Arc::new), ..self }
    }

    /// The rules, for ingresses that announce or check limits early.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The most recipients of a message that is for all of them or nobody: the rules' limit, or the provider's where that
    /// is known to be lower.
    #[must_use]
    pub fn max_recipients(&self) -> usize {
        self.policy.max_recipients().min(self.delivery.transport().recipient_limit())
    }

    /// The metrics, for what happens before there is a submission.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What is known of the chain to the provider.
    #[must_use]
    pub fn diagnosis(&self) -> &Arc<Diagnosis> {
        self.delivery.diagnosis()
    }

    /// The life of the process, to stop taking new work in time.
    #[must_use]
    pub fn lifecycle(&self) -> &Watch {
        &self.lifecycle
    }

    /// The messages kept in memory, where that is what the provider does.
    #[must_use]
    pub fn captured(&self) -> Option<&Capture> {
        match self.delivery.transport() {
            Transport::Capture(capture) => Some(capture),
            Transport::Smtp(_) => None,
        }
    }

    /// Looks after the chain to the provider until no more mail is taken; opens connections before the first message,
    /// where that is asked for.
    pub async fn watch(&self) {
        self.delivery.watch().await;
    }

    /// Looks at the chain now; returns when that is over. To be asked rarely: it can mean a login.
    pub async fn examine(&self) -> View {
        self.delivery.examine().await;
        self.diagnosis().view()
    }

    /// Whether the chain was looked at since the start, as far as that is wanted.
    #[must_use]
    pub fn is_probed(&self) -> bool {
        self.delivery.is_probed()
    }

    /// What is in flight at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            messages: self.budget.messages_in_flight(),
            bytes: self.budget.bytes_in_flight(),
            provider_connections: self.delivery.transport().connections(),
            tokens: self.delivery.transport().tokens().map(|status| tokens(&status)).unwrap_or_default(),
            logins_rest: self.delivery.is_resting(),
        }
    }

    /// What is known of the tokens for the login, where it is by tokens.
    #[must_use]
    pub fn token_news(&self) -> Option<TokenNews> {
        self.delivery.transport().tokens().map(|status| news(&status))
    }

    /// Whether there is no room for one more message.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.budget.is_full()
    }

    /// Room for a message of so many bytes, at once or not at all. To be asked before the content is read.
    ///
    /// # Errors
    /// [`Refusal::Draining`] or [`Refusal::Overloaded`]; already counted.
    pub fn reserve(&self, ingress: Ingress, bytes: usize) -> Result<Hold, Refusal> {
        let refusal = if self.lifecycle.is_draining() {
            Refusal::Draining
        } else {
            match self.budget.hold(bytes) {
                Some(hold) => return Ok(hold),
                None => Refusal::Overloaded,
            }
        };
        self.metrics.refused(ingress.label(), refusal.label());
        Err(refusal)
    }

    /// Admits and delivers; returns when the fate of every recipient is known, or known to be unknown.
    ///
    /// It runs in a task of its own, from now on: a caller that goes away does not end a delivery that has begun.
    pub fn submit(self: &Arc<Self>, submission: Submission, hold: Hold) -> impl Future<Output = Answer> + use<> {
        let relay = Arc::clone(self);
        let (id, message_id) = (submission.id.to_string(), submission.message_id.clone());
        let count = submission.envelope.recipients().len();
        // A future has room for each step that a value goes through; for what waits long, that of a pointer is enough.
        let submission = Box::new(submission);
        // A task's own memory is aligned to cache lines: something so large is had faster beside it.
        let task = tokio::spawn(Box::pin(async move {
            let answer = relay.process(submission).await;
            drop(hold);
            answer
        }));
        async move { task.await.unwrap_or_else(|_| broken_off(id, message_id, count)) }
    }

    async fn process(&self, submission: Box<Submission>) -> Answer {
        let started = Instant::now();
        let line = log::Line::of(&submission);
        let (ingress, id, message_id) = (submission.ingress, submission.id.to_string(), submission.message_id.clone());
        let count = submission.envelope.recipients().len();
        let (attempts, path, recipients, outcome) = match self.policy.admit(*submission).map(Box::new) {
            Err(refusal) => {
                self.metrics.refused(ingress.label(), refusal.label());
                (0, None, vec![Verdict::NotSent; count], Outcome::Refused(refusal))
            }
            Ok(message) => {
                self.metrics.admitted(message.content.len());
                let Delivered { attempts, path, recipients, result } = match self.signed(message).await {
                    Ok(message) => self.delivery.deliver(&message).await,
                    Err(failure) => Delivered::nothing(count, failure),
                };
                (
                    attempts,
                    path,
                    for_each_original(recipients, count),
                    result.map_or_else(Outcome::Failed, Outcome::Taken),
                )
            }
        };
        let answer = Answer { id, message_id, attempts, elapsed: started.elapsed(), path, recipients, outcome };
        self.count(ingress, &answer);
        line.write(&answer);
        answer
    }

    /// The message as it leaves. What takes long is done beside the tasks that wait for the network.
    async fn signed(&self, message: Box<Message>) -> Result<Box<Message>, Failure> {
        let Some(signer) = self.signer.clone() else { return Ok(message) };
        let signed = if signer.is_slow(&message.content) {
            tokio::task::spawn_blocking(move || signer.sign(*message)).await.unwrap_or(Err(SignError))
        } else {
            signer.sign(*message)
        };
        signed.map(Box::new).map_err(|SignError| unsigned())
    }

    fn count(&self, ingress: Ingress, answer: &Answer) {
        self.metrics.answered(ingress.label(), answer.outcome.label(), answer.elapsed);
        for verdict in &answer.recipients {
            self.metrics.recipient(verdict.label());
        }
    }
}

/// Our own trouble: the message waits for a better moment, rather than leave without what proves its sender.
fn unsigned() -> Failure {
    Failure {
        class: Class::Transient,
        step: Step::Wait,
        reason: Reason::Unsigned,
        cause: &INTERNAL,
        sentence: "The message could not be signed (SIDEPOST_DKIM_KEY_FILE); nothing was sent.".to_owned(),
        reply: None,
        retry_after: None,
        recipients: Vec::new(),
    }
}

/// A message that was redirected had one recipient, whose fate is that of all it was meant for.
fn for_each_original(mut verdicts: Vec<Verdict>, count: usize) -> Vec<Verdict> {
    if let [only] = verdicts.as_slice() {
        verdicts.resize(count, only.clone());
    }
    verdicts
}

fn news(status: &Status) -> TokenNews {
    let now = SystemTime::now();
    TokenNews {
        expires: status.token_expires.map(utc),
        last_refresh: status.last_refresh.map(utc),
        refresh_token_since: status.refresh_token_since.map(utc),
        refresh_token_expires: status.refresh_token_expires.map(utc),
        failing_since: status.failing_since.map(utc),
        trouble: status.trouble.as_ref().map(|trouble| (trouble.cause.name, trouble.sentence())),
        warning: status.warning.clone(),
        is_good: status.token_expires.is_some_and(|end| end > now),
        started: utc(status.started),
    }
}

fn tokens(status: &Status) -> Tokens {
    let unix = |time: Option<SystemTime>| time.map_or(0.0, fractional_seconds);
    Tokens {
        expiry: unix(status.token_expires),
        last_refresh: unix(status.last_refresh),
        failing_since: unix(status.failing_since),
        refresh_token_since: unix(status.refresh_token_since),
        refresh_token_expiry: unix(status.refresh_token_expires),
        requests: [status.requests.granted, status.requests.refused, status.requests.failed],
    }
}

/// A bug of ours ended the delivery in the middle; what the provider has, nobody knows.
fn broken_off(id: String, message_id: String, recipients: usize) -> Answer {
    let seen = "An error inside Sidepost ended the delivery: nobody knows whether the message was taken.";
    let failure = Failure::new(Class::Unconfirmed, Step::Final, Reason::OutcomeUnknown, &INTERNAL, seen);
    Answer {
        id,
        message_id,
        attempts: 0,
        elapsed: std::time::Duration::ZERO,
        path: None,
        recipients: vec![Verdict::Unknown; recipients],
        outcome: Outcome::Failed(failure),
    }
}
