//! The access token of the moment: fetched once for all who wait, refreshed before it ends, mail or no mail.

mod outlook;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use self::outlook::Outlook;
use super::endpoint::{self, CLOCK_TOLERANCE, Granted, Issuer, Reply};
use super::grant::{Grant, How};
use super::store::{Kept, Store};
use super::{AccessToken, Kind, Status, Trouble, jwt, remedy};
use crate::config::secret::Secret;
use crate::net::client::Client;
use crate::time::seconds;

/// When what is done.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long before its end a token is replaced; a quarter of its life, where that is less.
    pub ahead: Duration,
    /// The first wait after the issuer failed or was not reached, and the longest.
    pub after_failure: (Duration, Duration),
    /// The first wait after a refusal, and the longest.
    pub after_refusal: (Duration, Duration),
    /// A token that was refused at the login is replaced at most this often.
    pub renewal: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            ahead: Duration::from_secs(300),
            after_failure: (Duration::from_secs(1), Duration::from_secs(60)),
            after_refusal: (Duration::from_secs(30), Duration::from_secs(900)),
            renewal: Duration::from_secs(60),
        }
    }
}

/// Access tokens of one grant.
#[derive(Debug)]
pub struct Tokens {
    grant: Grant,
    client: Client,
    pace: Pace,
    store: Option<Store>,
    state: Mutex<State>,
    /// Told whenever a request has ended.
    ended: watch::Sender<()>,
}

/// A request for a token in progress, and what came of it.
type Flight = watch::Receiver<Option<Result<AccessToken, Trouble>>>;

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    issued: u64,
    refresh_token: Option<Kept>,
    setback: Option<Setback>,
    flight: Option<Flight>,
    renewed: Option<Instant>,
    status: Status,
    outlook: Outlook,
}

/// A token with its times.
#[derive(Debug)]
struct Held {
    token: AccessToken,
    replace_at: Instant,
    usable_until: Instant,
}

/// Why there was no token the last time, and until when nobody asks again.
#[derive(Debug)]
struct Setback {
    trouble: Trouble,
    until: Instant,
    in_a_row: u32,
}

impl Tokens {
    /// Fetches the first token, and keeps a fresh one until the value is dropped. Wants a runtime.
    #[must_use]
    pub fn start(grant: Grant, client: Client, pace: Pace) -> Arc<Self> {
        let store = grant.store.clone().map(Store::new);
        let state = Mutex::new(State { refresh_token: known(&grant, store.as_ref()), ..State::default() });
        let tokens = Arc::new(Self { grant, client, pace, store, state, ended: watch::Sender::new(()) });
        tokio::spawn(keep(Arc::downgrade(&tokens)));
        tokens
    }

    /// A token that is good now: at once where there is one, else when the request that all wait for has come back.
    /// Dropping the future ends the waiting and not the request.
    ///
    /// # Errors
    /// Why there is none; for a while after that, at once.
    pub async fn get(self: &Arc<Self>) -> Result<AccessToken, Trouble> {
        let flight = {
            let mut state = self.state();
            let now = Instant::now();
            if let Some(held) = state.held.as_ref().filter(|held| now < held.usable_until) {
                return Ok(held.token.clone());
            }
            if let Some(setback) = state.setback.as_ref().filter(|setback| now < setback.until) {
                return Err(setback.trouble.clone());
            }
            self.flight(&mut state)
        };
        landed(flight).await
    }

    /// Another token in the place of one that was refused at the login. Nothing where that was tried a moment ago:
    /// then it is not the token's age.
    pub async fn instead_of(self: &Arc<Self>, refused: &AccessToken) -> Option<Result<AccessToken, Trouble>> {
        {
            let mut state = self.state();
            let now = Instant::now();
            if state.held.as_ref().is_some_and(|held| held.token.number == refused.number) {
                if state.renewed.is_some_and(|at| now < at + self.pace.renewal) {
                    return None;
                }
                state.renewed = Some(now);
                state.held = None;
            }
        }
        Some(self.get().await)
    }

