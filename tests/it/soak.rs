//! Mail without a pause, through a provider that goes away every few seconds: the counts agree to the message, and
//! nothing grows. `SOAK_SECONDS` (15) and `SOAK_RESTART` (3, seconds between restarts) make it longer:
//! `scripts/soak.sh`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::callers::{Address, Fate};
use crate::support::crowd::{Crowd, Habits, Story};
use crate::support::provider::{Keep, Ledger, Provider, Script};
use crate::support::sidecar::{Log, Process, count};

const HABITS: Habits = Habits { callers: 16, pause: Duration::from_millis(100), repeats_unknown: false };
const COMMIT: Duration = Duration::from_millis(20);
/// How long the provider is away.
const AWAY: Duration = Duration::from_millis(500);
/// What a run may gain in memory for reasons that do not last: buffers, the allocator's arenas.
const SLACK: u64 = 4 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn counts_agree_to_the_message_and_nothing_grows() {
    let length = Duration::from_secs(seconds("SOAK_SECONDS", 15));
    let restart = Duration::from_secs(seconds("SOAK_RESTART", 3));
    let ledger = Ledger::default();
    let mut provider = Provider::start_at(([127, 0, 0, 1], 0).into(), script(), ledger.clone());
    let addr = provider.addr;
    let process = start(&addr.port().to_string());
    let idle = process.handles();
    let crowd = Crowd::start(HABITS, Address { http: process.http, smtp: process.smtp });
    let (mut samples, mut restarts) = (Vec::new(), 0);
    let (begun, mut next) = (Instant::now(), Instant::now() + restart);
    while begun.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(250)).await;
        samples.push(Sample::of(&process));
        if Instant::now() >= next {
            provider.stop().await;
            tokio::time::sleep(AWAY).await;
            provider = Provider::start_at(addr, script(), ledger.clone());
            restarts += 1;
            next = Instant::now() + restart;
        }
    }
    let stories = crowd.finish().await;
    let at_rest = rested(&process, idle).await;
    let soak =
        Soak { counters: Counters::of(&process).await, log: process.into_log(), stories, copies: ledger.copies() };
    soak.report(begun.elapsed(), restarts);
    soak.compare();
    growth(&samples, idle, at_rest);
}

fn seconds(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: a number")))
}

fn script() -> Script {
    Script::new().commit_delay(COMMIT).keep(Keep::Summary)
}

fn start(port: &str) -> Process {
    Process::start(&[
        ("PROVIDER", "smtp"),
        ("HOST", "127.0.0.1"),
        ("PORT", port),
        ("TLS", "none"),
        ("CONNECTION_IDLE", "1s"),
        ("SEND_TIMEOUT", "10s"),
    ])
}

// === The books ===

struct Soak {
    stories: BTreeMap<String, Story>,
    copies: BTreeMap<String, usize>,
    log: Log,
    counters: Counters,
}

/// Our own, at the end.
#[derive(Debug)]
struct Counters {
    taken: u64,
    unconfirmed: u64,
    accepted: u64,
    in_flight: u64,
}

impl Counters {
    async fn of(process: &Process) -> Self {
        let both = async |answer: &str| {
            let series = |ingress| format!("sidepost_submissions_total{{answer=\"{answer}\",ingress=\"{ingress}\"}}");
            count(process.admin, &series("http")).await + count(process.admin, &series("smtp")).await
        };
        Self {
            taken: both("taken").await,
            unconfirmed: both("unconfirmed").await,
            accepted: count(process.admin, "sidepost_recipients_total{verdict=\"accepted\"}").await,
            in_flight: count(process.admin, "sidepost_in_flight_messages").await,
        }
    }
}

impl Soak {
    fn ended_as(&self, fate: Fate) -> Vec<&String> {
        self.stories.iter().filter(|(_, story)| story.ended_as(fate)).map(|(id, _)| id).collect()
    }

    fn held(&self, ids: &[&String]) -> usize {
        ids.iter().filter_map(|id| self.copies.get(*id)).sum()
    }

    fn logged(&self, class: &str) -> Vec<&String> {
        let mut ids: Vec<_> = self.log.get(class).into_iter().flatten().collect();
        ids.sort_unstable();
        ids
    }

