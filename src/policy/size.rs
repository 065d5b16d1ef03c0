//! Limits of a message.

use crate::message::header::{Block, Findings, LOOK};
use crate::message::{Content, Envelope};
use crate::outcome::Refusal;

/// How much one message may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes as it leaves.
    pub message_bytes: usize,
    /// Recipients.
    pub recipients: usize,
}

impl Limits {
    /// Refuses what is beyond a limit.
    ///
    /// A header that goes on for longer than we look is refused whole: a Bcc behind that would reach everybody.
    /// [`Self::check_header`] is for those that we composed ourselves, where only rules ask.
    ///
    /// # Errors
    /// The limit.
    pub fn check(&self, envelope: &Envelope, content: &Content, findings: Findings) -> Result<(), Refusal> {
        if content.len() > self.message_bytes {
            return Err(Refusal::TooLarge { limit: self.message_bytes as u64 });
        }
        if envelope.recipients().len() > self.recipients {
            return Err(Refusal::TooManyRecipients { limit: self.recipients });
        }
        if findings.endless {
            return Err(Refusal::HeaderTooLarge { limit: LOOK as u64 });
        }
        Ok(())
    }

    /// Refuses a header whose end was not seen.
    ///
    /// # Errors
    /// [`Refusal::HeaderTooLarge`].
    pub fn check_header(block: &Block<'_>) -> Result<(), Refusal> {
        if block.is_cut() { Err(Refusal::HeaderTooLarge { limit: LOOK as u64 }) } else { Ok(()) }
    }
}
