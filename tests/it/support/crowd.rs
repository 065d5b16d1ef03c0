//! A crowd of callers, each sending one message after the other through whatever door, and their own ledger.
//!
//! What was not acknowledged is sent again under the same Message-ID, as a careful application does. The sidecar may
//! come and go meanwhile: its address is looked up before every send.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::callers::{Address, Door, Fate, Letter};

/// Before what was not acknowledged is sent again.
const BEFORE_AGAIN: Duration = Duration::from_millis(60);

/// How the crowd behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub callers: usize,
    /// Between a caller's messages.
    pub pause: Duration,
    /// Whether what nobody knows about is sent again: rather twice than never.
    pub repeats_unknown: bool,
}

/// What became of one message, from its caller's point of view.
#[derive(Clone, Debug, Default)]
pub struct Story {
    pub recipients: usize,
    /// What was heard, in order; the last is what the caller goes by.
    pub heard: Vec<Fate>,
}

/// A crowd at work.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    habits: Habits,
    address: Mutex<Address>,
    stories: Mutex<BTreeMap<String, Story>>,
    in_flight: AtomicUsize,
    ending: AtomicBool,
}

impl Story {
    /// How often nobody could know whether the message had been taken.
    pub fn doubts(&self) -> usize {
        self.heard.iter().filter(|fate| matches!(fate, Fate::Nothing | Fate::Unknown)).count()
    }

    pub fn ended_as(&self, fate: Fate) -> bool {
        self.heard.last() == Some(&fate)
    }
}

impl Crowd {
    /// Begins to send there.
    pub fn start(habits: Habits, address: Address) -> Self {
        let shared = Arc::new(Shared {
            habits,
            address: Mutex::new(address),
            stories: Mutex::default(),
            in_flight: AtomicUsize::default(),
            ending: AtomicBool::default(),
        });
        let mut callers = JoinSet::new();
        for caller in 0..habits.callers {
            callers.spawn(shared.clone().work(caller));
        }
        Self { shared, callers }
    }

    /// From now on it sends there.
    pub fn send_to(&self, address: Address) {
        *self.shared.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Sends that have begun and not ended.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Begins nothing new, and waits until every message has found its end.
    pub async fn finish(self) -> BTreeMap<String, Story> {
        self.shared.ending.store(true, Ordering::SeqCst);
        self.callers.join_all().await;
        std::mem::take(&mut *self.shared.stories())
    }
}

impl Shared {
    async fn work(self: Arc<Self>, caller: usize) {
        for n in 0.. {
            if self.ending.load(Ordering::SeqCst) {
                return;
            }
            self.see_through(&letter(caller, n), door(caller + n)).await;
            sleep(self.habits.pause.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    /// Sends a message until its fate is known.
    async fn see_through(&self, letter: &Letter, door: Door) {
        loop {
            let to = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            let heard = letter.send(door, to).await;
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            self.write_down(letter, heard.fate);
            match heard.fate {
                Fate::Taken => return,
                Fate::Unknown if !self.habits.repeats_unknown => return,
                Fate::Unknown | Fate::Later | Fate::Nothing => sleep(BEFORE_AGAIN).await,
                Fate::Refused => panic!("{}: {}", letter.id, heard.words),
            }
        }
    }

    fn write_down(&self, letter: &Letter, fate: Fate) {
        let mut stories = self.stories();
        let story = stories.entry(letter.id.clone()).or_default();
        story.recipients = letter.to.len();
        story.heard.push(fate);
    }

    fn stories(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Story>> {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn letter(caller: usize, n: usize) -> Letter {
    let to = (0..=n % 3).map(|r| format!("r{r}@example.org")).collect();
    let lines = if n.is_multiple_of(10) { 4_000 } else { 50 };
    Letter { id: format!("c{caller}n{n}@crowd.test"), to, text: "a line of the text\n".repeat(lines) }
}

fn door(n: usize) -> Door {
    [Door::Http, Door::Smtp, Door::Strict, Door::Smtp][n % 4]
}