    fn report(&self, elapsed: Duration, restarts: usize) {
        let (taken, unknown) = (self.ended_as(Fate::Taken), self.ended_as(Fate::Unknown));
        let sends = self.stories.values().map(|story| story.heard.len()).sum::<usize>();
        let held = self.copies.values().sum::<usize>();
        eprintln!("{} s, {restarts} restarts of the provider", elapsed.as_secs());
        eprintln!(
            "callers:  messages {}, sends {sends}, taken {}, unconfirmed {}",
            self.stories.len(),
            taken.len(),
            unknown.len()
        );
        eprintln!("provider: held {held}: {} taken, {} unconfirmed", self.held(&taken), self.held(&unknown));
        eprintln!("sidecar:  {:?}", self.counters);
        for id in unknown {
            let fate = if self.copies.contains_key(id) { "held" } else { "not held" };
            eprintln!("unconfirmed: {id} ({fate})");
        }
    }

    fn compare(&self) {
        let (taken, unknown) = (self.ended_as(Fate::Taken), self.ended_as(Fate::Unknown));
        let lost: Vec<_> = taken.iter().filter(|id| !self.copies.contains_key(**id)).collect();
        assert!(lost.is_empty(), "acknowledged and not held: {lost:?}");
        let twice: Vec<_> = self.copies.iter().filter(|(_, copies)| **copies > 1).collect();
        assert!(twice.is_empty(), "held twice: {twice:?}");
        assert_eq!(taken.len() + unknown.len(), self.stories.len(), "every message has an end");
        assert_eq!(self.copies.len(), taken.len() + self.held(&unknown), "and nothing else is held");
        assert_eq!(self.logged("taken"), taken, "our log names the same");
        assert_eq!(self.logged("unconfirmed"), unknown, "and the same unconfirmed ones");
        let recipients: usize = taken.iter().map(|id| self.stories[*id].recipients).sum();
        let Counters { taken: counted, unconfirmed, accepted, in_flight } = self.counters;
        let expected = [taken.len(), unknown.len(), recipients, 0].map(|count| count as u64);
        assert_eq!([counted, unconfirmed, accepted, in_flight], expected, "our counters say the same");
    }
}

// === What must not grow ===

#[derive(Clone, Copy, Debug)]
struct Sample {
    memory: u64,
    files: usize,
    threads: usize,
}

impl Sample {
    fn of(process: &Process) -> Self {
        let (files, threads) = process.handles();
        Self { memory: process.memory("VmRSS"), files, threads }
    }
}

/// Waits until connections that lie unused are closed.
async fn rested(process: &Process, idle: (usize, usize)) -> (usize, usize) {
    for _ in 0..200 {
        if process.handles().0 <= idle.0 + 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    process.handles()
}

fn growth(samples: &[Sample], idle: (usize, usize), at_rest: (usize, usize)) {
    // The first third is for warming up.
    let third = samples.len() / 3;
    let (early, late) = (&samples[third..2 * third], &samples[2 * third..]);
    let (before, after) = (median(early, |s| s.memory), median(late, |s| s.memory));
    let most = samples.iter().map(|sample| sample.memory).max().unwrap_or_default();
    let files = |part: &[Sample]| median(part, |sample| sample.files as u64);
    let mega = |bytes: u64| bytes as f64 / 1_048_576.0;
    eprintln!("memory: median {:.1} MB, then {:.1} MB, most {:.1} MB", mega(before), mega(after), mega(most));
    eprintln!("files: idle {}, under load {} then {}, at rest {}", idle.0, files(early), files(late), at_rest.0);
    let threads = samples.iter().map(|sample| sample.threads).max().unwrap_or_default();
    eprintln!("threads: idle {}, most {threads}, at rest {}", idle.1, at_rest.1);
    assert!(after <= before + before / 10 + SLACK, "memory grows: {before}, then {after}");
    assert!(at_rest.0 <= idle.0 + 2, "files stay open: {idle:?}, then {at_rest:?}");
    // Threads for name lookups come and go; beyond them there is one per processor.
    assert!(threads <= idle.1 + 4, "threads grow: {idle:?}, at most {threads}");
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<_> = samples.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
