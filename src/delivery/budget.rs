//! How much may be in flight: messages and bytes. Beyond it new work is told to come back; nothing grows.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::content::LARGE;

/// Bytes are counted in blocks of this size, so that a semaphore's permits reach far enough.
const BLOCK: usize = 1024;

/// The two limits of what may be in flight.
///
/// Large messages never get all of the bytes: an eighth is left to the small ones, which would otherwise be told to
/// come back for as long as a few large ones crawl out.
#[derive(Clone, Debug)]
pub struct Budget {
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    large: Arc<Semaphore>,
    most_messages: usize,
    most_blocks: u32,
    most_large: u32,
}

impl Budget {
    /// A budget of so many messages and so many bytes.
    #[must_use]
    pub fn new(messages: usize, bytes: usize) -> Self {
        let most_blocks = blocks(bytes);
        let most_large = (most_blocks - most_blocks / 8).max(1);
        Self {
            messages: Arc::new(Semaphore::new(messages.min(Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(most_blocks as usize)),
            large: Arc::new(Semaphore::new(most_large as usize)),
            most_messages: messages.min(Semaphore::MAX_PERMITS),
            most_blocks,
            most_large,
        }
    }

    /// Room for one message of so many bytes, or nothing, at once.
    ///
    /// What is larger than the whole budget gets the whole budget: alone, it may pass.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<Hold> {
        let message = Arc::clone(&self.messages).try_acquire_owned().ok()?;
        let nothing = |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).try_acquire_many_owned(0).ok();
        let (none, none_large) = (nothing(&self.bytes)?, nothing(&self.large)?);
        let mut hold = Hold { _message: message, bytes: none, large: none_large, budget: self.clone() };
        hold.resize(bytes).ok().map(|()| hold)
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
}

/// Room in the budget for one message; given back when dropped.
#[derive(Debug)]
pub struct Hold {
    _message: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
    /// Of what large messages may have; nothing for a small one.
    large: OwnedSemaphorePermit,
    budget: Budget,
}

impl Hold {
    /// Makes it room for so many bytes in all, more or less than before.
    ///
    /// # Errors
    /// Where there is no more room; what was held stays held.
    pub fn resize(&mut self, bytes: usize) -> Result<(), OutOfRoom> {
        let wanted = blocks(bytes);
        let of_large = if bytes > LARGE { wanted.min(self.budget.most_large) } else { 0 };
        let before = self.large.num_permits();
        adjust(&mut self.large, &self.budget.large, of_large)?;
        adjust(&mut self.bytes, &self.budget.bytes, wanted.min(self.budget.most_blocks)).inspect_err(|_| {
            // Less than was held a moment ago, so this cannot fail.
            let _ = adjust(&mut self.large, &self.budget.large, u32::try_from(before).unwrap_or(0).min(of_large));
        })
    }
}

/// Makes a permit one of so many, by giving some back or by taking more.
fn adjust(permit: &mut OwnedSemaphorePermit, semaphore: &Arc<Semaphore>, wanted: u32) -> Result<(), OutOfRoom> {
    let (wanted, held) = (wanted as usize, permit.num_permits());
    if wanted < held {
        drop(permit.split(held - wanted));
    } else if let Ok(more) = u32::try_from(wanted - held) {
        permit.merge(Arc::clone(semaphore).try_acquire_many_owned(more).map_err(|_| OutOfRoom)?);
    }
    Ok(())
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
    fn large_messages_leave_room_for_small_ones() {
        let budget = Budget::new(100, 16 << 20);
        let mut one = budget.hold(10 << 20).unwrap();
        assert!(budget.hold(5 << 20).is_none(), "an eighth is not for large ones");
        let mut two = budget.hold(4 << 20).unwrap();
        let small: Vec<_> = std::iter::from_fn(|| budget.hold(LARGE)).collect();
        assert_eq!(small.len(), 2, "and all of it for small ones");
        drop(small);
        assert_eq!(two.resize(5 << 20), Err(OutOfRoom), "by growing they get no more either");
        one.resize(LARGE).unwrap();
        assert_eq!(two.resize(13 << 20), Ok(()), "one that became small is none of them");
        assert_eq!(budget.bytes_in_flight(), 14 << 20);
        drop((one, two));
        assert_eq!(budget.bytes_in_flight(), 0);
        assert!(budget.hold(64 << 20).is_some(), "what is larger than all may pass alone");
    }

    #[test]
    fn a_refused_hold_keeps_nothing() {
        let budget = Budget::new(10, 2 * BLOCK);
        let _one = budget.hold(2 * BLOCK).unwrap();
        assert!(budget.hold(1).is_none());
        assert_eq!(budget.messages_in_flight(), 1);
    }
}
