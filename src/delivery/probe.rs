//! Looking after the chain while no mail does: at the start, after a failure, and now and then.
//!
//! Real mail counts: where it goes out, nothing is probed. A probe goes as far as EHLO and leaves; it logs in only at the
//! start, after a refusal when the circuit lets one try through, and after a long time without mail. Nobody is asked
//! again because a kubelet asks us.

mod compare;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::compare::{Suspicions, all};
use super::Delivery;
use crate::config::value::Value;
use crate::diagnosis::{Source, Stage, Standing, is_of_the_path};
use crate::lifecycle::Phase;
use crate::outcome::{Failure, Reason, Step};
use crate::provider::{Path, Server};
use crate::settings;
use crate::transport::{Depth, Probe, Probed};

/// How long each step of the first probe may take, so that all is known ten seconds after the start.
const HASTE: Duration = Duration::from_secs(3);
/// How long a whole probe may take otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// Probes for a reason come this far apart, and so many of them, before they come by the interval again.
const AGAIN: Duration = Duration::from_secs(5);
const SOON: u32 = 3;
/// Without mail for so long, a probe logs in, since passwords are changed and tokens run out while nobody sends.
const LOGIN_AFTER: Duration = Duration::from_secs(900);
/// The same trouble is compared again after so long where that led to something, and after so long where not: hosts
/// that have nothing to do with us should hardly notice.
const COMPARED: Duration = Duration::from_secs(600);
const COMPARED_IN_VAIN: Duration = Duration::from_secs(60);
/// Other providers' hosts that are asked for one comparison.
const MOST_CONTROLS: usize = 3;

settings! {
    /// The settings of self-diagnosis.
    pub struct Config {
        /// How often the chain to the provider is looked at while no mail proves it; `off` leaves it to the mail.
        probe_interval: Every = "60s",
        /// Hosts to compare with when the provider cannot be reached: other providers' on the same port, and with a port of their own (`host:443`) the rest of the world. Asked for nothing but a connection. `off` compares with nobody.
        control_hosts: Controls = "smtp.gmail.com, smtp.sendgrid.net, smtp.mailgun.org, smtp.postmarkapp.com, smtp.resend.com, email-smtp.us-east-1.amazonaws.com, api.sendgrid.com:443, www.googleapis.com:443",
    }
}

/// A time between, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Never.
    Off,
    /// That long.
    Time(Duration),
}

impl Value for Every {
    const EXPECTS: &'static str = "a duration of at least 1s with its unit, such as `60s` or `5m`, or `off`";

    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("off") {
            return Some(Self::Off);
        }
        Duration::parse(text).filter(|time| *time >= Duration::from_secs(1)).map(Self::Time)
    }
}

/// Hosts to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controls(Vec<Control>);

/// One of them; without a port it is asked on the port in question.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Control {
    host: String,
    port: Option<u16>,
}

impl Value for Controls {
    const EXPECTS: &'static str =
        "host names, some with a port of their own (`mail.example.com, example.com:443`), or `off`";

    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("off") {
            return Some(Self(Vec::new()));
        }
        text.split(',').map(|entry| Control::parse(entry.trim())).collect::<Option<Vec<_>>>().map(Self)
    }
}

impl Control {
    fn parse(entry: &str) -> Option<Self> {
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|&port| port > 0)?)),
            None => (entry, None),
        };
        crate::net::name::is_name(host).then(|| Self { host: host.to_owned(), port })
    }
}

/// What probing needs to know.
#[derive(Debug)]
pub struct Prober {
    every: Every,
    controls: Controls,
    /// What is known to listen where, so that a host is not asked on a port that it does not have.
    known: HashMap<&'static str, Vec<u16>>,
    wake: Notify,
    is_done: AtomicBool,
    suspicions: Suspicions,
    /// When what was last compared.
    compared: Mutex<HashMap<Compared, Instant>>,
}

/// What was compared: which path, and how it failed.
type Compared = (usize, Step, Reason);

impl Prober {
    /// With those settings. `known` says on which ports known hosts listen.
    #[must_use]
    pub fn new(config: &Config, known: HashMap<&'static str, Vec<u16>>) -> Self {
        let (every, controls) = (config.probe_interval, config.control_hosts.clone());
        let (wake, is_done) = (Notify::new(), AtomicBool::new(false));
        Self { every, controls, known, wake, is_done, suspicions: Suspicions::default(), compared: Mutex::default() }
    }

