//! One connection's dialogue: a good server, with the script asked at every step.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::action::{Action, Pace, Say, Then, multiline};
use super::ledger::{Command, End, Fate, TlsState};
use super::path::{self, Path};
use super::script::{Step, Tls};
use super::transaction::Transaction;
use super::wire::{Turn, Wire, sleep_if};
use super::{Running, Shared};

/// A command line longer than this is no command.
const LONGEST_LINE: usize = 64 << 10;
/// Enough for a read that nobody limits.
const ANY: usize = usize::MAX;

const TLS_FIRST: &str = "530 5.7.0 Must issue a STARTTLS command first\r\n";
const LOGIN_FIRST: &str = "530 5.7.0 Authentication required\r\n";
const OK: &str = "250 2.0.0 Ok\r\n";

#[derive(Debug)]
pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) shared: Arc<Shared>,
    /// The script in force since the last command.
    pub(super) running: Arc<Running>,
    pub(super) number: usize,
    pub(super) user: Option<String>,
    pub(super) transaction: Option<Transaction>,
    pub(super) mail_refused: bool,
    pub(super) messages: u32,
    end: End,
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let mut session = Session::new(Wire::new(stream), peer, shared);
    let Err(end) = session.converse().await;
    session.end = end;
}

/// Also when the provider is stopped in the middle: the books are closed in any case.
impl Drop for Session {
    fn drop(&mut self) {
        self.abandon();
        self.shared.ledger.close(self.number, self.wire.flights, self.end);
    }
}

impl Session {
    fn new(wire: Wire, peer: SocketAddr, shared: Arc<Shared>) -> Self {
        let number = shared.ledger.open(peer);
        let running = shared.running();
        Self {
            wire,
            shared,
            running,
            number,
            user: None,
            transaction: None,
            mail_refused: false,
            messages: 0,
            end: End::Stopped,
        }
    }

    async fn converse(&mut self) -> Turn<Infallible> {
        self.wire.latency = self.running.script.latency;
        if matches!(self.running.script.tls, Tls::Implicit(_)) {
            self.handshake().await?;
        }
        self.greet().await?;
        loop {
            let line = self.command().await?;
            self.obey(&line).await?;
        }
    }

    async fn greet(&mut self) -> Turn {
        let action = self.action(Step::Greeting).unwrap_or_else(|| self.greeting());
        sleep_if(action.wait).await;
        self.wire.read_what_is_there().await?;
        self.shared.ledger.count(|counts| counts.talked_early += usize::from(!self.wire.input.is_empty()));
        let action = action.after(Duration::ZERO);
        self.perform(&action, b"220 provider.test ESMTP ready\r\n").await?;
        Ok(())
    }

    fn greeting(&self) -> Action {
        let open = self.shared.ledger.counts().open;
        match self.running.script.most_connections {
            Some(most) if open > most => Action::reply(421, "4.7.0 Too many connections").then_close(),
            _ => Action::good(),
        }
    }

    // === Commands ===

    async fn command(&mut self) -> Turn<String> {
        let line = loop {
            if let Some(line) = self.buffered_line()? {
                break line;
            }
            self.flush().await?;
            self.await_input().await?;
        };
        self.running = self.shared.running();
        let command = Command {
            connection: self.number,
            at: Instant::now(),
            line: line.clone(),
            tls: self.wire.is_tls(),
            flight: self.wire.flights,
            behind: self.wire.input.len(),
        };
        self.shared.ledger.command(command, self.running.script.keep);
        Ok(line)
    }

    /// The answer to a challenge: a line that is no command.
    pub(super) async fn answer(&mut self) -> Turn<String> {
        loop {
            if let Some(line) = self.buffered_line()? {
                self.shared.ledger.count(|counts| counts.auth_answers += 1);
                return Ok(line);
            }
            self.flush().await?;
            self.wire.read(ANY).await?;
            self.wire.begin_flight().await?;
        }
    }

