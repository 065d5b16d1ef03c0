//! AUTH: PLAIN, LOGIN, XOAUTH2 and OAUTHBEARER, checked against the script.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::action::{Action, Say};
use super::ledger::Login;
use super::script::Step;
use super::session::Session;
use super::wire::Turn;

const WELCOME: &str = "235 2.7.0 Authentication successful\r\n";
const REFUSED: &str = "535 5.7.8 Error: authentication failed: (reason unavailable)\r\n";
const MALFORMED: &str = "501 5.5.2 Error: malformed authentication data\r\n";

/// What came of an exchange.
#[derive(Debug)]
enum Exchange {
    /// The credentials that were shown, and whether they are right.
    Shown { user: String, right: bool },
    /// They could not be read, or the client gave up.
    Malformed,
    /// The script answers instead.
    Scripted(Action),
}

impl Session {
    pub(super) async fn auth(&mut self, arguments: &str) -> Turn {
        let clear = !self.wire.is_tls();
        self.shared.ledger.count(|counts| counts.auths_in_clear += usize::from(clear));
        let (mechanism, initial) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let mechanism = mechanism.to_ascii_uppercase();
        let action = self.action(Step::Auth).unwrap_or_default();
        let exchange = match (&action.say, self.judge_auth(&mechanism)) {
            (Say::Good, Some(refusal)) => return self.perform(&action, refusal.as_bytes()).await.map(|_| ()),
            (Say::Good, None) => self.exchange(&mechanism, initial).await,
            (Say::Bytes(_) | Say::Endless(_), _) => self.scripted(action.clone()).await,
        };
        let exchange = exchange.inspect_err(|_| self.enter(&mechanism, String::new(), false))?;
        self.conclude(action, &mechanism, exchange).await
    }

