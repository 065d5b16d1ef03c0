//! After a refused login, logins rest: one try per interval, each interval twice the last. Everybody else is answered at
//! once with what that try learned. A provider that sees a thousand wrong passwords locks the account.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::outcome::{Class, Failure, Reason, Step};
use crate::time::{seconds, utc};
use crate::transport::Gate;

/// The longest rest after a refused login.
const LONGEST: Duration = Duration::from_secs(300);
/// The first rest after too many logins, and the longest: providers want ten minutes and more.
const TOO_MANY: Duration = Duration::from_secs(60);
const LONGEST_TOO_MANY: Duration = Duration::from_secs(900);

/// Who may log in now.
#[derive(Debug)]
pub struct Circuit {
    first: Duration,
    /// Whether there is a rest: logins that never failed pass without a lock.
    is_open: AtomicBool,
    rest: Mutex<Option<Rest>>,
    /// When a login last worked, in seconds since 1970; 0 before the first.
    worked: AtomicU64,
}

/// Logins rest.
#[derive(Debug)]
struct Rest {
    failure: Failure,
    interval: Duration,
    /// When the next try is let through.
    next: Instant,
    /// Whether one was let through, and its end is not known yet.
    trying: bool,
}

impl Circuit {
    /// Everybody may log in; `first` is the rest after the first refusal.
    #[must_use]
    pub fn new(first: Duration) -> Self {
        Self { first, is_open: AtomicBool::new(false), rest: Mutex::default(), worked: AtomicU64::new(0) }
    }

    /// Whether logins rest.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// How long it is until the next try.
    #[must_use]
    pub fn next_try(&self) -> Option<Duration> {
        if !self.is_open() {
            return None;
        }
        self.rest().as_ref().map(Rest::left)
    }

    /// When a login last worked.
    #[must_use]
    pub fn last_entry(&self) -> Option<SystemTime> {
        let seconds = self.worked.load(Ordering::Relaxed);
        (seconds > 0).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn rest(&self) -> MutexGuard<'_, Option<Rest>> {
        // Every change is a whole one.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells a password that was changed from one that was never right.
    fn history(&self) -> String {
        match self.last_entry().map(utc) {
            None => "No login has worked since this process began, so look at what was set first.".to_owned(),
            Some(last) => {
                format!("This login worked until now (last at {last}), so it was changed, revoked or has expired.")
            }
        }
    }

    fn with_history(&self, failure: Failure) -> Failure {
        if failure.reason != Reason::AuthRejected {
            return failure;
        }
        let cause = failure.cause;
        failure.because(&self.history(), cause)
    }
}

impl Gate for Circuit {
    fn admit(&self) -> Result<(), Box<Failure>> {
        if !self.is_open() {
            return Ok(());
        }
        let mut rest = self.rest();
        let Some(rest) = rest.as_mut() else { return Ok(()) };
        if rest.left() > Duration::ZERO {
            return Err(Box::new(rest.answer()));
        }
        rest.next = Instant::now() + rest.interval;
        rest.trying = true;
        Ok(())
    }

    fn entered(&self) {
        self.worked.store(seconds(SystemTime::now()), Ordering::Relaxed);
        if self.is_open() {
            *self.rest() = None;
            self.is_open.store(false, Ordering::Relaxed);
        }
    }