    /// A message found trouble that a comparison may explain.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether the first probe has ended, either way; or there is none.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Relaxed)
    }

    /// Whether this was compared a moment ago; where it led to something that still holds, the moment is longer.
    fn is_compared(&self, what: Compared, is_explained: bool) -> bool {
        let rest = if is_explained { COMPARED } else { COMPARED_IN_VAIN };
        self.compared().get(&what).is_some_and(|at| at.elapsed() < rest)
    }

    fn has_compared(&self, what: Compared) {
        self.compared().insert(what, Instant::now());
    }

    fn compared(&self) -> MutexGuard<'_, HashMap<Compared, Instant>> {
        // Every change is a whole one.
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other hosts, for their names alone.
    fn names(&self, here: &Server) -> Vec<&str> {
        let others = self.controls.0.iter().map(|control| &*control.host).filter(|host| *host != &*here.host);
        others.take(MOST_CONTROLS).collect()
    }

    fn others(&self, here: &Server) -> Vec<&str> {
        let listens = |host: &str| self.known.get(host).is_none_or(|ports| ports.contains(&here.port));
        let others = self.controls.0.iter().filter(|control| control.port.is_none() && *control.host != *here.host);
        others.map(|control| control.host.as_str()).filter(|host| listens(host)).take(MOST_CONTROLS).collect()
    }

    fn outside(&self) -> Vec<(&str, u16)> {
        let with_port = self.controls.0.iter().filter_map(|control| Some((control.host.as_str(), control.port?)));
        with_port.take(MOST_CONTROLS).collect()
    }
}

impl Delivery {
    /// Looks after the chain until the process takes no more mail.
    pub async fn watch(&self) {
        tokio::select! {
            () = async { tokio::join!(self.look_after(), self.follow_tokens()); } => {}
            () = self.lifecycle.reached(Phase::Draining) => {}
        }
    }

    async fn look_after(&self) {
        let interval = match self.prober.every {
            Every::Time(interval) if self.servers().next().is_some() => interval,
            Every::Time(_) | Every::Off => {
                self.prober.is_done.store(true, Ordering::Relaxed);
                return self.transport.warm_up(&self.circuit, &self.lifecycle).await;
            }
        };
        self.look(Source::HastyProbe).await;
        self.prober.is_done.store(true, Ordering::Relaxed);
        if self.diagnosis.standing() != Standing::Failed {
            self.transport.warm_up(&self.circuit, &self.lifecycle).await;
        }
        let mut soon = SOON;
        loop {
            let looked = Instant::now();
            // Many sidecars that were started together should not come together.
            let spread = interval.mul_f64(0.9 + fastrand::f64() / 5.0);
            let is_well = self.diagnosis.is_well();
            let wait = if is_well || soon == 0 { spread } else { AGAIN.min(spread) };
            tokio::select! {
                () = sleep(wait) => soon = if is_well { SOON } else { soon.saturating_sub(1) },
                () = self.prober.wake.notified() => {
                    tokio::time::sleep_until(looked + AGAIN.min(interval)).await;
                    soon = SOON;
                }
            }
            if self.is_proved_by_mail(interval) {
                self.settle_suspicions(self.paths.first()).await;
            } else {
                self.look(Source::Probe).await;
            }
        }
    }

    /// One patient look now, through the login where that may be tried, for somebody who asks.
    pub async fn examine(&self) {
        self.look_as_far_as(Depth::Login, Source::Probe).await;
    }

    fn is_proved_by_mail(&self, interval: Duration) -> bool {
        let taken = self.diagnosis.last_taken().and_then(|at| at.elapsed().ok());
        self.diagnosis.standing() == Standing::Ok && taken.is_some_and(|ago| ago < interval)
    }

    /// One look at the path in use; at the others where that one is of no use, or where a better one may be back.
    async fn look(&self, source: Source) {
        let depth = if self.login_is_due() { Depth::Login } else { Depth::Hello };
        self.look_as_far_as(depth, source).await;
    }

    async fn look_as_far_as(&self, depth: Depth, source: Source) {
        let _look = self.diagnosis.look();
        let current = self.paths.first();
        match self.probe(current, depth, source).await {
            Some(Err(failure)) if is_of_the_path(&failure) => self.look_around(current, &failure, source).await,
            result => {
                if matches!(result, Some(Ok(()))) {
                    self.settle_suspicions(current).await;
                }
                self.look_for_better(current, source).await;
            }
        }
    }

