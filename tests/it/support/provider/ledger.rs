//! The ledger: what really arrived, whatever anybody said about it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::script::Keep;

/// Numbers over the whole life of a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: usize,
    /// Open now.
    pub open: usize,
    /// Open at the same time, at most.
    pub most_open: usize,
    /// TLS handshakes that were finished.
    pub handshakes: usize,
    /// Of these, resumed sessions.
    pub resumptions: usize,
    /// TLS handshakes that failed.
    pub failed_handshakes: usize,
    /// EHLO and HELO.
    pub hellos: usize,
    /// AUTH commands.
    pub auths: usize,
    /// What clients said to a 334.
    pub auth_answers: usize,
    /// AUTH that succeeded.
    pub logins: usize,
    /// AUTH commands on a connection without TLS.
    pub auths_in_clear: usize,
    /// MAIL commands.
    pub mails: usize,
    /// RCPT commands.
    pub rcpts: usize,
    /// DATA commands.
    pub datas: usize,
    /// BDAT commands.
    pub chunks: usize,
    /// RSET commands.
    pub rsets: usize,
    /// NOOP commands.
    pub noops: usize,
    /// QUIT commands.
    pub quits: usize,
    /// Lines that are no command: a sign of content read as commands.
    pub nonsense: usize,
    /// Bytes before the greeting or between STARTTLS and its 220.
    pub talked_early: usize,
    /// Commands that did not end in CRLF.
    pub bare_newlines: usize,
    /// Messages taken.
    pub held: usize,
    /// Contents that came whole and were refused.
    pub refused: usize,
    /// Contents that were cut before their end, or that nobody answered for because the provider was stopped.
    pub incomplete: usize,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// From 0, in the order of being accepted.
    pub number: usize,
    /// The client's address.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub opened: Instant,
    /// What became of TLS.
    pub tls: TlsState,
    /// How often the client spoke after having heard something: the round trips, the greeting's included.
    pub flights: usize,
    /// How it ended, if it did.
    pub ended: Option<End>,
}

/// What became of TLS on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsState {
    /// Not begun.
    Clear,
    /// Finished.
    Secured {
        /// Such as `TLSv1_3`.
        version: String,
        /// The name the client asked for.
        server_name: Option<String>,
        /// Whether an earlier session was resumed.
        resumed: bool,
    },
    /// Failed; why, in rustls' words: the client's alert among them.
    Failed(String),
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// QUIT.
    Quit,
    /// The client, without QUIT.
    Client,
    /// We, as the script said.
    Provider,
    /// The provider was stopped.
    Stopped,
}

/// One command.
#[derive(Clone, Debug)]
pub struct Command {
    /// On which connection.
    pub connection: usize,
    /// When it was read.
    pub at: Instant,
    /// Without its CRLF.
    pub line: String,
    /// Whether it came under TLS.
    pub tls: bool,
    /// The flight it came in: commands of one flight were sent without waiting for a reply in between.
    pub flight: usize,
    /// How many bytes were there behind it already.
    pub behind: usize,
}

impl Command {
    /// Its first word.
    pub fn verb(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }
}

/// One AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// On which connection.
    pub connection: usize,
    /// Such as `PLAIN`.
    pub mechanism: String,
    /// As the client gave it; empty where it never came to that.
    pub user: String,
    /// Whether it was let in.
    pub accepted: bool,
    /// Whether the connection had TLS.
    pub tls: bool,
}

/// One content, whole or cut.
#[derive(Clone, Debug)]
pub struct Content {
    /// On which connection.
    pub connection: usize,
    /// When its last byte was dealt with.
    pub at: Instant,
    /// The path of MAIL, without angle brackets.
    pub sender: String,
    /// What came behind the path.
    pub parameters: String,
    /// The paths of the accepted RCPTs, without angle brackets.
    pub recipients: Vec<String>,
    /// The bytes after un-stuffing; empty under [`Keep::Summary`].
    pub bytes: Vec<u8>,
    /// How many there were.
    pub length: usize,
    /// Their [`digest`].
    pub digest: u64,
    /// Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Whether it came by BDAT.
    pub chunked: bool,
    /// In which flight its last byte came.
    pub flight: usize,
    /// Under which user, if somebody had logged in.
    pub user: Option<String>,
}

impl Content {
    /// Whether a CR or LF stands alone in the content: the beginning of smuggling.
    pub fn has_bare_newline(&self) -> bool {
        let bare = |at: usize| match self.bytes[at] {
            b'\n' => at == 0 || self.bytes[at - 1] != b'\r',
            b'\r' => self.bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        (0..self.bytes.len()).any(bare)
    }
}

/// What [`Content::digest`] is of these bytes.
pub fn digest(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The shared books. Clones are the same ledger; it outlives its provider, and may be given to the next one.
#[derive(Clone, Debug)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
    counts: Arc<watch::Sender<Counts>>,
}

#[derive(Debug, Default)]
struct Books {
    connections: Vec<Connection>,
    commands: Vec<Command>,
    logins: Vec<Login>,
    held: Vec<Content>,
    refused: Vec<Content>,
    incomplete: Vec<Content>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { books: Arc::default(), counts: Arc::new(watch::Sender::new(Counts::default())) }
    }
}

impl Ledger {
    /// The messages taken, in order. This is what the provider would deliver.
    pub fn held(&self) -> Vec<Content> {
        self.books().held.clone()
    }

