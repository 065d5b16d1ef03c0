//! Killed and told to end, again and again, under load: nothing acknowledged is lost, and who keeps which books does
//! not matter: they agree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::callers::{Address, Fate};
use crate::support::crowd::{Crowd, Habits, Story};
use crate::support::provider::{Keep, Provider, Script};
use crate::support::sidecar::{Log, Process};

const TIMES: usize = 6;
const HABITS: Habits = Habits { callers: 20, pause: Duration::from_millis(20), repeats_unknown: true };
const COMMIT: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread")]
async fn six_kills_lose_nothing_and_repeat_no_more_than_was_in_flight() {
    let chaos = Chaos::play("KILL").await;
    chaos.report("kill -9");
    assert_eq!(chaos.lost(), Vec::<&String>::new(), "acknowledged and not held");
    assert_eq!(chaos.beyond_doubt(), Vec::<String>::new(), "held more often than there were doubts");
    assert!(chaos.repeated() <= TIMES * HABITS.callers, "one per message in flight at a kill, at the most");
    assert!(chaos.in_flight.iter().all(|count| *count > 0), "each kill came under load");
    chaos.compare_logs();
}

#[tokio::test(flavor = "multi_thread")]
async fn six_ends_in_order_lose_nothing_and_repeat_nothing() {
    let chaos = Chaos::play("TERM").await;
    chaos.report("TERM");
    assert_eq!(chaos.lost(), Vec::<&String>::new(), "acknowledged and not held");
    assert_eq!(chaos.repeated(), 0, "{:?}", chaos.beyond_doubt());
    assert!(chaos.in_flight.iter().all(|count| *count > 0), "each signal came under load");
    chaos.compare_logs();
    // Every answer reached its caller, so the three books agree to the message.
    assert_eq!(chaos.logged("taken"), chaos.copies.values().sum::<usize>());
    assert_eq!(chaos.logged("taken"), chaos.stories.len());
}

/// What everybody wrote down.
struct Chaos {
    /// Callers: by Message-ID, what they heard.
    stories: BTreeMap<String, Story>,
    /// The provider: by Message-ID, how often it is held.
    copies: BTreeMap<String, usize>,
    /// Each sidecar: its log to its last line.
    logs: Vec<Log>,
    /// And its counters, as they were last seen.
    counters: Vec<Counters>,
    /// Sends in flight at each signal.
    in_flight: Vec<usize>,
}

/// Of one sidecar.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    answered: usize,
    taken: usize,
}

impl Chaos {
    async fn play(signal: &str) -> Self {
        let provider = Provider::start(Script::new().commit_delay(COMMIT).keep(Keep::Summary));
        let mut process = start(&provider);
        let crowd = Crowd::start(HABITS, address(&process));
        let (mut logs, mut counters, mut in_flight) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TIMES {
            under_load(&provider, &crowd).await;
            counters.push(scrape(&process).await.unwrap());
            in_flight.push(crowd.in_flight());
            process.signal(signal);
            let last = counters.last_mut().unwrap();
            watch(&process, last).await;
            logs.push(process.into_log());
            process = start(&provider);
            crowd.send_to(address(&process));
        }
        let stories = crowd.finish().await;
        counters.push(scrape(&process).await.unwrap());
        process.signal("TERM");
        assert_eq!(process.wait(Duration::from_secs(30)), Some(0));
        logs.push(process.into_log());
        Self { stories, copies: settled(&provider).await, logs, counters, in_flight }
    }

    fn report(&self, what: &str) {
        let sends = self.stories.values().map(|story| story.heard.len()).sum::<usize>();
        let doubts = self.stories.values().map(Story::doubts).sum::<usize>();
        let (messages, held) = (self.stories.len(), self.copies.values().sum::<usize>());
        eprintln!(
            "{what}: messages {messages}, sends {sends}, without an answer {doubts}, held {held}, lost {}, duplicates {}, \
             in flight at the signals {:?}",
            self.lost().len(),
            self.repeated(),
            self.in_flight
        );
    }

