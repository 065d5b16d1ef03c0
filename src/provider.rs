//! Where mail leaves: who the provider is, by which paths it is reached, and how we log in.

pub mod config;
pub mod preset;

use std::fmt;
use std::sync::Arc;

use crate::config::secret::Secret;
use crate::oauth::Grant;
use crate::outcome::Cause;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tls {
    /// STARTTLS, required: without it nothing is sent.
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// None at all; only ever by the setting that says so.
    None,
}

crate::words!(Tls, "`starttls`, `implicit` or `none`",
    "starttls" => Self::StartTls, "implicit" => Self::Implicit, "none" => Self::None);

/// One way to the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// An SMTP submission server.
    Smtp(Server),
    /// Our own memory.
    Capture,
}

/// A submission server: a name, a port, and how the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its name, or an IP address.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
}

impl Path {
    /// The host that it leads to, if it leaves this process.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Smtp(server) => Some(&server.host),
            Self::Capture => None,
        }
    }
}

/// As in answers, logs and metric labels: `smtp:587 starttls`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp(Server { port, tls, .. }) => write!(f, "smtp:{port} {tls}"),
            Self::Capture => f.write_str("capture"),
        }
    }
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartTls => "starttls",
            Self::Implicit => "implicit",
            Self::None => "none",
        })
    }
}

/// The other end of a path, as sentences name it: `sendgrid (smtp.sendgrid.net:587)`.
#[derive(Clone, Debug)]
pub struct Link {
    /// The preset's name.
    pub provider: Arc<str>,
    /// The server's name.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// What to do when the login is refused.
    pub login_refused: &'static Cause,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.provider, self.host, self.port)
    }
}

/// How to log in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The login name.
    pub username: String,
    /// What shows that it is us.
    pub proof: Proof,
    /// The only mechanism to use, where one was named.
    pub mechanism: Mechanism,
}

/// What shows that it is us.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A password or key.
    Password(Secret),
    /// Tokens, which are fetched with this.
    Token(Arc<Grant>),
}

/// Which SASL mechanism to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN where it is offered, LOGIN otherwise; with tokens XOAUTH2, OAUTHBEARER otherwise.
    Auto,
    /// RFC 4616.
    Plain,
    /// The old mechanism that some servers offer alone.
    Login,
    /// Google's and Microsoft's own way to show a token.
    Xoauth2,
    /// RFC 7628.
    OauthBearer,
    /// No login, even if credentials are set.
    None,
}

crate::words!(Mechanism, "`auto`, `plain`, `login`, `xoauth2`, `oauthbearer` or `none`",
    "auto" => Self::Auto, "plain" => Self::Plain, "login" => Self::Login, "xoauth2" => Self::Xoauth2,
    "oauthbearer" => Self::OauthBearer, "none" => Self::None);

/// The provider in force.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The preset's name.
    pub name: Arc<str>,
    /// The ways to it, the best first; at least one.
    pub paths: Vec<Path>,
    /// How to log in, if it wants that.
    pub credentials: Option<Credentials>,
    /// What to do when the login is refused.
    pub login_refused: &'static Cause,
}

impl Provider {
    /// Its SMTP servers, the best first.
    #[must_use]
    pub fn servers(&self) -> Vec<Server> {
        let server = |path: &Path| match path {
            Path::Smtp(server) => Some(server.clone()),
            Path::Capture => None,
        };
        self.paths.iter().filter_map(server).collect()
    }

    /// One of its servers as sentences name it.
    #[must_use]
    pub fn link(&self, server: &Server) -> Link {
        Link {
            provider: Arc::clone(&self.name),
            host: Arc::clone(&server.host),
            port: server.port,
            login_refused: self.login_refused,
        }
    }
}
