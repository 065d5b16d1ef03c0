//! Messages that go round in circles: a provider, or somebody behind it, hands our own mail back to us.
//!
//! Two signs: more servers on the way than any real message has met, which finds every circle late; and our own mark in
//! a Received field, which finds a circle through us at its first turn. The mark is made of what a Sidepost and its
//! replicas have in common and others have not, so that two of them in a row, with different providers, are no circle.

use ring::digest::{SHA256, digest};

use crate::message::Content;
use crate::message::header::{self, Findings};
use crate::outcome::Refusal;

/// RFC 5321 section 6.3: a limit of at least 100.
const MOST_SERVERS: usize = 100;
/// Octets of the digest in a mark: enough that no two of all Sideposts have the same.
const MARK: usize = 8;

/// How circles are found.
#[derive(Clone, Debug)]
pub struct Loops {
    mark: String,
}

impl Loops {
    /// With a mark made of what tells this Sidepost from others. Everybody who gets mail from it sees the mark, and may
    /// guess what it is made of: no secret may be in it.
    #[must_use]
    pub fn new(identity: &[&str]) -> Self {
        let hash = digest(&SHA256, identity.join("\n").as_bytes());
        Self { mark: hash.as_ref().iter().take(MARK).map(|byte| format!("{byte:02x}")).collect() }
    }

    /// The word for our Received fields.
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Refuses what was here before, and what has been everywhere.
    ///
    /// # Errors
    /// [`Refusal::Loop`].
    pub fn check(&self, content: &Content, findings: Findings) -> Result<(), Refusal> {
        let was_here = || findings.passed_sidepost && header::has_mark(content, &self.mark, findings);
        if findings.received >= MOST_SERVERS || was_here() {
            return Err(Refusal::Loop);
        }
        Ok(())
    }
}
