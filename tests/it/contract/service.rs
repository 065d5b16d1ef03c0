//! The application under test, with a provider that says what a case wants it to say.

use std::net::SocketAddr;

use sidepost::app::{self, Running};
use sidepost::config::Config;

use crate::support::provider::{Action, Provider, Script, Step, USER};

/// The largest message; more than the largest header.
pub const MAX_MESSAGE_BYTES: usize = 300 * 1024;
pub const MAX_RECIPIENTS: usize = 5;

/// What the provider does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Says {
    #[default]
    Takes,
    /// Takes it for the first recipient and refuses the others.
    TakesForOne,
    RefusesContent,
    RefusesLogin,
    RefusesSender,
    LacksStartTls,
    SpeaksHttp,
    IsOverrun,
    IsBusy,
    IsNotThere,
    /// Takes the content and answers nothing.
    HangsUp,
}

impl Says {
    fn script(self) -> Script {
        let script = Script::new();
        match self {
            Self::Takes | Self::LacksStartTls => script,
            Self::TakesForOne => {
                script.on(Step::Rcpt, Action::good()).always(Step::Rcpt, Action::reply(550, "5.1.1 User unknown"))
            }
            Self::RefusesContent => script.always(Step::Final, Action::reply(554, "5.7.1 Not this")),
            Self::RefusesLogin => Script::secure().always(Step::Auth, Action::reply(535, "5.7.8 No")),
            Self::RefusesSender => script.always(Step::Mail, Action::reply(553, "5.7.1 Not you")),
            Self::SpeaksHttp => script.always(Step::Greeting, Action::http()),
            Self::IsOverrun => script.always(Step::Mail, Action::reply(421, "4.7.0 Too many messages")),
            Self::IsBusy => script.always(Step::Data, Action::reply(451, "4.3.0 Not now")).without("CHUNKING"),
            Self::IsNotThere => Script::refusing_connections(),
            Self::HangsUp => script.always(Step::Final, Action::close().taken()),
        }
    }

    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::RefusesLogin => &[("USERNAME", USER), ("PASSWORD", "wrong"), ("TLS", "starttls")],
            Self::LacksStartTls => &[("TLS", "starttls")],
            Self::Takes
            | Self::TakesForOne
            | Self::RefusesContent
            | Self::RefusesSender
            | Self::SpeaksHttp
            | Self::IsOverrun
            | Self::IsBusy
            | Self::IsNotThere
            | Self::HangsUp => &[("TLS", "none")],
        }
    }
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub says: Says,
    pub token: Option<&'static str>,
    pub hosts: Option<&'static str>,
    pub from: Option<&'static str>,
    /// Variables of the policy, and their values.
    pub rules: &'static [(&'static str, &'static str)],
    pub admits_clients: bool,
    pub keeps_messages: bool,
    pub in_flight: usize,
    pub connections: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            says: Says::Takes,
            token: None,
            hosts: None,
            from: None,
            rules: &[],
            admits_clients: true,
            keeps_messages: true,
            in_flight: 100,
            connections: 100,
        }
    }
}

pub struct Service {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    running: Option<Running>,
    _provider: Option<Provider>,
}

impl Service {
    pub fn start(setup: &Setup) -> Self {
        let mut settings = vec![
            ("HTTP_LISTEN", "127.0.0.1:0".to_owned()),
            ("SMTP_LISTEN", "off".to_owned()),
            ("ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MAX_MESSAGE_BYTES", MAX_MESSAGE_BYTES.to_string()),
            ("MAX_RECIPIENTS", MAX_RECIPIENTS.to_string()),
            ("MAX_IN_FLIGHT", setup.in_flight.to_string()),
            ("HTTP_CONNECTIONS", setup.connections.to_string()),
            ("SEND_TIMEOUT", "300ms".to_owned()),
            ("RETRY_FIRST", "20ms".to_owned()),
        ];
        let given = [("API_TOKEN", setup.token), ("ALLOWED_HOSTS", setup.hosts), ("FROM", setup.from)];
        settings.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))));
        settings.extend(setup.rules.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if !setup.admits_clients {
            settings.push(("ALLOWED_CLIENTS", "192.0.2.1".to_owned()));
        }
        let provider =
            (setup.says != Says::Takes || !setup.keeps_messages).then(|| Provider::start(setup.says.script()));
        settings.extend(provider.iter().flat_map(|provider| through(provider, setup.says)));
        let variables = settings.into_iter().map(|(name, value)| (format!("SIDEPOST_{name}").into(), value.into()));
        let config = Config::from_variables(variables).expect("settings that work");
        let running = app::start(&config).expect("a start");
        let [address, admin] = [&running.http, &running.admin].map(|addresses| addresses[0].tcp().expect("a port"));
        Self { address, admin, running: Some(running), _provider: provider }
    }

    pub fn drain(&mut self) {
        if let Some(running) = self.running.take() {
            tokio::spawn(running.drain(std::future::pending()));
        }
    }
}

fn through(provider: &Provider, says: Says) -> Vec<(&'static str, String)> {
    let authority = crate::support::certificates::Certificates::new().ca_file().display().to_string();
    let own = says.settings().iter().map(|(name, value)| (*name, (*value).to_owned()));
    [
        ("PROVIDER", "smtp".to_owned()),
        ("HOST", "localhost".to_owned()),
        ("PORT", provider.addr.port().to_string()),
        ("CA_FILE", authority),
        ("PROBE_INTERVAL", "off".to_owned()),
        ("CONTROL_HOSTS", "off".to_owned()),
    ]
    .into_iter()
    .chain(own)
    .collect()
}
