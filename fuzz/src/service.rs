//! The service in this process, with `capture` for a provider: what is taken stays in memory, to be looked at.

use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

use sidepost::app;
use sidepost::config::Config;
use sidepost::lifecycle::{Lifecycle, Phase};
use sidepost::relay::Relay;
use sidepost::transport::capture::Captured;
use tokio::runtime::{Builder, Runtime};

/// How we name ourselves.
pub const HOST: &str = "us.test";
/// The largest message.
pub const MOST_BYTES: usize = 20_000;
/// The most recipients.
pub const MOST_RECIPIENTS: usize = 3;

/// A relay, and the settings it was made from.
pub struct Service {
    /// The settings.
    pub config: Config,
    /// The relay.
    pub relay: Arc<Relay>,
    /// A lifecycle that is gone is over.
    _lifecycle: Lifecycle,
}

/// The one service of this process.
pub fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let variables = [
            ("MAX_MESSAGE_BYTES", MOST_BYTES.to_string()),
            ("MAX_RECIPIENTS", MOST_RECIPIENTS.to_string()),
            ("CAPTURE_BYTES", "1MiB".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (OsString::from(format!("SIDEPOST_{name}")), value.into()));
        let config = Config::from_variables(variables).expect("good settings");
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Serving);
        let relay = app::relay(&config, HOST, &lifecycle).map_err(|error| error.0).expect("a relay");
        Service { config, relay, _lifecycle: lifecycle }
    })
}

/// The latest messages that the provider took, the oldest first.
pub fn taken(count: usize) -> Vec<Arc<Captured>> {
    let mut latest = service().relay.captured().expect("the provider is `capture`").latest(count);
    latest.reverse();
    latest
}

/// A runtime on this thread whose clock stands still until everybody waits: no input costs real time.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}