    /// The only message; anything else ends the test.
    pub fn only(&self) -> Content {
        let held = self.held();
        assert_eq!(held.len(), 1, "messages held");
        held.into_iter().next().unwrap()
    }

    /// Contents that came whole and were refused.
    pub fn refused(&self) -> Vec<Content> {
        self.books().refused.clone()
    }

    /// Contents that were cut before their end.
    pub fn incomplete(&self) -> Vec<Content> {
        self.books().incomplete.clone()
    }

    /// How often each Message-ID is held.
    pub fn copies(&self) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for message in &self.books().held {
            *copies.entry(message.message_id.clone().unwrap_or_default()).or_default() += 1;
        }
        copies
    }

    /// All connections, in the order of being accepted.
    pub fn connections(&self) -> Vec<Connection> {
        self.books().connections.clone()
    }

    /// All commands, in the order of being read.
    pub fn commands(&self) -> Vec<Command> {
        self.books().commands.clone()
    }

    /// The command lines of one connection.
    pub fn lines(&self, connection: usize) -> Vec<String> {
        let books = self.books();
        books.commands.iter().filter(|command| command.connection == connection).map(|c| c.line.clone()).collect()
    }

    /// The commands of one connection by the flight they came in.
    pub fn flights(&self, connection: usize) -> Vec<Vec<String>> {
        let mut flights = BTreeMap::<usize, Vec<String>>::new();
        for command in self.books().commands.iter().filter(|command| command.connection == connection) {
            flights.entry(command.flight).or_default().push(command.verb().to_string());
        }
        flights.into_values().collect()
    }

    /// All logins tried.
    pub fn logins(&self) -> Vec<Login> {
        self.books().logins.clone()
    }

    /// Whether credentials were ever shown without TLS.
    pub fn auth_in_clear(&self) -> bool {
        self.counts().auths_in_clear > 0
    }

    /// The numbers now.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until so many messages are held; whether that came to be in time.
    pub async fn wait_for(&self, messages: usize, timeout: Duration) -> bool {
        self.wait_until(timeout, |counts| counts.held >= messages).await
    }

    /// Waits until the numbers are as wanted; whether that came to be in time.
    pub async fn wait_until(&self, timeout: Duration, wanted: impl FnMut(&Counts) -> bool) -> bool {
        let mut counts = self.counts.subscribe();
        tokio::time::timeout(timeout, counts.wait_for(wanted)).await.is_ok()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // A test that failed elsewhere must not hide its reason behind a second panic here.
        self.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    // === For the session ===

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    pub(super) fn open(&self, peer: SocketAddr) -> usize {
        let mut books = self.books();
        let number = books.connections.len();
        let opened = Instant::now();
        books.connections.push(Connection { number, peer, opened, tls: TlsState::Clear, flights: 0, ended: None });
        drop(books);
        self.count(|counts| {
            counts.connections += 1;
            counts.open += 1;
            counts.most_open = counts.most_open.max(counts.open);
        });
        number
    }

    pub(super) fn secured(&self, connection: usize, tls: TlsState) {
        self.count(|counts| match &tls {
            TlsState::Secured { resumed, .. } => {
                counts.handshakes += 1;
                counts.resumptions += usize::from(*resumed);
            }
            TlsState::Failed(_) => counts.failed_handshakes += 1,
            TlsState::Clear => {}
        });
        self.books().connections[connection].tls = tls;
    }

    pub(super) fn close(&self, connection: usize, flights: usize, end: End) {
        let mut books = self.books();
        books.connections[connection].flights = flights;
        books.connections[connection].ended = Some(end);
        drop(books);
        self.count(|counts| counts.open -= 1);
    }

    pub(super) fn command(&self, command: Command, keep: Keep) {
        self.count(|counts| {
            let counter = match command.verb().to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => &mut counts.hellos,
                "AUTH" => &mut counts.auths,
                "MAIL" => &mut counts.mails,
                "RCPT" => &mut counts.rcpts,
                "DATA" => &mut counts.datas,
                "BDAT" => &mut counts.chunks,
                "RSET" => &mut counts.rsets,
                "NOOP" => &mut counts.noops,
                "QUIT" => &mut counts.quits,
                "STARTTLS" | "VRFY" | "HELP" => return,
                _ => &mut counts.nonsense,
            };
            *counter += 1;
        });
        if keep == Keep::Everything {
            let mut books = self.books();
            let connection = &mut books.connections[command.connection];
            connection.flights = connection.flights.max(command.flight);
            books.commands.push(command);
        }
    }

    pub(super) fn login(&self, login: Login) {
        self.count(|counts| counts.logins += usize::from(login.accepted));
        self.books().logins.push(login);
    }

    /// Books a content, and says so afterwards: whoever waits for the number finds the entry.
    pub(super) fn content(&self, content: Content, fate: Fate) {
        let mut books = self.books();
        match fate {
            Fate::Held => books.held.push(content),
            Fate::Refused => books.refused.push(content),
            Fate::Incomplete => books.incomplete.push(content),
        }
        drop(books);
        self.count(|counts| match fate {
            Fate::Held => counts.held += 1,
            Fate::Refused => counts.refused += 1,
            Fate::Incomplete => counts.incomplete += 1,
        });
    }
}

/// What became of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Taken.
    Held,
    /// Came whole and was refused.
    Refused,
    /// Was cut before its end.
    Incomplete,
}
