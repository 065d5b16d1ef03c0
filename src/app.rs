//! The composition root: bind, build, become ready, serve, drain.
//!
//! Everything is bound before anything is served, so that a port in use ends the process at once, with its address in
//! the sentence; and nothing here waits for the provider, which may be down for reasons of its own.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::config::Config as Settings;
use crate::delivery::Delivery;
use crate::delivery::budget::Budget;
use crate::delivery::probe::Prober;
use crate::ingress::{http, smtp};
use crate::lifecycle::{Lifecycle, Phase};
use crate::message::Ingress;
use crate::net;
use crate::net::http::Limits;
use crate::net::listen::Address;
use crate::net::stream::Listener;
use crate::net::tls::server::ServerTls;
use crate::observe::admin::{self, Admin, Look};
use crate::observe::metrics::Metrics;
use crate::policy::Policy;
use crate::provider::{Path, preset};
use crate::relay::Relay;
use crate::settings;
use crate::transport::Transport;
use crate::transport::capture::Capture;
use crate::transport::smtp::Smtp;

/// What is still said after the time for draining is over: the last answers, written and flushed.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Probes and scrapes; more are turned away.
const MOST_ADMIN_CONNECTIONS: usize = 100;

settings! {
    /// The process' settings.
    pub struct Config {
        /// On SIGTERM: how long what is in flight may take; what is not done then is told so.
        drain_timeout: Duration = "25s",
        /// On SIGTERM: how long new mail is still taken, for an application that is told to end at the same time.
        drain_delay: Duration = "0s",
    }
}

/// Why the process cannot start: a sentence for a person.
#[derive(Debug)]
pub struct StartError(pub String);

/// The running process.
#[derive(Debug)]
pub struct Running {
    /// Where HTTP is served.
    pub http: Vec<Address>,
    /// Where SMTP is served.
    pub smtp: Vec<Address>,
    /// Where LMTP is served.
    pub lmtp: Vec<Address>,
    /// Where SMTP is served under TLS from the first byte.
    pub smtps: Vec<Address>,
    /// Where health and metrics are served.
    pub admin: Vec<Address>,
    /// The provider's name.
    pub provider: Arc<str>,
    lifecycle: Lifecycle,
    admin_lifecycle: Lifecycle,
    ingresses: JoinSet<()>,
    admins: JoinSet<()>,
    config: Config,
}

/// Listeners of each kind.
struct Bound {
    http: Vec<Listener>,
    smtp: Vec<Listener>,
    lmtp: Vec<Listener>,
    smtps: Vec<Listener>,
    admin: Vec<Listener>,
}

/// Builds everything and begins to serve.
///
/// # Errors
/// A listener that cannot be bound, or root certificates that cannot be read.
pub fn start(settings: &Settings) -> Result<Running, StartError> {
    let tls = ServerTls::new(&settings.tls)
        .map_err(|sentence| StartError(format!("no TLS for our listeners: {sentence}")))?;
    let tls = tls.map(Arc::new);
    let bound = Bound::bind(settings).map_err(|error| StartError(error.to_string()))?;
    let lifecycle = Lifecycle::new();
    let host = net::name::host();
    let relay = relay(settings, &host, &lifecycle)?;
    let mut running = Running {
        http: addresses(&bound.http),
        smtp: addresses(&bound.smtp),
        lmtp: addresses(&bound.lmtp),
        smtps: addresses(&bound.smtps),
        admin: addresses(&bound.admin),
        provider: Arc::clone(&settings.provider.name),
        lifecycle,
        admin_lifecycle: Lifecycle::new(),
        ingresses: JoinSet::new(),
        admins: JoinSet::new(),
        config: settings.app.clone(),
    };
    running.serve_admin(bound.admin, &settings.admin, &relay);
    running.serve_http(bound.http, settings, &relay, &host);
    running.serve_smtp([bound.smtp, bound.smtps, bound.lmtp], settings, tls, &relay, &host);
    running.lifecycle.advance(Phase::Serving);
    tokio::spawn(async move { relay.watch().await });
    Ok(running)
}

impl Bound {
    fn bind(settings: &Settings) -> std::io::Result<Self> {
        let net = &settings.net;
        Ok(Self {
            http: settings.http.http_listen.bind(net)?,
            smtp: settings.smtp.smtp_listen.bind(net)?,
            lmtp: settings.smtp.lmtp_listen.bind(net)?,
            smtps: settings.smtp.smtps_listen.bind(net)?,
            admin: settings.admin.admin_listen.bind(net)?,
        })
    }
}

/// The relay with all that is below it.
///
/// # Errors
/// Root certificates that cannot be read.
pub fn relay(settings: &Settings, host: &str, lifecycle: &Lifecycle) -> Result<Arc<Relay>, StartError> {
    let labels: Vec<_> = settings.provider.paths.iter().map(ToString::to_string).collect();
    let metrics = Metrics::new(&labels, &Ingress::ALL.map(Ingress::label));
    let metrics = Arc::new(metrics.map_err(|error| StartError(error.to_string()))?);
    let transport = transport(settings, host).map_err(StartError)?;
    let prober = Prober::new(&settings.probe, preset::listening());
    let provider = &settings.provider;
    let delivery =
        Delivery::new(&settings.delivery, provider, transport, prober, Arc::clone(&metrics), lifecycle.watch());
    let budget = Budget::new(settings.delivery.max_in_flight, settings.delivery.max_in_flight_bytes.0);
    let identity = identity(settings, host);
    let policy = Policy::new(&settings.policy, &identity.iter().map(String::as_str).collect::<Vec<_>>());
    let signer = settings.dkim.signer().map_err(unusable)?;
    Ok(Arc::new(Relay::new(policy, delivery, budget, metrics, lifecycle.watch()).signing(signer)))
}