    fn refused(&self, failure: Failure) -> Failure {
        let failure = self.with_history(failure);
        let Some((first, longest)) = self.bounds(&failure) else { return failure };
        let mut rest = self.rest();
        let interval = match rest.as_ref() {
            None => first,
            // Several were on their way when the first was refused: that is one refusal.
            Some(rest) if !rest.trying => return rest.answer(),
            Some(rest) => (rest.interval * 2).clamp(first.min(longest), longest),
        };
        let next = Instant::now() + interval;
        let rest = rest.insert(Rest { failure, interval, next, trying: false });
        self.is_open.store(true, Ordering::Relaxed);
        rest.answer()
    }
}

impl Circuit {
    /// How long logins rest after this, at first and at most; nothing where it says nothing about the login.
    fn bounds(&self, failure: &Failure) -> Option<(Duration, Duration)> {
        match (failure.step, failure.class, failure.reason) {
            (Step::Auth, Class::Misconfigured, Reason::AuthRejected) => Some((self.first, LONGEST)),
            (Step::Auth, Class::Throttled, Reason::Throttled) => Some((TOO_MANY.max(self.first), LONGEST_TOO_MANY)),
            _ => None,
        }
    }
}

impl Rest {
    fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// What the last try learned, with the time of the next.
    fn answer(&self) -> Failure {
        let mut failure = self.failure.clone();
        failure.retry_after = Some(self.left().max(Duration::from_secs(1)));
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Cause;

    const CAUSE: Cause = Cause { name: "login_refused", why: "", remedy: "Mend it." };
    const S: fn(u64) -> Duration = Duration::from_secs;

    fn failure(class: Class, reason: Reason) -> Failure {
        Failure {
            class,
            step: Step::Auth,
            reason,
            cause: &CAUSE,
            sentence: "It said no. Mend it.".to_owned(),
            reply: None,
            retry_after: None,
            recipients: Vec::new(),
        }
    }

    fn refused() -> Failure {
        failure(Class::Misconfigured, Reason::AuthRejected)
    }

    /// Lets the rest pass, and then one try, which is refused.
    async fn one_more(circuit: &Circuit, rest: Duration) {
        assert!(circuit.admit().is_err());
        tokio::time::advance(rest - Duration::from_millis(1)).await;
        assert!(circuit.admit().is_err(), "too early for {rest:?}");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(circuit.admit().is_ok(), "after {rest:?}");
        assert!(circuit.admit().is_err(), "one only");
        let _ = circuit.refused(refused());
    }

    #[tokio::test(start_paused = true)]
    async fn one_try_per_interval_and_each_twice_the_last() {
        let circuit = Circuit::new(S(5));
        assert!(circuit.admit().is_ok() && circuit.admit().is_ok());
        // A burst that was on its way is one refusal.
        for _ in 0..4 {
            let told = circuit.refused(refused());
            assert_eq!(told.retry_after, Some(S(5)));
        }
        for rest in [5, 10, 20, 40, 80, 160, 300, 300] {
            one_more(&circuit, S(rest)).await;
        }
        assert!(circuit.is_open());
        tokio::time::advance(S(300)).await;
        assert!(circuit.admit().is_ok());
        circuit.entered();
        assert!(!circuit.is_open() && circuit.admit().is_ok() && circuit.next_try().is_none());
        assert_eq!(circuit.refused(refused()).retry_after, Some(S(5)), "from the beginning");
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_never_ends_does_not_close_the_door_for_ever() {
        let circuit = Circuit::new(S(5));
        let _ = circuit.refused(refused());
        tokio::time::advance(S(5)).await;
        assert!(circuit.admit().is_ok() && circuit.admit().is_err());
        tokio::time::advance(S(5)).await;
        assert!(circuit.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn only_logins_trip_it_and_too_many_rest_longer() {
        let circuit = Circuit::new(S(5));
        let _ = circuit.refused(failure(Class::Transient, Reason::AuthTemporary));
        let _ = circuit.refused(Failure { step: Step::Sender, ..refused() });
        let _ = circuit.refused(Failure { step: Step::Connect, ..failure(Class::Unreachable, Reason::Timeout) });
        assert!(!circuit.is_open() && circuit.admit().is_ok());
        let told = circuit.refused(failure(Class::Throttled, Reason::Throttled));
        assert_eq!((told.class, told.retry_after), (Class::Throttled, Some(S(60))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_worked_is_told_from_one_that_never_did() {
        let circuit = Circuit::new(S(5));
        let never = circuit.refused(refused()).sentence;
        assert!(never.starts_with("It said no. No login has worked since") && never.ends_with("Mend it."), "{never}");
        circuit.entered();
        let once = circuit.refused(refused()).sentence;
        assert!(once.starts_with("It said no. This login worked until now (last at 20"), "{once}");
        let again = circuit.admit().unwrap_err();
        assert_eq!(again.sentence, once);
    }
}