    fn judge_auth(&self, mechanism: &str) -> Option<&'static str> {
        let script = &self.running.script;
        if script.mechanisms.is_empty() {
            return Some("502 5.5.1 Error: authentication not enabled\r\n");
        }
        if self.must_starttls_before_auth() {
            return Some("530 5.7.0 Must issue a STARTTLS command first\r\n");
        }
        if self.user.is_some() {
            return Some("503 5.5.1 Error: already authenticated\r\n");
        }
        let known = script.mechanisms.iter().any(|own| own.eq_ignore_ascii_case(mechanism));
        (!known).then_some("504 5.5.4 Error: mechanism not supported\r\n")
    }

    async fn conclude(&mut self, action: Action, mechanism: &str, exchange: Exchange) -> Turn {
        let nobody = String::new();
        let (user, reply, action) = match exchange {
            Exchange::Shown { user, right: true } => (user, WELCOME, action),
            Exchange::Shown { user, right: false } => (user, REFUSED, action),
            Exchange::Malformed => (nobody, MALFORMED, action),
            Exchange::Scripted(action) => (nobody, REFUSED, action),
        };
        let accepted = action.succeeds(reply.as_bytes());
        self.enter(mechanism, user.clone(), accepted);
        self.user = accepted.then_some(user);
        self.perform(&action, reply.as_bytes()).await.map(|_| ())
    }

    /// A login that was cut off is one all the same.
    fn enter(&self, mechanism: &str, user: String, accepted: bool) {
        let (connection, mechanism, tls) = (self.number, mechanism.to_string(), self.wire.is_tls());
        self.shared.ledger.login(Login { connection, mechanism, user, accepted, tls });
    }

    /// The script steps in. A 334 of its own is said at once, and leads to the next action.
    async fn scripted(&mut self, mut action: Action) -> Turn<Exchange> {
        while action.words(b"").starts_with(b"334") {
            self.perform(&action, b"").await?;
            self.answer().await?;
            action = self.action(Step::AuthAnswer).unwrap_or_default();
        }
        Ok(Exchange::Scripted(action))
    }

    async fn exchange(&mut self, mechanism: &str, initial: &str) -> Turn<Exchange> {
        match mechanism {
            "PLAIN" => self.plain(initial).await,
            "LOGIN" => self.login(initial).await,
            "XOAUTH2" => self.bearer(initial, r#"{"status":"401","schemes":"bearer","scope":"mail"}"#).await,
            "OAUTHBEARER" => self.bearer(initial, r#"{"status":"invalid_token"}"#).await,
            // Offered to confuse; nobody can pass it.
            _ => self.ask("PDEyMzQuNTY3OEBwcm92aWRlci50ZXN0Pg==").await.map(|answer| match answer {
                Ok(_) => Exchange::Shown { user: String::new(), right: false },
                Err(exchange) => exchange,
            }),
        }
    }

    async fn plain(&mut self, initial: &str) -> Turn<Exchange> {
        let shown = match self.initial_or_ask(initial, "").await? {
            Ok(shown) => shown,
            Err(exchange) => return Ok(exchange),
        };
        let mut parts = shown.splitn(3, |&byte| byte == 0);
        let (Some(_), Some(user), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(Exchange::Malformed);
        };
        Ok(self.check(user, password))
    }

    async fn login(&mut self, initial: &str) -> Turn<Exchange> {
        let user = match self.initial_or_ask(initial, "VXNlcm5hbWU6").await? {
            Ok(user) => user,
            Err(exchange) => return Ok(exchange),
        };
        Ok(match self.ask("UGFzc3dvcmQ6").await? {
            Ok(password) => self.check(&user, &password),
            Err(exchange) => exchange,
        })
    }

    async fn bearer(&mut self, initial: &str, error: &str) -> Turn<Exchange> {
        let shown = match self.initial_or_ask(initial, "").await? {
            Ok(shown) => String::from_utf8_lossy(&shown).into_owned(),
            Err(exchange) => return Ok(exchange),
        };
        let Some((user, token)) = user_and_token(&shown) else { return Ok(Exchange::Malformed) };
        let script = &self.running.script;
        let right = script.token.as_deref() == Some(token) && script.user.as_deref() == Some(user);
        let exchange = Exchange::Shown { user: user.to_string(), right };
        if right {
            return Ok(exchange);
        }
        // The error comes as a challenge, and is to be answered with nothing (XOAUTH2) or 0x01 (OAUTHBEARER).
        Ok(match self.ask(&STANDARD.encode(error)).await? {
            Err(scripted @ Exchange::Scripted(_)) => scripted,
            Ok(_) | Err(_) => exchange,
        })
    }

    fn check(&self, user: &[u8], password: &[u8]) -> Exchange {
        let script = &self.running.script;
        let is = |own: &Option<String>, shown: &[u8]| own.as_ref().is_some_and(|own| own.as_bytes() == shown);
        let right = is(&script.user, user) && is(&script.password, password);
        Exchange::Shown { user: String::from_utf8_lossy(user).into_owned(), right }
    }

    async fn initial_or_ask(&mut self, initial: &str, challenge: &str) -> Turn<Result<Vec<u8>, Exchange>> {
        match initial {
            "" => self.ask(challenge).await,
            "=" => Ok(Ok(Vec::new())),
            _ => Ok(STANDARD.decode(initial).map_err(|_| Exchange::Malformed)),
        }
    }

    /// A challenge and what the client says to it, unless the script steps in.
    async fn ask(&mut self, challenge: &str) -> Turn<Result<Vec<u8>, Exchange>> {
        self.say(format!("334 {challenge}\r\n").as_bytes()).await?;
        let line = self.answer().await?;
        match self.action(Step::AuthAnswer) {
            None => Ok(STANDARD.decode(line).map_err(|_| Exchange::Malformed)),
            Some(action) => self.scripted(action).await.map(Err),
        }
    }
}

/// From `user=U^Aauth=Bearer T^A^A` or `n,a=U,^A...auth=Bearer T^A^A`.
fn user_and_token(shown: &str) -> Option<(&str, &str)> {
    let user = shown
        .strip_prefix("user=")
        .map(|rest| rest.split('\u{1}').next().unwrap_or(rest))
        .or_else(|| shown.strip_prefix("n,a=")?.split(',').next())?;
    let token = shown.split('\u{1}').find_map(|part| part.strip_prefix("auth=Bearer "))?;
    Some((user, token))
}