    fn lost(&self) -> Vec<&String> {
        let taken = self.stories.iter().filter(|(_, story)| story.ended_as(Fate::Taken));
        taken.map(|(id, _)| id).filter(|id| !self.copies.contains_key(*id)).collect()
    }

    fn repeated(&self) -> usize {
        self.copies.values().map(|copies| copies - 1).sum()
    }

    /// Messages with more extra copies than sends that ended in doubt.
    fn beyond_doubt(&self) -> Vec<String> {
        let doubts = |id: &String| self.stories.get(id).map_or(0, Story::doubts);
        let beyond = self.copies.iter().filter(|(id, copies)| **copies > 1 + doubts(id));
        beyond.map(|(id, copies)| format!("{id} is held {copies} times: {:?}", self.stories.get(id))).collect()
    }

    fn logged(&self, class: &str) -> usize {
        self.logs.iter().filter_map(|log| log.get(class)).map(Vec::len).sum()
    }

    /// Our own books: each log against its sidecar's counters, and all of them against both ledgers.
    fn compare_logs(&self) {
        for (log, counters) in self.logs.iter().zip(&self.counters) {
            let (taken, answered) = (log.get("taken").map_or(0, Vec::len), log.values().map(Vec::len).sum());
            // The last look at the counters was a moment before the last line.
            assert!(counters.taken <= taken && counters.answered <= answered, "{counters:?}, {taken} of {answered}");
        }
        let last = self.counters.last().unwrap();
        assert_eq!(last.taken, self.logs.last().unwrap().get("taken").map_or(0, Vec::len), "nothing came later");
        let mut logged = BTreeMap::<&String, usize>::new();
        self.logs
            .iter()
            .filter_map(|log| log.get("taken"))
            .flatten()
            .for_each(|id| *logged.entry(id).or_default() += 1);
        for (id, times) in &logged {
            let held = self.copies.get(*id).copied().unwrap_or_default();
            assert!(*times <= held, "{id} is logged as taken {times} times and held {held} times");
        }
        for id in self.stories.iter().filter(|(_, story)| story.ended_as(Fate::Taken)).map(|(id, _)| id) {
            assert!(logged.contains_key(id), "{id} was acknowledged and is in no log");
        }
    }
}

fn start(provider: &Provider) -> Process {
    let port = provider.addr.port().to_string();
    Process::start(&[
        ("PROVIDER", "smtp"),
        ("HOST", "127.0.0.1"),
        ("PORT", &port),
        ("TLS", "none"),
        ("CONNECTIONS", "20"),
    ])
}

fn address(process: &Process) -> Address {
    Address { http: process.http, smtp: process.smtp }
}

/// Waits until this sidecar has delivered something, and then for any moment while more is in flight.
async fn under_load(provider: &Provider, crowd: &Crowd) {
    let before = provider.ledger.counts().held;
    assert!(provider.ledger.wait_for(before + HABITS.callers, Duration::from_secs(30)).await, "mail flows");
    tokio::time::sleep(Duration::from_millis(fastrand::u64(..600))).await;
    while crowd.in_flight() < HABITS.callers / 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Looks at the counters for as long as somebody shows them.
async fn watch(process: &Process, counters: &mut Counters) {
    let until = Instant::now() + Duration::from_secs(30);
    while let Some(seen) = scrape(process).await {
        *counters = seen;
        assert!(Instant::now() < until, "it does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn scrape(process: &Process) -> Option<Counters> {
    let answer = sidepost::cli::client::Request::get("/metrics").send(process.admin).await.ok()?;
    let text = String::from_utf8(answer.body.to_vec()).ok()?;
    let of = |mark: &str| -> usize {
        let lines = text.lines().filter(|line| line.starts_with("sidepost_submissions_total{") && line.contains(mark));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum()
    };
    Some(Counters { answered: of(""), taken: of("answer=\"taken\"") })
}

/// What was in the provider's hands when its caller died is held a little later.
async fn settled(provider: &Provider) -> BTreeMap<String, usize> {
    assert!(provider.ledger.wait_until(Duration::from_secs(10), |counts| counts.open == 0).await);
    provider.ledger.copies()
}
