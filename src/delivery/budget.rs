//! How much may be in flight: messages and bytes. Beyond it new work is told to come back; nothing grows.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Bytes are counted in blocks of this size, so that a semaphore's permits reach far enough.
const BLOCK: usize = 1024;

/// The two limits of what may be in flight.
#[derive(Clone, Debug)]
pub struct Budget {
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    most_messages: usize,
    most_blocks: u32,
}

impl Budget {
    /// A budget of so many messages and so many bytes.
    #[must_use]
    pub fn new(messages: usize, bytes: usize) -> Self {
        let most_blocks = blocks(bytes);
        Self {
            messages: Arc::new(Semaphore::new(messages.min(Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(most_blocks as usize)),
            most_messages: messages.min(Semaphore::MAX_PERMITS),
            most_blocks,
        }
    }

    /// Room for one message of so many bytes, or nothing, at once.
    ///
    /// What is larger than the whole budget gets the whole budget: alone, it may pass.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<Hold> {
        let message = Arc::clone(&self.messages).try_acquire_owned().ok()?;
        let bytes = self.try_blocks(blocks(bytes).min(self.most_blocks)).ok()?;
        Some(Hold { _message: message, bytes, budget: self.clone() })
    }

    /// How many messages are in flight.
    #[must_use]
    pub fn messages_in_flight(&self) -> usize {
        self.most_messages - self.messages.available_permits()
    }

    /// How many bytes are in flight, in whole blocks.
    #[must_use]
    pub fn bytes_in_flight(&self) -> usize {
        (self.most_blocks as usize - self.bytes.available_permits()) * BLOCK
    }

    /// Whether not even an empty message would be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.messages.available_permits() == 0 || self.bytes.available_permits() == 0
    }

    fn try_blocks(&self, count: u32) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.bytes).try_acquire_many_owned(count)
    }
}

/// Room in the budget for one message; given back when dropped.
#[derive(Debug)]
pub struct Hold {
    _message: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
    budget: Budget,
}

impl Hold {
    /// Makes it room for so many bytes in all, more or less than before.
    ///
    /// # Errors
    /// Where there is no more room; what was held stays held.
    pub fn resize(&mut self, bytes: usize) -> Result<(), OutOfRoom> {
        let wanted = blocks(bytes).min(self.budget.most_blocks) as usize;
        let held = self.bytes.num_permits();
        if wanted < held {
            drop(self.bytes.split(held - wanted));
        } else if let Ok(more) = u32::try_from(wanted - held) {
            self.bytes.merge(self.budget.try_blocks(more).map_err(|_| OutOfRoom)?);
        }
        Ok(())
    }
}

/// The budget has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRoom;

fn blocks(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted() {
        let budget = Budget::new(2, 1 << 20);
        let one = budget.hold(1).unwrap();
        let _two = budget.hold(1).unwrap();
        assert!(budget.hold(1).is_none() && budget.is_full());
        assert_eq!(budget.messages_in_flight(), 2);
        drop(one);
        assert!(budget.hold(1).is_some());
    }

    #[test]
    fn bytes_are_counted_grown_and_shrunk() {
        let budget = Budget::new(10, 10 * BLOCK);
        let mut one = budget.hold(4 * BLOCK).unwrap();
        assert!(budget.hold(7 * BLOCK).is_none());
        assert_eq!(one.resize(11 * BLOCK), Ok(()), "the whole budget is the most that one can hold");
        assert_eq!(budget.bytes_in_flight(), 10 * BLOCK);
        one.resize(BLOCK).unwrap();
        let _two = budget.hold(9 * BLOCK).unwrap();
        assert_eq!(one.resize(2 * BLOCK), Err(OutOfRoom));
        assert_eq!(budget.bytes_in_flight(), 10 * BLOCK);
    }

    #[test]
    fn a_refused_hold_keeps_nothing() {
        let budget = Budget::new(10, 2 * BLOCK);
        let _one = budget.hold(2 * BLOCK).unwrap();
        assert!(budget.hold(1).is_none());
        assert_eq!(budget.messages_in_flight(), 1);
    }
}
