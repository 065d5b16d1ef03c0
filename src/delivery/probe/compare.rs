//! What the trouble of a path has in common with others: other hosts are asked, rarely, and for next to nothing.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::super::Delivery;
use super::HASTE;
use crate::diagnosis::Stage;
use crate::diagnosis::comparison::families::Families;
use crate::diagnosis::comparison::names::{Names, SLOW};
use crate::diagnosis::comparison::{Comparison, Conclusion, Found};
use crate::outcome::{Failure, Reason, Step};
use crate::provider::Path;
use crate::transport::Phases;

/// A resolver's first repetition comes after five seconds: who waits longer knows a slow one from a dead one.
const LOST_PACKET: Duration = Duration::from_millis(5500);

/// What a connection that came about can be suspected of all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Its name was found late.
    Names,
    /// It is one of IPv4, although there is IPv6.
    Families,
}

impl Suspicion {
    const ALL: [Self; 2] = [Self::Names, Self::Families];

    /// Of which link it is.
    fn stage(self) -> Stage {
        match self {
            Self::Names => Stage::Dns,
            Self::Families => Stage::Connect,
        }
    }

    /// As what it counts when it is remembered that it was compared.
    fn kind(self) -> (Step, Reason) {
        match self {
            Self::Names => (Step::Dns, Reason::Timeout),
            Self::Families => (Step::Connect, Reason::NoRoute),
        }
    }
}

/// Which suspicions the last connection left.
#[derive(Debug, Default)]
pub struct Suspicions([AtomicBool; Suspicion::ALL.len()]);

impl Suspicions {
    fn set(&self, what: Suspicion, is_so: bool) {
        self.0[what as usize].store(is_so, Ordering::Relaxed);
    }

    fn take(&self, what: Suspicion) -> bool {
        self.0[what as usize].swap(false, Ordering::Relaxed)
    }
}

impl Delivery {
    /// A new connection says more than that it came about.
    pub(in crate::delivery) fn notice(&self, phases: &Phases) {
        if let Some(took) = phases.name {
            self.suspect(Suspicion::Names, took >= SLOW);
        }
        if let Some(left) = phases.has_left_ipv6 {
            self.suspect(Suspicion::Families, left);
        }
    }

    fn suspect(&self, what: Suspicion, is_so: bool) {
        self.prober.suspicions.set(what, is_so);
        if !is_so {
            self.diagnosis.remarked(what.stage(), None);
        }
    }

    /// What was suspected is compared with others, unless that was done a moment ago.
    pub(super) async fn settle_suspicions(&self, place: usize) {
        for what in Suspicion::ALL.into_iter().filter(|what| self.prober.suspicions.take(*what)) {
            let (step, reason) = what.kind();
            // Nothing is broken, so others are asked as rarely as where there is an explanation already.
            if self.prober.is_compared((place, step, reason), true) {
                continue;
            }
            self.prober.has_compared((place, step, reason));
            let conclusion = match what {
                Suspicion::Names => self.compare_names(place).await.and_then(|names| names.conclude_slow()),
                Suspicion::Families => self.compare_families(place).await.and_then(|families| families.conclude()),
            };
            self.diagnosis.remarked(what.stage(), conclusion.as_ref());
        }
    }

    /// Looks for what the trouble of a path has in common with others, unless that was done a moment ago.
    pub(super) async fn explain(&self, place: usize, failure: &Failure) {
        let what = (place, failure.step, failure.reason);
        if self.prober.is_compared(what, self.diagnosis.is_explained(place)) {
            return;
        }
        self.prober.has_compared(what);
        let conclusion = if failure.step == Step::Dns {
            self.compare_names(place).await.and_then(|names| names.conclude(failure.reason))
        } else {
            self.compare(place, failure).await
        };
        if let Some(conclusion) = conclusion {
            self.diagnosis.concluded(place, (failure.step, failure.reason), &conclusion);
        }
    }

    async fn compare(&self, place: usize, failure: &Failure) -> Option<Conclusion> {
        let Path::Smtp(server) = self.paths.get(place)? else { return None };
        let look =
            |host: &str, port| self.transport.look(server, host.to_owned(), port, failure, HASTE, &self.lifecycle);
        let ports = self.servers().filter(|(other, _)| *other != place).map(|(_, server)| (&*server.host, server.port));
        let others = self.prober.others(server);
        let (here, ports, others, outside) = tokio::join!(
            look(&server.host, server.port),
            all(ports.map(|(host, port)| look(host, port))),
            all(others.iter().map(|host| look(host, server.port))),
            all(self.prober.outside().into_iter().map(|(host, port)| look(host, port))),
        );
        let (here, here_is_private) = here;
        let is_apart = others.iter().chain(&outside).any(|(found, is_private)| {
            here.answer.has_name() && found.answer.has_name() && *is_private != here_is_private
        });
        let found = |list: Vec<(Found, bool)>| list.into_iter().map(|(found, _)| found).collect();
        let failed = (failure.step, failure.reason);
        let (ports, others, outside) = (found(ports), found(others), found(outside));
        let has_proxy = has_proxy(std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()));
        Comparison { failed, here, ports, others, outside, is_apart, has_proxy }.conclude()
    }

    async fn compare_names(&self, place: usize) -> Option<Names> {
        let Path::Smtp(server) = self.paths.get(place)? else { return None };
        let look_up = async |host: &str| (host.to_owned(), self.transport.look_up(host, LOST_PACKET).await);
        let others = self.prober.names(server);
        let (here, others) = tokio::join!(look_up(&server.host), all(others.iter().map(|host| look_up(host))));
        Some(Names { here, others })
    }

    async fn compare_families(&self, place: usize) -> Option<Families> {
        let Path::Smtp(server) = self.paths.get(place)? else { return None };
        let look = |host, port| self.transport.families(host, port, HASTE);
        let others = self.prober.others(server).into_iter().map(|host| (host, server.port));
        let others: Vec<_> = others.chain(self.prober.outside()).collect();
        let others = all(others.into_iter().map(|(host, port)| look(host, port)));
        let (here, others) = tokio::join!(look(&server.host, server.port), others);
        Some(Families { here, others })
    }
}

fn has_proxy(mut names: impl Iterator<Item = String>) -> bool {
    names.any(|name| ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].iter().any(|proxy| name.eq_ignore_ascii_case(proxy)))
}

/// Runs them at once, and gives what they gave in their order.
pub(super) async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *output = Some(value);
            }
        }
        if running.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[test]
    fn a_proxy_is_known_by_its_variable() {
        let names =
            |names: &[&str]| has_proxy(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>().into_iter());
        assert!(names(&["PATH", "https_proxy"]) && names(&["ALL_PROXY"]));
        assert!(!names(&["NO_PROXY", "PATH"]));
    }

    #[tokio::test(start_paused = true)]
    async fn all_run_at_once_and_keep_their_order() {
        let started = Instant::now();
        let slow = |seconds| async move {
            sleep(Duration::from_secs(seconds)).await;
            seconds
        };
        assert_eq!(all([3, 1, 2].into_iter().map(slow)).await, [3, 1, 2]);
        assert_eq!(started.elapsed(), Duration::from_secs(3));
        assert!(all(std::iter::empty::<std::future::Ready<()>>()).await.is_empty());
    }
}