/// Keys were read once when the settings were checked, so this is rare: they changed in between.
fn unusable(mistakes: Vec<(&str, String)>) -> StartError {
    StartError(mistakes.into_iter().map(|(name, why)| format!("SIDEPOST_{name}: {why}")).collect::<Vec<_>>().join("\n"))
}

/// What replicas have in common, and other Sideposts have not. A login that is no address may be the same for all
/// customers of a provider, or a secret; then the sender or the host stands for whose it is.
fn identity(settings: &Settings, host: &str) -> Vec<String> {
    let paths = settings.provider.paths.iter().map(|path| match path {
        Path::Capture => String::new(),
        Path::Smtp(server) => format!("{} {path}", server.host),
    });
    let account = settings.provider.credentials.as_ref().map(|credentials| credentials.username.clone());
    let account = account.filter(|name| name.contains('@'));
    let sender = settings.policy.from.as_ref().map(|from| from.address().to_string());
    let whose = account.or(sender).unwrap_or_else(|| host.to_owned());
    [settings.provider.name.to_string(), whose].into_iter().chain(paths).collect()
}

fn transport(settings: &Settings, host: &str) -> Result<Transport, String> {
    if settings.provider.paths.contains(&Path::Capture) {
        return Ok(Transport::Capture(Capture::new(&settings.capture)));
    }
    let roots: Vec<PathBuf> = settings.client.ca_file.iter().chain(&settings.system_roots).cloned().collect();
    let smtp = Smtp::new(Arc::new(settings.provider.clone()), &settings.client, host, &roots)?;
    Ok(Transport::Smtp(Box::new(smtp)))
}

fn addresses(listeners: &[Listener]) -> Vec<Address> {
    listeners.iter().filter_map(|listener| listener.address().ok()).collect()
}

impl Running {
    fn serve_admin(&mut self, listeners: Vec<Listener>, config: &admin::Config, relay: &Arc<Relay>) {
        let metrics = Arc::clone(relay.metrics());
        let diagnosis = Arc::clone(relay.diagnosis());
        let asked = Arc::clone(relay);
        let tokens = Arc::new(move || asked.token_news());
        let relay = Arc::clone(relay);
        let look = move || Look { snapshot: relay.snapshot(), is_full: relay.is_full(), is_probed: relay.is_probed() };
        let (rules, started, lifecycle) = (config.clone(), Instant::now(), self.lifecycle.watch());
        let look = Arc::new(look);
        let router = admin::router(Admin { metrics, diagnosis, tokens, rules, started, lifecycle, look });
        let limits = Limits::new(MOST_ADMIN_CONNECTIONS);
        // Health must be seen to the very end, so these listeners do not drain with the others.
        for listener in listeners {
            self.admins.spawn(net::http::serve(listener, router.clone(), self.admin_lifecycle.watch(), limits.clone()));
        }
    }

    fn serve_http(&mut self, listeners: Vec<Listener>, settings: &Settings, relay: &Arc<Relay>, host: &str) {
        let rules = settings.clients.allowed_clients.clone();
        let clients: http::Clients = Arc::new(move |client| rules.allows(client));
        let router = http::router(&settings.http, Arc::clone(relay), clients, host.to_owned());
        let limits = Limits::new(settings.http.http_connections).counted(Arc::clone(relay.metrics()));
        for listener in listeners {
            self.ingresses.spawn(net::http::serve(listener, router.clone(), self.lifecycle.watch(), limits.clone()));
        }
    }

    fn serve_smtp(
        &mut self,
        [plain, secure, lmtp]: [Vec<Listener>; 3],
        settings: &Settings,
        tls: Option<Arc<ServerTls>>,
        relay: &Arc<Relay>,
        host: &str,
    ) {
        if let Some(tls) = &tls {
            tokio::spawn(Arc::clone(tls).follow(Arc::clone(relay.metrics()), self.lifecycle.watch()));
        }
        if tls.is_none() && settings.smtp.smtp_users.is_some() && settings.smtp.smtp_listen.is_remote() {
            tracing::warn!("without SIDEPOST_TLS_CERT_FILE only clients on this host can log in over SMTP");
        }
        let clients = settings.clients.allowed_clients.clone();
        let server = smtp::Server::new(settings.smtp.clone(), clients, host.to_owned(), tls, Arc::clone(relay));
        for listener in plain {
            self.ingresses.spawn(Arc::clone(&server).serve(listener));
        }
        for listener in secure {
            self.ingresses.spawn(Arc::clone(&server).serve_tls(listener));
        }
        for listener in lmtp {
            self.ingresses.spawn(server.for_lmtp().serve(listener));
        }
    }

    /// Takes no more mail, lets what is in flight finish, tells the rest, and returns.
    ///
    /// `hurry` ends the waiting.
    pub async fn drain(mut self, hurry: impl Future<Output = ()>) {
        let mut hurry = pin!(hurry);
        let quiet = async {
            sleep(self.config.drain_delay).await;
            self.lifecycle.advance(Phase::Draining);
            let _ = timeout(self.config.drain_timeout, join_all(&mut self.ingresses)).await;
        };
        tokio::select! {
            () = quiet => {}
            () = &mut hurry => {}
        }
        self.lifecycle.advance(Phase::Ending);
        let _ = timeout(LAST_ANSWERS, join_all(&mut self.ingresses)).await;
        self.admins.shutdown().await;
    }
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}
