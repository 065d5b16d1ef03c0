//! How long a step may take, and who else may end it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::classify::Lost;
use crate::lifecycle::{Phase, Watch};

/// The time limits of one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// Until when everything before the content must be done.
    pub deadline: Instant,
    /// The longest that any one step before the content may take.
    pub most: Duration,
    /// The longest that a connection may take to come about.
    pub connect: Duration,
    /// The process' life; at [`Phase::Ending`] every wait ends.
    pub lifecycle: &'a Watch,
}

impl Limits<'_> {
    /// A step before the content: `limit` at most, and not beyond the deadline.
    ///
    /// # Errors
    /// [`Lost::Timeout`] or [`Lost::Ending`].
    pub async fn early<T>(&self, limit: Duration, step: impl Future<Output = T>) -> Result<T, Lost> {
        self.late(limit.min(self.most).min(self.deadline.saturating_duration_since(Instant::now())), step).await
    }

    /// The content and its answer: `limit` at most, whatever the deadline, since giving up here makes duplicates.
    ///
    /// # Errors
    /// [`Lost::Timeout`] or [`Lost::Ending`].
    pub async fn late<T>(&self, limit: Duration, step: impl Future<Output = T>) -> Result<T, Lost> {
        let mut step = pin!(step);
        // Most writes are done at once, and need neither timer nor watch.
        if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(step.as_mut().poll(context))).await {
            return Ok(done);
        }
        tokio::select! {
            biased;
            done = step => Ok(done),
            () = tokio::time::sleep(limit) => Err(Lost::Timeout(limit)),
            () = self.lifecycle.reached(Phase::Ending) => Err(Lost::Ending),
        }
    }
}
