//! Connections kept warm: so many at most, the last used first, each for so long and so many messages.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connect::Session;
use crate::message::content::LARGE;
use crate::provider::Server;

/// No connection is kept longer than this: load balancers in between drop old ones without a word.
const LONGEST_LIFE: Duration = Duration::from_secs(600);

/// Connections being opened at once, per server.
const MOST_DIALS: usize = 4;

/// A session with its history.
#[derive(Debug)]
pub struct Connection {
    /// The session.
    pub session: Session,
    /// Whether RSET has to come before the next message.
    pub reset_first: bool,
    messages: usize,
    was_idle: bool,
    opened: Instant,
    idle_since: Instant,
    _counted: Counted,
}

impl Connection {
    /// Whether it has lain idle: then it may have been closed meanwhile.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.was_idle
    }
}

/// How many connections, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most connections per server.
    pub connections: usize,
    /// The most messages over one connection.
    pub messages: usize,
    /// How long a connection may lie unused.
    pub idle: Duration,
}

/// The connections of a provider, by server.
#[derive(Debug)]
pub struct Pool {
    bounds: Bounds,
    paths: HashMap<Server, Lane>,
    open: Arc<AtomicUsize>,
}

/// The connections of one server.
///
/// A new connection is opened only by who has a turn and finds none idle; so connections in use and idle ones
/// together are never more than there are turns.
#[derive(Debug)]
struct Lane {
    turns: Arc<Semaphore>,
    dials: Arc<Semaphore>,
    /// Turns that large messages may have.
    large: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// Leave to use one connection of a server.
#[derive(Debug)]
pub struct Turn {
    _turn: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// An empty pool, and the task that closes what lies unused; it ends with the pool.
    #[must_use]
    pub fn new(servers: &[Server], bounds: Bounds) -> Arc<Self> {
        let lane = || Lane {
            turns: Arc::new(Semaphore::new(bounds.connections)),
            dials: Arc::new(Semaphore::new(MOST_DIALS)),
            large: Arc::new(Semaphore::new(bounds.connections - bounds.connections / 4)),
            idle: Mutex::default(),
        };
        let paths = servers.iter().map(|server| (server.clone(), lane())).collect();
        let pool = Arc::new(Self { bounds, paths, open: Arc::default() });
        tokio::spawn(close_unused(Arc::downgrade(&pool), bounds.idle));
        pool
    }

    /// Waits for leave to use a connection for so many bytes. Whoever asks first gets it first; but a quarter of the
    /// connections is left to small messages, which would otherwise wait for large ones to crawl out.
    pub async fn turn(&self, server: &Server, bytes: usize) -> Option<Turn> {
        let lane = self.paths.get(server)?;
        let large = match bytes > LARGE {
            true => Some(Arc::clone(&lane.large).acquire_owned().await.ok()?),
            false => None,
        };
        let turn = Arc::clone(&lane.turns).acquire_owned().await.ok()?;
        Some(Turn { _turn: turn, _large: large })
    }

    /// Leave to use a connection if there is one to spare.
    pub fn try_turn(&self, server: &Server) -> Option<Turn> {
        self.paths.get(server)?.try_turn()
    }

    /// Waits for leave to open a connection and log in.
    pub async fn dial(&self, server: &Server) -> Option<Turn> {
        let turn = Arc::clone(&self.paths.get(server)?.dials).acquire_owned().await.ok()?;
        Some(Turn { _turn: turn, _large: None })
    }

    /// Whether who has a turn may open one more connection although others lie idle, as the warm-up does. Never says
    /// yes in error: a connection that changes hands counts twice for a moment.
    pub fn has_room(&self, server: &Server) -> bool {
        self.paths.get(server).is_some_and(|lane| {
            let idle = lane.idle();
            let turns_taken = self.bounds.connections.saturating_sub(lane.turns.available_permits());
            idle.len() + turns_taken <= self.bounds.connections
        })
    }

    /// Puts a connection that nobody has used yet among the idle ones.
    pub fn keep(&self, server: &Server, connection: Connection) {
        if let Some(lane) = self.paths.get(server) {
            lane.idle().push(connection);
        }
    }

    /// Whether a connection lies unused, good or not.
    pub fn has_idle(&self, server: &Server) -> bool {
        self.paths.get(server).is_some_and(|lane| !lane.idle().is_empty())
    }

    /// A warm connection, if there is one that is still good.
    pub fn take(&self, server: &Server) -> Option<Connection> {
        let lane = self.paths.get(server)?;
        loop {
            let mut connection = lane.idle().pop()?;
            if self.is_fresh(&connection) && !connection.session.stream.is_stale() {
                connection.was_idle = true;
                return Some(connection);
            }
        }
    }

    /// Counts a connection that is about to be opened.
    pub fn count(&self) -> Counted {
        Counted::new(&self.open)
    }

    /// Takes a connection back after a message; gives it back where it has done its share.
    pub fn put(&self, server: &Server, mut connection: Connection) -> Option<Connection> {
        connection.messages += 1;
        connection.idle_since = Instant::now();
        match self.paths.get(server) {
            Some(lane) if self.is_fresh(&connection) => {
                lane.idle().push(connection);
                None
            }
            _ => Some(connection),
        }
    }

    fn is_fresh(&self, connection: &Connection) -> bool {
        let most = connection.session.capabilities.limits.messages.unwrap_or(usize::MAX).min(self.bounds.messages);
        connection.messages < most
            && connection.idle_since.elapsed() < self.bounds.idle
            && connection.opened.elapsed() < LONGEST_LIFE
    }

    /// Connections, idle ones and those being opened included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes out what lies unused, with a turn for the time of closing it. Where no turn is left, somebody is about to
    /// open a connection, and it is closed at once.
    fn drain_unused(&self) -> Vec<(Connection, Turn)> {
        let unused = |lane: &Lane| {
            let unused: Vec<_> = lane.idle().extract_if(.., |c| !self.is_fresh(c)).collect();
            unused.into_iter().zip(std::iter::from_fn(|| lane.try_turn())).collect::<Vec<_>>()
        };
        self.paths.values().flat_map(unused).collect()
    }
}

impl Lane {
    fn try_turn(&self) -> Option<Turn> {
        Arc::clone(&self.turns).try_acquire_owned().ok().map(|turn| Turn { _turn: turn, _large: None })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A panic elsewhere cannot leave a list of connections half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections in the count, from before it is opened until it is closed.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }

    /// Makes the new session a connection of the pool.
    pub fn adopt(self, session: Session) -> Connection {
        let now = Instant::now();
        Connection {
            session,
            reset_first: false,
            messages: 0,
            was_idle: false,
            opened: now,
            idle_since: now,
            _counted: self,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn close_unused(pool: Weak<Pool>, idle: Duration) {
    let mut tick = tokio::time::interval((idle / 4).max(Duration::from_millis(100)));
    loop {
        tick.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        for (connection, turn) in pool.drain_unused() {
            tokio::spawn(super::quit(connection, Some(turn)));
        }
    }
}
