//! The script: what the provider offers, and where it misbehaves.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::action::{Action, Pace};
use crate::support::certificates::Certificate;

/// The user of [`Script::login`]'s examples and of the faults.
pub const USER: &str = "user@sidepost.test";
/// The password that goes with it.
pub const PASSWORD: &str = "correct horse # $battery";

/// A step of the dialogue at which an [`Action`] can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The connection was accepted and 220 is due.
    Greeting,
    /// EHLO, in clear or under implicit TLS.
    Ehlo,
    /// EHLO after STARTTLS.
    EhloAfterTls,
    /// HELO.
    Helo,
    /// The STARTTLS command.
    StartTls,
    /// The first bytes of a TLS handshake came; what is said now is said in clear.
    Handshake,
    /// The AUTH command.
    Auth,
    /// What the client said to a 334.
    AuthAnswer,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA: its 354.
    Data,
    /// In the content, at [`Script::content_mark`] bytes.
    Content,
    /// A BDAT chunk that is not the last one, after its bytes.
    Chunk,
    /// The content is complete: after `CRLF.CRLF`, or after the chunk marked LAST.
    Final,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// Nothing came for [`Script::idle_after`] between two transactions.
    Idle,
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not at all.
    Never,
    /// After STARTTLS.
    OnCommand(Certificate),
    /// From the first byte.
    Implicit(Certificate),
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// A server.
    Serves,
    /// Connections are refused.
    Refuses,
    /// Connection attempts are never answered, as behind a firewall that drops.
    DropsPackets,
}

/// What comes in clear behind the 220 to STARTTLS, in the same segment (CVE-2021-38371 and its family).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// A whole reply, to be taken for the one to EHLO.
    Reply,
    /// The same with a list of AUTH mechanisms other than the real one.
    Mechanisms,
    /// The same where the real server has no AUTH at all.
    MechanismsOutOfNowhere,
    /// Half a line, to be joined with the first one under TLS.
    HalfALine,
}

/// What happens to a DATA or BDAT without an accepted recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutRecipients {
    /// 503 after a refused MAIL, 554 after refused recipients; the bytes of a chunk are read and thrown away.
    Refuse,
    /// 354 all the same, and 554 to the content. A chunk as above.
    TakeContent,
    /// As the first, but the bytes of a chunk stay, and are read as commands.
    LeaveChunk,
}

/// How much the ledger keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Every content and every command line.
    Everything,
    /// Envelope, Message-ID, length and digest: for hundreds of thousands of messages.
    Summary,
}

/// What the provider does. A new one is a good server without TLS and without login; each method changes one thing.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) listening: Listening,
    pub(super) tls: Tls,
    pub(super) tls12_only: bool,
    pub(super) extensions: Vec<String>,
    pub(super) offers_starttls: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) token: Option<String>,
    pub(super) mechanisms: Vec<String>,
    pub(super) auth_before_tls: bool,
    pub(super) actions: HashMap<Key, Queue>,
    pub(super) pace: Option<Pace>,
    pub(super) group_replies: bool,
    pub(super) latency: (Duration, Duration),
    pub(super) commit_delay: Duration,
    pub(super) content_mark: usize,
    pub(super) read_rate: Option<usize>,
    pub(super) receive_buffer: Option<u32>,
    pub(super) idle_after: Option<Duration>,
    pub(super) messages_per_connection: Option<u32>,
    pub(super) most_connections: Option<usize>,
    pub(super) most_recipients: Option<usize>,
    pub(super) without_recipients: WithoutRecipients,
    pub(super) keep: Keep,
}

/// Where an action stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Step(Step),
    Recipient(String),
}

/// The actions of one step: each used once, then the lasting one.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    next: VecDeque<Action>,
    always: Option<Action>,
}