    /// The path in use is of no use: is another one, and what do they have in common?
    async fn look_around(&self, current: usize, failure: &Failure, source: Source) {
        let places: Vec<_> = self.servers().map(|(place, _)| place).filter(|place| *place != current).collect();
        let rungs = all(places.iter().map(|&place| self.probe(place, Depth::Hello, source)));
        let ((), rungs) = tokio::join!(self.explain(current, failure), rungs);
        let works = places.into_iter().zip(rungs).find(|(_, result)| matches!(result, Some(Ok(()))));
        if let Some((place, _)) = works {
            self.moved_to(place);
        }
    }

    async fn look_for_better(&self, current: usize, source: Source) {
        for place in 0..current {
            if matches!(self.probe(place, Depth::Hello, source).await, Some(Ok(()))) {
                return self.moved_to(place);
            }
        }
    }

    /// Nothing where there was nothing to find out, since mail is on its way there just now.
    async fn probe(&self, place: usize, depth: Depth, source: Source) -> Option<Result<(), Failure>> {
        let (step, whole) = match source {
            Source::HastyProbe => (HASTE, HASTE * 2),
            Source::Probe | Source::Message => (Duration::MAX, PATIENCE),
        };
        let deadline = Instant::now() + whole;
        let probe = Probe { depth, step, deadline, gate: &self.circuit, lifecycle: &self.lifecycle };
        let Probed { result, phases } = self.transport.probe(self.paths.get(place)?, &probe).await?;
        self.time(phases);
        Some(match result {
            Ok(depth) => {
                let stage = if depth == Depth::Login { Stage::Auth } else { Stage::Greeting };
                self.diagnosis.reached(place, stage);
                Ok(())
            }
            Err(failure) => Err(self.diagnosis.failed(place, failure, source)),
        })
    }

    fn login_is_due(&self) -> bool {
        let last = self.circuit.last_entry().max(self.diagnosis.last_taken());
        last.is_none_or(|at| at.elapsed().is_ok_and(|ago| ago > LOGIN_AFTER)) || self.circuit.is_open()
    }

    fn servers(&self) -> impl Iterator<Item = (usize, &Server)> {
        self.paths.all().iter().enumerate().filter_map(|(place, path)| match path {
            Path::Smtp(server) => Some((place, server)),
            Path::Capture => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Tls;

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.into(), port, tls: Tls::StartTls }
    }

    #[test]
    fn hosts_are_asked_only_on_ports_that_they_have_and_never_the_provider_itself() {
        let controls = Controls::parse("smtp.gmail.com, smtp.sendgrid.net,mine.example, web.example:443").unwrap();
        let known = HashMap::from([("smtp.gmail.com", vec![587, 465]), ("smtp.sendgrid.net", vec![587, 2525])]);
        let config = Config { probe_interval: Every::Off, control_hosts: controls };
        let prober = Prober::new(&config, known);
        assert_eq!(
            prober.others(&server("mail.example", 587)),
            ["smtp.gmail.com", "smtp.sendgrid.net", "mine.example"]
        );
        assert_eq!(prober.others(&server("mail.example", 2525)), ["smtp.sendgrid.net", "mine.example"]);
        assert_eq!(prober.others(&server("smtp.gmail.com", 465)), ["mine.example"]);
        assert_eq!(prober.outside(), [("web.example", 443)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_trouble_is_compared_now_and_then_and_another_one_at_once() {
        let config = Config { probe_interval: Every::Off, control_hosts: Controls(Vec::new()) };
        let prober = Prober::new(&config, HashMap::new());
        let (one, other) =
            ((0, Step::Connect, Reason::ConnectionTimeout), (0, Step::Connect, Reason::ConnectionRefused));
        assert!(!prober.is_compared(one, false));
        prober.has_compared(one);
        assert!(prober.is_compared(one, false) && !prober.is_compared(other, false));
        tokio::time::advance(COMPARED_IN_VAIN).await;
        assert!(!prober.is_compared(one, false) && prober.is_compared(one, true));
        tokio::time::advance(COMPARED).await;
        assert!(!prober.is_compared(one, true));
    }

    #[test]
    fn settings_that_can_be_read() {
        assert_eq!(Every::parse("OFF"), Some(Every::Off));
        assert_eq!(Every::parse("5m"), Some(Every::Time(Duration::from_secs(300))));
        assert!(Every::parse("10ms").is_none() && Every::parse("60").is_none());
        assert_eq!(Controls::parse("off"), Some(Controls(Vec::new())));
        assert_eq!(Controls::parse("127.0.0.2:25").unwrap().0[0].port, Some(25));
        for wrong in ["", "a b", "host:0", "host:x", "http://host", "a,,b"] {
            assert!(Controls::parse(wrong).is_none(), "{wrong}");
        }
    }
}
