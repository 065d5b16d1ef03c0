//! Who may send mail over a connection: logins with AUTH PLAIN and LOGIN (RFC 4954, RFC 4616), and client certificates.
//! No bytes, no clock.
//!
//! A password never travels in plain over a network: AUTH is offered under TLS and to this host only.

mod sasl;
mod users;

pub use sasl::Exchange;
pub use users::Users;

use super::reply::Reply;
use crate::outcome::EnhancedCode;

/// The longest line of an AUTH exchange, its CRLF included (RFC 4954 section 4).
pub const LONGEST_LINE: usize = 12_288;
/// The label for what is refused for want of a login.
pub const UNAUTHORIZED: &str = "unauthorized";
/// Logins refused before the connection ends.
const MOST_FAILURES: usize = 3;

const SEQUENCE: EnhancedCode = EnhancedCode(5, 5, 1);
const ACCEPTED: Reply = Reply::new(235, EnhancedCode(2, 7, 0), "Authenticated");
const REFUSED: Reply = Reply::new(535, EnhancedCode(5, 7, 8), "User name or password is not in SIDEPOST_SMTP_USERS");
const TOO_MANY_FAILURES: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "Too many refused logins");
const CANCELLED: Reply = Reply::new(501, EnhancedCode(5, 7, 0), "Cancelled, as you asked");
const TOO_LONG: Reply = Reply::new(500, EnhancedCode(5, 5, 6), "The line is too long for AUTH");
const NOT_OFFERED: Reply = Reply::new(502, SEQUENCE, "AUTH is not offered: SIDEPOST_SMTP_USERS is not set");
const NOT_IN_PLAIN: Reply = Reply::new(538, EnhancedCode(5, 7, 11), "AUTH needs TLS here");
const ALREADY: Reply = Reply::new(503, SEQUENCE, "You are authenticated already");
const UNKNOWN_MECHANISM: Reply = Reply::new(504, EnhancedCode(5, 5, 4), "AUTH PLAIN and AUTH LOGIN are known");
const LOGIN_FIRST: Reply = Reply::new(530, EnhancedCode(5, 7, 0), "Authentication is required: send AUTH first");
const TLS_FIRST: Reply = Reply::new(530, EnhancedCode(5, 7, 0), "Authentication is required, and it needs TLS here");
const CERTIFICATE_FIRST: Reply =
    Reply::new(530, EnhancedCode(5, 7, 0), "A TLS certificate of SIDEPOST_TLS_CLIENT_CA_FILE is required");

/// What holds for every connection.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whether there is a certificate to start TLS with.
    pub tls: bool,
    /// Who may log in.
    pub users: Option<Users>,
    /// Whether certificates of clients are asked for.
    pub certificates: bool,
}

/// What is known of a connection by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Channel {
    /// It comes from this host.
    pub local: bool,
    /// It is under TLS.
    pub secure: bool,
    /// The client showed a valid certificate.
    pub certified: bool,
}

/// Where one connection stands.
#[derive(Debug, Default)]
pub struct Gate {
    channel: Channel,
    authenticated: bool,
    failures: usize,
    exchange: Option<Exchange>,
}

impl Gate {
    /// The channel changes, and with it goes what the client said before (RFC 3207 section 4.2).
    pub fn begin(&mut self, channel: Channel) {
        (self.channel, self.authenticated, self.exchange) = (channel, false, None);
    }

    /// Whether the connection is under TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.channel.secure
    }

    /// Whether the next line is the client's answer to a challenge.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.exchange.is_some()
    }

    /// What EHLO announces.
    #[must_use]
    pub fn keywords(&self, access: &Access) -> Vec<&'static str> {
        let starttls = (access.tls && !self.channel.secure).then_some("STARTTLS");
        let auth = (access.users.is_some() && self.is_private()).then_some("AUTH PLAIN LOGIN");
        starttls.into_iter().chain(auth).collect()
    }

    /// A password can be sent without others reading it.
    fn is_private(&self) -> bool {
        self.channel.secure || self.channel.local
    }

    /// Why no mail is taken from this client yet.
    #[must_use]
    pub fn refusal(&self, access: &Access) -> Option<Reply> {
        let needed = access.users.is_some() || access.certificates;
        if !needed || self.authenticated || self.channel.certified {
            return None;
        }
        Some(match access.users {
            None => CERTIFICATE_FIRST,
            Some(_) if self.is_private() => LOGIN_FIRST,
            Some(_) => TLS_FIRST,
        })
    }

    /// AUTH with its arguments, at a place where it may come.
    pub fn auth(&mut self, access: &Access, argument: &str) -> Reply {
        let (mechanism, initial) = argument.split_once(' ').map_or((argument, None), |(name, text)| (name, Some(text)));
        if access.users.is_none() {
            return NOT_OFFERED;
        }
        if !self.is_private() {
            return NOT_IN_PLAIN;
        }
        if self.authenticated {
            return ALREADY;
        }
        let Some(exchange) = Exchange::new(mechanism) else { return UNKNOWN_MECHANISM };
        self.exchange = Some(exchange);
        match initial {
            None => self.challenge(),
            // An empty initial response (RFC 4954 section 4).
            Some("=") => self.respond(access, b""),
            Some(initial) => self.respond(access, initial.trim_start_matches(' ').as_bytes()),
        }
    }

    fn challenge(&self) -> Reply {
        self.exchange.as_ref().map_or(CANCELLED, Exchange::challenge)
    }

    /// The answer to a challenge, without its CRLF.
    pub fn respond(&mut self, access: &Access, line: &[u8]) -> Reply {
        let Some(mut exchange) = self.exchange.take() else { return CANCELLED };
        if line == b"*" {
            return CANCELLED;
        }
        match exchange.take(line) {
            Err(reply) => reply,
            Ok(None) => {
                self.exchange = Some(exchange);
                self.challenge()
            }
            Ok(Some(login)) => {
                let known = access.users.as_ref().is_some_and(|users| users.contain(&login.user, &login.password));
                self.judged(known)
            }
        }
    }

    /// The answer was longer than any may be.
    pub fn refuse_long(&mut self) -> Reply {
        self.exchange = None;
        TOO_LONG
    }

    fn judged(&mut self, known: bool) -> Reply {
        self.authenticated = known;
        self.failures += usize::from(!known);
        match (known, self.failures) {
            (true, _) => ACCEPTED,
            (false, MOST_FAILURES..) => TOO_MANY_FAILURES,
            (false, _) => REFUSED,
        }
    }

    /// The end of the protocol's name in a Received header (RFC 3848): S for TLS, A for AUTH.
    #[must_use]
    pub fn suffix(&self) -> &'static str {
        match (self.channel.secure, self.authenticated) {
            (false, false) => "",
            (false, true) => "A",
            (true, false) => "S",
            (true, true) => "SA",
        }
    }
}

#[cfg(test)]
mod tests;