impl Queue {
    pub(super) fn take(&mut self) -> Option<Action> {
        self.next.pop_front().or_else(|| self.always.clone())
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A good server, in clear, for everybody.
    pub fn new() -> Self {
        let extensions =
            ["PIPELINING", "SIZE 36700160", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "DSN"];
        Self {
            listening: Listening::Serves,
            tls: Tls::Never,
            tls12_only: false,
            extensions: extensions.map(String::from).into(),
            offers_starttls: true,
            user: None,
            password: None,
            token: None,
            mechanisms: Vec::new(),
            auth_before_tls: false,
            actions: HashMap::new(),
            pace: None,
            group_replies: true,
            latency: (Duration::ZERO, Duration::ZERO),
            commit_delay: Duration::ZERO,
            content_mark: 0,
            read_rate: None,
            receive_buffer: None,
            idle_after: None,
            messages_per_connection: None,
            most_connections: None,
            most_recipients: None,
            without_recipients: WithoutRecipients::Refuse,
            keep: Keep::Everything,
        }
    }

    /// A good server as providers are: STARTTLS with a good certificate, then [`USER`] and [`PASSWORD`].
    pub fn secure() -> Self {
        Self::new().starttls(Certificate::Good).login(USER, PASSWORD)
    }

    // === The line ===

    /// Nobody listens: connections are refused.
    pub fn refusing_connections() -> Self {
        Self { listening: Listening::Refuses, ..Self::new() }
    }

    /// Nobody answers: connection attempts run into their own time-out.
    pub fn dropping_packets() -> Self {
        Self { listening: Listening::DropsPackets, ..Self::new() }
    }

    /// STARTTLS with this certificate. Login and mail are refused before it.
    pub fn starttls(mut self, certificate: Certificate) -> Self {
        self.tls = Tls::OnCommand(certificate);
        self
    }

    /// TLS from the first byte.
    pub fn implicit_tls(mut self, certificate: Certificate) -> Self {
        self.tls = Tls::Implicit(certificate);
        self
    }

    /// No TLS 1.3.
    pub fn tls12_only(mut self) -> Self {
        self.tls12_only = true;
        self
    }

    /// Each flight waits this long on its way in, and on its way out.
    pub fn latency(mut self, inward: Duration, outward: Duration) -> Self {
        self.latency = (inward, outward);
        self
    }

    /// Every reply is cut into writes like this.
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = Some(pace);
        self
    }

    /// One write per reply, also for pipelined commands; otherwise they are written together.
    pub fn replies_apart(mut self) -> Self {
        self.group_replies = false;
        self
    }

    /// The kernel's receive buffer, to make the window close early. (A small one is set for a slow reader anyway.)
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    // === What EHLO offers ===

    /// Exactly these, besides STARTTLS and AUTH, which come by themselves where they are configured.
    pub fn extensions(mut self, lines: &[&str]) -> Self {
        self.extensions = lines.iter().map(ToString::to_string).collect();
        self
    }

    /// One more, or the same with another value: `with("SIZE 1000")`.
    pub fn with(self, line: &str) -> Self {
        let mut script = self.without(line.split(' ').next().unwrap_or(line));
        script.extensions.push(line.to_string());
        script
    }

    /// One less. Without STARTTLS in its list, the server tempts: login and mail are taken in clear.
    pub fn without(mut self, keyword: &str) -> Self {
        self.extensions.retain(|line| line.split(' ').next() != Some(keyword));
        self.offers_starttls &= keyword != "STARTTLS";
        self
    }

    // === Login ===