    fn buffered_line(&mut self) -> Turn<Option<String>> {
        let Some(end) = memchr::memchr(b'\n', &self.wire.input) else {
            return if self.wire.input.len() > LONGEST_LINE { Err(End::Provider) } else { Ok(None) };
        };
        let line = self.wire.input.split_to(end + 1);
        let bare = !line.ends_with(b"\r\n");
        self.shared.ledger.count(|counts| counts.bare_newlines += usize::from(bare));
        Ok(Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()))
    }

    async fn await_input(&mut self) -> Turn {
        let running = self.shared.running();
        let idle = running.script.idle_after.filter(|_| self.transaction.is_none());
        let read = match idle {
            None => self.wire.read(ANY).await,
            Some(idle) => match timeout(idle, self.wire.read(ANY)).await {
                Ok(read) => read,
                Err(_) => self.idled().await,
            },
        };
        read?;
        self.wire.begin_flight().await
    }

    async fn idled(&mut self) -> Turn {
        self.act(Step::Idle, "").await?;
        self.flush().await?;
        self.wire.read(ANY).await
    }

    async fn obey(&mut self, line: &str) -> Turn {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.ehlo().await,
            "HELO" => self.reset_and(Step::Helo, "250 provider.test\r\n").await,
            "STARTTLS" => self.starttls().await,
            "AUTH" => self.auth(rest).await,
            "MAIL" => self.mail(rest).await,
            "RCPT" => self.rcpt(rest).await,
            "DATA" => self.data().await,
            "BDAT" => self.bdat(rest).await,
            "RSET" => self.reset_and(Step::Rset, OK).await,
            "NOOP" => self.act(Step::Noop, OK).await.map(|_| ()),
            "QUIT" => self.quit().await,
            "VRFY" => self.say(b"252 2.0.0 Send some mail, I will try\r\n").await,
            _ => self.say(b"500 5.5.2 Error: command not recognized\r\n").await,
        }
    }

    async fn ehlo(&mut self) -> Turn {
        let after_starttls = self.wire.is_tls() && matches!(self.running.script.tls, Tls::OnCommand(_));
        let step = if after_starttls { Step::EhloAfterTls } else { Step::Ehlo };
        self.reset_and(step, &self.offer()).await
    }

    fn offer(&self) -> String {
        let script = &self.running.script;
        let auth = format!("AUTH {}", script.mechanisms.join(" "));
        let mut lines = vec!["provider.test at your service"];
        lines.extend(script.extensions.iter().map(String::as_str));
        if self.must_starttls() {
            lines.push("STARTTLS");
        }
        if !script.mechanisms.is_empty() && !self.must_starttls_before_auth() {
            lines.push(&auth);
        }
        multiline(250, &lines)
    }

    async fn reset_and(&mut self, step: Step, good: &str) -> Turn {
        self.abandon();
        self.mail_refused = false;
        self.act(step, good).await.map(|_| ())
    }

    async fn quit(&mut self) -> Turn {
        self.act(Step::Quit, "221 2.0.0 Bye\r\n").await?;
        self.flush().await?;
        self.wire.close().await;
        Err(End::Quit)
    }

    // === TLS ===

    fn must_starttls(&self) -> bool {
        self.running.script.wants_starttls() && !self.wire.is_tls()
    }

    pub(super) fn must_starttls_before_auth(&self) -> bool {
        self.must_starttls() && !self.running.script.auth_before_tls
    }

    async fn starttls(&mut self) -> Turn {
        if !self.must_starttls() {
            return self.say(b"502 5.5.1 Error: command not implemented\r\n").await;
        }
        let early = !self.wire.input.is_empty();
        self.shared.ledger.count(|counts| counts.talked_early += usize::from(early));
        self.wire.input.clear();
        if !self.act(Step::StartTls, "220 2.0.0 Ready to start TLS\r\n").await? {
            return Ok(());
        }
        self.flush().await?;
        self.abandon();
        self.handshake().await
    }

    async fn handshake(&mut self) -> Turn {
        if let Some(action) = self.action(Step::Handshake) {
            self.wire.read(ANY).await?;
            self.wire.input.clear();
            self.perform(&action, b"").await?;
            self.flush().await?;
            return Err(End::Provider);
        }
        let Some(tls) = self.running.tls.clone() else { return Err(End::Provider) };
        let state = self.wire.secure(tls.into()).await;
        let failed = matches!(state, TlsState::Failed(_));
        self.shared.ledger.secured(self.number, state);
        if failed { Err(End::Client) } else { Ok(()) }
    }

    // === The envelope ===

    async fn mail(&mut self, rest: &str) -> Turn {
        let most = self.running.script.messages_per_connection;
        let action = match most {
            Some(most) if self.messages >= most => Action::reply(421, "4.7.0 Too many messages").then_close(),
            _ => self.action(Step::Mail).unwrap_or_default(),
        };
        let path = path::parse(rest, "FROM:");
        let good = self.judge_mail(path.as_ref());
        if self.perform(&action, good.as_bytes()).await? {
            self.abandon();
            self.transaction = Some(Transaction::new(path.unwrap_or_default()));
        }
        self.mail_refused = self.transaction.is_none();
        Ok(())
    }

    fn judge_mail(&self, path: Option<&Path>) -> &'static str {
        let script = &self.running.script;
        let Some(path) = path else { return "501 5.1.7 Bad sender address syntax\r\n" };
        if self.must_starttls() {
            return TLS_FIRST;
        }
        if script.user.is_some() && self.user.is_none() {
            return LOGIN_FIRST;
        }
        if self.transaction.is_some() {
            return "503 5.5.1 Error: nested MAIL command\r\n";
        }
        if !path.address.is_ascii() && !path.has("SMTPUTF8") {
            return "553 5.6.7 Address needs SMTPUTF8\r\n";
        }
        if path.keywords().any(|keyword| !script.allows_on_mail(keyword)) {
            return "555 5.5.4 Unsupported option\r\n";
        }
        if script.size_limit().zip(path.size()).is_some_and(|(limit, size)| size > limit) {
            return "552 5.3.4 Message size exceeds fixed limit\r\n";
        }
        "250 2.1.0 Ok\r\n"
    }

    async fn rcpt(&mut self, rest: &str) -> Turn {
        let path = path::parse(rest, "TO:");
        let good = self.judge_rcpt(path.as_ref());
        let address = path.map(|path| path.address).unwrap_or_default();
        let own = self.running.recipient_action(&address);
        let action = own.or_else(|| self.action(Step::Rcpt)).unwrap_or_default();
        let accepted = self.perform(&action, good.as_bytes()).await?;
        if let Some(transaction) = self.transaction.as_mut().filter(|_| accepted) {
            transaction.recipients.push(address);
        }
        Ok(())
    }

    fn judge_rcpt(&self, path: Option<&Path>) -> &'static str {
        let script = &self.running.script;
        let Some(path) = path else { return "501 5.1.3 Bad recipient address syntax\r\n" };
        let Some(transaction) = &self.transaction else { return "503 5.5.1 Error: need MAIL command\r\n" };
        if path.keywords().next().is_some() && !script.offers("DSN") {
            return "555 5.5.4 Unsupported option\r\n";
        }
        if script.most_recipients.is_some_and(|most| transaction.recipients.len() >= most) {
            return "452 4.5.3 Error: too many recipients\r\n";
        }
        "250 2.1.5 Ok\r\n"
    }

    /// Ends the transaction without an answer to its content.
    pub(super) fn abandon(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        if transaction.has_begun_content() {
            let content = transaction.into_content(self.number, self.wire.flights, self.user.clone());
            self.shared.ledger.content(content, Fate::Incomplete);
        }
    }

    // === Actions ===

    pub(super) fn action(&self, step: Step) -> Option<Action> {
        self.running.action(step)
    }

    /// Does what the script says, or else what is good; whether the step succeeded.
    pub(super) async fn act(&mut self, step: Step, good: &str) -> Turn<bool> {
        let action = self.action(step).unwrap_or_default();
        self.perform(&action, good.as_bytes()).await
    }

    pub(super) async fn perform(&mut self, action: &Action, good: &[u8]) -> Turn<bool> {
        if !action.wait.is_zero() {
            self.flush().await?;
            sleep_if(action.wait).await;
        }
        match &action.say {
            Say::Good | Say::Bytes(_) => self.say_at(action.words(good), action.pace.as_ref()).await?,
            Say::Endless(bytes) => self.say_for_ever(bytes, action.pace.as_ref()).await?,
        }
        self.then(action.then).await?;
        Ok(action.succeeds(good))
    }

    async fn then(&mut self, then: Then) -> Turn {
        if then != Then::GoOn {
            self.flush().await?;
        }
        match then {
            Then::GoOn => return Ok(()),
            Then::Close => self.wire.close().await,
            Then::Reset => self.wire.reset(),
            Then::Stall => match self.wire.read_to_nowhere().await? {},
            Then::Freeze => std::future::pending().await,
        }
        Err(End::Provider)
    }

    pub(super) async fn say(&mut self, words: &[u8]) -> Turn {
        self.say_at(words, None).await
    }

    async fn say_at(&mut self, words: &[u8], pace: Option<&Pace>) -> Turn {
        if pace.is_some() {
            self.flush().await?;
            self.wire.queue(words);
            return self.wire.flush(pace).await;
        }
        self.wire.queue(words);
        if self.running.script.group_replies { Ok(()) } else { self.flush().await }
    }

    async fn say_for_ever(&mut self, words: &[u8], pace: Option<&Pace>) -> Turn {
        // Large writes where no pace is asked for: a flood is to be a flood.
        let flood = if pace.is_some() { words.to_vec() } else { words.repeat(4096_usize.div_ceil(words.len())) };
        loop {
            self.wire.queue(&flood);
            self.wire.flush(pace).await?;
        }
    }

    pub(super) async fn flush(&mut self) -> Turn {
        self.wire.flush(self.running.script.pace.as_ref()).await
    }
}
