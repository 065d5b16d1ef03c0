//! From start to end of the process, as one value that everybody can watch.

use tokio::sync::watch;

/// Where the process stands. Only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Listeners are bound, nothing is served yet.
    Starting,
    /// Everything is taken.
    Serving,
    /// A signal came: nothing new is taken, what is in flight goes on.
    Draining,
    /// The time for draining is over: what still waits must say so now.
    Ending,
}

/// Moves the process from phase to phase.
#[derive(Debug)]
pub struct Lifecycle(watch::Sender<Phase>);

impl Lifecycle {
    /// A process that is starting.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }

    /// Moves on; never back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let forward = phase > *current;
            *current = (*current).max(phase);
            forward
        });
    }

    /// A view of it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch(self.0.subscribe())
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

/// A view of the [`Lifecycle`]; cheap to clone.
#[derive(Clone, Debug)]
pub struct Watch(watch::Receiver<Phase>);

impl Watch {
    /// The phase of this moment.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Whether new mail is no longer taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// Returns once the phase is reached or passed. A lifecycle that is gone has passed them all.
    pub async fn reached(&self, phase: Phase) {
        let _ = self.0.clone().wait_for(|current| *current >= phase).await;
    }
}