    /// Mail only after AUTH with this user and password; offers PLAIN and LOGIN.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.user = Some(user.to_string());
        self.password = Some(password.to_string());
        self.and_mechanisms(&["PLAIN", "LOGIN"])
    }

    /// Mail only after AUTH with this user and bearer token; offers XOAUTH2 and OAUTHBEARER.
    pub fn token(mut self, user: &str, token: &str) -> Self {
        self.user = Some(user.to_string());
        self.token = Some(token.to_string());
        self.and_mechanisms(&["XOAUTH2", "OAUTHBEARER"])
    }

    fn and_mechanisms(mut self, names: &[&str]) -> Self {
        self.mechanisms.extend(names.iter().map(ToString::to_string));
        self
    }

    /// Exactly these mechanisms are offered; none: AUTH is not offered, and still required.
    pub fn mechanisms(mut self, names: &[&str]) -> Self {
        self.mechanisms = names.iter().map(ToString::to_string).collect();
        self
    }

    /// AUTH is offered and taken before STARTTLS too.
    pub fn auth_before_tls(mut self) -> Self {
        self.auth_before_tls = true;
        self
    }

    // === Misbehaviour ===

    /// At the next occurrence of a step, over all connections. Several wait in line; after them comes the lasting one.
    pub fn on(mut self, step: Step, action: Action) -> Self {
        self.queue(Key::Step(step)).next.push_back(action);
        self
    }

    /// The same for several occurrences.
    pub fn times(self, count: usize, step: Step, action: &Action) -> Self {
        (0..count).fold(self, |script, _| script.on(step, action.clone()))
    }

    /// At every occurrence that has no action of its own.
    pub fn always(mut self, step: Step, action: Action) -> Self {
        self.queue(Key::Step(step)).always = Some(action);
        self
    }

    /// At the next RCPT with this address; goes before [`Step::Rcpt`].
    pub fn on_recipient(mut self, address: &str, action: Action) -> Self {
        self.queue(Key::Recipient(address.to_string())).next.push_back(action);
        self
    }

    /// At every RCPT with this address.
    pub fn always_recipient(mut self, address: &str, action: Action) -> Self {
        self.queue(Key::Recipient(address.to_string())).always = Some(action);
        self
    }

    fn queue(&mut self, key: Key) -> &mut Queue {
        self.actions.entry(key).or_default()
    }

    /// Where in the content [`Step::Content`] is: after this many bytes on the wire.
    pub fn content_mark(mut self, bytes: usize) -> Self {
        self.content_mark = bytes;
        self
    }

    /// Content is read at this many bytes per second.
    pub fn reads_slowly(mut self, bytes_per_second: usize) -> Self {
        self.read_rate = Some(bytes_per_second);
        self.receive_buffer.get_or_insert(4096);
        self
    }

    /// From the last byte of content to the message being held; the client may be gone by then.
    pub fn commit_delay(mut self, wait: Duration) -> Self {
        self.commit_delay = wait;
        self
    }

    /// How long a connection without a transaction may be silent before [`Step::Idle`] happens.
    pub fn idle_after(mut self, wait: Duration) -> Self {
        self.idle_after = Some(wait);
        self
    }

    /// Such a connection gets this every time.
    pub fn idle(self, after: Duration, action: Action) -> Self {
        self.idle_after(after).always(Step::Idle, action)
    }

    /// 421 to the MAIL that comes after this many messages.
    pub fn messages_per_connection(mut self, most: u32) -> Self {
        self.messages_per_connection = Some(most);
        self
    }

    /// 421 instead of a greeting when so many are open already.
    pub fn most_connections(mut self, most: usize) -> Self {
        self.most_connections = Some(most);
        self
    }

    /// 452 4.5.3 to each recipient beyond this number.
    pub fn most_recipients(mut self, most: usize) -> Self {
        self.most_recipients = Some(most);
        self
    }

    /// What happens to content that nobody is to get.
    pub fn without_recipients(mut self, what: WithoutRecipients) -> Self {
        self.without_recipients = what;
        self
    }

    /// Plain text behind the 220 to STARTTLS.
    pub fn inject_after_starttls(self, what: Injection) -> Self {
        let (script, words) = match what {
            Injection::Reply => (self, "250-provider.test\r\n250 HELP\r\n"),
            Injection::Mechanisms => (self, "250-provider.test\r\n250 AUTH PLAIN LOGIN\r\n"),
            Injection::MechanismsOutOfNowhere => {
                (self.mechanisms(&[]), "250-provider.test\r\n250 AUTH PLAIN LOGIN\r\n")
            }
            Injection::HalfALine => (self, "250-provider.test"),
        };
        // The 220 is complete, so the handshake follows for a client that did not notice.
        let action = Action::raw(format!("220 2.0.0 Ready to start TLS\r\n{words}")).taken();
        script.always(Step::StartTls, action)
    }

    /// 334 to AUTH and to whatever is said to it.
    pub fn endless_challenges(self) -> Self {
        self.always(Step::Auth, Action::reply(334, "")).always(Step::AuthAnswer, Action::reply(334, ""))
    }

    /// How much the ledger keeps.
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    // === For the session ===

    pub(super) fn certificate(&self) -> Option<Certificate> {
        match self.tls {
            Tls::Never => None,
            Tls::OnCommand(certificate) | Tls::Implicit(certificate) => Some(certificate),
        }
    }

    pub(super) fn wants_starttls(&self) -> bool {
        matches!(self.tls, Tls::OnCommand(_)) && self.offers_starttls
    }

    pub(super) fn offers(&self, keyword: &str) -> bool {
        self.extensions.iter().any(|line| line.split(' ').next() == Some(keyword))
    }

    /// Whether a MAIL parameter belongs to something that is offered.
    pub(super) fn allows_on_mail(&self, keyword: &str) -> bool {
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => self.offers("SIZE"),
            "BODY" => self.offers("8BITMIME"),
            "SMTPUTF8" => self.offers("SMTPUTF8"),
            "RET" | "ENVID" => self.offers("DSN"),
            "AUTH" => self.user.is_some(),
            _ => false,
        }
    }

    pub(super) fn size_limit(&self) -> Option<usize> {
        let limit = self.extensions.iter().find_map(|line| line.strip_prefix("SIZE ")?.parse().ok());
        limit.filter(|&limit| limit > 0)
    }
}