    /// Told whenever a request for a token has ended, either way.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    /// What is known at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state();
        let mut status = state.status.clone();
        let since = state.refresh_token.as_ref().map(|kept| UNIX_EPOCH + Duration::from_secs(kept.since));
        // One that never worked here is at least as old as this process.
        status.refresh_token_since = match &self.grant.how {
            How::Refresh(_) => Some(since.unwrap_or(status.started)),
            How::ServiceAccount(_) | How::ClientCredentials(_) => None,
        };
        status.warning = state.outlook.told(&self.grant, &status, SystemTime::now());
        status
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment of a whole value, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request in progress, or a new one.
    fn flight(self: &Arc<Self>, state: &mut State) -> Flight {
        // One whose task is gone will bring nothing.
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (landing, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let tokens = Arc::clone(self);
        tokio::spawn(async move {
            let asked = Instant::now();
            let result = tokens.ask().await;
            let (result, to_keep) = tokens.land(result, asked);
            landing.send_replace(Some(result));
            if let Some(kept) = to_keep {
                tokens.keep_on_disk(kept).await;
            }
        });
        flight
    }

    async fn ask(&self) -> Result<Granted, Trouble> {
        let before = self.state().status.clock_ahead;
        let result = self.ask_once().await;
        let after = self.state().status.clock_ahead;
        let learnt = after.filter(|ahead| ahead.unsigned_abs() > CLOCK_TOLERANCE && before != after);
        match &result {
            // What was shown carried a wrong time; the refusal has the right one in its head.
            Err(trouble) if trouble.kind == Kind::Refused && self.grant.is_timed() && learnt.is_some() => {
                self.ask_once().await
            }
            _ => result,
        }
    }

    async fn ask_once(&self) -> Result<Granted, Trouble> {
        let (current, ahead) = {
            let state = self.state();
            (state.refresh_token.as_ref().map(|kept| kept.refresh_token.clone()), state.status.clock_ahead)
        };
        let form = self.grant.form(current.as_ref(), issuers_time(ahead)).map_err(ours)?;
        let issuer = Issuer { url: &self.grant.token_url, vendor: self.grant.vendor, flow: self.grant.flow() };
        let Reply { result, clock_ahead } = endpoint::token(&self.client, issuer, form).await;
        if clock_ahead.is_some() {
            self.state().status.clock_ahead = clock_ahead;
        }
        result
    }

    /// Takes the result in; also gives what is to be written down.
    fn land(&self, result: Result<Granted, Trouble>, asked: Instant) -> (Result<AccessToken, Trouble>, Option<Kept>) {
        let mut state = self.state();
        state.flight = None;
        let landed = match result {
            Ok(granted) => {
                let (token, to_keep) = self.granted(&mut state, granted, asked);
                (Ok(token), to_keep)
            }
            Err(trouble) => (Err(self.failed(&mut state, trouble)), None),
        };
        let status = state.status.clone();
        state.outlook.tell(&self.grant, &status, SystemTime::now());
        drop(state);
        self.ended.send_replace(());
        landed
    }

    fn granted(&self, state: &mut State, granted: Granted, asked: Instant) -> (AccessToken, Option<Kept>) {
        let now = SystemTime::now();
        let life = granted.life;
        state.issued += 1;
        let token = AccessToken {
            secret: granted.token,
            number: state.issued,
            lacks_scope: lacks_scope(self.grant.needs_scope, granted.scope.as_deref()),
        };
        state.held = Some(Held {
            token: token.clone(),
            replace_at: asked + life - scattered(self.pace.ahead.min(life / 4)),
            usable_until: asked + life - Duration::from_secs(10).min(life / 8),
        });
        let recovered = state.setback.take().is_some();
        let first = recovered || state.status.last_refresh.is_none();
        state.status.requests.granted += 1;
        state.status.last_refresh = Some(now);
        state.status.token_expires = Some(now + life);
        (state.status.failing_since, state.status.trouble) = (None, None);
        if let Some(life) = granted.refresh_life {
            state.status.refresh_token_expires = Some(now + life);
        }
        if first {
            info!(issuer = self.grant.token_url.host(), seconds = life.as_secs(), "access token");
        }
        (token, self.rotated(state, granted.refresh_token))
    }

    /// Takes a new refresh token in. Without one, the one in use is known from its first success on.
    fn rotated(&self, state: &mut State, new: Option<Secret>) -> Option<Kept> {
        let How::Refresh(refresh) = &self.grant.how else { return None };
        let known = state.refresh_token.as_ref().map_or(&refresh.initial, |kept| &kept.refresh_token);
        let new = new.filter(|new| new.expose() != known.expose());
        if new.is_none() && state.refresh_token.is_some() {
            return None;
        }
        state.outlook.rotated_into_memory |= new.is_some() && self.store.is_none();
        let refresh_token = new.unwrap_or_else(|| known.clone());
        let since = jwt::issued_at(refresh_token.expose()).unwrap_or_else(|| seconds(SystemTime::now()));
        let kept = Kept { refresh_token, since };
        state.refresh_token = Some(kept.clone());
        Some(kept)
    }

    fn failed(&self, state: &mut State, trouble: Trouble) -> Trouble {
        let now = SystemTime::now();
        let trouble = state.outlook.explained(trouble, &self.grant, state.refresh_token.as_ref(), &state.status, now);
        let refused = trouble.kind == Kind::Refused;
        let before = state.setback.take();
        let in_a_row =
            before.as_ref().filter(|before| before.trouble.kind == trouble.kind).map_or(0, |b| b.in_a_row + 1);
        if before.is_none_or(|before| before.trouble.cause.name != trouble.cause.name) {
            log(&trouble, &self.grant);
        }
        let (first, longest) = if refused { self.pace.after_refusal } else { self.pace.after_failure };
        let wait =
            first.saturating_mul(1 << in_a_row.min(16)).max(trouble.retry_after.unwrap_or_default()).min(longest);
        *(if refused { &mut state.status.requests.refused } else { &mut state.status.requests.failed }) += 1;
        state.status.failing_since.get_or_insert(now);
        state.status.trouble = Some(trouble.clone());
        state.setback = Some(Setback { trouble: trouble.clone(), until: Instant::now() + scattered(wait), in_a_row });
        trouble
    }

    async fn keep_on_disk(&self, kept: Kept) {
        let (Some(store), How::Refresh(refresh)) = (self.store.clone(), &self.grant.how) else { return };
        let initial = refresh.initial.clone();
        let written = tokio::task::spawn_blocking(move || store.write(&initial, &kept)).await;
        let trouble = written.unwrap_or_else(|error| Err(error.to_string())).err();
        if let Some(sentence) = &trouble {
            error!(detail = sentence, "the new refresh token is only in memory: a restart falls back on the old one");
        }
        self.state().outlook.store_trouble = trouble;
    }

    /// A request, unless somebody else has asked meanwhile.
    fn flight_if_due(self: &Arc<Self>) -> Option<Flight> {
        let mut state = self.state();
        (state.due() <= Instant::now()).then(|| self.flight(&mut state))
    }
}

impl State {
    /// When to ask next without being asked.
    fn due(&self) -> Instant {
        match (&self.setback, &self.held) {
            (Some(setback), _) => setback.until,
            (None, Some(held)) => held.replace_at,
            (None, None) => Instant::now(),
        }
    }
}

/// Refreshes in time for as long as somebody holds the tokens.
async fn keep(tokens: Weak<Tokens>) {
    loop {
        let Some(due) = tokens.upgrade().map(|tokens| tokens.state().due()) else { return };
        sleep_until(due).await;
        let Some(tokens) = tokens.upgrade() else { return };
        if let Some(flight) = tokens.flight_if_due() {
            // What came of it is in the state.
            let _ = landed(flight).await;
        }
    }
}

async fn landed(mut flight: Flight) -> Result<AccessToken, Trouble> {
    let landed = flight.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
    landed.unwrap_or_else(|| Err(ours("the request for a token ended by an error inside Sidepost".to_owned())))
}

/// The refresh token to begin with, if it is not the one of the settings.
fn known(grant: &Grant, store: Option<&Store>) -> Option<Kept> {
    let How::Refresh(refresh) = &grant.how else { return None };
    store?.read(&refresh.initial).unwrap_or_else(|sentence| {
        warn!(detail = sentence, "the refresh token of the settings is used");
        None
    })
}

fn ours(evidence: String) -> Trouble {
    Trouble { kind: Kind::Unreachable, cause: &remedy::OURS, evidence, retry_after: None }
}

/// Our time, put right by what the issuer's last answer said.
fn issuers_time(ahead: Option<i64>) -> SystemTime {
    let now = SystemTime::now();
    match ahead {
        Some(ahead) if ahead.unsigned_abs() > CLOCK_TOLERANCE => {
            let off = Duration::from_secs(ahead.unsigned_abs());
            (if ahead > 0 { now.checked_sub(off) } else { now.checked_add(off) }).unwrap_or(now)
        }
        _ => now,
    }
}

fn lacks_scope(needed: Option<&str>, given: Option<&str>) -> bool {
    match (needed, given) {
        (Some(needed), Some(given)) => !given.is_empty() && !given.split_whitespace().any(|scope| scope == needed),
        _ => false,
    }
}

/// Up to a tenth more, so that many copies do not ask at the same moment.
fn scattered(span: Duration) -> Duration {
    span.mul_f64(1.0 + fastrand::f64() / 10.0)
}

fn log(trouble: &Trouble, grant: &Grant) {
    let (issuer, cause, detail) = (grant.token_url.host(), trouble.cause.name, trouble.sentence());
    match trouble.kind {
        Kind::Refused => error!(issuer, cause, detail, "no access token"),
        Kind::Busy | Kind::Unreachable => warn!(issuer, cause, detail, "no access token"),
    }
}
